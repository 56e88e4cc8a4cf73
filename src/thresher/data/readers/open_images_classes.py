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

from thresher.data.dataset import label_text
from thresher.data.faults import refusing
from thresher.data.findings import Findings, Place
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
    "classes.csv",
)
HIERARCHY_FILES = ("bbox_labels_600_hierarchy.json", "bbox_hierarchy.json", "hierarchy.json")
HEADERS = frozenset({"label", "labelname", "mid", "name", "displayname"})


def vocabulary(folders: list[Path], findings: Findings) -> pl.DataFrame:
    """The vocabulary table: a row per label, its ancestors' labels and names in turn, nearest first, without the root.

    Empty if neither file is in one of the folders. A line or a node that cannot be read is listed.

    Raises:
        DataError: a file is there and is of another kind.
    """
    described = _first(folders, NAME_FILES)
    tree = _first(folders, HIERARCHY_FILES)
    names = label_names(described, findings) if described else {}
    parents, root = _parents(tree, names, findings) if tree else ({}, None)
    rows = []
    for label in sorted({*names, *parents}):
        ancestors: list[str] = []
        for wider in _wider(label, parents, root):
            ancestors += [wider, names[wider]] if wider in names else [wider]
        rows.append((label, names.get(label), ancestors))
    return pl.DataFrame(rows, schema=dict(VOCABULARY), orient="row")


def label_names(path: Path, findings: Findings) -> dict[str, str]:
    """Names by label, with or without a header line, separated by commas, semicolons or tabs.

    Raises:
        DataError: not a text file.
    """
    first_bytes(path)
    lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()  # knows bare CR line ends too
    separator = max(",;\t", key=lines[0].count)

    def named(line: str) -> tuple[str, str] | None:
        row = next(csv.reader([line], delimiter=separator))
        if not any(field.strip() for field in row):
            return None
        if len(row) < 2:
            raise ValueError("one field")
        return label_text(row[0].strip()), label_text(row[1].strip())

    def line_at(number: int) -> Place:
        return Place(f"{path.name} line {number + 1}", path=path)

    read = findings.read("class names", lines, named, line_at, "a label and its name, separated as in the first line")
    rows = [row for row in read if row is not None]
    return dict(rows[1:] if rows and rows[0][0].lower() in HEADERS else rows)


def _parents(path: Path, names: dict[str, str], findings: Findings) -> tuple[dict[str, list[str]], str]:
    """For each label below the root the labels that it is a kind of, as met; a part has none by being a part."""
    with refusing(f"{path}: not readable as JSON", "Download it again."):
        root = json.loads(path.read_bytes())
    label_of = {name: label for label, name in names.items()}
    parents: dict[str, list[str]] = {}

    def label(node: Any) -> str:
        # The first releases name nodes by their name only.
        found = node.get("LabelName") or label_of.get(node.get("name", ""), node.get("name"))
        if not found:
            raise ValueError("no LabelName")
        return label_text(found)

    def entered(met: tuple[str, str, Any]) -> list[tuple[str, str, Any]]:
        """Enter a node below its parent; gives those below it, each with what it is to it."""
        wider, kind, node = met
        own = label(node)
        above = parents.setdefault(own, [])
        if kind != "Part" and wider not in above:
            above.append(wider)
        return _below(own, node)

    if not isinstance(root, dict):
        raise DataError(f"{path}: expected one object with LabelName and Subcategory; found a {type(root).__name__}.")
    with refusing(f"{path}: its root has no name", "Download it again."):
        top = label(root)
        waiting = _below(top, root)[::-1]
    place = Place(path.name, path=path)
    while waiting:  # not by a call for each level, since some files nest deeper than Python calls
        met = [waiting.pop()]
        for below in findings.read("hierarchy nodes", met, entered, lambda _: place, "LabelName, and lists of such"):
            waiting += below[::-1]
    return parents, top


def _below(own: str, node: dict[str, Any]) -> list[tuple[str, str, Any]]:
    return [(own, kind, child) for kind in ("Subcategory", "children", "Part") for child in node.get(kind) or []]


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
