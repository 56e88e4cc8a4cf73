"""A folder for LightlyStudio: COCO boxes, by label and by class, and a table of scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from thresher.data.exports.cells import disarmed
from thresher.data.exports.coco import coco_content
from thresher.data.exports.folders import (
    Images,
    ordered,
    placed,
    readable_labels,
    replaced_folder,
    score_columns,
    write_json,
)


def write_lightly(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """A folder with annotations/labels.json, annotations/classes.json, scores.csv and images/.

    LightlyStudio keeps one name of a box, so there are two COCO files of the same images: the boxes by what their
    labels are called, and those that have a class in the taxonomy by that class. It takes no more of an image than its
    file; scores.csv has the rest by `file_name`, to be set as metadata. With `images` "none", file names are absolute.

    Raises:
        DataError: `out` holds other things, an image is gone, or its size is neither known nor readable.

    Source: https://docs.lightly.ai/studio/dataset_setup/image_dataset/
    """
    chosen, boxes = ordered(chosen, boxes)
    labels = readable_labels(boxes, names)
    of_class = boxes.filter(pl.col("class").is_not_null()).with_columns(label=pl.col("class"))
    called = boxes.with_columns(pl.col("label").replace_strict(labels, return_dtype=pl.String))
    with replaced_folder(out, chosen) as folder:
        files = placed(chosen, folder / "images", images)
        for name, table in (("labels", called), ("classes", of_class)):
            write_json(coco_content(chosen, table, {}, files), folder / "annotations" / f"{name}.json")
        disarmed(lightly_scores(chosen, files)).write_csv(folder / "scores.csv")


def lightly_scores(chosen: pl.DataFrame, files: Mapping[str, str]) -> pl.DataFrame:
    """A row per image: file_name, image_id, dataset, split, rank, score, why, and each score that is one number."""
    scores = [name for name in score_columns(chosen) if not isinstance(chosen.schema[name], pl.List)]
    return chosen.select(
        pl.col("image_id").replace_strict(dict(files), return_dtype=pl.String).alias("file_name"),
        *("image_id", "dataset", "split", "rank", "score"),
        pl.col("why_text").alias("why"),
        *scores,
    )
