"""The boxes of a COCO file, and what its annotations outline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from thresher.data.faults import shown
from thresher.data.findings import Findings, Place, Row
from thresher.data.readers.coco_columns import columns_of
from thresher.data.readers.coco_json import File, Json, Key, key
from thresher.data.run_lengths import bounds

FLAGS = {"occluded": "is_occluded", "truncated": "is_truncated", "depiction": "is_depiction", "inside": "is_inside"}
_BOX_FORM = "image_id, category_id and bbox [x, y, width, height] in pixels"


@dataclass
class Named:
    """The images of one file by their ids."""

    paths: dict[Key, str | None] = field(default_factory=dict)
    """None where a problem row lists the image."""
    names: dict[Key, list[str]] = field(default_factory=dict)
    """More than one where entries share an id."""


def boxes_of_file(
    file: File,
    images: Named,
    known: Mapping[str, tuple[str, int, int]],
    findings: Findings,
    things: dict[str, list[tuple[str | None, Any]]],
) -> Iterator[pl.DataFrame]:
    """The boxes of a file; what is outlined in an image is added to `things`."""
    homes = {
        number: known[path]
        for number, path in images.paths.items()
        if path is not None and path in known and len(images.names[number]) == 1
    }
    rest: Sequence[int] = range(len(file.annotations))
    if columns := columns_of(file.annotations, file.owners, homes, file.labels):
        yield columns.boxes
        findings.seen("annotations", len(columns.read))
        findings.seen("boxes", len(columns.read))
        _outlines(file, images, columns.read, things)
        rest = columns.rest
    yield findings.table(list(_one_by_one(file, images, known, findings, things, rest)))


def _outlines(
    file: File, images: Named, numbers: Sequence[int], things: dict[str, list[tuple[str | None, Any]]]
) -> None:
    """Add what these annotations outline to `things`, and their boxes where anything of the image is outlined."""
    annotations, owners = file.annotations, file.owners
    outlined = {owners[number] for number in numbers if annotations[number].get("segmentation")}
    for number in numbers if outlined else ():
        if owners[number] in outlined:
            annotation, path = annotations[number], str(images.paths[owners[number]])
            things.setdefault(path, []).append(_thing(annotation, file.labels[annotation["category_id"]]))


def _one_by_one(
    file: File,
    images: Named,
    known: Mapping[str, tuple[str, int, int]],
    findings: Findings,
    things: dict[str, list[tuple[str | None, Any]]],
    numbers: Sequence[int],
) -> Iterator[Row]:
    """The boxes of these annotations of a file, each read by itself."""
    left_out: Counter[str] = Counter()

    def box_of(owned: tuple[Key, Json]) -> Row | None:
        number, annotation = owned
        if number not in images.paths:
            raise ValueError(f"no image has the id {shown(number)}")
        if len(images.names[number]) > 1:
            shared = ", ".join(images.names[number][:3])
            raise ValueError(f"{len(images.names[number])} images have the id {number} ({shared}): which is meant?")
        path = images.paths[number]
        if path is None:
            return None
        if path not in known:
            left_out[path] += 1
            return None
        image_id, width, height = known[path]
        box = _box(annotation, file.labels, width, height)
        things.setdefault(path, []).append(_thing(annotation, str(box["label"])))
        return {"image_id": image_id, **box}

    def place(item: int) -> Place:
        owner, annotation = owned[item]
        path = images.paths.get(owner) or ""
        image_id = known[path][0] if path in known else None
        return Place(f"{file.path.name}: annotation {shown(annotation.get('id'))}", image_id, path or file.path)

    owned = [(file.owners[number], file.annotations[number]) for number in numbers]
    found = findings.read("annotations", owned, box_of, place, _BOX_FORM)
    yield from (row for row in found if row is not None)
    for path, count in left_out.items():
        findings.note("box_without_image", f"{count} boxes belong to this file, which was left out", path=path)


def _box(annotation: Json, labels: Mapping[Key, str], width: int, height: int) -> Row:
    category = key(annotation["category_id"])
    if category not in labels:
        raise ValueError(f"no category has the id {shown(category)}")
    bbox = annotation.get("bbox")
    x, y, across, down = map(float, bbox) if bbox else _around(annotation["segmentation"])
    attributes = annotation.get("attributes")
    if not attributes or not isinstance(attributes, dict):
        attributes = _NONE
    # iscrowd cannot be "unknown", so our exports put that in the attributes.
    group = attributes["group"] if "group" in attributes else annotation.get("iscrowd")
    return {
        "label": labels[category],
        "x0": x / width,
        "y0": y / height,
        "x1": (x + across) / width,
        "y1": (y + down) / height,
        "is_group": _flag(group),
        **(_NO_FLAGS if attributes is _NONE else _flags(attributes)),
    }


_NONE: Json = {}
_NO_FLAGS = dict.fromkeys(FLAGS.values())


def _flags(attributes: Json) -> Row:
    return {column: _flag(attributes.get(name)) for name, column in FLAGS.items()}


def _thing(annotation: Json, label: str) -> tuple[str | None, Any]:
    """Label and outline; where there is none, the box, without a label."""
    shape = annotation.get("segmentation")
    if isinstance(shape, dict | list) and shape:
        return label, shape
    x, y, across, down = map(float, annotation["bbox"])
    return None, [[x, y, x + across, y, x + across, y + down, x, y + down]]


def _around(polygons: list[list[float]] | dict[str, Any]) -> tuple[float, float, float, float]:
    """The box around polygons of [x, y, x, y, …] or run lengths, as COCO states it."""
    if isinstance(polygons, dict):
        left, top, right, bottom = bounds(polygons)
        return left, top, right - left, bottom - top
    across = [float(x) for polygon in polygons for x in polygon[0::2]]
    down = [float(y) for polygon in polygons for y in polygon[1::2]]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"0": False, "false": False, "1": True, "true": True}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) else None
