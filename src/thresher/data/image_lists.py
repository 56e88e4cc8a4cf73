"""Lists of images that people have: ids, file names or paths, in text, CSV, Parquet or a COCO file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from thresher.data.faults import listed
from thresher.data.readers.parquet_columns import refuse_damaged
from thresher.errors import DataError

#: The files that are read as lists.
LIST_SUFFIXES = (".txt", ".csv", ".parquet", ".json")
_FORMS = "an id, path or file name of an image per line (.txt), in column image_id or the first (.csv, .parquet)"


@dataclass(frozen=True)
class Matched:
    """Which images of the pool a list names."""

    image_ids: list[str]
    """Sorted; each once."""
    unknown: list[str]
    """What names no image of the pool, as written."""


def listed_images(path: Path) -> list[tuple[str, ...]]:
    """What a list says of each image: its names, of which the first that is known counts.

    Args:
        path: A .txt file with a name per line; .csv or .parquet with names in column image_id or else the first; or
            a COCO .json, whose images have a file_name and an id.

    Raises:
        DataError: no such file, or no such form.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Expected {_FORMS}, or a COCO .json.")
    try:
        if path.suffix == ".json":
            return _of_coco(path)
        if path.suffix == ".txt":
            return [(line.strip(),) for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        names = _parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (OSError, UnicodeDecodeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).partition(chr(10))[0]}). Expected {_FORMS}.") from error
    if not names.width:
        raise DataError(f"{path}: no column. Expected {_FORMS}.")
    column = names["image_id" if "image_id" in names.columns else names.columns[0]]
    if column.dtype != pl.String and not column.dtype.is_integer():
        raise DataError(f"{path}: column '{column.name}' is {column.dtype}. Expected {_FORMS}.")
    return [(name,) for name in column.cast(pl.String).drop_nulls()]


def _parquet(path: Path) -> pl.DataFrame:
    refuse_damaged(path)
    return pl.read_parquet(path)


def _of_coco(path: Path) -> list[tuple[str, ...]]:
    content = json.loads(path.read_text("utf-8-sig"))
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise DataError(f"{path}: no list 'images'. Expected a COCO file: images with file_name and id.")
    rows = []
    for number, image in enumerate(images):
        names = [image.get(key) for key in ("thresher_id", "file_name", "id")] if isinstance(image, dict) else []
        known = tuple(str(name) for name in names if isinstance(name, str | int) and str(name))
        if not known:
            raise DataError(f"{path}: images[{number}] has neither file_name nor id.")
        rows.append(known)
    return rows


def matched(entries: Sequence[tuple[str, ...]], images: pl.DataFrame, where: str) -> Matched:
    """The images that a list names: by their id, with or without the data set before it, or the end of their path.

    Args:
        entries: From `listed_images`.
        images: image_id, path and dataset.
        where: The list's name, for the error.

    Raises:
        DataError: a name fits several images.

    >>> images = pl.DataFrame({"image_id": ["d/a", "d/b"], "path": ["/x/a.png", "/x/b.png"], "dataset": ["d", "d"]})
    >>> matched([("d/a",), ("x/b.png",), ("c",)], images, "used.txt")
    Matched(image_ids=['d/a', 'd/b'], unknown=['c'])
    """
    texts = pl.DataFrame(
        [(row, turn, name.replace("\\", "/").removeprefix("./")) for row, each in enumerate(entries)
         for turn, name in enumerate(each)],
        schema={"row": pl.Int64, "turn": pl.Int64, "name": pl.String},
        orient="row",
    )  # fmt: skip
    last = pl.col("name").str.extract(r"([^/]*)/*$")
    found = []
    keys = (
        (pl.col("image_id"), pl.col("name")),
        (pl.col("image_id").str.strip_prefix(pl.col("dataset") + "/"), pl.col("name")),
        (pl.col("path").str.extract(r"([^/]*)$"), last),
    )
    for way, (own, theirs) in enumerate(keys):
        pairs = texts.with_columns(key=theirs).join(images.with_columns(key=own), on="key")
        whole = (pl.col("path") == pl.col("name")) | pl.col("path").str.ends_with("/" + pl.col("name"))
        pairs = pairs.filter(whole) if way == len(keys) - 1 else pairs
        found.append(pairs.select("row", "turn", pl.lit(way).alias("way"), "name", "image_id"))
    order = pl.col("turn") * len(keys) + pl.col("way")
    first = pl.concat(found).filter(order == order.min().over("row"))
    doubtful = first.unique(["row", "image_id"]).filter(pl.len().over("row") > 1).sort("row", "image_id")
    if doubtful.height:
        row = doubtful.filter(row=doubtful["row"][0])
        raise DataError(
            f"{where}: '{row['name'][0]}' fits {row.height} images of the pool ({row['image_id'][0]}, "
            f"{row['image_id'][1]}{', …' if row.height > 2 else ''}). Write their image_id."
        )
    named = set(first["row"])
    unknown = [entry[0] for number, entry in enumerate(entries) if number not in named]
    return Matched(first["image_id"].unique().sort().to_list(), unknown)


def read_columns(path: Path) -> pl.DataFrame:
    """A table of the user's own: image_id, once each, and further columns.

    Raises:
        DataError: no such file, not a .csv or .parquet table, no column image_id, or an id that is missing or repeated.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Expected a .csv or .parquet table with image_id and columns of yours.")
    try:
        table = pl.read_csv(path, infer_schema_length=None) if path.suffix == ".csv" else _parquet(path)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read ({reason}). Expected a .csv or .parquet table.") from error
    if "image_id" not in table.columns or table.width < 2:
        raise DataError(f"{path}: expected image_id and at least one more column. Found {listed(table.columns)}.")
    table = table.with_columns(pl.col("image_id").cast(pl.String))
    repeated = table.filter(pl.col("image_id").is_duplicated() | pl.col("image_id").is_null())
    if repeated.height:
        raise DataError(f"{path}: {repeated.height} ids are null or repeated (first: {repeated['image_id'][0]}).")
    return table
