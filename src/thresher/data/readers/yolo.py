"""YOLO: `images/…` mirrored by `labels/…`, a line per object: class, centre x, centre y, width, height (shares).

Source: https://docs.ultralytics.com/datasets/detect/ and /segment/ (polygons: class, x1, y1, x2, y2, …).
"""

from __future__ import annotations

import math
from pathlib import Path

from thresher.data.boxes import clean_boxes
from thresher.data.dataset import (
    Dataset,
    contents,
    existing_folder,
    image_files,
    images_table,
    problem,
    qualified_id,
)
from thresher.data.readers import yolo_names
from thresher.errors import DataError
from thresher.tables import BOXES, PROBLEMS, from_rows

Entry = tuple[str, Path, str | None, None, None]


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Images and their boxes; an image without a label file is one without objects, as the convention has it.

    The id of an image is its path without the folder `images` and the suffix: `train2017/000000000009`. `split` is
    its first folder. Without an `images` folder, label files are beside the images.

    Raises:
        DataError: no images, no label files, no class names, or no such split.
    """
    existing_folder(root, "with images and labels")
    entries = _entries(root, split)
    names = yolo_names.read(root)
    images, problems = images_table(entries, dataset)
    known = dict(images.select("image_id", "path").iter_rows())
    rows: list[dict[str, object]] = []
    labels_of = {qualified_id(dataset, source_id): _label_file(path, root) for source_id, path, *_ in entries}
    label_files = _all_label_files(root, split, set(labels_of.values()))
    if label_files.isdisjoint(labels_of.values()):
        raise DataError(
            f"{root}: no label file for any of {len(entries)} images. Expected {_label_file(entries[0][1], root)}, and "
            f"so on. Found {contents(root)}."
        )
    for image_id, path in labels_of.items():
        if path in label_files and image_id in known:
            found, bad = _boxes(path, image_id, known[image_id], names)
            rows += found
            problems += bad
    for path in sorted(label_files - set(labels_of.values())):
        if path.stem not in yolo_names.LISTS:
            lines = sum(bool(line.strip()) for line in path.read_bytes().splitlines())
            detail = f"no image for {path}; {lines} boxes were left out with it"
            problems.append(problem("image_missing", detail, qualified_id(dataset, _label_id(path, root))))
    boxes, bad_boxes = clean_boxes(from_rows(rows, BOXES), images)
    return Dataset(images, boxes, problems=from_rows(problems, PROBLEMS).vstack(bad_boxes)).checked(str(root))


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
    found = {path for tree in trees for path in tree.rglob("*.txt")}
    return {path for path in found if split in (None, _label_id(path, root).split("/")[0])}


def _label_id(path: Path, root: Path) -> str:
    return _without(path.relative_to(root).with_suffix(""), "labels")


def _without(path: Path, folder: str) -> str:
    # Only the last one, since a parent folder may be called images too.
    parts = list(path.parts)
    if folder in parts[:-1]:
        del parts[len(parts) - 2 - parts[-2::-1].index(folder)]
    return "/".join(parts)


def _label_file(path: Path, root: Path) -> Path:
    parts = list(path.relative_to(root).with_suffix(".txt").parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return root.joinpath(*parts)


def _boxes(
    path: Path, image_id: str, image: str, names: dict[int, str]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [], [
            problem("annotation_unreadable", f"{path}: {error}; the image stays, without boxes", image_id, image)
        ]
    rows: list[dict[str, object]] = []
    problems: list[dict[str, object]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append({"image_id": image_id, **_box(line.split(), names)})
        except ValueError as error:
            problems.append(problem("annotation_malformed", f"{path} line {number}: {error}", image_id, image))
    return rows, problems


def _box(fields: list[str], names: dict[int, str]) -> dict[str, object]:
    try:
        index, *values = (float(each) for each in fields)
    except ValueError:
        raise ValueError(f"not numbers: {' '.join(fields)[:80]}") from None
    if not math.isfinite(index) or int(index) not in names or index != int(index):
        raise ValueError(f"class {fields[0]} has no name; there are {len(names)} ({min(names)}..{max(names)})")
    label = names[int(index)]
    if len(values) == 4:
        x, y, width, height = values
        return {"label": label, "x0": x - width / 2, "y0": y - height / 2, "x1": x + width / 2, "y1": y + height / 2}
    if len(values) >= 6 and len(values) % 2 == 0:
        across, down = values[0::2], values[1::2]
        return {"label": label, "x0": min(across), "y0": min(down), "x1": max(across), "y1": max(down)}
    raise ValueError(f"{len(fields)} values; expected class x y w h, or class and at least three corners")
