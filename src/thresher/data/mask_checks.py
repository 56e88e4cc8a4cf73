"""Masks looked at before anything is trained on them: kind and size of each from its header, values of a few."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from thresher.data.dataset import Dataset, problem, size_px
from thresher.data.image_files import decoding, opened_image
from thresher.data.label_maps import class_numbers, label_map, one_channel
from thresher.data.sources import opened
from thresher.data.taxonomy import Taxonomy
from thresher.errors import DataError
from thresher.tables import PROBLEMS, from_rows

#: So many masks of a source, evenly spread, are decoded for their values.
_DECODED = 8


def with_checked_masks(dataset: Dataset, taxonomy: Taxonomy) -> Dataset:
    """The dataset without the masks that a training could not read; each is a `mask_unreadable` of problems.

    A mask is of one channel of at most 8 bits, and of the size of its upright image. An image whose own header cannot
    be read is left to `embed`, which lists it.

    Raises:
        DataError: more than half of the masks fail, or of those that are decoded for their values.
    """
    if dataset.masks.is_empty():
        return dataset
    photos: dict[str, str] = dict(dataset.images.select("image_id", "path").iter_rows())
    faults = {
        image_id: fault
        for image_id, path in dataset.masks.select("image_id", "path").iter_rows()
        if (fault := fault_of_header(Path(path), Path(photos[image_id])))
    }
    _judge(list(faults.values()), dataset.masks.height, "masks cannot be used")
    masks = dataset.masks.filter(~pl.col("image_id").is_in(list(faults)))
    _judge_values(masks, taxonomy)
    paths: dict[str, str] = dict(dataset.masks.select("image_id", "path").iter_rows())
    rows = [problem("mask_unreadable", fault, image_id, paths[image_id]) for image_id, fault in faults.items()]
    return replace(dataset, masks=masks, problems=pl.concat([dataset.problems, from_rows(rows, PROBLEMS)]))


def fault_of_header(mask: Path, image: Path) -> str | None:
    """What the header of a mask says against it, beside that of its image; None if nothing."""
    try:
        with decoding(mask, "mask"), opened(mask) as file, opened_image(file) as header:
            one_channel(header, mask)
            size = header.size
    except DataError as error:
        return str(error)
    try:
        upright = size_px(image)
    except DataError:
        return None
    if size == upright:
        return None
    return f"{mask}: {size[0]} × {size[1]} pixels; its image {image} has {upright[0]} × {upright[1]}."


def _judge_values(masks: pl.DataFrame, taxonomy: Taxonomy) -> None:
    places = np.unique(np.linspace(0, masks.height - 1, min(masks.height, _DECODED)).astype(int))
    faults = []
    for path, encoding in masks[places.tolist()].select("path", "encoding").iter_rows():
        try:
            label_map(Path(path), class_numbers(taxonomy, encoding))
        except DataError as error:
            faults.append(str(error))
    _judge(faults, len(places), "masks that were decoded cannot be used")


def _judge(faults: list[str], looked_at: int, what: str) -> None:
    if 2 * len(faults) > looked_at:
        raise DataError(f"{len(faults)} of {looked_at} {what} (first: {faults[0].rstrip('.')}).")
