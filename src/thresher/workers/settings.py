"""Where work is done: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thresher.errors import SettingsError
from thresher.settings import converted


@converted
@dataclass(frozen=True)
class EngineSettings:
    """Where images are embedded, or the networks of a comparison trained. Changes no result."""

    engine: Literal["local", "ray"] = "local"
    """Processes of this machine, or a Ray cluster on which files have the same paths."""
    workers: int = 0
    """How many images (or trainings of a comparison) are worked on at once; 0: as many as there are processors (on a
    cluster: in all of it)."""
    address: str = ""
    """The Ray cluster's address, ray://HOST:10001 or HOST:6379; empty: the one of RAY_ADDRESS, or one started here."""
    store: str = ""
    """URL (s3://…, gs://…; fsspec's) of a place of this run's own through which workers and this machine exchange
    their files, where they share no folder; empty: they share the run's folder."""
    worker_cpus: float = 1.0
    """Processors that Ray sets aside for a worker."""
    worker_gpus: float = 0.0
    """GPUs, or shares of one, that Ray sets aside for a worker."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.workers < 0:
            raise SettingsError(f"workers = {self.workers}: expected 0 (all processors) or more.")
