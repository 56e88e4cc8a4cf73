"""nuImages: a folder of tables per version (`v1.0-train/object_ann.json` …), the images in `samples/`.

Source: https://www.nuscenes.org/nuimages, schema: bbox is [xmin, ymin, xmax, ymax] in pixels; a mask's counts are
COCO's run lengths as text, in base64. Surfaces (surface_ann.json) have a mask alone.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, contents, label_text, stated_px
from thresher.data.findings import Findings, Row
from thresher.data.readers import named
from thresher.data.readers.named import Annotated
from thresher.data.run_lengths import bounds
from thresher.errors import DataError

_TABLES = ("sample_data", "object_ann", "category")
_FORM = "bbox [xmin, ymin, xmax, ymax] in pixels or a mask, and the token of a category"


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """The key frames of all versions at `root`, or of `v1.0-SPLIT`; frames between them (sweeps) are not annotated.

    The id of an image is its path below `root` without suffix: `samples/CAM_FRONT/n003-2018-…`.

    Raises:
        DataError: no tables, no such version, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    versions = sorted(path.parent for path in findings.root.glob("*/object_ann.json"))
    versions = versions or [path.parent for path in findings.root.glob("object_ann.json")]
    chosen = [path for path in versions if split is None or path.name in (split, f"v1.0-{split}")]
    if not chosen:
        wanted = f"v1.0-{split or 'train'}/object_ann.json, sample_data.json and category.json"
        raise DataError(f"{findings.root}: no tables of nuImages. Found {contents(findings.root)}; expected {wanted}.")
    found: list[Annotated] = []
    for version in chosen:
        found += _frames(version, findings)
    return named.as_dataset(found, _object, findings, _FORM, others=False)


def _frames(version: Path, findings: Findings) -> list[Annotated]:
    frames, objects, categories = (_table(version / f"{name}.json") for name in _TABLES)
    surfaces = version / "surface_ann.json"
    objects = objects + (_table(surfaces) if surfaces.is_file() else [])
    places = [named.place_in(version / f"{name}.json", "row") for name in _TABLES]
    names = dict(findings.read("categories", categories, _category, places[2], "a token and a name"))
    of_frame: dict[str, list[Any]] = {}
    owned = findings.read("objects' frames", objects, lambda each: (each["sample_data_token"], each), places[1], _FORM)
    for token, each in owned:
        of_frame.setdefault(str(token), []).append((each, names))
    split = version.name.removeprefix("v1.0-")

    def parse(row: dict[str, Any]) -> Annotated | None:
        mine = of_frame.pop(str(row["token"]), [])
        if not row.get("is_key_frame", True) and not mine:
            return None
        size = stated_px(row.get("width"), row.get("height"))
        return Annotated(_text(row["filename"]), mine, f"{version.name}: {row['token']}", size, split)

    read_frames = findings.read("frames", frames, parse, places[0], "a row with token and filename")
    found = [each for each in read_frames if each is not None]
    lost = sum(map(len, of_frame.values()))
    if lost:
        findings.note("box_without_image", f"{lost} objects of {len(of_frame)} frames that sample_data.json lacks")
    return found


def _table(path: Path) -> list[Any]:
    rows = named.loaded(path) if path.is_file() else None
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of rows, as nuImages has it; found {type(rows).__name__}.")
    return rows


def _category(row: dict[str, Any]) -> tuple[str, str]:
    return str(row["token"]), label_text(row["name"])


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("its filename is no text")
    return value


def _object(owned: tuple[dict[str, Any], dict[str, str]]) -> Row | None:
    each, names = owned
    label = names.get(str(each["category_token"]))
    if label is None:
        raise ValueError("no category has its category_token")
    outline = _outline(each.get("mask"))
    x0, y0, x1, y1 = map(float, each["bbox"] if "bbox" in each or outline is None else bounds(outline))
    return named.box(label, (x0, y0, x1, y1), outline)


def _outline(mask: Any) -> dict[str, Any] | None:
    if not mask:
        return None
    return {"size": mask["size"], "counts": base64.b64decode(mask["counts"]).decode("ascii")}
