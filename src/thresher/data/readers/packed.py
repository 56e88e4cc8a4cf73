"""Helpers of readers of packed images: the archives of a folder, and the boxes in a sample."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thresher.data.boxes import clean_boxes
from thresher.data.dataset import (
    Dataset,
    contents,
    images_table,
    problem,
    qualified_id,
    size_px,
)
from thresher.errors import DataError
from thresher.tables import BOXES, PROBLEMS, from_rows

Row = dict[str, object]
CATEGORY_KEYS = ("category", "label", "category_id")
CROWD_KEYS = ("iscrowd", "is_crowd")


@dataclass(frozen=True)
class Sample:
    """One packed image: its id below the data set, its address, and what travels with it."""

    source_id: str
    address: str
    split: str | None
    size: tuple[int | None, int | None] = (None, None)
    objects: list[Row] = field(default_factory=list)


def archives(root: Path, split: str | None, suffix: str) -> list[Path]:
    """The archives at `root`, a file or a folder searched at any depth; of `split`, those in the subfolder of that
    name, or else those whose names begin with it: `train-00000-of-00004.parquet`, `train_0.tar`.

    Raises:
        DataError: none there, or none of that split.
    """
    if root.is_file():
        found = [root] if root.suffix == suffix else []
    elif split is not None and (root / split).is_dir():
        return archives(root / split, None, suffix)
    else:
        found = sorted(path for path in _files(root) if path.suffix == suffix and not path.name.startswith("."))
    if not found:
        there = contents(root) if root.is_dir() else ("a file" if root.exists() else "nothing")
        raise DataError(f"{root}: no {suffix} file. Found {there}; expected SHARD{suffix}, uncompressed.")
    chosen = [path for path in found if split is None or re.match(rf"{re.escape(split)}(?![a-zA-Z])", path.name)]
    if not chosen:
        raise DataError(
            f"{root}: no {suffix} file of split '{split}'. Found {', '.join(path.name for path in found[:12])}; "
            f"expected them in {split}/ or named {split}-*{suffix}."
        )
    return chosen


def _files(root: Path) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names]


def shard_id(archive: Path, root: Path) -> str:
    """Prefix of sample ids, since keys often repeat between archives: `train/00012`."""
    below = archive.name if archive == root else archive.relative_to(root).as_posix()
    return below.removesuffix(archive.suffix)


def stated_size(sample: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The `width` and `height` that a sample states, or null for both."""
    width, height = sample.get("width"), sample.get("height")
    if _is_number(width) and _is_number(height) and width >= 1 and height >= 1:  # type: ignore[operator]
        return int(width), int(height)  # type: ignore[arg-type]
    return None, None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parsed_objects(found: object, names: Mapping[object, str]) -> tuple[list[Row], list[str]]:
    """The objects of a sample as rows of label, x, y, across, down (pixels) and is_group; what could not be read.

    Args:
        found: A list of objects, or an object of lists, with `bbox` = [x, y, width, height] in pixels as in COCO, and
            `category` (or `label`, `category_id`), and `iscrowd` if there is any; null and absent mean none.
        names: What categories given by number are called; others keep their number as label.

    Source: https://huggingface.co/docs/datasets/object_detection
    """
    rows: list[Row] = []
    bad: list[str] = []
    try:
        each_object = _listed(found)
    except ValueError as error:
        return [], [str(error)]
    for number, each in enumerate(each_object):
        try:
            rows.append(_object(each, names))
        except (AttributeError, KeyError, TypeError, ValueError):
            shown = json.dumps(each, default=str)[:200]
            bad.append(f"object {number} is {shown}; expected bbox [x, y, width, height] in pixels and category")
    return rows, bad


def _listed(found: object) -> list[Any]:
    if found is None:
        return []
    if isinstance(found, list):
        return found
    if isinstance(found, dict) and all(value is None or isinstance(value, list) for value in found.values()):
        columns = {key: value for key, value in found.items() if value is not None}
        lengths = {key: len(value) for key, value in columns.items()}
        if len(set(lengths.values())) <= 1:
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        raise ValueError(f"objects has lists of different lengths ({lengths})")
    raise ValueError(f"objects is {str(found)[:100]}; expected a list of objects or an object of lists")


def _object(each: Any, names: Mapping[object, str]) -> Row:
    x, y, across, down = (float(value) for value in each["bbox"])
    category, crowd = (
        next((each[key] for key in keys if each.get(key) is not None), None) for keys in (CATEGORY_KEYS, CROWD_KEYS)
    )
    if category is None:
        raise KeyError("category")
    label = str(names.get(category, category))
    return {
        "label": label,
        "x": x,
        "y": y,
        "across": across,
        "down": down,
        "is_group": None if crowd is None else bool(crowd),
    }


def as_dataset(samples: Iterable[Sample], problems: list[Row], dataset: str, root: Path) -> Dataset:
    """The tables of the samples; a size that boxes need and a sample does not state comes from the image's header.

    Raises:
        DataError: there is not one image.
    """
    problems = list(problems)
    entries: list[tuple[str, str, str | None, int | None, int | None]] = []
    objects_of: dict[str, list[Row]] = {}
    for sample in samples:
        width, height = sample.size
        try:
            if sample.objects and width is None:
                width, height = size_px(Path(sample.address))
        except DataError as error:
            detail = f"{error}; {len(sample.objects)} boxes were left out with it"
            image_id = qualified_id(dataset, sample.source_id)
            problems.append(problem("image_unreadable", detail, image_id, sample.address))
            continue
        entries.append((sample.source_id, sample.address, sample.split, width, height))
        objects_of[os.path.abspath(sample.address)] = sample.objects
    images, left_out = images_table(entries, dataset)
    if images.is_empty():
        first = f" The first of {len(problems)} problems: {problems[0]['detail']}" if problems else ""
        raise DataError(f"{root}: not one image in the archives.{first}")
    rows: list[Row] = []
    for image_id, path, width, height in images.select("image_id", "path", "width_px", "height_px").iter_rows():
        rows += [_box(image_id, each, width, height) for each in objects_of[path]]
    boxes, bad_boxes = clean_boxes(from_rows(rows, BOXES), images)
    listed = from_rows(problems + left_out, PROBLEMS).vstack(bad_boxes)
    return Dataset(images, boxes, problems=listed).checked(str(root))


def _box(image_id: str, each: Row, width: int, height: int) -> Row:
    """A row for `clean_boxes`: corners as shares of the image."""
    x, y, across, down = (float(str(each[name])) for name in ("x", "y", "across", "down"))
    corners = {"x0": x / width, "y0": y / height, "x1": (x + across) / width, "y1": (y + down) / height}
    return {"image_id": image_id, "label": each["label"], **corners, "is_group": each["is_group"]}


def broken(archive: Path, detail: str) -> Row:
    """A problem row about a whole archive."""
    return problem("archive_broken", detail, path=archive)
