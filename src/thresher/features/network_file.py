"""The network file that every worker opens: exported to ONNX, and quantised to 8 bits in fast mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thresher.errors import DataError
from thresher.features.backbone import BackboneFile, BackboneSettings, backbone_file, scaled
from thresher.features.pixels import network_pixels
from thresher.features.quantised import quantise
from thresher.features.worker import Image, WorkerSettings
from thresher.run.folder import Run

#: Images of target and of pool that calibrate the activations of a quantised network.
_CALIBRATION_IMAGES = 32


def worker_settings(run: Run, settings: BackboneSettings, drawn: Sequence[Sequence[Image]]) -> WorkerSettings:
    """The settings of every worker; writes the network to the run's folder."""
    backbone = backbone_file(settings, run.backbone)
    fast = settings.mode == "fast"
    if fast:
        backbone = _quantised(backbone, run.backbone.with_suffix(".int8.onnx"), settings.short_side, drawn)
    return WorkerSettings(str(backbone.path.absolute()), backbone.mean, backbone.std, settings.short_side, fast)


def _quantised(backbone: BackboneFile, to: Path, short_side: int, drawn: Sequence[Sequence[Image]]) -> BackboneFile:
    tried = [image for side in drawn for image in side[:: max(1, len(side) // _CALIBRATION_IMAGES)]]

    def readable() -> Iterator[Any]:
        for _, path in tried:
            try:
                yield scaled(network_pixels(Path(path), short_side, fast=True).image, backbone)
            except DataError:
                continue  # listed when its shard is made

    quantise(backbone.path, to, readable())
    return replace(backbone, path=to)
