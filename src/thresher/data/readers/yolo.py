"""YOLO: `images/…` mirrored by `labels/…`, a line per object: class, centre x, centre y, width, height (shares).

Source: https://docs.ultralytics.com/datasets/detect/ and /segment/ (polygons: class, x1, y1, x2, y2, …).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import (
    Dataset,
    Entry,
    Outlined,
    annotation_bytes,
    contents,
    existing_folder,
    image_files,
    qualified_id,
    visible,
)
from thresher.data.findings import Findings, Place, Row
from thresher.data.readers import yolo_names
from thresher.data.readers.named_files import home_of
from thresher.data.readers.yolo_names import Names
from thresher.errors import DataError

_LINE_FORM = "class x y w h as shares of the image, with a confidence or keypoints behind; or class and a polygon"


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """Images and their boxes; an image without a label file is one without objects, as the convention has it.

    The id of an image is its path without the folder `images` and the suffix: `train2017/000000000009`. `split` is
    its first folder. Without an `images` folder, label files are beside the images.
    Where `images` tells the images' folder, label files have the same paths below `root/labels`, or else below `root`.

    Raises:
        DataError: no images, no label files, no class names, no such split, or most lines cannot be read.
    """
    existing_folder(root, "with images and labels")
    findings = Findings(root, dataset)
    entries = _entries(root if images is None else home_of(root, images), split)
    names = yolo_names.read(root)
    photos = findings.images(entries)
    known: dict[str, str] = dict(photos.select("image_id", "path").iter_rows())
    labels = root / "labels" if (root / "labels").is_dir() else root
    file_of = {
        source_id: _label_file(path, root) if images is None else labels / f"{source_id}.txt"
        for source_id, path, *_ in entries
    }
    labels_of = {qualified_id(dataset, source_id): path for source_id, path in file_of.items()}
    label_files = _all_label_files(root, split, set(labels_of.values()))
    if label_files.isdisjoint(labels_of.values()):
        raise DataError(
            f"{root}: no label file for any of {len(entries)} images. Expected {next(iter(file_of.values()))}"
            f", and so on. Found {contents(root)}."
        )
    there = [pair for pair in labels_of.items() if pair[1] in label_files and pair[0] in known]

    def file_at(number: int) -> Place:
        image_id, path = there[number]
        return Place(str(path), image_id, known[image_id])

    each_file = findings.read(
        "label files", there, _lines, file_at, "text in UTF-8; the image stays, without boxes", "annotation_unreadable"
    )
    rows: list[Row] = []
    outlined: list[Outlined] = []
    for image_id, path, lines in each_file:
        where = partial(_line_at, path, image_id, known[image_id])
        things: list[tuple[str | None, Any]] = []
        for box, polygon in findings.read("label lines", lines, partial(_box, names=names), where, _LINE_FORM):
            if box is not None:
                box["image_id"] = image_id
                rows.append(box)
                things.append((str(box["label"]), [polygon]) if polygon else (None, [_rectangle(box)]))
        if any(label is not None for label, _ in things):
            outlined.append(Outlined(image_id, known[image_id], None, things, in_shares=True))
    for path in sorted(label_files - set(labels_of.values())):
        if path.stem not in yolo_names.LISTS:
            _note_lost(path, root, findings)
    return findings.data(photos, rows, unit="centre and size as shares of the image, 0..1", drawings=outlined)


def _note_lost(path: Path, root: Path, findings: Findings) -> None:
    """List a label file without an image; a README, or a list of the images, is none."""
    place = Place(str(path), findings.id_of(_label_id(path, root)))
    for text in findings.read("label files", [path], _text, lambda _: place, "text in UTF-8", "annotation_unreadable"):
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines or lines[0].split()[0].replace(".", "", 1).isdecimal():
            detail = f"no image for {path}; {len(lines)} boxes were left out with it"
            findings.note("image_missing", detail, place.image_id)


def _entries(root: Path, split: str | None) -> list[Entry]:
    files = image_files(root)
    # Where there is a folder `images`, pictures elsewhere (plots, label previews) are not part of the set.
    files = [path for path in files if "images" in path.relative_to(root).parts[:-1]] or files
    if not files:
        raise DataError(f"{root}: no image files. Found {contents(root)}; expected images/ and labels/.")
    entries: list[Entry] = []
    for path in files:
        source_id = _without(path.relative_to(root).with_suffix(""), "images")
        entries.append((source_id, path, source_id.split("/")[0] if "/" in source_id else None, None, None))
    chosen = [entry for entry in entries if split in (None, entry[2])]
    if not chosen:
        found = ", ".join(sorted({entry[2] or "(none)" for entry in entries}))
        raise DataError(f"{root}: no images of split '{split}'. Found splits {found}.")
    return chosen


def _all_label_files(root: Path, split: str | None, expected: set[Path]) -> set[Path]:
    """Every text file in the label folders, including those of no image."""
    trees = {next((up for up in path.parents if up.name == "labels" and root in up.parents), root) for path in expected}
    found = {path for tree in trees for path in visible(tree.rglob("*.txt"), root)}
    return {path for path in found if split in (None, _label_id(path, root).split("/")[0])}


def _label_id(path: Path, root: Path) -> str:
    return _without(path.relative_to(root).with_suffix(""), "labels")


def _without(path: Path, folder: str) -> str:
    # Only the last one, since a parent folder may be called images too.
    parts = list(path.parts)
    if folder in parts[:-1]:
        del parts[len(parts) - 2 - parts[-2::-1].index(folder)]
    return "/".join(parts)


def _label_file(path: Path | str, root: Path) -> Path:
    # By text, since paths in their parts would take most of the time.
    *folders, name = str(path)[len(str(root)) :].lstrip("/").split("/")
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return root.joinpath(*folders, f"{os.path.splitext(name)[0]}.txt")


def _text(path: Path) -> str:
    return annotation_bytes(path).decode("utf-8-sig")


def _lines(labelled: tuple[str, Path]) -> tuple[str, Path, list[str]]:
    return *labelled, _text(labelled[1]).splitlines()


def _line_at(path: Path, image_id: str, image: str, number: int) -> Place:
    return Place(f"{path} line {number + 1}", image_id, image)


def _box(line: str, names: Names) -> tuple[Row | None, list[float] | None]:
    """The box of one line, None if it is blank; and its polygon, x and y in turn, if it has one."""
    fields = line.split()
    if not fields:
        return None, None
    index, *values = map(float, fields)
    label = names.of.get(index)  # type: ignore[call-overload] # 1.0 is the key 1; 0.5 and NaN are none
    if label is None:
        known = names.of
        raise ValueError(f"class {fields[0]} has no name; there are {len(known)} ({min(known)}..{max(known)})")
    # A confidence stands behind a box that a network found; keypoints where data.yaml says how many there are.
    if len(values) == 4 or len(values) in (5, 4 + names.keypoint_values):
        x, y, width, height = values[:4]
        x0, y0, x1, y1 = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        return {"label": label, "x0": x0, "y0": y0, "x1": x1, "y1": y1}, None
    if len(values) >= 6 and len(values) % 2 == 0:
        across, down = values[0::2], values[1::2]
        return {"label": label, "x0": min(across), "y0": min(down), "x1": max(across), "y1": max(down)}, values
    raise ValueError(f"{len(fields)} values")


def _rectangle(box: Row) -> list[Any]:
    x0, y0, x1, y1 = (box[name] for name in ("x0", "y0", "x1", "y1"))
    return [x0, y0, x1, y0, x1, y1, x0, y1]
