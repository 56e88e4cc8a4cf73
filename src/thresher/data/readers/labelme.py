"""LabelMe: a JSON file per image, beside it or in a folder of their own.

Source: https://github.com/wkentaro/labelme, labelme/label_file.py: points [x, y] in pixels; a rectangle has two
opposite corners, a circle its centre and a point of its rim.
"""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from thresher.data.dataset import Dataset, annotation_bytes, label_text, stated_px
from thresher.data.findings import Findings, Place, Row
from thresher.data.image_files import decoding, opened_image
from thresher.data.readers import named
from thresher.data.readers.named import Annotated, Marked
from thresher.data.run_lengths import placed

_NO_OBJECTS = frozenset({"line", "linestrip"})
_FORM = "a shape with label, shape_type and points [x, y] in pixels of the image"


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """The images of the JSON files at `root`, found by `imagePath` or as the file of the same name.

    Rectangles are boxes; polygons, circles and masks have the box around them. `split` picks the folder of that name.
    Images without a JSON file stay where no split is asked for, and are listed.

    Raises:
        DataError: no JSON of this form, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    files = named.annotation_files(findings.root, split, ".json")
    seen: list[str] = []

    def parse(file: tuple[Path, str | None]) -> Annotated | None:
        path, of = file
        content = json.loads(annotation_bytes(path))
        if not isinstance(content, dict) or "shapes" not in content:
            seen.append(named.seen_in(path, content))
            return None
        return _annotated(path, of, content, findings)

    def place(number: int) -> Place:
        return Place(str(files[number][0]), path=files[number][0])

    form = "a JSON object with imagePath and a list of shapes"
    read_files = findings.read("JSON files", files, parse, place, form, "annotation_unreadable")
    found = [each for each in read_files if each is not None]
    findings.judge()
    if not found:
        raise named.unknown_shape(findings.root, seen, "JSON files with imagePath and shapes")
    return named.as_dataset(found, _object, findings, _FORM, others=split is None)


def _annotated(path: Path, split: str | None, content: dict[str, Any], findings: Findings) -> Annotated:
    shapes, image = content["shapes"], content.get("imagePath")
    if not isinstance(shapes, list):
        raise ValueError("its shapes are no list")
    stated = image.replace("\\", "/") if isinstance(image, str) and image else ""
    beside = next((each for each in (path.parent / stated,) if stated and each.is_file()), None)
    # imagePath is often wrong once files have been moved; then the file of the JSON's own name is meant.
    name = str(beside.resolve()) if beside is not None else path.stem
    if beside is None and named.names_image(stated) and Path(stated).stem != path.stem:
        name = stated
    size = stated_px(content.get("imageWidth"), content.get("imageHeight"))
    return Annotated(name, [(shape, size) for shape in shapes], path.name, size, split)


def _object(owned: tuple[dict[str, Any], tuple[int, int] | None]) -> Row | Marked | None:
    shape, size = owned
    kind = shape.get("shape_type") or "polygon"
    if kind in _NO_OBJECTS:
        return None
    if kind in ("point", "points"):
        return Marked(label_text(shape["label"]), True)
    label, points = label_text(shape["label"]), shape["points"]
    if kind == "circle":
        (x, y), (rim_x, rim_y) = (map(float, point) for point in points)
        radius = math.hypot(rim_x - x, rim_y - y)
        round_it = (x - radius, y - radius, x + radius, y + radius)
        return named.box(label, round_it, named.ellipse((x, y), (radius, radius)))
    if len(points) < 2 or (kind == "polygon" and len(points) < 3):
        raise ValueError(f"{len(points)} points make no {kind}")
    outline = named.polygon(points) if kind == "polygon" else _drawn(shape, size)
    return named.box(label, named.around(points), outline)


def _drawn(shape: dict[str, Any], size: tuple[int, int] | None) -> dict[str, list[int]] | None:
    """The run lengths of a shape that is a mask: a picture within the box of its points, as text."""
    if shape.get("shape_type") != "mask" or not isinstance(shape.get("mask"), str) or size is None:
        return None
    with decoding("mask"), opened_image(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
        patch = np.asarray(image.convert("L")) > 0
    left, top = (round(float(value)) for value in shape["points"][0][:2])
    return placed(patch, left, top, (size[1], size[0]))
