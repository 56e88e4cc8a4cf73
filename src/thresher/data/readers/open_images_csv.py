"""The box file of Open Images: one row per box, up to 14.6 million of them.

Source: https://storage.googleapis.com/openimages/web/download_v7.html, "Boxes": columns ImageID, Source, LabelName,
Confidence, XMin, XMax, YMin, YMax (shares of the image), then flags that are 1 true, 0 false, -1 unknown.
"""

from __future__ import annotations

import codecs
from pathlib import Path

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
#: Shares may lie a little outside 0..1, pixels seldom lie inside.
LARGEST_SHARE = 1.5


def box_rows(path: Path) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """The boxes (named = ImageID as spelt, label, x0 … y1, flags), and problems for blank and unreadable rows.

    Raises:
        DataError: not a text file, required columns are missing, or the corners are pixels or in another order.
    """
    frame = _columns(path)
    corners = list(CORNERS.values())
    blank = frame.filter(pl.all_horizontal(pl.col("named", "label", *corners).is_null()))
    readable = pl.all_horizontal(pl.col("named", "label", *corners).is_not_null())
    bad = frame.join(blank, on="row", how="anti").filter(~readable) if blank.height < frame.height else frame.clear()
    rows = frame.filter(readable)
    _check_corners(rows, path)
    problems = [
        problem(
            "annotation_malformed",
            f"{path.name} row {row['row'] + 2}: ImageID, LabelName or a corner is missing or not a number",
            path=path,
        )
        for row in bad.iter_rows(named=True)
    ]
    if blank.height:
        problems.append(problem("blank_rows", f"{path.name}: {blank.height} blank rows were left out", path=path))
    return rows.drop("row"), problems


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


def _columns(path: Path) -> pl.DataFrame:
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
        missing = [name for name in REQUIRED if name not in spelt]
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(missing)}. Found {header[:200]}; expected {', '.join(REQUIRED)} "
                f"and optionally {', '.join(FLAGS)} (the header of Open Images). Rename the columns."
            )
        flags = [pl.col(spelt[name]).cast(pl.Float32, strict=False).alias(name) for name in FLAGS if name in spelt]
        return (
            scan.select(
                "row",
                _text(spelt["ImageID"]).alias("named"),
                _text(spelt["LabelName"]).alias("label"),
                *(_text(spelt[name]).cast(pl.Float64, strict=False).alias(to) for name, to in CORNERS.items()),
                *flags,
            )
            .with_columns(_truth(name).alias(FLAGS[name]) for name in FLAGS if name in spelt)
            .drop(name for name in FLAGS if name in spelt)
            .collect(engine="streaming")
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not readable as CSV ({error}). Expected {','.join(REQUIRED)} and flags.") from error


def _text(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(text != "").then(text)


def _truth(name: str) -> pl.Expr:
    return pl.when(pl.col(name) == 1).then(pl.lit(True)).when(pl.col(name) == 0).then(pl.lit(False))


def _check_corners(rows: pl.DataFrame, path: Path) -> None:
    if rows.is_empty():
        return
    pixels = rows.filter(pl.any_horizontal(pl.col(*CORNERS.values()) > LARGEST_SHARE))
    if pixels.height > rows.height / 2:
        first = pixels.row(0, named=True)
        raise DataError(
            f"{path}: corners are pixels in {pixels.height} of {rows.height} rows (first: image {first['named']}, "
            f"XMin {first['x0']:g}, XMax {first['x1']:g}). Expected shares of the image's width and height, 0..1: "
            "divide XMin and XMax by the width, YMin and YMax by the height."
        )
    inverted = rows.filter((pl.col("x1") < pl.col("x0")) | (pl.col("y1") < pl.col("y0")))
    if inverted.height > rows.height * INVERTED_SHARE:
        raise DataError(
            f"{path}: XMax < XMin or YMax < YMin in {inverted.height} of {rows.height} rows (first: image "
            f"{inverted['named'][0]}). Columns are XMin,XMax,YMin,YMax; was the file written as XMin,YMin,XMax,YMax?"
        )
