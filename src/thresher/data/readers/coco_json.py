"""The JSON files of a COCO set: their splits and contents."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.data.dataset import contents
from thresher.errors import DataError

Json = dict[str, Any]
SPLIT_NAME = re.compile(r"(?:^|[_.-])((?:train|val|valid|validation|test|dev|minitrain)\d*)$", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """One JSON: its entries as they stand, and the labels by category id."""

    path: Path
    split: str | None
    images: list[Json]
    annotations: list[Json]
    labels: dict[object, str]


def files(root: Path, split: str | None) -> list[File]:
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
    loaded = [file for path in chosen if (file := _loaded(path, split or split_of(path))) is not None]
    if not loaded:
        where = root / "annotations" if (root / "annotations").is_dir() else root
        raise DataError(
            f"{root}: no COCO annotations. Found {contents(where)} in {where.name}; expected "
            "annotations/instances_SPLIT.json, or a JSON with the keys images, annotations and categories."
        )
    return loaded


def paths(root: Path) -> list[Path]:
    """JSON files that may be meant, without opening them."""
    annotations = sorted((root / "annotations").glob("*.json"))
    # Beside these COCO has the same images' captions, keypoints and panoptic segments.
    instances = [path for path in annotations if path.name.startswith("instances")]
    return instances or annotations or sorted(root.glob("*.json")) + sorted(root.glob("*/*.json"))


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


def _loaded(path: Path, split: str | None) -> File | None:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # both wrong JSON and wrong UTF-8
        raise DataError(f"{path}: not readable as JSON ({error}). Download or export the file again.") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        return None
    images, annotations, categories = content["images"], content["annotations"], content.get("categories") or []
    if not all(isinstance(each, dict) for each in (*images, *annotations, *categories)):
        raise DataError(
            f"{path}: images, annotations and categories must be lists of objects; found other values in them."
        )
    if annotations and not any("bbox" in each for each in annotations):
        return None
    labels = {each.get("id"): str(each.get("name", each.get("id"))) for each in categories}
    return File(path, split, images, annotations, labels)
