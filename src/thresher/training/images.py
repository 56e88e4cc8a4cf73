"""Which images a network is trained on and which validate it: from a run's tables and a training's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from thresher import tables
from thresher.data.label_maps import class_numbers
from thresher.data.source_text import read_source
from thresher.data.taxonomy import Taxonomy, load_taxonomy
from thresher.errors import DataError
from thresher.run.contents import selected
from thresher.run.folder import Run
from thresher.segmentation.tree import ClassTree, class_tree

if TYPE_CHECKING:
    from thresher.segmentation.examples import StrongImage
    from thresher.training.settings import TrainSettings


@dataclass(frozen=True)
class TrainingImages:
    """The images of a training, as tables."""

    taxonomy: Taxonomy
    tree: ClassTree
    strong: pl.DataFrame
    """image_id, path, mask and encoding of the images with masks to train on."""
    validation: pl.DataFrame
    """The same of the validation set."""
    weak: pl.DataFrame
    """image_id, path, corners, nodes and labelled of the weakly labelled images (`WeakImage` says what they are)."""


def training_images(run: Run, settings: TrainSettings) -> TrainingImages:
    """The images on which a training with these settings trains and validates.

    Raises:
        DataError: the target has no masks, or no image is left to train on or to validate with.
        SettingsError: no such selection.
    """
    if not run.taxonomy.is_file():
        raise DataError(f"{run.taxonomy}: not there. Run `thresher index RUN …` first.")
    taxonomy = load_taxonomy(str(run.taxonomy))
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    target = _labelled_target(run, images)
    strong, validation = _split(target, settings)
    if settings.strong_limit is not None and strong.height > settings.strong_limit:
        strong = strong[[n * strong.height // settings.strong_limit for n in range(settings.strong_limit)]]
    if strong.is_empty() or validation.is_empty():
        raise DataError(
            f"train: {strong.height} images to train on and {validation.height} to validate with; expected some of "
            "both. Change validation or validation_share."
        )
    tree = class_tree(taxonomy, settings.has_box_head)
    return TrainingImages(taxonomy, tree, strong, validation, _weak_images(run, settings, images, tree))


def _labelled_target(run: Run, images: pl.DataFrame) -> pl.DataFrame:
    masks = tables.read(run.masks, tables.MASKS, key="image_id").rename({"path": "mask"})
    target = images.filter(pl.col("role") == "target").join(masks, on="image_id").sort("image_id")
    if target.is_empty():
        raise DataError(
            f"{run.masks}: no image of the target has a mask; training needs per-pixel labels. Index a target with "
            "masks, for example --target masks:ROOT."
        )
    return target


def validation_images(run: Run, settings: TrainSettings) -> pl.DataFrame:
    """image_id, path, mask and encoding of the validation set of a training with these settings.

    Raises:
        DataError: the target has no masks.
    """
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    return _split(_labelled_target(run, images), settings)[1]


def _split(target: pl.DataFrame, settings: TrainSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Images to train on, and the validation set.

    Neighbouring frames of a video are nearly alike and have neighbouring ids. So one block at the end of their order is
    held out, not a random draw (our choice).
    """
    if settings.validation:
        read = read_source(settings.validation)
        masks = read.masks.rename({"path": "mask"})
        validation = read.images.join(masks, on="image_id").sort("image_id")
        return target.join(validation, on="path", how="anti").sort("image_id"), validation
    named = pl.col("split").eq_missing("val")
    if target.select(named.any()).item():
        return target.filter(~named), target.filter(named)
    held_out = round(target.height * settings.validation_share)
    return target.head(target.height - held_out), target.tail(held_out)


def _weak_images(run: Run, settings: TrainSettings, images: pl.DataFrame, tree: ClassTree) -> pl.DataFrame:
    """image_id, path, and lists of corners, nodes and labelled, of the images with at least one box to learn from.

    In mode hierarchical that is a box of a group's child; in mode box_head a box of any thing or group. `labelled` says
    for each of the tree's boxed nodes whether the image's data set has boxes of it: a class that a data set labels in
    one image is taken to be labelled in all of them (our choice). Boxes of depictions, and of what lies inside a car or
    building, are left out, as they are for diversity.
    """
    if settings.selection == "none":
        images = images.clear()
    elif settings.selection == "all":
        images = images.filter(pl.col("role") == "pool")
    else:
        images = selected(run, settings.selection)
    real = pl.col("is_depiction").ne_missing(True) & pl.col("is_inside").ne_missing(True)
    children = [name for group in tree.groups for name in group.outputs[:-1]]
    teaching = tree.boxed or children
    numbers = {name: number for number, name in enumerate(tree.nodes)}
    boxes = (
        tables.scan(run.boxes, tables.BOXES)
        .join(images.lazy().select("image_id", "path", "dataset"), on="image_id")
        .filter(pl.col("class").is_in(list(numbers)) & real)
        .sort("image_id", "y0", "x0", "y1", "x1", "label")
        .group_by("image_id", maintain_order=True)
        .agg(
            pl.col("path", "dataset").first(),
            pl.concat_list("x0", "y0", "x1", "y1").alias("corners"),
            pl.col("class").replace_strict(numbers, return_dtype=pl.Int64).alias("nodes"),
            pl.col("class").is_in(teaching).any().alias("teaches"),
        )
    )
    teaching_images = boxes.filter("teaches").drop("teaches").collect()
    if not tree.boxed:
        return teaching_images.with_columns(labelled=pl.lit([], dtype=pl.List(pl.Boolean)))
    return teaching_images.join(_labelled(run, tree), on="dataset", how="left", maintain_order="left")


def _labelled(run: Run, tree: ClassTree) -> pl.DataFrame:
    """dataset, and for each of the tree's boxed nodes whether it has boxes of it; a child's box is also its group's."""
    images = tables.scan(run.images, tables.INDEXED_IMAGES).select("image_id", "dataset")
    boxes = tables.scan(run.boxes, tables.BOXES).join(images, on="image_id")
    children = {group.name: group.outputs[:-1] for group in tree.groups}
    found = [pl.col("class").is_in([name, *children.get(name, ())]).fill_null(False).any() for name in tree.boxed]
    return boxes.group_by("dataset").agg(pl.concat_list(found).alias("labelled")).sort("dataset").collect()


def strong_images(frame: pl.DataFrame, taxonomy: Taxonomy) -> list[StrongImage]:
    """The images of a table with path, mask and encoding, ready to be read."""
    from thresher.segmentation.examples import StrongImage

    numbers = {encoding: class_numbers(taxonomy, encoding) for encoding in frame["encoding"].unique()}
    rows = frame.select("path", "mask", "encoding").iter_rows()
    return [StrongImage(Path(path), Path(mask), numbers[encoding]) for path, mask, encoding in rows]
