"""The layout of Open Images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from thresher.data.exports.folders import Images, ordered, placed, replaced_folder

OPEN_IMAGES_FLAGS = {
    "IsOccluded": "is_occluded",
    "IsTruncated": "is_truncated",
    "IsGroupOf": "is_group",
    "IsDepiction": "is_depiction",
    "IsInside": "is_inside",
}


def write_open_images(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """A folder with train-annotations-bbox.csv, class-descriptions-boxable.csv and images/, for `readers.open_images`.

    The layout has no place for paths: with `images` "none" it is complete once the images are put into images/.

    Raises:
        DataError: `out` holds other things, or an image is gone.

    Source: https://storage.googleapis.com/openimages/web/download_v7.html, "Boxes": flags are 1, 0, and -1 for unknown.
    """
    chosen, boxes = ordered(chosen, boxes)
    corners = {"XMin": "x0", "XMax": "x1", "YMin": "y0", "YMax": "y1"}
    table = boxes.select(
        pl.col("image_id").alias("ImageID"),
        pl.lit("thresher").alias("Source"),
        pl.col("label").alias("LabelName"),
        pl.lit(1).alias("Confidence"),
        *(pl.col(column).cast(pl.Float64).round(9).alias(name) for name, column in corners.items()),
        *(pl.col(column).cast(pl.Int8).fill_null(-1).alias(name) for name, column in OPEN_IMAGES_FLAGS.items()),
    )
    labels = sorted(boxes["label"].unique())
    described = pl.DataFrame({"LabelName": labels, "DisplayName": [names.get(label) or label for label in labels]})
    with replaced_folder(out, chosen) as folder:
        placed(chosen, folder / "images", images)
        table.write_csv(folder / "train-annotations-bbox.csv", float_scientific=False)
        described.write_csv(folder / "class-descriptions-boxable.csv")
