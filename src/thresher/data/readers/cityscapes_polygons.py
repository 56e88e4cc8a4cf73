"""Cityscapes as a weak set: frames with the boxes around the polygons of their things, and no masks.

Source: https://github.com/mcordts/cityscapesScripts, annotation.py (the JSON) and labels.py (which classes have
instances; a label that ends in "group" is a crowd of inseparable instances).
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, annotation_bytes, label_text, stated_px
from thresher.data.findings import Findings, Place, Row
from thresher.data.readers.cityscapes import frames_of, no_labels

#: Classes of which a polygon is one thing: those with instances, and lights and signs, which are outlined one by one.
THINGS = frozenset(
    {
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "caravan",
        "trailer",
        "train",
        "motorcycle",
        "bicycle",
        "traffic light",
        "traffic sign",
    }
)
_GROUP = "group"
_FILE_FORM = "JSON with imgWidth, imgHeight and objects; the image stays, without boxes"
_THING_FORM = "an object with label and polygon, points [x, y] in pixels"


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Frames and the boxes of their things, from `gtCoarse` where there is a file, else from `gtFine`.

    Ids are those of the reader `cityscapes`. Frames without a polygon file stay, and are listed. Whether everything in
    a coarse annotation is outlined is not known.

    Raises:
        DataError: no `leftImg8bit` folder, no such split, no image, no polygon file, or most cannot be read.
    """
    entries = frames_of(root, split)
    findings = Findings(root, dataset)
    images = findings.images(entries)
    known: dict[str, str] = dict(images.select("image_id", "path").iter_rows())
    files = {findings.id_of(source_id): _polygon_file(root, source_id) for source_id, *_ in entries}
    there = [(image_id, file) for image_id, file in files.items() if file is not None and image_id in known]
    if not there:
        raise no_labels(root, entries, "polygons.json")

    def file_at(number: int) -> Place:
        image_id, path = there[number]
        return Place(str(path), image_id, known[image_id])

    rows: list[Row] = []
    for image_id, width, height, things in findings.read("polygon files", there, _things, file_at, _FILE_FORM):
        where = partial(_thing_at, str(files[image_id]), image_id, known[image_id])
        boxes = findings.read("objects", things, partial(_box, width=width, height=height), where, _THING_FORM)
        rows += [{"image_id": image_id, **box} for box in boxes if box is not None]
    for image_id, path in known.items():
        if files[image_id] is None:
            findings.note("annotation_missing", "no polygons.json file", image_id, path)
    return findings.data(images, rows, unit="polygons of [x, y] in pixels of the image")


def _polygon_file(root: Path, source_id: str) -> Path | None:
    files = (root / folder / f"{source_id}_{folder}_polygons.json" for folder in ("gtCoarse", "gtFine"))
    return next((file for file in files if file.is_file()), None)


def _things(labelled: tuple[str, Path]) -> tuple[str, int, int, list[Any]]:
    image_id, file = labelled
    content = json.loads(annotation_bytes(file))
    size = stated_px(content["imgWidth"], content["imgHeight"])
    if size is None or not isinstance(content["objects"], list):
        raise ValueError("its size is none, or its objects are no list")
    return image_id, *size, content["objects"]


def _thing_at(file: str, image_id: str, image: str, number: int) -> Place:
    return Place(f"{file} object {number}", image_id, image)


def _box(thing: dict[str, Any], width: int, height: int) -> Row | None:
    """A box around an outline, or None if that is no thing; corners are of pixels, whose width belongs to the box."""
    label = label_text(thing["label"])
    single = label.removesuffix(_GROUP)
    if single not in THINGS or thing.get("deleted", 0):
        return None
    across, down = ([float(point[axis]) for point in thing["polygon"]] for axis in (0, 1))
    return {
        "label": single,
        "x0": max(0.0, min(across)) / width,
        "y0": max(0.0, min(down)) / height,
        "x1": min(max(across) + 1, width) / width,
        "y1": min(max(down) + 1, height) / height,
        "is_group": label != single,
    }
