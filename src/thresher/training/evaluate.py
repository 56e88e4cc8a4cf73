"""evaluate: a trained network, images and their masks → trainings/NAME/evaluations/SET: what it is worth there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from PIL import Image

from thresher import tables
from thresher.data.label_maps import coloured
from thresher.data.source_text import parsed_source, read_source
from thresher.data.taxonomy import Taxonomy
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.run.contents import checkpoint_of
from thresher.run.folder import Record, Run
from thresher.run.perform import (
    StageResult,
    Track,
    file_digest,
    fingerprint,
    folder_digest,
    is_current,
    perform,
    untracked,
)
from thresher.segmentation.metrics import class_metrics, confusion, confusion_table, mean_iou
from thresher.settings import converted
from thresher.training.images import strong_images, validation_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.trained import TrainedNetwork


@converted
@dataclass(frozen=True)
class EvaluateSettings:
    """Which network is measured, and on what."""

    training: str
    """The training's name."""
    images: str = ""
    """FORMAT:ROOT[#SPLIT] of images with masks; without it the images that the training was validated with."""
    name: str = ""
    """What to call the evaluation; made from the images' place by default."""
    pictures: int = 0
    """Draw this many images, evenly spread: the image, its labels and what the network decides, side by side."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.pictures < 0:
            raise SettingsError(f"pictures = {self.pictures}: expected 0 or more.")
        if not re.fullmatch(r"[\w][\w.+-]*", self.evaluation_name):
            raise SettingsError(f"name '{self.evaluation_name}': expected letters, digits, '.', '-', '+' or '_'.")

    @property
    def evaluation_name(self) -> str:
        """The name given, or FOLDER[-SPLIT] of the images, or validation."""
        if self.name or not self.images:
            return self.name or "validation"
        source = parsed_source(self.images)
        name = source.name if source.split is None else f"{source.name}-{source.split}"
        return re.sub(r"[^\w.+-]", "_", name)


def evaluate(
    run: Run, settings: EvaluateSettings, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Measure a trained network on images with masks: IoU of each class, and which class is taken for which.

    RUN/trainings/NAME/evaluations/SET gets `classes.parquet`, `confusion.parquet` and, if asked for, `pictures/`.

    Raises:
        SettingsError: no such training.
        DataError: an image or mask cannot be read (a measure over less than the whole set is another measure), or the
            images have no masks.
    """
    from thresher.segmentation.trained import trained_network

    checkpoint = checkpoint_of(run, settings.training)
    found = trained_network(checkpoint)
    images = _images(run, settings, found)
    name = settings.evaluation_name
    told = {"training": settings.training, "name": name, "images": images.height}
    if dry_run:
        return StageResult("evaluate", "planned", told)
    outputs = _outputs(run, settings)

    def work() -> tuple[dict[str, Any], int]:
        shown = {n * images.height // settings.pictures for n in range(min(settings.pictures, images.height))}
        matrix = _measured(found, images, shown, outputs[0].parent / "pictures", track)
        classes = class_metrics(matrix, found.tree.classes)
        tables.write(classes, outputs[0])
        tables.write(confusion_table(matrix, found.tree.classes), outputs[1])
        return told | _summary(classes), 0

    record = Record(run.training(settings.training))
    return perform(run, f"evaluate:{name}", settings, _inputs(run, settings, checkpoint), outputs, work, record)


def is_evaluated(run: Run, settings: EvaluateSettings) -> bool:
    """Whether just this network was measured on just these images, and what that wrote is still there.

    Raises:
        SettingsError: no such training.
    """
    shaped_by = fingerprint(f"evaluate:{settings.evaluation_name}", settings,
                            _inputs(run, settings, checkpoint_of(run, settings.training)))  # fmt: skip
    record = Record(run.training(settings.training))
    return is_current(record, f"evaluate:{settings.evaluation_name}", shaped_by, _outputs(run, settings))


def _outputs(run: Run, settings: EvaluateSettings) -> list[Path]:
    folder = run.training(settings.training) / "evaluations" / settings.evaluation_name
    return [folder / "classes.parquet", folder / "confusion.parquet"]


def _inputs(run: Run, settings: EvaluateSettings, checkpoint: Path) -> dict[str, str]:
    inputs = {"checkpoint": file_digest(checkpoint)}
    if settings.images:
        return inputs | {"images": folder_digest(parsed_source(settings.images).root)}
    return inputs | {"images": file_digest(run.images), "masks": file_digest(run.masks)}


def _images(run: Run, settings: EvaluateSettings, found: TrainedNetwork) -> pl.DataFrame:
    """image_id, path, mask and encoding of the images to measure on, in the order of their ids."""
    if not settings.images:
        trained = {key: value for key, value in found.about["settings"].items() if key != "weights"}
        return validation_images(run, TrainSettings(**trained))
    read = read_source(settings.images)
    images = read.images.join(read.masks.rename({"path": "mask"}), on="image_id").sort("image_id")
    if images.is_empty():
        raise DataError(f"{settings.images}: {read.images.height} images, and none of them has a mask.")
    return images


def _measured(
    found: TrainedNetwork, images: pl.DataFrame, shown: set[int], folder: Path, track: Track[Any]
) -> np.ndarray:
    """The confusion matrix over all images; those to be shown are drawn into the folder, in place of older ones."""
    from thresher.segmentation.examples import pixels_and_labels
    from thresher.segmentation.inference import ready, segmented

    ids, strong = images["image_id"].to_list(), strong_images(images, found.taxonomy)
    classes = len(found.tree.classes)
    if folder.is_dir():
        _remove(folder.glob("*.png"))

    def use(number: int, pixels: np.ndarray, labels: Any, decided: np.ndarray) -> np.ndarray:
        if number in shown:
            picture = _side_by_side(pixels, labels.numpy(), decided, found.taxonomy)
            with replacing(folder / f"{ids[number].replace('/', '-')}.png") as file:
                Image.fromarray(picture).save(file, "PNG")
        return confusion(labels.numpy(), decided, classes)

    parts = segmented(ready(found), len(strong), lambda number: pixels_and_labels(strong[number]), use, track)
    matrix: np.ndarray = np.sum(parts, axis=0)
    return matrix


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


def _side_by_side(pixels: np.ndarray, labels: np.ndarray, decided: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """The image, its labels and the decisions in one picture, from left to right."""
    return np.concatenate([pixels, coloured(labels, taxonomy), coloured(decided, taxonomy)], axis=1)


def _summary(classes: pl.DataFrame) -> dict[str, Any]:
    mean = mean_iou(classes)
    per_class = classes.select("class", pl.col("iou", "precision", "recall").round(4), "labelled_px").to_dicts()
    return {"miou": None if mean is None else round(mean, 4), "classes": per_class}
