"""COCO: a JSON file per split with images, annotations and categories; Roboflow's and our own variants of it.

Source: https://cocodataset.org/#format-data: bbox is [x, y, width, height] in pixels, from 0 at the top left.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from thresher.data.boxes import clean_boxes
from thresher.data.dataset import (
    IMAGE_SUFFIXES,
    Dataset,
    existing_folder,
    images_table,
    problem,
    qualified_id,
    size_px,
    source_id_of,
)
from thresher.data.readers import coco_json
from thresher.data.readers.coco_json import File, Json
from thresher.errors import DataError
from thresher.tables import BOXES, PROBLEMS, from_rows

FLAGS = {"occluded": "is_occluded", "truncated": "is_truncated", "depiction": "is_depiction", "inside": "is_inside"}

Row = dict[str, object]
Entry = tuple[str, Path, str | None, int | None, int | None]


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Images with the sizes that the JSON states, and their boxes; iscrowd becomes is_group.

    `split` picks `annotations/instances_SPLIT.json`, or the JSON in the folder SPLIT. The id of an image is its path
    below `root` without suffix, `train/Clases0000`, or its "thresher_id", which our own exports carry.
    Image files that no annotation file names are kept, and listed as `annotation_missing`.

    Raises:
        DataError: no JSON of this form, no such split, broken JSON, or none of its images is on disk.
    """
    root = Path(os.path.abspath(existing_folder(root, "with annotations/*.json and images")))
    files = coco_json.files(root, split)
    entries: list[Entry] = []
    problems: list[Row] = []
    paths_of: list[dict[object, Path | None]] = []
    for file in files:
        taken = {path for _, path, *_ in entries}
        found, paths, bad = _named(file, root, dataset, taken)
        entries += found
        paths_of.append(paths)
        problems += bad
    if not entries:
        raise _none_on_disk(files, root)
    only = split if len(coco_json.paths(root)) > 1 else None
    named = {str(path) for paths in paths_of for path in paths.values()} | {str(row["path"]) for row in problems}
    unnamed = _unnamed(entries, named, root, only)
    images, left_out = images_table(entries + unnamed, dataset)
    problems += left_out
    problems += [
        problem("annotation_missing", "no JSON names this image", qualified_id(dataset, source_id), path)
        for source_id, path, *_ in unnamed
    ]
    known = {row[0]: row[1:] for row in images.select("path", "image_id", "width_px", "height_px").iter_rows()}
    rows: list[Row] = []
    for file, paths in zip(files, paths_of, strict=True):
        found_rows, bad = _boxes(file, paths, known)
        rows += found_rows
        problems += bad
    boxes, bad_boxes = clean_boxes(from_rows(rows, BOXES), images)
    return Dataset(images, boxes, problems=from_rows(problems, PROBLEMS).vstack(bad_boxes)).checked(str(root))


def _named(
    file: File, root: Path, dataset: str, taken: set[Path]
) -> tuple[list[Entry], dict[object, Path | None], list[Row]]:
    """The images in a file, and the path of each by its number; None if a problem row lists the image."""
    boxes_of = Counter(each.get("image_id") for each in file.annotations)
    entries: list[Entry] = []
    paths: dict[object, Path | None] = {}
    problems: list[Row] = []
    for image in file.images:
        name = str(image.get("file_name") or "").replace("\\", "/")
        path = _located(name, file, root)
        source_id = str(image.get("thresher_id") or _source_id(path or Path(name), root))
        image_id = qualified_id(dataset, source_id)
        left_out = f"{boxes_of[image.get('id')]} boxes were left out with it"
        paths[image.get("id")] = None
        if path is None:
            problems.append(problem("image_missing", f"{file.path.name} names '{name}'; {left_out}", image_id))
            continue
        if path in taken:
            detail = f"another JSON names it too; {left_out} of {file.path.name}"
            problems.append(problem("duplicate_id", detail, image_id, path))
            continue
        try:
            width, height = _stated_size(image) or size_px(path)
        except DataError as error:
            problems.append(problem("image_unreadable", f"{error}; {left_out}", image_id, path))
            continue
        entries.append((source_id, path, file.split, width, height))
        paths[image.get("id")] = path
    return entries, paths, problems


