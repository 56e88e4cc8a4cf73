"""What a run's folder holds, by name."""

from __future__ import annotations

from pathlib import Path

from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, selected

__all__ = ["checkpoint_of", "selected"]


def checkpoint_of(run: Run, training: str) -> Path:
    """Where the network of that training lies."""
    return OpenedRun(run).checkpoint(training)
