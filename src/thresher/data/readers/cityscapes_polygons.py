"""Cityscapes as a weak set: frames with the boxes around the polygons of their things, and no masks.

Source: https://github.com/mcordts/cityscapesScripts, annotation.py (the JSON) and labels.py (which classes have
instances; a label that ends in "group" is a crowd of inseparable instances).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from thresher.data.boxes import clean_boxes
from thresher.data.dataset import Dataset, images_table, problem, qualified_id
from thresher.data.readers.cityscapes import frames_of
from thresher.tables import BOXES, PROBLEMS, from_rows

#: Classes of which a polygon is one thing: those with instances, and lights and signs, which are outlined one by one.
THINGS = frozenset(
    {
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "caravan",
        "trailer",
        "train",
        "motorcycle",
        "bicycle",
        "traffic light",
        "traffic sign",
    }
)
_GROUP = "group"


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Frames and the boxes of their things, from `gtCoarse` where there is a file, else from `gtFine`.

    Ids are those of the reader `cityscapes`. Frames without a polygon file stay, and are listed. Whether everything in
    a coarse annotation is outlined is not known.

    Raises:
        DataError: no `leftImg8bit` folder, no such split, or no image.
    """
    entries = frames_of(root, split)
    images, problems = images_table(entries, dataset)
    kept = set(images["image_id"])
    rows: list[dict[str, object]] = []
    for source_id, path, *_ in entries:
        image_id = qualified_id(dataset, source_id)
        if image_id not in kept:
            continue
        kept.remove(image_id)
        file = _polygon_file(root, source_id)
        if file is None:
            problems.append(problem("annotation_missing", "no polygons.json file", image_id, path))
            continue
        try:
            rows += [{"image_id": image_id, **box} for box in _boxes(json.loads(file.read_text("utf-8")))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            detail = (
                f"{file}: {type(error).__name__}: {error}; expected imgWidth, imgHeight and objects with label and "
            )
            problems.append(problem("annotation_malformed", f"{detail}polygon", image_id, path))
    boxes, bad_boxes = clean_boxes(from_rows(rows, BOXES), images)
    return Dataset(images, boxes, problems=from_rows(problems, PROBLEMS).vstack(bad_boxes)).checked(str(root))


def _polygon_file(root: Path, source_id: str) -> Path | None:
    files = (root / folder / f"{source_id}_{folder}_polygons.json" for folder in ("gtCoarse", "gtFine"))
    return next((file for file in files if file.is_file()), None)


def _boxes(content: dict[str, Any]) -> list[dict[str, object]]:
    """A box around each outline; corners are of pixels, whose own width belongs to the box."""
    width, height = int(content["imgWidth"]), int(content["imgHeight"])
    found: list[dict[str, object]] = []
    for thing in content["objects"]:
        label = str(thing["label"])
        single = label.removesuffix(_GROUP)
        if single not in THINGS or thing.get("deleted", 0):
            continue
        across, down = ([float(point[axis]) for point in thing["polygon"]] for axis in (0, 1))
        found.append(
            {
                "label": single,
                "x0": max(0.0, min(across)) / width,
                "y0": max(0.0, min(down)) / height,
                "x1": min(max(across) + 1, width) / width,
                "y1": min(max(down) + 1, height) / height,
                "is_group": label != single,
            }
        )
    return found
