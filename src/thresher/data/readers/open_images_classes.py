"""Names and ancestors of the labels of Open Images.

Source: https://storage.googleapis.com/openimages/web/download_v7.html, "Class names" and "Hierarchy";
arXiv 1811.00982: `Subcategory` means is-a, `Part` means part-of.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.readers.open_images_csv import first_bytes
from thresher.errors import DataError
from thresher.tables import VOCABULARY

NAME_FILES = (
    "class-descriptions-boxable.csv",
    "oidv7-class-descriptions-boxable.csv",
    "oidv6-class-descriptions.csv",
    "oidv7-class-descriptions.csv",
    "class-descriptions.csv",
    "dict.csv",
)
HIERARCHY_FILES = ("bbox_labels_600_hierarchy.json", "bbox_hierarchy.json")
HEADERS = frozenset({"label", "labelname", "mid", "name", "displayname"})


def vocabulary(folders: list[Path]) -> pl.DataFrame:
    """The vocabulary table: a row per label, its ancestors' labels and names in turn, nearest first, without the root.

    Empty if neither file is in one of the folders.

    Raises:
        DataError: a file is there and cannot be read.
    """
    described = _first(folders, NAME_FILES)
    tree = _first(folders, HIERARCHY_FILES)
    names = label_names(described) if described else {}
    parents, root = _parents(tree, names) if tree else ({}, None)
    rows = []
    for label in sorted({*names, *parents}):
        ancestors: list[str] = []
        for wider in _wider(label, parents, root):
            ancestors += [wider, names[wider]] if wider in names else [wider]
        rows.append((label, names.get(label), ancestors))
    return pl.DataFrame(rows, schema=dict(VOCABULARY), orient="row")


def label_names(path: Path) -> dict[str, str]:
    """Names by label, with or without a header line, separated by commas, semicolons or tabs.

    Raises:
        DataError: not a text file, or a line has no two fields.
    """
    first_bytes(path)
    lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()  # knows bare CR line ends too
    separator = max(",;\t", key=lines[0].count)
    rows = [row for row in csv.reader(lines, delimiter=separator) if any(field.strip() for field in row)]
    if rows and rows[0][0].strip().lower() in HEADERS:
        rows = rows[1:]
    short = [row for row in rows if len(row) < 2]
    if short:
        raise DataError(f"{path}: expected a label and its name in each line; found {short[0][0]!r} alone.")
    return {row[0].strip(): row[1].strip() for row in rows}


def _parents(path: Path, names: dict[str, str]) -> tuple[dict[str, list[str]], str]:
    """For each label below the root the labels that it is a kind of, as met; a part has none by being a part."""
    try:
        root = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: not readable as JSON ({error}). Download it again.") from error
    label_of = {name: label for label, name in names.items()}
    parents: dict[str, list[str]] = {}

    def label(node: dict[str, Any]) -> str:
        # The first releases name nodes by their name only.
        found = node.get("LabelName") or label_of.get(node.get("name", ""), node.get("name"))
        if not found:
            raise DataError(f"{path}: a node has no LabelName ({str(node)[:80]}). Download it again.")
        return str(found)

    def walk(node: dict[str, Any]) -> None:
        for kind in ("Subcategory", "children", "Part"):
            for child in node.get(kind, []):
                wider = parents.setdefault(label(child), [])
                if kind != "Part" and label(node) not in wider:
                    wider.append(label(node))
                walk(child)

    if not isinstance(root, dict):
        raise DataError(f"{path}: expected one object with LabelName and Subcategory; found a {type(root).__name__}.")
    walk(root)
    return parents, label(root)


def _wider(label: str, parents: dict[str, list[str]], root: str | None) -> list[str]:
    """All that hold the label, level by level."""
    found: list[str] = []
    level = [label]
    while level:
        above = dict.fromkeys(wider for each in level for wider in parents.get(each, []))
        level = [each for each in above if each not in found and each not in (root, label)]
        found += level
    return found


def _first(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names for folder in folders if (folder / name).is_file()), None)
