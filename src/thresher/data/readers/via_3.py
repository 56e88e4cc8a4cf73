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
_LINES = (_LINE, _POLYLINE)
_FORM = "vid (of a view with its fid_list), xy (the number of a shape, then pixels) and av"


def entries(content: dict[str, Any], path: Path, findings: Findings) -> list[dict[str, Any]]:
    """The images as version 2 has them: filename and regions; one per file, in the order of the project.

    Regions of videos are left out, as are lines. A region or file that cannot be read is listed.

    >>> project = {"file": {"1": {"fname": "a.jpg"}}, "attribute": {"1": {"aname": "class", "options": {"0": "car"}}}}
    >>> region = {"vid": "1", "xy": [2, 10, 20, 30, 40], "z": [], "av": {"1": "0"}}
    >>> project |= {"view": {"1": {"fid_list": ["1"]}}, "metadata": {"m": region}}
    >>> (image,) = entries(project, Path("via.json"), Findings(Path(), "d"))
    >>> image["filename"], image["regions"][0]["region_attributes"]
    ('a.jpg', {'class': 'car'})
    """
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
    values = {_name(key, attributes): _value(key, value, attributes) for key, value in (region.get("av") or {}).items()}
    return file, {"shape_attributes": _shape(shape), "region_attributes": values}


def _shape(xy: list[Any]) -> dict[str, Any]:
    kind, numbers = xy[0], xy[1:]
    if kind == _POINT:
        return {"name": "point"}
    if kind == _RECT:
        return {"name": "rect", **dict(zip(("x", "y", "width", "height"), numbers, strict=True))}
    if kind == _CIRCLE:
        return {"name": "circle", **dict(zip(("cx", "cy", "r"), numbers, strict=True))}
    if kind == _ELLIPSE:
        return {"name": "ellipse", **dict(zip(("cx", "cy", "rx", "ry"), numbers, strict=True))}
    if kind == _POLYGON:
        return {"name": "polygon", "all_points_x": numbers[0::2], "all_points_y": numbers[1::2]}
    return {"name": f"shape {kind}"}  # listed as a region that cannot be read


def _name(key: str, attributes: dict[str, Any]) -> str:
    return str((attributes.get(key) or {}).get("aname", key))


def _value(key: str, value: Any, attributes: dict[str, Any]) -> Any:
    """The text of the option that was chosen, or the value as it was written."""
    options = (attributes.get(key) or {}).get("options")
    return options.get(value, value) if isinstance(options, dict) and isinstance(value, str) else value
