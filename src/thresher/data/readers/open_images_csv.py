"""The box file of Open Images: one row per box, up to 14.6 million of them.

Source: https://storage.googleapis.com/openimages/web/download_v7.html, "Boxes": columns ImageID, Source, LabelName,
Confidence, XMin, XMax, YMin, YMax (shares of the image), then flags that are 1 true, 0 false, -1 unknown.
"""

from __future__ import annotations

import codecs
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.faults import refusing, shown
from thresher.data.findings import MOST_ROWS, Findings, Place
from thresher.errors import DataError
from thresher.tables import TAGS, empty

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
#: Labels of whole images: those that people have verified; FiftyOne's.
TAG_FILES = ("*human-imagelabels*.csv", "classifications.csv")
_TRUE, _FALSE = ("True", "true", "TRUE"), ("False", "false", "FALSE")
_NEEDED = ["named", "label", *CORNERS.values()]


def box_rows(path: Path, findings: Findings) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """The boxes (named = ImageID as spelt, label, x0 … y1, flags), and how many each image has (named, boxes).

    Blank and unreadable rows are listed. The file is read once, and lies in memory with a number for each text (some 25
    bytes per box); twice where a number is not one as it stands.

    Raises:
        DataError: not a text file, required columns are missing, or the corners are pixels or in another order.
    """
    # Numbers are parsed at once, which is twice as fast, unless some are not numbers as they stand.
    rows = _compact(path, scan_rows(path, typed=True))
    found = _facts(rows)
    if found["bad"] or found["blank"]:
        rows = _compact(path, scan_rows(path, typed=False))
        found = _facts(rows)
    left_out = rows.lazy().with_row_index("row").filter(_is_bad()).head(MOST_ROWS).collect()["row"].to_list()
    named = rows.lazy().filter(_is_readable()).group_by("named").agg(boxes=pl.len()).cast({"named": pl.String})
    _note_unreadable(path, left_out, found, findings)
    _check_corners(found, path)
    if found["blank"]:
        findings.note("blank_rows", f"{path.name}: {found['blank']} blank rows were left out", path=path)
    boxes = rows.lazy().filter(_is_readable()).with_columns(pl.col("label").cast(pl.String))
    return boxes, named.collect(engine="streaming")


def _is_readable() -> pl.Expr:
    return pl.all_horizontal(pl.col(_NEEDED).is_not_null())


def _is_blank() -> pl.Expr:
    return pl.all_horizontal(pl.col(_NEEDED).is_null())


def _is_bad() -> pl.Expr:
    return ~_is_readable() & ~_is_blank()


def _compact(path: Path, rows: pl.LazyFrame) -> pl.DataFrame:
    """The rows in their order, ids and labels as categories, corners as tables hold them."""
    small: dict[Any, Any] = {
        "named": pl.Categorical,
        "label": pl.Categorical,
        **dict.fromkeys(CORNERS.values(), pl.Float32),
    }
    with refusing(f"{path}: not readable as CSV", f"Expected {','.join(REQUIRED)} and flags."):
        return rows.cast(small).collect(engine="streaming")


def _facts(rows: pl.DataFrame) -> dict[str, Any]:
    """How many rows there are, blank, bad, and with their corners elsewhere than they should be."""
    counts = {"blank": _is_blank().sum(), "bad": _is_bad().sum(), **_corner_facts(_is_readable())}
    return rows.lazy().select(pl.len().alias("rows"), **counts).collect(engine="streaming").row(0, named=True)


def _note_unreadable(path: Path, rows: list[int], found: Mapping[str, int], findings: Findings) -> None:
    """List the rows without an id, a label or a corner; the last of them stands for all that are not listed."""
    findings.seen("rows of boxes", found["rows"] - found["blank"])
    for number, row in enumerate(rows):
        times = found["bad"] - number if number == len(rows) - 1 else 1
        shown_row = f" ({_line(path, row)})" if number == 0 else ""
        why = f"ImageID, LabelName or a corner is missing or not a number{shown_row}"
        findings.fail("rows of boxes", Place(f"{path.name} row {row + 2}", path=path), why, times=times)
    findings.judge()


