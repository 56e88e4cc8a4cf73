"""Lists of the chosen images: CSV, text and Parquet, without boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from thresher.data.exports.cells import disarmed
from thresher.data.exports.folders import Images, free_file
from thresher.data.exports.names import refuse_unwritable
from thresher.files import replacing

LIST_COLUMNS = ("image_id", "rank", "score", "path", "dataset", "split", "width_px", "height_px")


def write_csv(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """One CSV with a row per image: image_id, rank, score, path, dataset, split, width_px, height_px, why.

    A text that a spreadsheet would take for a formula stands behind an apostrophe (`cells.disarmed`).
    """
    with replacing(free_file(out)) as file:
        disarmed(_listed(chosen)).write_csv(file)


def write_txt(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """One text file with the absolute path of an image per line, best first.

    Of images that are not on disk yet each line is what a downloader takes (column `address`): SPLIT/ID of Open Images,
    as its own downloader does, or else an address.

    Raises:
        DataError: a path holds a line break, or `out` is a folder.
    """
    ordered = chosen.sort("rank")
    lines = ordered["address"] if "address" in chosen.columns else ordered["path"]
    refuse_unwritable(lines, "txt")
    with replacing(free_file(out)) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def write_parquet(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """One Parquet file with the columns of the CSV, typed."""
    with replacing(free_file(out)) as file:
        _listed(chosen).write_parquet(file, compression="zstd")


def _listed(chosen: pl.DataFrame) -> pl.DataFrame:
    return chosen.sort("rank").select(*LIST_COLUMNS, pl.col("why_text").alias("why"))
