"""A dataset folder for FiftyOne: `fiftyone.types.FiftyOneDataset`, in the form without a database's documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.exports.folders import (
    Images,
    boxes_by_image,
    ordered,
    placed,
    readable_labels,
    replaced_folder,
    score_columns,
    upright_size,
    write_json,
)

FLAGS = ("is_group", "is_depiction", "is_inside", "is_occluded", "is_truncated", "exhaustive")


def write_fiftyone(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """A folder with metadata.json, samples.json and data/, for `Dataset.from_dir` with type FiftyOneDataset.

    A sample has image_id, dataset, split, rank, score, why and each score as fields, the split as a tag, and its boxes
    as Detections in `ground_truth`: a detection's label is what the source's label is called; `source_label`,
    `class_name` and the flags are its attributes. Absent values are left out. With `images` "none", file paths are
    absolute.

    Raises:
        DataError: `out` holds other things, an image is gone, or its size is neither known nor readable.

    Source: https://docs.voxel51.com/user_guide/import_datasets.html#fiftyonedataset; metadata.json states no
    "version", by which fiftyone (1.22.1 was tried) tells this older form, which it still reads, from a dump of its
    database, which would have to follow each version's schema.
    """
    chosen, boxes = ordered(chosen, boxes)
    labels = readable_labels(boxes, names)
    with replaced_folder(out, chosen) as folder:
        files = placed(chosen, folder / "data", images)
        if images != "none":
            files = {image_id: f"data/{file}" for image_id, file in files.items()}
        write_json({"samples": fiftyone_samples(chosen, boxes, labels, files)}, folder / "samples.json")
        info = {"made_by": "thresher", "classes": sorted(labels.values())}
        write_json({"media_type": "image", "info": info}, folder / "metadata.json")


def fiftyone_samples(
    chosen: pl.DataFrame, boxes: pl.DataFrame, labels: Mapping[str, str], files: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The samples as FiftyOne's JSON spells them, in the order of `chosen`."""
    held = boxes_by_image(boxes)
    fields = ["image_id", "dataset", "split", "rank", "score", *score_columns(chosen)]
    samples = []
    for row in chosen.iter_rows(named=True):
        width, height = upright_size(row)
        known = {name: row[name] for name in fields if row[name] is not None}
        sample = {
            "filepath": files[row["image_id"]],
            "tags": [row["split"]] if row["split"] else [],
            "metadata": {"_cls": "ImageMetadata", "width": width, "height": height},
            **known,
            "why": row["why_text"],
            "ground_truth": {
                "_cls": "Detections",
                "detections": [_detection(box, labels) for box in held.get(row["image_id"], [])],
            },
        }
        samples.append(sample)
    return samples


def _detection(box: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    x0, y0, x1, y1 = (box[name] for name in ("x0", "y0", "x1", "y1"))
    flags = {name: box[name] for name in FLAGS if box[name] is not None}
    if box["class"] is not None:
        flags["class_name"] = box["class"]
    return {
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": labels[box["label"]],
        "bounding_box": [x0, y0, x1 - x0, y1 - y0],
        "source_label": box["label"],
        **flags,
    }
