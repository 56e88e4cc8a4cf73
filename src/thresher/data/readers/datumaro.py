"""Datumaro: `annotations/SPLIT.json` with categories and items; the images in `images/SPLIT/`.

Source: https://open-edge-platform.github.io/datumaro/ "Datumaro format": bbox is [x, y, width, height] in pixels, the
size of an image is [height, width].
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, label_text, stated_px
from thresher.data.findings import Findings, Row
from thresher.data.readers import named
from thresher.data.readers.named import Annotated, Marked
from thresher.data.run_lengths import bounds

_NO_OBJECTS = frozenset({"polyline", "caption", "skeleton", "feature_vector"})
_FORM = "type (bbox, polygon, ellipse, mask) with label_id, and bbox [x, y, width, height] or points in pixels"


def read(root: Path, split: str | None, dataset: str, images: str | None = None, later: bool = False) -> Dataset:
    """The items of the JSON files; polygons, ellipses and masks have the box around them.

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
        if not isinstance(content, dict) or not isinstance(content.get("items"), list):
            seen.append(named.seen_in(path, content))
            continue
        labels = _labels(content.get("categories"), path, findings)
        parse = partial(_item, path=path, split=of or path.stem, labels=labels)
        found += findings.read("items", content["items"], parse, named.place_in(path, "item"), "id and annotations")
    findings.judge()
    if not found:
        raise named.unknown_shape(findings.root, seen, "annotations/SPLIT.json with categories and items")
    return named.as_dataset(found, _object, findings, _FORM, others=split is None, later=later)


def _labels(categories: Any, path: Path, findings: Findings) -> dict[int, str]:
    entries = categories.get("label", {}) if isinstance(categories, dict) else {}
    entries = entries.get("labels", []) if isinstance(entries, dict) else []
    each = enumerate(entries if isinstance(entries, list) else [])
    place = named.place_in(path, "category")
    return dict(findings.read("categories", each, _category, place, "an object with a name"))


def _category(numbered: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return numbered[0], label_text(numbered[1]["name"])


def _item(item: dict[str, Any], path: Path, split: str | None, labels: dict[int, str]) -> Annotated:
    media: dict[str, Any] = next((item[key] for key in ("image", "media") if isinstance(item.get(key), dict)), {})
    name, size, objects = media.get("path") or item["id"], media.get("size"), item.get("annotations") or []
    if not isinstance(name, str) or not isinstance(objects, list):
        raise ValueError("its id is no text, or its annotations are no list")
    stated = stated_px(size[1], size[0]) if isinstance(size, list) and len(size) >= 2 else None
    return Annotated(name, [(each, labels) for each in objects], f"{path.name}: {name}", stated, split)


def _object(owned: tuple[dict[str, Any], dict[int, str]]) -> Row | Marked | None:
    each, labels = owned
    kind = each["type"]
    if kind in _NO_OBJECTS:
        return None
    number = each.get("label_id")
    if number not in labels:
        raise ValueError(f"no category has the number {number!r:.80}")
    if kind in ("label", "points"):
        return Marked(labels[number], kind == "points")
    flat, runs = each.get("points", ()), each.get("rle") if kind == "mask" else None
    points = zip(flat[0::2], flat[1::2], strict=True)
    outline = named.polygon(points) if kind == "polygon" else runs
    if each.get("bbox") is not None:
        x, y, across, down = map(float, each["bbox"])
        corners = (x, y, x + across, y + down)
    elif runs is not None:
        corners = bounds(runs)
    else:
        corners = named.around(zip(flat[0::2], flat[1::2], strict=True))
    attributes = each.get("attributes")
    said = attributes if isinstance(attributes, dict) else {}
    flags = {f"is_{name}": named.flag(said.get(name)) for name in ("occluded", "truncated")}
    return named.box(labels[number], corners, outline, **flags, is_group=named.flag(said.get("is_crowd")))