def _line(path: Path, row: int) -> str:
    """The text of a row, where no text before it holds line ends of its own."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return shown(next(itertools.islice(file, row + 1, None), "").rstrip("\n"))


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


def scan_rows(path: Path, typed: bool = False) -> pl.LazyFrame:
    """Every row of the file, in their order; what cannot be understood is null.

    Args:
        typed: Numbers that are spelt with spaces, too, are null.

    Raises:
        DataError: not a text file, or required columns are missing.
    """
    head = first_bytes(path)
    header = head.removeprefix(codecs.BOM_UTF8).splitlines()[0].decode("utf-8", "replace")
    separator = max(",;\t", key=header.count)
    scanned = functools.partial(
        pl.scan_csv,
        path,
        separator=separator,
        eol_char="\r" if b"\r" in head and b"\n" not in head else "\n",
        infer_schema=False,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )
    with refusing(f"{path}: not readable as CSV", f"Expected {','.join(REQUIRED)} and flags."):
        spelt = {name.strip(): name for name in scanned().collect_schema().names()}
    in_words = any(word.encode() in head for word in (*_TRUE, *_FALSE))
    missing = [name for name in REQUIRED if name not in spelt]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}. Found {header[:200]}; expected {', '.join(REQUIRED)} "
            f"and optionally {', '.join(FLAGS)} (the header of Open Images). Rename the columns."
        )
    others = {"ImageID": "named"} | CORNERS | {name: to for name, to in FLAGS.items() if name in spelt}
    numbers: dict[str, Any] = dict.fromkeys((spelt[name] for name in CORNERS), pl.Float64)
    if not in_words:
        numbers |= dict.fromkeys((spelt[name] for name in FLAGS if name in spelt), pl.Float32)
    scan = scanned(schema_overrides=numbers, ignore_errors=True) if typed else scanned()
    as_spelt = [pl.col(spelt[name]).alias(to) for name, to in others.items()]
    rows = scan.select(_text(pl.col(spelt["LabelName"])).alias("label"), *as_spelt)
    # A step of its own, so that a filter by label comes before it.
    return rows.with_columns(
        _text(pl.col("named")),
        *(() if typed else (_text(pl.col(to)).cast(pl.Float64, strict=False) for to in CORNERS.values())),
        *(_truth(to, in_words).alias(to) for to in FLAGS.values() if to in others.values()),
    )


def _text(column: pl.Expr) -> pl.Expr:
    text = column.str.strip_chars()
    return pl.when(text != "").then(text)


def _truth(name: str, in_words: bool) -> pl.Expr:
    number = pl.col(name).cast(pl.Float32, strict=False)
    true, false = number == 1, number == 0
    if in_words:  # as pandas and Spark write them
        true, false = true | pl.col(name).is_in(_TRUE), false | pl.col(name).is_in(_FALSE)
    return pl.when(true).then(pl.lit(True)).when(false).then(pl.lit(False))


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


def image_labels(folders: Sequence[Path], named: pl.DataFrame) -> pl.DataFrame:
    """Table TAGS, without classes: what people have verified of whole images (Confidence 1: one object, 0: none).

    Rows of any other confidence, as machines give it, are passed over.

    Args:
        folders: Where the files may lie.
        named: named (as the files spell an image) and image_id.

    Raises:
        DataError: a file cannot be read.
    """
    files = sorted({path for folder in folders for name in TAG_FILES for path in folder.glob(name)})
    ids = named.lazy().select("named", "image_id").drop_nulls().unique("named")
    parts = [empty(TAGS)]
    for path in files:
        first_bytes(path)
        with refusing(f"{path}: not readable as CSV", "Expected ImageID,Source,LabelName,Confidence."):
            scan = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=True)
            sure = pl.col("Confidence").cast(pl.Float32, strict=False)
            rows = scan.select("LabelName", "Confidence", named="ImageID").filter(sure.is_in([0.0, 1.0]))
            found = rows.join(ids, on="named", how="inner").select(
                "image_id", label="LabelName", **{"class": pl.lit(None, pl.String)}, objects=sure.cast(pl.Int32)
            )
            parts.append(found.drop_nulls("label").collect(engine="streaming"))
    return pl.concat(parts)
