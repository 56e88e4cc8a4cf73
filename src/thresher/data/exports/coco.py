"""COCO annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from thresher.data.exports.folders import (
    Images,
    ordered,
    placed,
    replaced_folder,
    upright_size,
    write_json,
)

#: Attributes of a COCO annotation as `readers.coco` understands them, and their columns.
ATTRIBUTES = {
    "occluded": "is_occluded",
    "truncated": "is_truncated",
    "depiction": "is_depiction",
    "inside": "is_inside",
}


def write_coco(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """A folder with annotations/instances_selection.json and images/, which `readers.coco` reads back.

    Images carry "thresher_id", "rank" and "score"; a category is a label, its supercategory the class. With `images`
    "none", file names are absolute paths.

    Raises:
        DataError: `out` holds other things, an image is gone, or its size is neither known nor readable.

    Source: https://cocodataset.org/#format-data
    """
    chosen, boxes = ordered(chosen, boxes)
    with replaced_folder(out, chosen) as folder:
        files = placed(chosen, folder / "images", images)
        write_json(coco_content(chosen, boxes, names, files), folder / "annotations" / "instances_selection.json")


def coco_content(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], files: dict[str, str]
) -> dict[str, object]:
    """The content of a COCO file of boxes, as JSON values; ids count from 1 in the order of rank."""
    entries: list[dict[str, object]] = []
    image_of: dict[str, tuple[int, int, int]] = {}
    for number, row in enumerate(chosen.iter_rows(named=True), start=1):
        width, height = upright_size(row)
        image_of[row["image_id"]] = (number, width, height)
        entry = {"id": number, "file_name": files[row["image_id"]], "width": width, "height": height}
        entries.append({**entry, "thresher_id": row["image_id"], "rank": row["rank"], "score": row["score"]})
    classes = boxes.group_by("label").agg(pl.col("class").drop_nulls().min()).sort("label")
    categories = [
        {"id": number, "name": label, "supercategory": group or "none", "display_name": names.get(label) or label}
        for number, (label, group) in enumerate(classes.iter_rows(), start=1)
    ]
    category_of = {category["name"]: category["id"] for category in categories}
    annotations = [
        {"id": number, "category_id": category_of[row["label"]], **_annotation(row, *image_of[row["image_id"]])}
        for number, row in enumerate(boxes.iter_rows(named=True), start=1)
    ]
    info = {"description": "Images chosen by thresher, best first"}
    return {"info": info, "images": entries, "annotations": annotations, "categories": categories}


def _annotation(box: dict[str, object], image: int, width: int, height: int) -> dict[str, object]:
    x0, y0, x1, y1 = (float(str(box[name])) for name in ("x0", "y0", "x1", "y1"))
    across, down = (x1 - x0) * width, (y1 - y0) * height
    attributes = {name: box[column] for name, column in ATTRIBUTES.items() if box[column] is not None}
    if box["is_group"] is None:
        attributes["group"] = None  # iscrowd is 0 or 1 to every tool and cannot say "unknown"
    return {
        "image_id": image,
        "bbox": [round(value, 4) for value in (x0 * width, y0 * height, across, down)],
        "area": round(across * down, 4),
        "iscrowd": int(bool(box["is_group"])),
        "attributes": attributes,
    }
