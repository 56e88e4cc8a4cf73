"""VGG Image Annotator, version 3: a project, brought to the form of version 2.

Source: https://gitlab.com/vgg/via, via-3.x.y (project format 3.1.x): `file`, `view` (which files a view shows),
`attribute` and `metadata`, whose `xy` begins with the number of a shape, `z` holds seconds of a video, and `av` the
values of attributes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.faults import shown
from thresher.data.findings import Findings
from thresher.data.readers import named

_POINT, _RECT, _CIRCLE, _ELLIPSE, _LINE, _POLYLINE, _POLYGON = range(1, 8)
    place = partial(named.place_in, path)
    files = findings.read("files", content["file"].items(), _file, place("file"), "an object with fname")
    images = dict(files)
    metadata = content.get("metadata") or {}
    regions = list(metadata.values()) if isinstance(metadata, dict) else [metadata]
    parse = partial(_region, files=images, views=content.get("view") or {}, attributes=content["attribute"])
    for found in findings.read("regions", regions, parse, place("region"), _FORM):
        if found is not None:
            images[found[0]]["regions"].append(found[1])
    return list(images.values())


def _file(numbered: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    number, file = numbered
    return number, {"filename": file.get("fname") or file["src"], "regions": []}


def _region(
    region: dict[str, Any], files: dict[str, Any], views: dict[str, Any], attributes: dict[str, Any]
) -> tuple[str, dict[str, Any]] | None:
    """The number of a region's file and the region as version 2 has it; None of a line or of a video's."""
    shape = region.get("xy") or []
    if region.get("z") or not shape or shape[0] in _LINES:
        return None
    view = str(region["vid"])
    file = str(views[view]["fid_list"][0]) if view in views else view
    if file not in files:
        raise ValueError(f"no file has the number {shown(file)}")
    values = {_name(key, attributes): _value(key, value, attributes) for key, value in region["av"].items()}
    return file, {"shape_attributes": _shape(shape), "region_attributes": values}
