"""What proxy trainings learn from and are measured on: features and labels, made once, and the boxes of the pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import UInt8

from thresher.comparison.proxy.store import Make, Store, filled
from thresher.data.label_maps import class_numbers, label_map
from thresher.data.taxonomy import Taxonomy
from thresher.errors import DataError
from thresher.pretrained import pretrained_weights, weights_file
from thresher.run.digests import file_digest
from thresher.run.folder import Run
from thresher.run.masked import read_with_masks
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track
from thresher.training.images import steps_of, training_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.frozen_encoder import Levels

#: Increase it when the features or label maps of the same files change.
_VERSION = 1


def with_masks(opened: OpenedRun, source: str) -> pl.DataFrame:
    """image_id, path, mask and encoding of a set of images with masks, given as FORMAT:ROOT[#SPLIT].

    Raises:
        DataError: none of its images has a mask.
    """
    read = read_with_masks(opened.run, source, opened.taxonomy)
    images = read.images.join(read.masks.rename({"path": "mask"}), on="image_id").sort("image_id")
    if images.is_empty():
        raise DataError(f"{source}: {read.images.height} images, and none of them has a mask.")
    return images.select("image_id", "path", "mask", "encoding")


def true_masks(opened: OpenedRun, source: str) -> pl.DataFrame:
    """image_id, path, mask and encoding of those images of the pool that have a true mask.

    Args:
        source: The masks as FORMAT:ROOT[#SPLIT], found by the images' ids within their data sets. Empty: none.
    """
    if not source:
        return with_no_masks()
    masks = (
        read_with_masks(opened.run, source, opened.taxonomy)
        .masks.rename({"path": "mask"})
        .with_columns(id=_id_in_its_set())
    )
    images = opened.pool.select("image_id", "path").with_columns(id=_id_in_its_set())
    found = images.join(masks.drop("image_id").unique("id", maintain_order=True), on="id").sort("image_id")
    if found.is_empty():
        raise DataError(f"{source}: {masks.height} masks, and none bears the id of an image of the pool.")
    return found.select("image_id", "path", "mask", "encoding")


def with_no_masks() -> pl.DataFrame:
    """The table of images with masks, empty."""
    return pl.DataFrame(schema=dict.fromkeys(("image_id", "path", "mask", "encoding"), pl.String))


def _id_in_its_set() -> pl.Expr:
    return pl.col("image_id").str.replace(r"^[^/]*/", "")


@dataclass(frozen=True)
class Files:
    """The images with masks of a comparison, and where their features and label maps are kept."""

    run: Run
    training: TrainSettings
    strong: pl.DataFrame
    """image_id, path, mask and encoding."""
    sets: dict[str, pl.DataFrame]
    """The same of the images to measure on, by the name of their set."""
    steps: int
    """Of each training, as many as a full one takes."""

    @property
    def features(self) -> Path:
        """The store of features: RUN/frozen/ENCODER-HEIGHTxWIDTH-DIGEST."""
        settings = self.training
        weights = weights_file(settings.encoder, settings.weights)
        digest = _digest(_VERSION, "" if weights is None else file_digest(weights))
        name = Path(settings.encoder).name
        return self.run.folder / "frozen" / f"{name}-{settings.height_px}x{settings.width_px}-{digest}"

    def masks(self, encoding: str) -> Path:
        """The store of label maps of this encoding, by the run's taxonomy."""
        digest = _digest(_VERSION, self.run.taxonomy.read_text("utf-8"))
        return self.run.folder / "frozen" / f"masks-{encoding}-{digest}"


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def files_of(run: Run, training: TrainSettings, test: str) -> Files:
    """The images with masks of a comparison.

    Raises:
        DataError: the target has no masks, or none are left to train on or to validate with.
    """
    images = training_images(run, training)
    columns = ["image_id", "path", "mask", "encoding"]
    sets = {"validation": images.validation.select(columns)} | (
        {"test": with_masks(OpenedRun(run), test)} if test else {}
    )
    return Files(run, training, images.strong.select(columns), sets, steps_of(training, images))


def prepare(files: Files, weak: Sequence[str], masks: pl.DataFrame, track: Track[Any]) -> dict[str, str]:
    """Work out and keep all features and label maps that are missing.

    Args:
        weak: Paths of the weakly labelled images.
        masks: path, mask and encoding of weakly labelled images whose true masks are used.

    Returns:
        The images and masks to train on that cannot be read, with the reason; trainings leave them out.

    Raises:
        DataError: an image or mask to measure on cannot be read: metrics over a part of a set would not be those of the
            set.
    """
    measured = pl.concat(files.sets.values())
    labelled = pl.concat([files.strong, measured, masks])
    encoding_images = partial(feature_maker, files.training)
    paths = [*labelled["path"], *weak]
    problems = filled(files.features, paths, encoding_images, track, "encoding").problems(paths)
    taxonomy = OpenedRun(files.run).taxonomy
    for (name,), part in labelled.group_by("encoding", maintain_order=True):
        reading_masks = partial(_mask_maker, taxonomy, str(name))
        filled(files.masks(str(name)), part["mask"].to_list(), reading_masks, track, "reading masks")
    there = Materials(files)
    for path, mask, encoding in labelled.select("path", "mask", "encoding").iter_rows():
        if reason := there.problem_of(path, mask, encoding):
            problems[path] = reason
    for path in measured["path"]:
        if path in problems:
            raise DataError(problems[path])
    return problems


def feature_maker(training: TrainSettings) -> Make:
    """What makes the features of an image: all levels, one after another; its shape says how to take them apart."""
    from thresher.segmentation.examples import pixels_of
    from thresher.segmentation.frozen_encoder import covering_size, frozen_encoder

    encoder = frozen_encoder(training.encoder, pretrained_weights(training.encoder, training.weights))

    def make(path: str) -> tuple[np.ndarray, tuple[int, ...]]:
        image = pixels_of(Path(path))
        height, width = image.shape[1:]
        levels = encoder.levels(image, covering_size((height, width), (training.height_px, training.width_px)))
        flat = np.concatenate([level.ravel() for level in levels])
        return flat, (height, width, *(side for level in levels for side in level.shape))

    return make


def levels_of(flat: np.ndarray, shape: tuple[int, ...]) -> Levels:
    """The levels of an image from what is kept of it, and height and width of the image before them in its shape."""
    levels, first = [], 0
    for place in range(2, len(shape), 3):
        rows, columns, channels = shape[place : place + 3]
        behind = first + rows * columns * channels
        levels.append(flat[first:behind].reshape(rows, columns, channels))
        first = behind
    return tuple(levels)


def _mask_maker(taxonomy: Taxonomy, encoding: str) -> Make:
    numbers = class_numbers(taxonomy, encoding)

    def make(path: str) -> tuple[np.ndarray, tuple[int, ...]]:
        labels = label_map(Path(path), numbers)
        return labels.ravel(), labels.shape

    return make


class Materials:
    """The same, ready to be used. Memory holds what is small; features and masks stay on disk."""

    def __init__(self, files: Files) -> None:
        """Open the stores that `prepare` has filled."""
        self._files = files
        self._features = Store(files.features)
        self._stores: dict[str, Store] = {}

    def can_use(self, path: str) -> bool:
        """Whether an image could be read."""
        return self._features.readable(path)

    def levels(self, path: str) -> Levels:
        """The features of an image."""
        return levels_of(*self._features[path])

    def labels(self, mask: str, encoding: str) -> UInt8[np.ndarray, "h w"]:
        """A label map, of classes as the tree numbers them."""
        flat, shape = self._masks(encoding)[mask]
        labels: UInt8[np.ndarray, "h w"] = flat.reshape(shape)
        return labels

    def problem_of(self, path: str, mask: str, encoding: str) -> str:
        """Why an image cannot be used with its mask; empty if it can."""
        item, labels = self._features.items[path][0], self._masks(encoding).items[mask][0]
        if item.problem or labels.problem or item.shape[:2] == labels.shape:
            return item.problem or labels.problem
        sizes = [f"{width} × {height}" for height, width in (labels.shape, item.shape[:2])]
        return f"{mask}: {sizes[0]} pixels; its image {path} has {sizes[1]}."

    def _masks(self, encoding: str) -> Store:
        if encoding not in self._stores:
            self._stores[encoding] = Store(self._files.masks(encoding))
        return self._stores[encoding]
