"""KITTI's object detection benchmark: `[training/]image_2/*.png` and `label_2/*.txt`.

Source: KITTI object development kit, readme.txt, "Data Format Description": one object per line, its fields being
type, truncated, occluded, alpha, left, top, right, bottom (pixels, from 0), then seven about the object in space.
"""

from __future__ import annotations

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
    size_px,
    source_id_of,
)
from thresher.errors import DataError
from thresher.tables import BOXES, PROBLEMS, from_rows

Entry = tuple[str, Path, str | None, int | None, int | None]


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Images with their sizes, and their boxes; DontCare regions stay, as boxes of that label.

    `root` holds `image_2`, or `training/image_2`; then `split` may be "testing", without it "training" is read.
    The id of an image is its name without suffix: `000000`.

    Raises:
        DataError: no `image_2` folder, or no image in it.
    """
    existing_folder(root, "with image_2")
    home, split = _home(root, split)
    entries, problems = _entries(home / "image_2", split, dataset)
    images, left_out = images_table(entries, dataset)
    problems += left_out
    sizes = {row[0]: row[1:] for row in images.select("image_id", "width_px", "height_px").iter_rows()}
    unreadable = {row["image_id"] for row in problems if row["problem"] == "image_unreadable"}
    rows: list[dict[str, object]] = []
    labelled = set()
    for path in sorted((home / "label_2").glob("*.txt")):
        image_id = qualified_id(dataset, path.stem)
        if image_id in sizes:
            labelled.add(image_id)
            found, bad = _boxes(path, image_id, *sizes[image_id])
            rows += found
            problems += bad
        elif image_id not in unreadable:
            problems.append(problem("image_missing", f"no image for {path}", image_id))
    if (home / "label_2").is_dir():
        problems += [
            problem("annotation_missing", "no file of that name in label_2", image_id, path)
            for image_id, path in images.select("image_id", "path").iter_rows()
            if image_id not in labelled
        ]
    boxes, bad_boxes = clean_boxes(from_rows(rows, BOXES), images)
    return Dataset(images, boxes, problems=from_rows(problems, PROBLEMS).vstack(bad_boxes)).checked(str(root))


def _home(root: Path, split: str | None) -> tuple[Path, str | None]:
    candidates = [(root / split, split)] if split else [(root, None), (root / "training", "training")]
    for folder, name in candidates:
        if (folder / "image_2").is_dir():
            return folder, name
    raise DataError(f"{candidates[-1][0]}: no image_2 folder. Found {contents(root)}; expected [training/]image_2/.")


def _entries(folder: Path, split: str | None, dataset: str) -> tuple[list[Entry], list[dict[str, object]]]:
    """The images with their sizes, which the labels do not state, and a problem for each whose size is unknown."""
    entries: list[Entry] = []
    problems: list[dict[str, object]] = []
    files = image_files(folder)
    if not files:
        raise DataError(f"{folder}: no image files. Found {contents(folder)}.")
    for path in files:
        source_id = source_id_of(path, folder)
        try:
            width, height = size_px(path)
        except DataError as error:
            detail = f"{error}; its boxes were left out"
            problems.append(problem("image_unreadable", detail, qualified_id(dataset, source_id), path))
        else:
            entries.append((source_id, path, split, width, height))
    return entries, problems


def _boxes(
    path: Path, image_id: str, width: int, height: int
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [], [
            problem("annotation_unreadable", f"{path}: {error}; the image stays, without boxes", image_id, path)
        ]
    rows: list[dict[str, object]] = []
    problems: list[dict[str, object]] = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            truncated, occluded = float(fields[1]), float(fields[2])
            x0, y0, x1, y1 = (float(field) for field in fields[4:8])
        except (ValueError, IndexError):
            detail = (
                f"line {number}: expected type, truncated, occluded, alpha, left, top, right, bottom …; found {line!r}"
            )
            problems.append(problem("annotation_malformed", detail, image_id, path))
            continue
        rows.append(
            {
                "image_id": image_id,
                "label": fields[0],
                "x0": x0 / width,
                "y0": y0 / height,
                "x1": x1 / width,
                "y1": y1 / height,
                # 0..1 is the hidden share, -1 not known; occluded is 0 not, 1 partly, 2 largely, 3 not known.
                "is_truncated": None if truncated < 0 else truncated > 0,
                "is_occluded": {0.0: False, 1.0: True, 2.0: True}.get(occluded),
            }
        )
    return rows, problems
