"""Where work is done: in processes of this machine or on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thresher.errors import SettingsError
from thresher.settings import converted


@converted
@dataclass(frozen=True)
class EngineSettings:
    """Where images are embedded or labelled, or the networks of a comparison trained. Changes no result."""

    engine: Literal["local", "ray"] = "local"
    """local: processes of this machine. ray: a Ray cluster on which files have the same paths."""
    workers: int = 0
    """How many images (or trainings of a comparison) are processed at once; of labels only with ray. 0 = one per
    processor (ray: as many as the cluster has room for)."""
    address: str = ""
    """Address of the Ray cluster: ray://HOST:10001 or HOST:6379. Default: that in RAY_ADDRESS, else a cluster is
    started on this machine."""
    store: str = ""
    """URL of an empty place (s3://…, gs://…; any that fsspec reads) through which workers and this machine exchange the
    run's files. Default: they share the run's folder. Only for embed."""
    worker_cpus: float = 1.0
    """CPUs that Ray reserves for each worker."""
    worker_gpus: float = 0.0
    """GPUs, or a fraction of one, that Ray reserves for each worker."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.workers < 0:
            raise SettingsError(f"workers = {self.workers}: expected 0 (one per processor) or more.")
        for name in ("worker_cpus", "worker_gpus"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} = {getattr(self, name):g}: expected 0 or more.")
