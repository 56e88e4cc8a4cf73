"""The JSON files of a COCO set: their splits and contents."""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from thresher.data.dataset import contents, label_text, visible
from thresher.data.faults import refusing, shown
from thresher.data.findings import Findings, Place
from thresher.errors import DataError

Json = dict[str, Any]
#: The id of an image or a category.
Key = int | str
_MOST_DIGITS = 19
SPLIT_NAME = re.compile(r"(?:^|[_.-])((?:train|val|valid|validation|test|dev|minitrain)\d*)$", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """One JSON: its entries as they stand, its annotations with their images' ids, and the labels by category id."""

    path: Path
    split: str | None
    images: list[Json]
    annotations: list[Json]
    owners: list[Key]
    """The id of each annotation's image."""
    labels: dict[Key, str]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Context manager (or decorator) in which Python looks for no circles of garbage.

    Annotations are millions of objects without any, among which to look takes as long as to read them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def files(root: Path, split: str | None, findings: Findings) -> list[File]:
    """The instance files of `split`, or of all splits, loaded.

    Raises:
        DataError: none there, none of that split, or one that is not JSON.
    """
    found = paths(root)
    chosen = [path for path in found if split is None or _is_of(path, split)]
    if found and not chosen:
        raise DataError(
            f"{root}: no JSON of split '{split}'. Found {', '.join(str(path.relative_to(root)) for path in found)}; "
            f"expected annotations/instances_{split}.json or {split}/_annotations.coco.json."
        )
    loaded = [file for path in chosen if (file := _loaded(path, split or split_of(path), findings)) is not None]
    if not loaded:
        where = root / "annotations" if (root / "annotations").is_dir() else root
        raise DataError(
            f"{root}: no COCO annotations. Found {contents(where)} in {where.name}; expected "
            "annotations/instances_SPLIT.json, or a JSON with the keys images, annotations (with bbox, or polygons as "
            "segmentation) and categories."
        )
    return loaded


def paths(root: Path) -> list[Path]:
    """JSON files that may be meant, without opening them."""
    annotations = visible(sorted((root / "annotations").glob("*.json")), root)
    # Beside these COCO has the same images' captions, keypoints and panoptic segments.
    instances = [path for path in annotations if path.name.startswith("instances")]
    return instances or annotations or visible(sorted(root.glob("*.json")) + sorted(root.glob("*/*.json")), root)


def split_of(path: Path) -> str | None:
    """The split that a file's name tells, or its folder's name for Roboflow's `train/_annotations.coco.json`."""
    if path.name.startswith("instances_"):
        return path.stem.removeprefix("instances_")
    if path.name.startswith("_annotations"):
        return path.parent.name
    named = SPLIT_NAME.search(path.stem)
    return named[1] if named else None


def _is_of(path: Path, split: str) -> bool:
    return split in (path.stem, path.parent.name, split_of(path)) or path.stem.endswith(f"_{split}")


def _loaded(path: Path, split: str | None, findings: Findings) -> File | None:
    with refusing(f"{path}: not readable as JSON", "Download or export the file again."):
        content = _parsed(path.read_bytes())
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), list) for part in ("images", "annotations")
    ):
        return None
    annotations, categories = content["annotations"], content.get("categories")
    if annotations and not any(_has_box(each) for each in annotations):
        return None
    owned, owners = _owned(path, annotations, findings)
    named = findings.read(
        "categories",
        categories if isinstance(categories, list) else [],
        _category,
        partial(_place, path, "category"),
        "an object with id and name",
    )
    return File(path, split, content["images"], owned, owners, dict(named))


def _parsed(text: bytes) -> Any:
    """The content of a JSON file; NaN, UTF-16 and a byte-order mark, which the standard does not know, are read too."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _has_box(annotation: object) -> bool:
    # Captions have neither.
    return isinstance(annotation, dict) and (
        "bbox" in annotation or isinstance(annotation.get("segmentation"), list | dict)
    )


def _owned(path: Path, annotations: list[Json], findings: Findings) -> tuple[list[Json], list[Key]]:
    """The annotations that name an image, and its id."""
    what = "ids of annotations"
    with contextlib.suppress(KeyError, TypeError):
        owners = [each["image_id"] for each in annotations]
        if set(map(type, owners)) <= {int}:
            findings.seen(what, len(owners))
            return annotations, owners

    def owned(annotation: Json) -> tuple[Key, Json]:
        return key(annotation["image_id"]), annotation

    place = partial(_place, path, "annotation")
    pairs = list(findings.read(what, annotations, owned, place, "an object with image_id"))
    return [annotation for _, annotation in pairs], [owner for owner, _ in pairs]


def _category(category: Json) -> tuple[Key, str]:
    number, name = key(category["id"]), category.get("name")
    return number, label_text(number if name is None else name)


def _place(path: Path, what: str, number: int) -> Place:
    return Place(f"{path.name}: {what} {number}", path=path)


def key(value: object) -> Key:
    """An id as ids are compared: 7, 7.0 and "7" are one, since tools write numbers as text in one place of a file.

    Raises:
        ValueError: no number and no text.

    >>> key(7), key("7"), key("07"), key(7.0)
    (7, 7, '07', 7)
    """
    if type(value) is int:
        return value
    if isinstance(value, str):
        number = len(value) < _MOST_DIGITS and value.isascii() and value.isdecimal()
        return int(value) if number and (value == "0" or value[0] != "0") else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"the id is {shown(value)}; expected a number or a text")
