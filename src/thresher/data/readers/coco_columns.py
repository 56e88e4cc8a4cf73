"""The annotations of a COCO file column by column, where all of them are written alike: as fast as they are parsed.

Files of millions of annotations are written by programs, so all have the same keys with values of the same types. Where
one differs, `coco` reads each by itself and says which one is wrong; both ways give the same boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from thresher.data.findings import RAW_BOXES
from thresher.data.readers.coco_json import Json, Key

#: Where an image's boxes go: its id and size in pixels.
Home = tuple[str, int, int]


class Columns(NamedTuple):
    """What a file's annotations say, read as columns."""

    boxes: pl.DataFrame
    """With the columns of `findings.RAW_BOXES`, not clipped yet."""
    read: Sequence[int]
    """Numbers of the annotations that these are, ascending."""
    rest: Sequence[int]
    """Numbers of those whose image or category is not there."""


def columns_of(
    annotations: Sequence[Json], owners: Sequence[Key], homes: Mapping[Key, Home], labels: Mapping[Key, str]
) -> Columns | None:
    """The boxes of these annotations; None where not all of them are written alike.

    Args:
        owners: The id of each annotation's image.
        homes: The images that may have boxes, by their ids.
        labels: The categories by their ids.
    """
    numbers = _numbers(annotations)
    if numbers is None:
        return None
    categories, corners, crowd = numbers
    rows = {owner: row for row, owner in enumerate(homes)}
    names = list(labels)
    order = {name: row for row, name in enumerate(names)}
    image = np.fromiter((rows.get(owner, -1) for owner in owners), np.int64, len(owners))
    label = np.fromiter((order.get(each, -1) for each in categories), np.int64, len(categories))
    found = (image >= 0) & (label >= 0)
    read = np.flatnonzero(found)
    image, label, corners = image[read], label[read], corners[read]
    sizes = np.array([size for _, *size in homes.values()], np.float64).reshape(-1, 2)[image]
    low, high = corners[:, :2] / sizes, (corners[:, :2] + corners[:, 2:]) / sizes
    boxes = pl.DataFrame(
        {
            "image_id": pl.Series([home[0] for home in homes.values()], dtype=pl.String).gather(image),
            "label": pl.Series([labels[name] for name in names], dtype=pl.String).gather(label),
            **{"x0": low[:, 0], "y0": low[:, 1], "x1": high[:, 0], "y1": high[:, 1]},
            "is_group": pl.Series([None if each is None else bool(each) for each in crowd], dtype=pl.Boolean).gather(
                read
            ),
        }
    )
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in RAW_BOXES.items() if name not in boxes.columns]
    return Columns(boxes.with_columns(absent).select(list(RAW_BOXES)), read.tolist(), np.flatnonzero(~found).tolist())


def _numbers(annotations: Sequence[Json]) -> tuple[list[int], np.ndarray, list[Any]] | None:
    """Category, bbox and iscrowd of each; None where one lacks a key, or has a value of another type."""
    try:
        categories = [each["category_id"] for each in annotations]
        boxes = [each["bbox"] for each in annotations]
        flat = list(chain.from_iterable(boxes))
    except (KeyError, TypeError):
        return None
    crowd = [each.get("iscrowd") for each in annotations]
    alike = (
        _all(categories, int)
        and _all(boxes, list)
        and set(map(len, boxes)) <= {4}
        and _all(flat, int, float)
        and _all(crowd, int, bool, type(None))
        and not any(each.get("attributes") for each in annotations)
    )
    try:
        return (categories, np.array(flat, np.float64).reshape(-1, 4), crowd) if alike else None
    except OverflowError:  # an integer beyond all floats
        return None


def _all(values: Sequence[object], *kinds: type) -> bool:
    """Whether each value is of exactly one of these types."""
    return set(map(type, values)) <= set(kinds)
