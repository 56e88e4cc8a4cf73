"""How Open Images writes boxes down: label ids, hierarchy, and annotators who are not perfect."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import polars as pl

from thresher.synthetic.canvas import Box, Scene

#: Source: Open Images V7, class-descriptions-boxable.csv, and for the nesting bbox_labels_600_hierarchy.json.
LABEL_IDS = {
    "Vehicle": "/m/07yv9",
    "Land vehicle": "/m/01prls",
    "Car": "/m/0k4j",
    "Truck": "/m/07r04",
    "Bus": "/m/01bjv",
    "Train": "/m/07jdr",
    "Bicycle": "/m/0199g",
    "Motorcycle": "/m/04_sv",
    "Person": "/m/01g317",
    "Man": "/m/04yx4",
    "Woman": "/m/03bt1vf",
    "Boy": "/m/01bl7v",
    "Girl": "/m/05r655",
    "Traffic light": "/m/015qff",
    "Traffic sign": "/m/01mqdt",
    "Street light": "/m/033rq4",
    "Building": "/m/0cgh4",
    "House": "/m/03jm5",
    "Plant": "/m/05s2s",
    "Tree": "/m/07j7r",
    "Houseplant": "/m/03fp41",
    "Flower": "/m/0c9ph5",
    "Furniture": "/m/0c_jw",
    "Chair": "/m/01mzpv",
    "Table": "/m/04bcr3",
    "Couch": "/m/02crq1",
    "Bed": "/m/03ssj5",
    "Bookcase": "/m/03__z0",
    "Lamp": "/m/0dtln",
    "Picture frame": "/m/06z37_",
    "Television": "/m/07c52",
    "Window": "/m/0d4v4",
    "Mug": "/m/02jvh9",
    "Book": "/m/0bt_c3",
    "Vase": "/m/02s195",
    "Ball": "/m/018xm",
    "Apple": "/m/014j1m",
    "Animal": "/m/0jbk",
    "Bird": "/m/015p6",
    "Dog": "/m/0bt9lr",
    "Cat": "/m/01yrx",
    "Sheep": "/m/07bgp",
    "Horse": "/m/03k3r",
    "Cattle": "/m/01xq0k1",
}
ROOT_ID = "/m/0bl9f"  # "Entity"; it has no row in class-descriptions-boxable.csv
#: Which labels hold which; labels that stand in no value here and hold nothing hang from the root.
NESTING: dict[str, tuple[str, ...]] = {
    "Vehicle": ("Land vehicle",),
    "Land vehicle": ("Car", "Truck", "Bus", "Train", "Bicycle", "Motorcycle"),
    "Person": ("Man", "Woman", "Boy", "Girl"),
    "Building": ("House",),
    "Plant": ("Tree", "Houseplant", "Flower"),
    "Furniture": ("Chair", "Table", "Couch", "Bed", "Bookcase"),
    "Animal": ("Bird", "Dog", "Cat", "Sheep", "Horse", "Cattle"),
}
COLUMNS = (
    "ImageID",
    "Source",
    "LabelName",
    "Confidence",
    "XMin",
    "XMax",
    "YMin",
    "YMax",
    "IsOccluded",
    "IsTruncated",
    "IsGroupOf",
    "IsDepiction",
    "IsInside",
)
FLAGS = COLUMNS[8:]

#: How often a label is boxed at all in an image that shows it; labels that are not named here: nearly always.
_BOXED: Mapping[str, float] = {"Tree": 0.7, "Building": 0.4, "Street light": 0.6, "Window": 0.6, "Traffic sign": 0.9}
_SMALLEST_PX = 4
_SLOPPY, _UNKNOWN, _MACHINE, _HASTY = 0.3, 0.05, 0.12, 0.2


def annotation_rows(scene: Scene, image_id: str, rng: np.random.Generator) -> list[dict[str, object]]:
    """The scene's boxes as rows of the CSV: specks and some labels left out, some corners sloppy by 1–2 % of the image.

    Flags are 1, 0 or, where an annotator did not say, −1 (all of them where a machine drew the box).
    """
    height, width = scene.labels.shape
    boxed: dict[str, bool] = {}
    rows = []
    # In Open Images only labels that somebody confirmed for an image are boxed; in hasty images those are few.
    care = 0.4 if rng.random() < _HASTY else 1.0
    for box in scene.boxes:
        if box.label not in boxed:
            boxed[box.label] = rng.random() < care * _BOXED.get(box.label, 0.97)
        if not boxed[box.label] or min((box.x1 - box.x0) * width, (box.y1 - box.y0) * height) < _SMALLEST_PX:
            continue
        machine = rng.random() < _MACHINE
        flags = (box.occluded, box.truncated, box.group, box.depiction, box.inside)
        x0, y0, x1, y1 = _corners(box, rng)
        row: dict[str, object] = {
            "ImageID": image_id,
            "Source": "activemil" if machine else "xclick",
            "LabelName": LABEL_IDS[box.label],
            "Confidence": 1,
            "XMin": x0,
            "XMax": x1,
            "YMin": y0,
            "YMax": y1,
        }
        unsaid = rng.random(2) < _UNKNOWN  # only occluded and truncated are ever left open by people
        for number, (name, flag) in enumerate(zip(FLAGS, flags, strict=True)):
            row[name] = -1 if machine or (number < 2 and unsaid[number]) else int(flag)
        rows.append(row)
    return rows


def _corners(box: Box, rng: np.random.Generator) -> tuple[float, float, float, float]:
    if rng.random() >= _SLOPPY:
        return box.x0, box.y0, box.x1, box.y1
    off = rng.uniform(0.01, 0.02, 4) * np.where(rng.random(4) < 0.5, -1, 1)
    most = np.array([box.x1 - box.x0, box.y1 - box.y0] * 2) / 4  # a small box must not be lost
    corners = np.array([box.x0, box.y0, box.x1, box.y1]) + np.clip(off, -most, most)
    x0, y0, x1, y1 = np.clip(corners, 0.0, 1.0).tolist()
    return x0, y0, x1, y1


def boxes_csv(rows: list[dict[str, object]]) -> bytes:
    """The text of train-annotations-bbox.csv."""
    whole = {name: pl.Int64 for name in ("Confidence", *FLAGS)}
    schema = {name: whole.get(name, pl.Float64 if name[1:] in ("Min", "Max") else pl.String) for name in COLUMNS}
    return pl.DataFrame(rows, schema=schema, orient="row").write_csv(float_precision=6).encode()


def descriptions_csv() -> bytes:
    """The text of class-descriptions-boxable.csv for the labels that are used: id, name; no header."""
    return "".join(
        f"{label_id},{name}\n" for name, label_id in sorted(LABEL_IDS.items(), key=lambda pair: pair[1])
    ).encode()


def hierarchy_json() -> bytes:
    """The text of bbox_labels_600_hierarchy.json for the labels that are used."""
    held = {name for names in NESTING.values() for name in names}
    tops = [_node(name) for name in LABEL_IDS if name not in held]
    return json.dumps({"LabelName": ROOT_ID, "Subcategory": tops}, indent=2).encode()


def _node(name: str) -> dict[str, object]:
    node: dict[str, object] = {"LabelName": LABEL_IDS[name]}
    if name in NESTING:
        node["Subcategory"] = [_node(inner) for inner in NESTING[name]]
    return node
