"""BDD100K: JSON files with a list of frames, or one file per image; the images below the same folder.

Source: https://doc.bdd100k.com/format.html (Scalabel's form): box2d is x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, label_text, stated_px
from thresher.data.findings import Row
from thresher.data.readers import named
from thresher.data.readers.named import Annotated
from thresher.data.run_lengths import bounds

#: Lanes and drivable areas are outlined, and are no things; the newer form has no boxes of them.
_NO_THINGS = ("lane", "drivable area", "area")
_FORM = "category and box2d {x1, y1, x2, y2} in pixels of the image, or poly2d"


def read(root: Path, split: str | None, dataset: str, images: str | None = None, later: bool = False) -> Dataset:
    """The frames of `labels/…/*_SPLIT.json`, or of all files; an instance outlined by polygons has the box around them.

    The id of an image is its path below `root` without suffix: `images/100k/train/0000f77c-6257be58`. Images that no
    frame names stay where no split is asked for, and are listed.

    Args:
        later: With the images that are not on disk and whose address is known (`named.as_dataset`).

    Raises:
        DataError: no JSON of this form, none of the split, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    found: list[Annotated] = []
    seen: list[str] = []
    for path, of in named.annotation_files(findings.root, split, ".json"):
        content = named.loaded(path)
        frames = _frames(content)
        if frames is None:
            seen.append(named.seen_in(path, content))
            continue
        parse = partial(_frame, path=path, split=of)
        found += findings.read("frames", frames, parse, named.place_in(path, "frame"), "an object with name and labels")
    findings.judge()
    if not found:
        raise named.unknown_shape(findings.root, seen, "a list of frames, each with name and labels")
    return named.as_dataset(found, _object, findings, _FORM, others=split is None, later=later)


def _frames(content: Any) -> list[Any] | None:
    """The frames in a file; None where it holds none."""
    frames: list[Any]
    if isinstance(content, dict) and isinstance(content.get("frames"), list):
        frames = content["frames"]
        # One file per image: its name stands outside, and what is in it under `objects`.
        named_outside = "name" in content
        return [{"name": content["name"], "labels": each["objects"]} for each in frames] if named_outside else frames
    if isinstance(content, list) and any(isinstance(each, dict) and "name" in each for each in content):
        frames = content
        return frames
    return None


def _frame(frame: dict[str, Any], path: Path, split: str | None) -> Annotated:
    name, labels, size = frame["name"], frame.get("labels"), frame.get("size")
    if not isinstance(name, str) or not name or not isinstance(labels, list | None):
        raise ValueError("its name is no text, or its labels no list")
    stated = stated_px(size.get("width"), size.get("height")) if isinstance(size, dict) else None
    url = frame.get("url")
    return Annotated(name, labels or [], f"{path.name}: {name}", stated, split, url if isinstance(url, str) else None)


def _object(label: dict[str, Any]) -> Row | None:
    category, corners, polygons = label_text(label["category"]), label.get("box2d"), label.get("poly2d")
    outline = [line for each in polygons or () for line in named.polygon(_points(each))] or label.get("rle")
    if corners is None:
        if outline is None or category.partition("/")[0] in _NO_THINGS:
            return None
        points = (point for polygon in polygons or () for point in _points(polygon))
        corners = bounds(outline) if isinstance(outline, dict) else named.around(points)
    else:
        corners = tuple(float(corners[name]) for name in ("x1", "y1", "x2", "y2"))
    attributes = label.get("attributes")
    flags = attributes if isinstance(attributes, dict) else {}
    return named.box(
        category,
        corners,
        outline,
        **{f"is_{name}": named.flag(flags.get(name)) for name in ("occluded", "truncated")},
        is_group=named.flag(flags.get("crowd")),
    )


def _points(polygon: Any) -> list[Any]:
    """The corners of a polygon: an object with vertices, or a list of [x, y]."""
    return list(polygon["vertices"] if isinstance(polygon, dict) else polygon)