def _located(name: str, file: File, root: Path) -> Path | None:
    if not name:
        return None
    split = [root / file.split, root / "images" / file.split] if file.split else []
    for folder in (*split, root / "images", root, file.path.parent):
        path = Path(os.path.normpath(folder / name))  # an absolute name stands for itself
        if path.is_file():
            return path
    return None


def _source_id(path: Path, root: Path) -> str:
    if path.is_relative_to(root):
        return source_id_of(path, root)
    return "/".join(part for part in Path(os.path.splitext(path)[0]).parts if part not in ("/", ".."))


def _stated_size(image: Json) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if isinstance(width, int | float) and isinstance(height, int | float) and width >= 1 and height >= 1:
        return int(width), int(height)
    return None


def _unnamed(entries: list[Entry], named: set[str], root: Path, only: str | None) -> list[Entry]:
    """Image files in the folders of the named ones; if `only` is given, in folders of that split."""
    split_of = {path.parent: split for _, path, split, *_ in reversed(entries)}
    folders = [folder for folder in split_of if folder.is_relative_to(root)]
    found: list[Entry] = []
    for folder in sorted(folders):
        if only is not None and only not in folder.relative_to(root).parts:
            continue
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and str(path) not in named:
                found.append((source_id_of(path, root), path, split_of[folder], None, None))
    return found


def _boxes(
    file: File, paths: dict[object, Path | None], known: dict[str, tuple[str, int, int]]
) -> tuple[list[Row], list[Row]]:
    rows: list[Row] = []
    problems: list[Row] = []
    left_out: Counter[Path] = Counter()
    for annotation in file.annotations:
        if annotation.get("image_id") not in paths:
            detail = f"annotation {annotation.get('id')}: no image has the id {annotation.get('image_id')}"
            problems.append(problem("annotation_malformed", detail, path=file.path))
            continue
        path = paths[annotation["image_id"]]
        if path is None:
            continue
        if str(path) not in known:
            left_out[path] += 1
            continue
        image_id, width, height = known[str(path)]
        try:
            rows.append({"image_id": image_id, **_box(annotation, file.labels, width, height)})
        except ValueError as error:
            problems.append(
                problem("annotation_malformed", f"annotation {annotation.get('id')}: {error}", image_id, path)
            )
    problems += [
        problem("box_without_image", f"{count} boxes belong to this file, which was left out", path=path)
        for path, count in left_out.items()
    ]
    return rows, problems


def _box(annotation: Json, labels: dict[object, str], width: int, height: int) -> Row:
    if annotation.get("category_id") not in labels:
        raise ValueError(f"no category has the id {annotation.get('category_id')}")
    try:
        x, y, across, down = (float(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"bbox is {annotation.get('bbox')}; expected [x, y, width, height]") from None
    attributes = annotation.get("attributes") or {}
    # iscrowd cannot be "unknown", so our exports put that in the attributes.
    group = attributes.get("group") if "group" in attributes else annotation.get("iscrowd")
    return {
        "label": labels[annotation["category_id"]],
        "x0": x / width,
        "y0": y / height,
        "x1": (x + across) / width,
        "y1": (y + down) / height,
        "is_group": None if group is None else bool(group),
        **{column: _flag(attributes.get(name)) for name, column in FLAGS.items()},
    }


def _flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, bool | int) else None


def _none_on_disk(files: list[File], root: Path) -> DataError:
    named = [image for file in files for image in file.images]
    first = named[0].get("file_name") if named else None
    wanted = f"{files[0].split}/, images/ or beside the JSON" if files[0].split else "images/ or beside the JSON"
    return DataError(
        f"{root}: none of the {len(named)} images that {files[0].path.name} names is on disk (first: {first}). "
        f"Expected them in {wanted}."
    )
