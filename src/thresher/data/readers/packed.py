"""Helpers of readers of packed images: the archives of a folder, and the boxes in a sample."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, Entry, contents, label_text, visible
from thresher.data.findings import Findings, Place, Row
from thresher.errors import DataError

#: Names before numbers, where a sample has both.
CATEGORY_KEYS = ("category", "category_name", "label", "category_id")
CROWD_KEYS = ("iscrowd", "is_crowd")
_OBJECT_FORM = "bbox [x, y, width, height] in pixels and category"
_OBJECTS_FORM = "a list of objects or an object of lists; the image stays, without boxes"


@dataclass(frozen=True)
class Sample:
    """One packed image: its id below the data set, its address, and what travels with it."""

    source_id: str
    address: str
    split: str | None
    size: tuple[int, int] | None = None
    objects: object = None
    """As they are stored: a list of objects, or an object of lists."""
    place: str = ""
    """What a person would call the sample: "row 3", "a/b.json"."""
    names: Mapping[object, str] = field(default_factory=dict)
    """What categories given by number are called."""


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
        found = sorted(path for path in visible(_files(root), root) if path.suffix == suffix)
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


def listed_objects(found: object) -> list[Any]:
    """The objects of a sample one by one; null and absent mean none.

    Raises:
        ValueError: neither a list nor an object of lists of one length.

    >>> listed_objects({"bbox": [[1, 2, 3, 4]], "category": [0]})
    [{'bbox': [1, 2, 3, 4], 'category': 0}]
    """
    if found is None:
        return []
    if isinstance(found, list):
        return found
    if isinstance(found, dict) and all(value is None or isinstance(value, list) for value in found.values()):
        columns = {key: value for key, value in found.items() if value is not None}
        lengths = {key: len(value) for key, value in columns.items()}
        if len(set(lengths.values())) <= 1:
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        raise ValueError("objects has lists of different lengths")
    raise ValueError("objects is neither")


def object_of(each: Any, names: Mapping[object, str]) -> Row:
    """An object as a row of label, x, y, across, down (pixels) and is_group.

    Args:
        each: `bbox` = [x, y, width, height] in pixels as in COCO, `category` (or `category_name`, `label`,
            `category_id`), and `iscrowd` if there is any.
        names: What categories given by number are called; others keep their number as label.

    Source: https://huggingface.co/docs/datasets/object_detection
    """
    x, y, across, down = map(float, each["bbox"])
    category, crowd = (
        next((each[key] for key in keys if each.get(key) is not None), None) for keys in (CATEGORY_KEYS, CROWD_KEYS)
    )
    label = label_text(names.get(category, category))
    is_group = None if crowd is None else bool(crowd)
    return {"label": label, "x": x, "y": y, "across": across, "down": down, "is_group": is_group}


def as_dataset(samples: Iterable[Sample], findings: Findings) -> Dataset:
    """The tables of the samples; a size that boxes need and a sample does not state comes from the image's header.

    Raises:
        DataError: there is not one image, or most of what there is cannot be read.
    """
    entries: list[Entry] = []
    objects_of: dict[str, list[Row]] = {}
    for sample, objects in _with_objects(samples, findings):
        size = sample.size
        if objects and size is None:
            size = findings.size_of(sample.address, findings.id_of(sample.source_id), len(objects))
            if size is None:
                continue
        entries.append((sample.source_id, sample.address, sample.split, *(size or (None, None))))
        objects_of[os.path.abspath(sample.address)] = objects
    images = findings.images(entries)
    if images.is_empty():
        first = f" The first of {len(findings.rows)} problems: {findings.rows[0]['detail']}" if findings.rows else ""
        raise DataError(f"{findings.root}: not one image in the archives.{first}")
    rows: list[Row] = []
    for image_id, path, width, height in images.select("image_id", "path", "width_px", "height_px").iter_rows():
        rows += [_box(image_id, each, width, height) for each in objects_of[path]]
    return findings.data(images, rows, unit="bbox [x, y, width, height] in pixels of the image")


def _with_objects(samples: Iterable[Sample], findings: Findings) -> Iterator[tuple[Sample, list[Row]]]:
    for sample in samples:
        where = partial(_object_at, sample, findings.id_of(sample.source_id))
        found = [sample.objects] if sample.objects is not None else []
        each_list = findings.read("samples", found, listed_objects, lambda _: where(None), _OBJECTS_FORM)  # noqa: B023
        rows: list[Row] = []
        for objects in each_list:
            rows += findings.read("objects", objects, partial(object_of, names=sample.names), where, _OBJECT_FORM)
        yield sample, rows


def _object_at(sample: Sample, image_id: str, number: int | None) -> Place:
    return Place(sample.place if number is None else f"{sample.place}: object {number}", image_id, sample.address)


def _box(image_id: str, each: Row, width: int, height: int) -> Row:
    """A row for `clean_boxes`: corners as shares of the image."""
    x, y, across, down = (float(str(each[name])) for name in ("x", "y", "across", "down"))
    corners = {"x0": x / width, "y0": y / height, "x1": (x + across) / width, "y1": (y + down) / height}
    return {"image_id": image_id, "label": each["label"], **corners, "is_group": each["is_group"]}
