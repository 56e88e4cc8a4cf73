"""The network file that every worker opens: exported to ONNX, and quantised to 8 bits in fast mode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thresher.errors import DataError, quoted
from thresher.features.backbone import BackboneFile, BackboneSettings, backbone_digest, backbone_file, scaled
from thresher.features.pixels import network_pixels
from thresher.features.quantised import quantise
from thresher.features.worker import Image, WorkerSettings
from thresher.files import replacing
from thresher.run.digests import file_digest
from thresher.run.folder import Run

#: Images of target and of pool that calibrate the activations of a quantised network.
_CALIBRATION_IMAGES = 32


def worker_settings(run: Run, settings: BackboneSettings, drawn: Sequence[Sequence[Image]]) -> WorkerSettings:
    """The settings of every worker; writes the network to the run's folder.

    A network that is there already and was made from the same settings stays: exporting one takes seconds, and one in 8
    bits depends on the images that it was calibrated with, which must not change as the pool grows.
    """
    fast = settings.mode == "fast"
    backbone = _kept(run, settings)
    if backbone is None:
        backbone = backbone_file(settings, run.backbone)
        if fast:
            backbone = _quantised(backbone, run.backbone.with_suffix(".int8.onnx"), settings.short_side, drawn)
        if backbone.path.parent == run.folder:
            _note(run, settings, backbone)
    return WorkerSettings(str(backbone.path.absolute()), backbone.mean, backbone.std, settings.short_side, fast)


def network_there(run: Run, settings: BackboneSettings) -> WorkerSettings:
    """As `worker_settings`, of the network that embed has left: nothing is made or written.

    Raises:
        DataError: it is lost, or no longer what it was.
        SettingsError: the weights that it was made from are not available.
    """
    fast = settings.mode == "fast"
    backbone = backbone_file(settings, run.backbone) if _is_given(settings) and not fast else _kept(run, settings)
    if backbone is None:
        raise DataError(
            f"{run.folder}: the network that embedded this run is not there, or is not what it was. "
            f"Run `thresher embed {quoted(run.folder)}` with the run's settings to make it again."
        )
    return WorkerSettings(str(backbone.path.absolute()), backbone.mean, backbone.std, settings.short_side, fast)


def _is_given(settings: BackboneSettings) -> bool:
    return settings.backbone.endswith(".onnx")


def calibrated_network(run: Run, settings: BackboneSettings, drawn: Sequence[Sequence[Image]]) -> str:
    """Digest of the network in 8 bits, made if it is not there; empty in exact mode, of which the settings say all."""
    if settings.mode != "fast":
        return ""
    return file_digest(Path(worker_settings(run, settings, drawn).backbone))


def _note_path(run: Run) -> Path:
    return run.backbone.with_suffix(".json")


def _note(run: Run, settings: BackboneSettings, backbone: BackboneFile) -> None:
    noted = {
        "made_from": backbone_digest(settings),
        "file": backbone.path.name,
        "sha256": file_digest(backbone.path),
        "mean": backbone.mean,
        "std": backbone.std,
    }
    with replacing(_note_path(run)) as file:
        file.write((json.dumps(noted, indent=1) + "\n").encode())


def _kept(run: Run, settings: BackboneSettings) -> BackboneFile | None:
    """The network of the run's folder if it is as it was made, from these settings."""
    try:
        noted = json.loads(_note_path(run).read_text("utf-8"))
        path = run.folder / noted["file"]
        if noted["made_from"] == backbone_digest(settings) and file_digest(path) == noted["sha256"]:
            return BackboneFile(path, tuple(noted["mean"]), tuple(noted["std"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, DataError):  # lost or damaged: made again
        return None
    return None


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
