"""evaluate: a trained network, images and their masks → trainings/NAME/evaluations/SET: its metrics there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from PIL import Image

from thresher import tables
from thresher.data.label_maps import coloured
from thresher.data.source_text import parsed_source
from thresher.data.taxonomy import Taxonomy
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.run.digests import Input, Listing
from thresher.run.folder import AnyRun, Run, as_run, check_name
from thresher.run.masked import read_with_masks
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, fingerprint, is_current, perform, untracked
from thresher.run.record import Record
from thresher.segmentation.metrics import class_metrics, confusion_table, mean_iou
from thresher.settings import converted
from thresher.training.images import strong_images, validation_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.trained import TrainedNetwork


@converted
@dataclass(frozen=True)
class EvaluateSettings:
    """Which network is evaluated, and on what."""

    training: str
    """Name of the training."""
    images: str = ""
    """Images with masks as FORMAT:ROOT[#SPLIT]. Default: the validation set of the training."""
    name: str = ""
    """Name of the evaluation. Default: FOLDER[-SPLIT] of the images, or validation."""
    pictures: int = 0
    """Draw this many images, evenly spread: the image, its labels and the network's decisions, side by side."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.pictures < 0:
            raise SettingsError(f"pictures = {self.pictures}: expected 0 or more.")
        check_name(self.evaluation_name)

    @property
    def evaluation_name(self) -> str:
        """The name given, or FOLDER[-SPLIT] of the images, or validation."""
        if self.name or not self.images:
            return self.name or "validation"
        source = parsed_source(self.images)
        name = source.name if source.split is None else f"{source.name}-{source.split}"
        return re.sub(r"[^\w.+-]", "_", name)


def evaluate(
    run: AnyRun, settings: EvaluateSettings, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Evaluate a trained network on images with masks: IoU of each class, and which class is taken for which.

    RUN/trainings/NAME/evaluations/SET gets `classes.parquet`, `confusion.parquet` and, if asked for, `pictures/`.

    Raises:
        SettingsError: no such training.
        DataError: an image or mask cannot be read (metrics over a part of the set would not be those of the set), or
            the images have no masks.
    """
    run = as_run(run)
    from thresher.segmentation.trained import trained_network

    checkpoint = OpenedRun(run).checkpoint(settings.training)
    trained = trained_network(checkpoint)
    images = _images(run, settings, trained)
    name = settings.evaluation_name
    summary = {"training": settings.training, "name": name, "images": images.height}
    if dry_run:
        return StageResult("evaluate", "planned", summary)
    files = _files(run, settings)

    def work() -> tuple[dict[str, Any], int]:
        matrix = _measured(trained, images, _Pictures(files.pictures, settings.pictures), track)
        classes = class_metrics(matrix, trained.tree.classes)
        tables.write(classes, files.classes)
        tables.write(confusion_table(matrix, trained.tree.classes), files.confusion)
        return summary | _summary(classes), 0

    record = Record(run.training(settings.training))
    return perform(run, f"evaluate:{name}", settings, _inputs(run, settings, checkpoint), files.outputs, work, record)


def is_evaluated(run: Run, settings: EvaluateSettings) -> bool:
    """Whether this evaluation is done, with a network and images that have not changed, and its files are there.

    Raises:
        SettingsError: no such training.
    """
    stage = f"evaluate:{settings.evaluation_name}"
    inputs = _inputs(run, settings, OpenedRun(run).checkpoint(settings.training))
    record = Record(run.training(settings.training))
    return is_current(record, stage, fingerprint(stage, settings, inputs), _files(run, settings).outputs)


@dataclass(frozen=True)
class _Files:
    """What an evaluation writes."""

    folder: Path

    @property
    def classes(self) -> Path:
        return self.folder / "classes.parquet"

    @property
    def confusion(self) -> Path:
        return self.folder / "confusion.parquet"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def outputs(self) -> list[Path]:
        return [self.classes, self.confusion]


def _files(run: Run, settings: EvaluateSettings) -> _Files:
    return _Files(run.training(settings.training) / "evaluations" / settings.evaluation_name)


def _inputs(run: Run, settings: EvaluateSettings, checkpoint: Path) -> dict[str, Input]:
    inputs: dict[str, Input] = {"checkpoint": checkpoint}
    if settings.images:
        return inputs | {"images": Listing(parsed_source(settings.images).root)}
    return inputs | {"images": run.images, "masks": run.masks}


def _images(run: Run, settings: EvaluateSettings, trained: TrainedNetwork) -> pl.DataFrame:
    """image_id, path, mask and encoding of the images to evaluate on, in the order of their ids."""
    if not settings.images:
        given = {key: value for key, value in trained.metadata["settings"].items() if key != "weights"}
        return validation_images(run, TrainSettings(**given))
    read = read_with_masks(run, settings.images, trained.taxonomy)
    images = read.images.join(read.masks.rename({"path": "mask"}), on="image_id").sort("image_id")
    if images.is_empty():
        raise DataError(f"{settings.images}: {read.images.height} images, and none of them has a mask.")
    return images


@dataclass(frozen=True)
class _Pictures:
    """Pictures of an evaluation: where they are drawn, and of how many images, evenly spread."""

    folder: Path
    count: int

    def numbers(self, images: int) -> set[int]:
        """Which of so many images are drawn."""
        return {n * images // self.count for n in range(min(self.count, images))}


def _measured(trained: TrainedNetwork, images: pl.DataFrame, pictures: _Pictures, track: Track[Any]) -> np.ndarray:
    """The confusion matrix over all images; pictures are drawn into their folder in place of older ones."""
    from thresher.segmentation.inference import measured
    from thresher.segmentation.trained import ready

    ids, shown = images["image_id"].to_list(), pictures.numbers(images.height)
    for stale in pictures.folder.glob("*.png"):
        stale.unlink()

    def show(number: int, pixels: np.ndarray, labels: np.ndarray, decided: np.ndarray) -> None:
        if number in shown:
            picture = _side_by_side(pixels, labels, decided, trained.taxonomy)
            with replacing(pictures.folder / f"{ids[number].replace('/', '-')}.png") as file:
                Image.fromarray(picture).save(file, "PNG")

    return measured(ready(trained), strong_images(images, trained.taxonomy), track, show)


def _side_by_side(pixels: np.ndarray, labels: np.ndarray, decided: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """The image, its labels and the decisions in one picture, from left to right."""
    return np.concatenate([pixels, coloured(labels, taxonomy), coloured(decided, taxonomy)], axis=1)


def _summary(classes: pl.DataFrame) -> dict[str, Any]:
    mean = mean_iou(classes)
    per_class = classes.select("class", pl.col("iou", "precision", "recall").round(4), "labelled_px").to_dicts()
    return {"miou": None if mean is None else round(mean, 4), "classes": per_class}
