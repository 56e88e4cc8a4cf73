"""The networks that trainings left: where they lie, and how they are made ready for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thresher.errors import SettingsError
from thresher.features.backbone import pad_statically
from thresher.run import Run

if TYPE_CHECKING:
    from thresher.segmentation.inference import Segmenter
    from thresher.segmentation.trained import TrainedNetwork


def checkpoint_of(run: Run, training: str) -> Path:
    """Where the network of that training lies.

    Raises:
        SettingsError: there is no such training.
    """
    path = run.training(training) / "checkpoint.safetensors"
    if not path.is_file():
        names = sorted(file.parent.name for file in path.parent.parent.glob("*/checkpoint.safetensors"))
        raise SettingsError(
            f"training '{training}': none in {run.folder}. There is: {', '.join(names) or 'no training'}."
        )
    return path


def ready(found: TrainedNetwork) -> Segmenter:
    """The network on its fastest way on this machine; its encoder is changed in place."""
    from thresher.segmentation.inference import segmenter
    from thresher.segmentation.training import fastest_device

    pad_statically(found.network)
    return segmenter(found.network, found.tree, found.short_side, fastest_device())
