"""Which images a network is trained on and which validate it: from a run's tables and a training's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from thresher import tables
from thresher.data.label_maps import class_numbers
from thresher.data.taxonomy import Taxonomy
from thresher.errors import DataError, SettingsError, quoted
from thresher.run.folder import Run
from thresher.run.inputs import on_disk
from thresher.run.masked import read_with_masks
from thresher.run.opened import OpenedRun
from thresher.segmentation.tree import ClassTree, class_tree
from thresher.selection.diversity import shows_a_real_object

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
    """The weakly labelled images. In mode labels image_id, path, mask and encoding, where the masks are a label set's;
    in the others image_id, path, corners, nodes and labelled (`WeakImage` says what they are)."""
    not_on_disk: int = 0
    """Images of the selection that are still to be downloaded, and left out."""


def training_images(run: Run, settings: TrainSettings) -> TrainingImages:
    """The images on which a training with these settings trains and validates.

    Raises:
        DataError: the target has no masks, no image is left to train on or to validate with, or none of the selection
            is on disk.
        SettingsError: no such selection or label set.
    """
    opened = OpenedRun(run)
    taxonomy = opened.taxonomy
    target = _labelled_target(opened)
    strong, validation = _split(opened, target, settings)
    if settings.strong_limit is not None and strong.height > settings.strong_limit:
        strong = strong[[n * strong.height // settings.strong_limit for n in range(settings.strong_limit)]]
    if strong.is_empty() or validation.is_empty():
        raise DataError(
            f"train: {strong.height} images to train on and {validation.height} to validate with; expected some of "
            "both. Change validation or validation_share."
        )
    tree = class_tree(taxonomy, settings.has_box_head)
    chosen = _selected(opened, settings.selection)
    pool = on_disk(chosen, run.folder)
    if pool.is_empty() and not chosen.is_empty():
        name = "NAME" if settings.selection == "all" else settings.selection  # a selection that select made
        raise DataError(
            f"{run.folder}: none of the {chosen.height} images of selection '{settings.selection}' is on disk. Run "
            f"`thresher download {quoted(run.folder)} {name}` first."
        )
    weak = (
        _images_with_labels(run, pool, settings)
        if settings.mode == "labels"
        else _images_with_boxes(opened, pool, tree)
    )
    return TrainingImages(taxonomy, tree, strong, validation, weak, chosen.height - pool.height)


def steps_of(settings: TrainSettings, images: TrainingImages) -> int:
    """How many steps a training takes: as many as see each strong image `epochs` times."""
    return -(-settings.epochs * images.strong.height // settings.strong_batch)


def _labelled_target(opened: OpenedRun) -> pl.DataFrame:
    masks = opened.masks.rename({"path": "mask"})
    target = opened.target.join(masks, on="image_id").sort("image_id")
    if target.is_empty():
        raise DataError(
            f"{opened.run.masks}: no image of the target has a mask; training needs per-pixel labels. Index a target "
            "with masks, for example --target masks:ROOT."
        )
    return target


def validation_images(run: Run, settings: TrainSettings) -> pl.DataFrame:
    """image_id, path, mask and encoding of the validation set of a training with these settings.

    Raises:
        DataError: the target has no masks.
    """
    opened = OpenedRun(run)
    return _split(opened, _labelled_target(opened), settings)[1]


def _split(opened: OpenedRun, target: pl.DataFrame, settings: TrainSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Images to train on, and the validation set.

    Neighbouring frames of a video are nearly alike and have neighbouring ids. So one block at the end of their order is
    held out, not a random draw (our choice).
    """
    if settings.validation:
        read = read_with_masks(opened.run, settings.validation, opened.taxonomy)
        masks = read.masks.rename({"path": "mask"})
        validation = read.images.join(masks, on="image_id").sort("image_id")
        return target.join(validation, on="path", how="anti").sort("image_id"), validation
    named = pl.col("split").eq_missing("val")
    if target.select(named.any()).item():
        return target.filter(~named), target.filter(named)
    held_out = round(target.height * settings.validation_share)
    return target.head(target.height - held_out), target.tail(held_out)


