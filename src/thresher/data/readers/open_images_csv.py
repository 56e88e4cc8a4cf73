"""The box file of Open Images: one row per box, up to 14.6 million of them.

Source: https://storage.googleapis.com/openimages/web/download_v7.html, "Boxes": columns ImageID, Source, LabelName,
Confidence, XMin, XMax, YMin, YMax (shares of the image), then flags that are 1 true, 0 false, -1 unknown.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.dataset import problem
from thresher.errors import DataError

CORNERS = {"XMin": "x0", "XMax": "x1", "YMin": "y0", "YMax": "y1"}
REQUIRED = ("ImageID", "LabelName", *CORNERS)
FLAGS = {
    "IsOccluded": "is_occluded",
    "IsTruncated": "is_truncated",
    "IsGroupOf": "is_group",
    "IsDepiction": "is_depiction",
    "IsInside": "is_inside",
}
#: A file as it should be has no inverted box; swapped columns invert about half of them.
INVERTED_SHARE = 0.25
#: Shares may be slightly outside 0..1; pixels are rarely inside.
LARGEST_SHARE = 1.5
_NEEDED = ["named", "label", *CORNERS.values()]


def box_rows(path: Path) -> tuple[pl.LazyFrame, list[dict[str, object]]]:
    """The boxes (named = ImageID as spelt, label, x0 … y1, flags), and problems for blank and unreadable rows.

    The file is read through once to know that it can be, and again whenever the boxes are asked for: they never lie in
    memory as text.

    Raises:
        DataError: not a text file, required columns are missing, or the corners are pixels or in another order.
    """
    rows = scan_rows(path)
    blank, readable = pl.all_horizontal(pl.col(_NEEDED).is_null()), pl.all_horizontal(pl.col(_NEEDED).is_not_null())
    counts = rows.select(pl.len().alias("rows"), blank=blank.sum(), **_corner_facts(readable))
    left_out = rows.filter(~readable & ~blank).select("row")
    try:
        facts, bad = pl.collect_all([counts, left_out], engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not readable as CSV ({error}). Expected {','.join(REQUIRED)} and flags.") from error
    found = facts.row(0, named=True)
    _check_corners(found, path)
    problems = [
        problem(
            "annotation_malformed",
            f"{path.name} row {row + 2}: ImageID, LabelName or a corner is missing or not a number",
            path=path,
        )
        for row in bad["row"].sort()
    ]
    if found["blank"]:
        problems.append(problem("blank_rows", f"{path.name}: {found['blank']} blank rows were left out", path=path))
    return rows.filter(readable).drop("row"), problems


def first_bytes(path: Path, size: int = 1 << 16) -> bytes:
    """The beginning of a text file.

    Raises:
        DataError: it is empty, an Excel or other zip file, or no text for another reason.
    """
    with path.open("rb") as file:
        head = file.read(size)
    if head.startswith(b"PK"):
        raise DataError(
            f"{path}: this is a zip file, probably an Excel workbook (.xlsx) under a .csv name; expected plain text. "
            "Open it in a spreadsheet and save it as CSV."
        )
    if not head.strip():
        raise DataError(f"{path}: the file is empty; expected a header and rows. Download or write it again.")
    if b"\0" in head or head.startswith(b"\x1f\x8b"):
        raise DataError(
            f"{path}: not plain text in UTF-8 (binary, compressed or UTF-16). Unpack it or save it as UTF-8."
        )
    return head


def scan_rows(path: Path) -> pl.LazyFrame:
    """Every row of the file, with its number (`row`, from 0); what cannot be understood is null.

    Raises:
        DataError: not a text file, or required columns are missing.
    """
    head = first_bytes(path)
    header = head.removeprefix(codecs.BOM_UTF8).splitlines()[0].decode("utf-8", "replace")
    separator = max(",;\t", key=header.count)
    scan = pl.scan_csv(
        path,
        separator=separator,
        eol_char="\r" if b"\r" in head and b"\n" not in head else "\n",
        infer_schema=False,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
        row_index_name="row",
    )
    try:
        spelt = {name.strip(): name for name in scan.collect_schema().names()}
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not readable as CSV ({error}). Expected {','.join(REQUIRED)} and flags.") from error
    missing = [name for name in REQUIRED if name not in spelt]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}. Found {header[:200]}; expected {', '.join(REQUIRED)} "
            f"and optionally {', '.join(FLAGS)} (the header of Open Images). Rename the columns."
        )
    others = {"ImageID": "named"} | CORNERS | {name: to for name, to in FLAGS.items() if name in spelt}
    as_spelt = [pl.col(spelt[name]).alias(to) for name, to in others.items()]
    rows = scan.select("row", _text(pl.col(spelt["LabelName"])).alias("label"), *as_spelt)
    # A step of its own, so that a filter by label comes before it.
    return rows.with_columns(
        _text(pl.col("named")),
        *(_text(pl.col(to)).cast(pl.Float64, strict=False) for to in CORNERS.values()),
        *(_truth(to).alias(to) for to in FLAGS.values() if to in others.values()),
    )


def _text(column: pl.Expr) -> pl.Expr:
    text = column.str.strip_chars()
    return pl.when(text != "").then(text)


def _truth(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Float32, strict=False)
    return pl.when(number == 1).then(pl.lit(True)).when(number == 0).then(pl.lit(False))


def _corner_facts(readable: pl.Expr) -> dict[str, pl.Expr]:
    """How many readable rows have their corners in pixels or inverted, and the first of each."""
    x0, y0, x1, y1 = (pl.col(name) for name in ("x0", "y0", "x1", "y1"))
    pixels = readable & pl.any_horizontal(corner > LARGEST_SHARE for corner in (x0, y0, x1, y1))
    inverted = readable & ((x1 < x0) | (y1 < y0))
    return {
        "readable": readable.sum(),
        "pixels": pixels.sum(),
        "first_pixels": pl.struct("named", "x0", "x1").filter(pixels).first(),
        "inverted": inverted.sum(),
        "first_inverted": pl.col("named").filter(inverted).first(),
    }


def _check_corners(found: dict[str, Any], path: Path) -> None:
    if found["pixels"] > found["readable"] / 2:
        first = found["first_pixels"]
        raise DataError(
            f"{path}: corners are pixels in {found['pixels']} of {found['readable']} rows (first: image "
            f"{first['named']}, XMin {first['x0']:g}, XMax {first['x1']:g}). Expected shares of the image's width and "
            "height, 0..1: divide XMin and XMax by the width, YMin and YMax by the height."
        )
    if found["inverted"] > found["readable"] * INVERTED_SHARE:
        raise DataError(
            f"{path}: XMax < XMin or YMax < YMin in {found['inverted']} of {found['readable']} rows (first: image "
            f"{found['first_inverted']}). Columns are XMin,XMax,YMin,YMax; was the file written as XMin,YMin,XMax,YMax?"
        )
