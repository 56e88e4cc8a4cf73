"""A Parquet file for embedding-atlas: chosen images, and the rest of the pool if wanted, with vectors and a map."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from thresher.data.exports.folders import (
    Images,
    free_file,
    ordered,
    readable_labels,
    score_columns,
)
from thresher.data.images import rgb_image
from thresher.files import replacing

#: Thumbnails beside the map: long side in pixels, and JPEG quality.
THUMBNAIL_PX, THUMBNAIL_QUALITY = 256, 85
CORNERS = ("x0", "y0", "x1", "y1")


def write_atlas(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """One Parquet file with a row per image: for `embedding-atlas OUT --vector vector`.

    Columns: image_id, dataset, split, path, selected, rank, score, why, each score, labels (what is in it, in words),
    boxes (label, name, class, corners as shares); where `chosen` has them, `vector`, and `projection_x` and
    `projection_y`, null where the map does not place the image. Rows without a rank were not chosen. `images` "copy"
    puts a small JPEG of each into `image`; "link" and "none" only name the paths.

    Raises:
        DataError: `out` is a folder, or an image to be copied is gone or broken.

    Source: https://apple.github.io/embedding-atlas/tool.html
    """
    out = free_file(out)
    chosen, boxes = ordered(chosen, boxes)
    table = atlas_table(chosen, boxes, readable_labels(boxes, names))
    if images == "copy":
        pictures = [{"bytes": _thumbnail(Path(path)), "path": None} for path in table["path"]]
        kind = pl.Struct({"bytes": pl.Binary, "path": pl.String})
        table = table.with_columns(image=pl.Series(pictures, dtype=kind))
    with replacing(out) as file:
        table.write_parquet(file, compression="zstd")


def atlas_table(chosen: pl.DataFrame, boxes: pl.DataFrame, labels: Mapping[str, str]) -> pl.DataFrame:
    """The table without pictures, in the order of `chosen`."""
    known = boxes.with_columns(name=pl.col("label").replace_strict(dict(labels), return_dtype=pl.String))
    held = known.group_by("image_id").agg(
        pl.col("name").unique().sort().str.join(", ").alias("labels"),
        pl.struct("label", "name", "class", *CORNERS).alias("boxes"),
    )
    placed = [name for name in ("projection_x", "projection_y", "vector") if name in chosen.columns]
    return chosen.join(held, on="image_id", how="left", maintain_order="left").select(
        *("image_id", "dataset", "split", "path"),
        pl.col("rank").is_not_null().alias("selected"),
        *("rank", "score"),
        pl.col("why_text").alias("why"),
        *score_columns(chosen),
        *("labels", "boxes", *placed),
    )


def _thumbnail(path: Path) -> bytes:
    picture = rgb_image(path)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=THUMBNAIL_QUALITY)
    return content.getvalue()
