"""COCO: a JSON file per split with images, annotations and categories; variants of it by Roboflow, VGG, FiftyOne, LVIS.

Source: https://cocodataset.org/#format-data: bbox is [x, y, width, height] in pixels, from 0 at the top left.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.dataset import (
    IMAGE_SUFFIXES,
    Dataset,
    Entry,
    Outlined,
    existing_folder,
    stated_px,
)
from thresher.data.faults import shown
from thresher.data.findings import Findings, Place, Row, absolute
from thresher.data.readers import coco_json
from thresher.data.readers.coco_boxes import Named, boxes_of_file
from thresher.data.readers.coco_json import File, Json, Key, key
from thresher.data.readers.named_files import home_of
from thresher.errors import DataError
from thresher.tables import REMOTE, from_rows


@coco_json.uncollected()
def read(root: Path, split: str | None, dataset: str, images: str | None = None, later: bool = False) -> Dataset:
    """Images with the sizes that the JSON states, and their boxes; iscrowd becomes is_group.

    `split` picks `annotations/instances_SPLIT.json`, or the JSON in the folder SPLIT. The id of an image is its path
    below `root` without suffix, `train/Clases0000`, or its "thresher_id", which our own exports carry.
    Image files that no annotation file names are kept, and listed as `annotation_missing`. Ids that are numbers in one
    place and the same numbers as text in another are one. An annotation without bbox has the box around its polygons.

    Args:
        images: The folder of the images, seen from `root`, if it is another.
        later: An image that is not on disk is one, too, if its entry states size and address (coco_url, flickr_url).

    Raises:
        DataError: no JSON of this form, no such split, broken JSON, none of its images is on disk, or most of it
            cannot be read.
    """
    root = absolute(existing_folder(root, "with annotations/*.json and images"))
    findings = Findings(root, dataset)
    if images is not None:
        findings.home = home_of(root, images)
    files = coco_json.files(root, split, findings)
    entries: list[Entry] = []
    named: list[Named] = []
    remote: list[Row] = []
    for file in files:
        taken = {str(path) for _, path, *_ in entries}
        found, images_of = _images(file, root, findings, taken, remote if later else None)
        entries += found
        named.append(images_of)
    if not entries:
        findings.judge()
        raise _none_on_disk(files, root)
    only = split if len(coco_json.paths(root)) > 1 else None
    known_paths = {path for _, path, *_ in entries} | {row["path"] for row in findings.rows}
    unnamed = _unnamed(entries, known_paths, findings.home, only)
    table = findings.images(entries + unnamed)
    for source_id, path, *_ in unnamed:
        findings.note("annotation_missing", "no JSON names this image", findings.id_of(source_id), path)
    known = {row[0]: row[1:] for row in table.select("path", "image_id", "width_px", "height_px").iter_rows()}
    boxes: list[pl.DataFrame] = []
    things: dict[str, list[tuple[str | None, Any]]] = {}
    for file, images_of in zip(files, named, strict=True):
        boxes += boxes_of_file(file, images_of, known, findings, things)
    tags = [
        tag for file, images_of in zip(files, named, strict=True) for tag in _absent(file, images_of, known, findings)
    ]
    outlined = [
        Outlined(known[path][0], path, known[path][1:], shapes)
        for path, shapes in things.items()
        if any(label is not None for label, _ in shapes)
    ]
    unit, absent = "bbox [x, y, width, height] in pixels of the image", from_rows(remote, REMOTE)
    return findings.data(table, pl.concat(boxes).lazy(), unit=unit, drawings=outlined, remote=absent, tags=tags)


def _images(
    file: File, root: Path, findings: Findings, taken: set[str], remote: list[Row] | None
) -> tuple[list[Entry], Named]:
    """The images in a file that are on disk and of known size, and the path of each by its id.

    Args:
        remote: Not None: also images that are not on disk; their addresses are added.
    """
    boxes_of = Counter(file.owners)
    split = [root / file.split, root / "images" / file.split] if file.split else []
    split += [findings.home] if findings.home != root else []
    folders = [
        str(folder) for folder in (*split[::-1], root / "images", root, file.path.parent, file.path.parent / "data")
    ]
    folders = [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112 - as below
    entries: list[Entry] = []
    named = Named()
    where = partial(_place, f"{file.path.name}: image")
    parse = partial(_entry, folders=folders, root=str(findings.home), split=file.split, later=remote is not None)
    for number, name, path, source_id, size, urls in findings.read(
        "image entries", file.images, parse, where, "an object with id, file_name"
    ):
        image_id, boxes = findings.id_of(source_id), boxes_of[number]
        names = named.names.setdefault(number, [])
        if name not in names:
            names.append(name)
        named.paths.setdefault(number, None)
        if path is None:
            detail = f"{file.path.name} names '{name}'; {boxes} boxes were left out with it"
            findings.note("image_missing", detail, image_id)
        elif path in taken:
            detail = f"another JSON names it too; {boxes} boxes were left out with it of {file.path.name}"
            findings.note("duplicate_id", detail, image_id, path)
        elif size := size or findings.size_of(path, image_id, boxes):
            entries.append((source_id, path, file.split, *size))
            named.paths[number] = path
            if remote is not None:
                remote += [{"image_id": image_id, "url": url, "original": False} for url in urls]
    return entries, named


def _entry(
    image: Json, folders: list[str], root: str, split: str | None, later: bool
) -> tuple[Key, str, str | None, str, tuple[int, int] | None, list[str]]:
    """The id of an image, its name, its file, its id in this source, the size stated, and where to download it."""
    names, size = _names(image), stated_px(image.get("width"), image.get("height"))
    path = next((path for name in names if (path := _located(name, folders)) is not None), None)
    urls = addresses(image) if later and path is None and size is not None else []
    if urls:
        path = _place_for(names[0], root, split)
    own = image.get("thresher_id")
    source_id = own if isinstance(own, str) and own else _source_id(path or names[0], root)
    return key(image["id"]), names[0], path, source_id, size, urls if path else []


def _place_for(name: str, root: str, split: str | None) -> str | None:
    """Where an image that is yet to be downloaded will be found; None where the name leads out of the root."""
    folder = root if "/" in name else os.path.join(root, split or "images")
    path = os.path.normpath(os.path.join(folder, name))
    inside = path.startswith(f"{root}/") and os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES
    return path if inside and "\0" not in path else None


def addresses(image: Json) -> list[str]:
    """The addresses of an image: of the data set's own copy, then of Flickr's.

    >>> addresses({"flickr_url": "http://f.org/1.jpg", "coco_url": "http://c.org/1.jpg"})
    ['http://c.org/1.jpg', 'http://f.org/1.jpg']
    """
    found = (image.get(key) for key in ("coco_url", "url", "flickr_url"))
    return [url for url in found if isinstance(url, str) and url.startswith(("http://", "https://"))]


def _names(image: Json) -> list[str]:
    """What the file may be called: file_name, or the end of the address that LVIS gives in its place."""
    name = image.get("file_name")
    if isinstance(name, str) and name:
        return [name.replace("\\", "/")]
    address = image.get("coco_url")
    if isinstance(address, str):
        return ["/".join(address.split("/")[-parts:]) for parts in (2, 1)]
    return [""]


def _located(name: str, folders: list[str]) -> str | None:
    plain = "/" not in name and name not in (".", "..")
    for folder in folders if name else ():
        # An absolute name stands for itself.
        path = f"{folder}/{name}" if plain else os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(path):  # noqa: PTH113 - a Path for each try would take most of the time
            return path
    return None


def _source_id(path: str, root: str) -> str:
    """The path below `root` without its suffix; of a path elsewhere, all of it that is no way up."""
    stem, suffix = os.path.splitext(path)
    if path.startswith(f"{root}/"):
        return (stem if len(suffix) > 1 else path)[len(root) + 1 :]
    return "/".join(part for part in Path(stem).parts if part not in ("/", ".."))


def _unnamed(entries: list[Entry], named: set[Any], root: Path, only: str | None) -> list[Entry]:
    """Image files in the folders of the named ones; if `only` is given, in folders of that split."""
    split_of = {os.path.dirname(path): split for _, path, split, *_ in reversed(entries)}  # noqa: PTH120 - as above
    found: list[Entry] = []
    for folder in sorted(map(Path, split_of)):
        if not folder.is_relative_to(root) or (only is not None and only not in folder.relative_to(root).parts):
            continue
        for name in sorted(os.listdir(folder) if folder.is_dir() else ()):
            path = f"{folder}/{name}"
            if path not in named and name[0] != "." and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                found.append((_source_id(path, str(root)), Path(path), split_of[str(folder)], None, None))
    return found


def _absent(file: File, images: Named, known: Mapping[str, tuple[str, int, int]], findings: Findings) -> Iterator[Row]:
    """What LVIS says is not to be seen in an image (neg_category_ids)."""

    def absent_in(image: Json) -> list[Row]:
        path = images.paths.get(key(image["id"]))
        labels = [file.labels[each] for each in map(key, image["neg_category_ids"]) if each in file.labels]
        if path is None or path not in known:
            return []
        return [{"image_id": known[path][0], "label": label, "objects": 0} for label in labels]

    told = [n for n, image in enumerate(file.images) if isinstance(image, dict) and image.get("neg_category_ids")]
    found = findings.read(
        "lists of absent classes",
        (file.images[number] for number in told),
        absent_in,
        lambda number: _place(f"{file.path.name}: image", told[number]),
        "neg_category_ids, a list of ids of categories",
    )
    yield from chain.from_iterable(found)


def _place(what: str, number: int) -> Place:
    return Place(f"{what} {number}")


def _none_on_disk(files: list[File], root: Path) -> DataError:
    named = [image for file in files for image in file.images]
    first = named[0].get("file_name") if named and isinstance(named[0], dict) else None
    wanted = f"{files[0].split}/, images/ or beside the JSON" if files[0].split else "images/ or beside the JSON"
    return DataError(
        f"{root}: none of the {len(named)} images that {files[0].path.name} names is on disk (first: {shown(first)}). "
        f"Expected them in {wanted}; say where else they lie by --images FOLDER."
    )
