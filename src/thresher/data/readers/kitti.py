"""KITTI's object detection benchmark: `[training/]image_2/*.png` and `label_2/*.txt`.

Source: KITTI object development kit, readme.txt, "Data Format Description": one object per line, its fields being
type, truncated, occluded, alpha, left, top, right, bottom (pixels, from 0), then seven about the object in space.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from thresher.data.dataset import (
    Dataset,
    Entry,
    annotation_bytes,
    contents,
    existing_folder,
    image_files,
    label_text,
    source_id_of,
    visible,
)
from thresher.data.findings import Findings, Place, Row, absolute
from thresher.data.readers.named_files import home_of
from thresher.errors import DataError

_LINE_FORM = "type, truncated, occluded, alpha, left, top, right, bottom …"


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """Images with their sizes, and their boxes; DontCare regions stay, as boxes of that label.

    `root` holds `image_2`, or `training/image_2`; then `split` may be "testing", without it "training" is read.
    With `images` the images lie in that folder, seen from `root`, and only `label_2` is needed here.
    The id of an image is its name without suffix: `000000`.

    Raises:
        DataError: no `image_2` folder, no image in it, no label file of an image, or most lines cannot be read.
    """
    existing_folder(root, "with image_2")
    home, split = _home(root, split, "image_2" if images is None else "label_2")
    findings = Findings(root, dataset)
    folder = home / "image_2" if images is None else home_of(absolute(root), images)
    photos = findings.images(_entries(folder, split, findings))
    known: dict[str, tuple[str, int, int]] = {
        row[0]: row[1:] for row in photos.select("image_id", "path", "width_px", "height_px").iter_rows()
    }
    unreadable = {row["image_id"] for row in findings.rows if row["problem"] == "image_unreadable"}
    label_files = visible(sorted((home / "label_2").glob("*.txt")), root)
    labelled = {findings.id_of(path.stem): path for path in label_files}
    if label_files and known and labelled.keys().isdisjoint(known):
        raise DataError(
            f"{home / 'label_2'}: none of {len(label_files)} label files has the name of an image (first: "
            f"{label_files[0].name}, {Path(next(iter(known.values()))[0]).name}). Expected NAME.txt for NAME.png."
        )
    there = [(image_id, path) for image_id, path in labelled.items() if image_id in known]

    def file_at(number: int) -> Place:
        image_id, path = there[number]
        return Place(str(path), image_id, known[image_id][0])

    each_file = findings.read(
        "label files", there, _lines, file_at, "text in UTF-8; the image stays, without boxes", "annotation_unreadable"
    )
    rows: list[Row] = []
    for image_id, path, lines in each_file:
        image, width, height = known[image_id]
        where = partial(_line_at, path.name, image_id, image)
        boxes = findings.read("label lines", lines, partial(_box, width=width, height=height), where, _LINE_FORM)
        rows += [{"image_id": image_id, **box} for box in boxes if box is not None]
    for image_id in sorted(labelled.keys() - known.keys() - unreadable):
        findings.note("image_missing", f"no image for {labelled[image_id]}", image_id)
    for image_id in sorted(known.keys() - labelled.keys()) if (home / "label_2").is_dir() else ():
        findings.note("annotation_missing", "no file of that name in label_2", image_id, known[image_id][0])
    return findings.data(photos, rows, unit="left, top, right, bottom in pixels of the image")


def _home(root: Path, split: str | None, needed: str) -> tuple[Path, str | None]:
    candidates = [(root / split, split)] if split else [(root, None), (root / "training", "training")]
    for folder, name in candidates:
        if (folder / needed).is_dir():
            return folder, name
    raise DataError(f"{candidates[-1][0]}: no {needed} folder. Found {contents(root)}; expected [training/]{needed}/.")


def _entries(folder: Path, split: str | None, findings: Findings) -> list[Entry]:
    """The images with their sizes, which the labels do not state; one whose size is unknown is listed."""
    files = image_files(folder)
    if not files:
        raise DataError(f"{folder}: no image files. Found {contents(folder)}.")
    entries: list[Entry] = []
    for path in files:
        source_id = source_id_of(path, folder)
        size = findings.size_of(path, findings.id_of(source_id), 0)
        if size is not None:
            entries.append((source_id, path, split, *size))
    return entries


def _lines(labelled: tuple[str, Path]) -> tuple[str, Path, list[str]]:
    return *labelled, annotation_bytes(labelled[1]).decode("utf-8").splitlines()


def _line_at(file: str, image_id: str, image: str, number: int) -> Place:
    return Place(f"{file} line {number + 1}", image_id, image)


def _box(line: str, width: int, height: int) -> Row | None:
    """The box of one line; None if it is blank."""
    fields = line.split()
    if not fields:
        return None
    truncated, occluded = float(fields[1]), float(fields[2])
    x0, y0, x1, y1 = map(float, fields[4:8])
    return {
        "label": label_text(fields[0]),
        "x0": x0 / width,
        "y0": y0 / height,
        "x1": x1 / width,
        "y1": y1 / height,
        # 0..1 is the hidden share, -1 not known; occluded is 0 not, 1 partly, 2 largely, 3 not known.
        "is_truncated": None if truncated < 0 else truncated > 0,
        "is_occluded": {0.0: False, 1.0: True, 2.0: True}.get(occluded),
    }
