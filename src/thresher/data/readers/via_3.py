"""VGG Image Annotator, version 3: a project, brought to the form of version 2.

Source: https://gitlab.com/vgg/via, via-3.x.y (project format 3.1.x): `file`, `view` (which files a view shows),
`attribute` and `metadata`, whose `xy` begins with the number of a shape, `z` holds seconds of a video, and `av` the
values of attributes.
"""

from __future__ import annotations

from typing import Any

_POINT, _RECT, _CIRCLE, _ELLIPSE, _LINE, _POLYLINE, _POLYGON = range(1, 8)
_LINES = (_LINE, _POLYLINE)


def entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The images as version 2 has them: filename and regions; one per file, in the order of the project.

    Regions of videos are left out, as are lines.

    >>> project = {"file": {"1": {"fname": "a.jpg"}}, "attribute": {"1": {"aname": "class", "options": {"0": "car"}}}}
    >>> region = {"vid": "1", "xy": [2, 10, 20, 30, 40], "z": [], "av": {"1": "0"}}
    >>> (image,) = entries(project | {"view": {"1": {"fid_list": ["1"]}}, "metadata": {"m": region}})
    >>> image["filename"], image["regions"][0]["region_attributes"]
    ('a.jpg', {'class': 'car'})
    """
    views, attributes = content.get("view") or {}, content["attribute"]
    found: dict[str, dict[str, Any]] = {
        str(key): {"filename": each.get("fname") or each.get("src"), "regions": []}
        for key, each in content["file"].items()
        if isinstance(each, dict)
    }
    for each in (content.get("metadata") or {}).values():
        shape = each.get("xy") or []
        if each.get("z") or not shape or shape[0] in _LINES:
            continue
        for file in (views.get(str(each.get("vid"))) or {}).get("fid_list", [each.get("vid")])[:1]:
            if str(file) in found:
                values = {_name(key, attributes): _value(key, value, attributes) for key, value in each["av"].items()}
                found[str(file)]["regions"].append({"shape_attributes": _shape(shape), "region_attributes": values})
    return list(found.values())


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