def _selected(opened: OpenedRun, selection: str) -> pl.DataFrame:
    """The images of a selection, all of the pool that no image of the guard is like, or none."""
    if selection == "none":
        return opened.pool.clear()
    return opened.choosable if selection == "all" else opened.selection(selection)


def _images_with_labels(run: Run, images: pl.DataFrame, settings: TrainSettings) -> pl.DataFrame:
    """image_id, path, mask and encoding of those of the images that have a file in the label set."""
    if settings.selection == "none":
        return images.select("image_id", "path").with_columns(mask=pl.lit(""), encoding=pl.lit(""))
    folder = run.label_set(settings.labels)
    table, selection = folder / "images.parquet", settings.selection
    again = f"Run `thresher labels {quoted(run.folder)} --selection {selection} --name {settings.labels}` first."
    if not table.is_file():
        raise SettingsError(f"labels = {settings.labels}: no such label set ({table} is not there). {again}")
    labelled = tables.read(table, tables.LABELLED_IMAGES, key="image_id").select("image_id", "file")
    found = images.select("image_id", "path").join(labelled, on="image_id").sort("image_id")
    if found.is_empty():
        raise DataError(f"{table}: labels none of the {images.height} images of selection '{selection}'. {again}")
    masks = pl.concat_str(pl.lit(f"{folder.absolute()}/"), "file")
    return found.select("image_id", "path", mask=masks, encoding=pl.lit("class_index"))


def _images_with_boxes(opened: OpenedRun, images: pl.DataFrame, tree: ClassTree) -> pl.DataFrame:
    """image_id, path, and lists of corners, nodes and labelled, of the images with at least one box to learn from.

    In mode hierarchical that is a box of a group's child; in mode box_head a box of any thing or group. `labelled` says
    for each of the tree's boxed nodes whether the image's data set has boxes of it: a class that a data set labels in
    one image is taken to be labelled in all of them (our choice). Boxes of depictions, and of what lies inside a car or
    building, are left out, as they are for diversity.
    """
    children = [name for group in tree.groups for name in group.outputs[:-1]]
    teaching = tree.boxed or children
    numbers = {name: number for number, name in enumerate(tree.nodes)}
    boxes = (
        opened.all_boxes()
        .join(images.lazy().select("image_id", "path", "dataset"), on="image_id")
        .filter(pl.col("class").is_in(list(numbers)) & shows_a_real_object())
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
    return teaching_images.join(_labelled(opened, tree), on="dataset", how="left", maintain_order="left")


def _labelled(opened: OpenedRun, tree: ClassTree) -> pl.DataFrame:
    """dataset, and for each of the tree's boxed nodes whether it has boxes of it; a child's box is also its group's."""
    images = opened.images.lazy().select("image_id", "dataset")
    boxes = opened.lazy_boxes().join(images, on="image_id")
    children = {group.name: group.outputs[:-1] for group in tree.groups}
    found = [pl.col("class").is_in([name, *children.get(name, ())]).fill_null(False).any() for name in tree.boxed]
    return boxes.group_by("dataset").agg(pl.concat_list(found).alias("labelled")).sort("dataset").collect()


def strong_images(frame: pl.DataFrame, taxonomy: Taxonomy) -> list[StrongImage]:
    """The images of a table with path, mask and encoding, ready to be read."""
    from thresher.segmentation.examples import StrongImage

    numbers = {encoding: class_numbers(taxonomy, encoding) for encoding in frame["encoding"].unique()}
    rows = frame.select("path", "mask", "encoding").iter_rows()
    return [StrongImage(Path(path), Path(mask), numbers[encoding]) for path, mask, encoding in rows]
