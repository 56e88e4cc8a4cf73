"""VGG Image Annotator: a project, its annotations as JSON, or as CSV (versions 1 and 2); the images beside.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/docs/face_track_annotation.html and via.js (2.0.12): shapes in
pixels; rect has x, y, width, height.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, label_text
from thresher.data.faults import refusing
from thresher.data.findings import Findings, Row
from thresher.data.readers import named, via_3
from thresher.data.readers.named import Annotated, Marked
from thresher.errors import DataError

#: Attributes of a region that may be its label, the likeliest first; the only one always is.
_LABEL_KEYS = ("label", "class", "category", "name", "type", "object")
_FORM = "shape_attributes (rect, polygon, circle or ellipse, in pixels), and one attribute of the region as its label"


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """The images of the JSON and CSV files at `root`; polygons, circles and ellipses have the box around them.

    A region's label is its attribute `label`, `class`, `category`, `name`, `type` or `object`, or its only one.

    Raises:
        DataError: no file of this form, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    found: list[Annotated] = []
    seen: list[str] = []
    for path, of in _files(findings.root, split):
        content = _of_csv(path) if path.suffix.lower() == ".csv" else named.loaded(path)
        entries = _entries(content, path, findings)
        if entries is None:
            seen.append(named.seen_in(path, content))
            continue
        parse = partial(_image, path=path, split=of)
        form = "an object with filename and regions"
        found += findings.read("images", entries, parse, named.place_in(path, "image"), form)
    findings.judge()
    if not found:
        expected = "_via_img_metadata, images with filename and regions, or a project of version 3"
        raise named.unknown_shape(findings.root, seen, expected)
    return named.as_dataset(found, _object, findings, _FORM, others=split is None)


def _files(root: Path, split: str | None) -> Iterator[tuple[Path, str | None]]:
    errors = []
    for suffix in (".json", ".csv") if root.is_dir() else (root.suffix,):
        try:
            yield from named.annotation_files(root, split, suffix)
        except DataError as error:
            errors.append(error)
    if len(errors) > 1:
        raise errors[0]


def _entries(content: Any, path: Path, findings: Findings) -> list[Any] | None:
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    if isinstance(content, dict) and isinstance(content.get("file"), dict) and "attribute" in content:
        return via_3.entries(content, path, findings)
    entries = list(content.values()) if isinstance(content, dict) else content
    is_via = isinstance(entries, list) and any(isinstance(each, dict) and "regions" in each for each in entries)
    return entries if is_via else None


def _of_csv(path: Path) -> dict[str, Any]:
    """The rows of a CSV as the JSON has them: a row per region, one with an empty shape for an image without any."""
    with refusing(f"{path}: not readable as CSV", "Export the annotations again."):
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))
    images: dict[str, Any] = {}
    for row in rows:
        if row.get("region_shape_attributes") is None or not row.get("filename"):
            return {}
        image = images.setdefault(row["filename"], {"filename": row["filename"], "regions": []})
        if row["region_shape_attributes"].strip() not in ("", "{}"):
            image["regions"].append({name: row.get(f"region_{name}") for name in ("shape_attributes", "attributes")})
    return images


def _image(entry: dict[str, Any], path: Path, split: str | None) -> Annotated:
    name, regions = entry["filename"], entry["regions"] or []
    if not isinstance(name, str) or not name or not isinstance(regions, list | dict):
        raise ValueError("its filename is no text, or its regions are no list")
    listed = list(regions.values()) if isinstance(regions, dict) else regions
    return Annotated(name, listed, f"{path.name}: {name}", None, split)


def _object(region: dict[str, Any]) -> Row | Marked | None:
    shape = _of_text(region["shape_attributes"])
    kind = shape.get("name")
    if kind == "polyline":
        return None
    attributes = _of_text(region.get("region_attributes", region.get("attributes"))) or {}
    if kind == "point" and not attributes:  # which marks no object of a class
        return None
    label = _label(attributes)
    if kind == "point":
        return Marked(label, True)
    if kind == "rect":
        x, y, across, down = (float(shape[name]) for name in ("x", "y", "width", "height"))
        return named.box(label, (x, y, x + across, y + down))
    if kind in ("polygon", "polygon_bezier"):
        points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
        return named.box(label, named.around(points), named.polygon(points))
    x, y = float(shape["cx"]), float(shape["cy"])
    across, down = (float(shape.get(name, shape.get("r"))) for name in ("rx", "ry"))
    degrees = float(shape.get("theta") or 0) * 180 / 3.141592653589793
    corners = named.turned((x - across, y - down, x + across, y + down), degrees, (x, y))
    return named.box(label, corners, named.ellipse((x, y), (across, down), degrees))


def _of_text(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _label(attributes: dict[str, Any]) -> str:
    given = {key: _chosen(value) for key, value in attributes.items() if _chosen(value) not in (None, "")}
    key = next((key for key in _LABEL_KEYS for own in given if own.lower() == key), None)
    own = next((own for own in given if own.lower() == key), None) if key else None
    if own is None and len(given) == 1:
        own = next(iter(given))
    if own is None:
        raise ValueError(f"which attribute is the label? Found {', '.join(given) or 'none'}")
    return label_text(given[own])


def _chosen(value: Any) -> Any:
    """The value of an attribute: of a checkbox, the one that is ticked."""
    if isinstance(value, dict):
        ticked = [key for key, on in value.items() if on]
        return ticked[0] if len(ticked) == 1 else None
    return value
