"""A table of boxes of one's own, CSV or Parquet: a row per box, whose columns are told or known by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.dataset import Dataset, Entry, contents, source_id_of, stated_px, visible
from thresher.data.faults import refusing
from thresher.data.findings import MOST_ROWS, Findings, Place
from thresher.data.readers import named
from thresher.data.readers.named_files import ImageFiles, ToCome, bare_id
from thresher.data.readers.open_images_csv import LARGEST_SHARE, first_bytes
from thresher.data.readers.parquet_columns import refuse_damaged
from thresher.data.readers.table_columns import FORMS, as_rows, chosen_columns
from thresher.errors import DataError

SUFFIXES = (".csv", ".tsv", ".parquet")
CORNERS = FORMS[0]


def read(
    root: Path,
    split: str | None,
    dataset: str,
    columns: Mapping[str, str] | None = None,
    images: str | None = None,
    later: bool = False,
) -> Dataset:
    """The images that the rows name, and their boxes; a row without label and box is an image without objects.

    `root` is a file, or a folder whose files have the same columns. Corners are pixels where most rows have one above
    1.5, else shares of the image; `unit` tells it otherwise. Images lie below the file's folder, or below `images`.
    The id of an image is its path below that folder without suffix. `split` picks rows by their column of that name.
    Images that no row names are left out and listed.

    Args:
        columns: From `table_columns.column_map`.
        later: An image that is not on disk is one, too, if it is named by an address, and its size told where corners
            are in pixels.

    Raises:
        DataError: no table, no column for the image, the label or the box, no image, or most rows cannot be read.
    """
    told = dict(columns or {})
    findings = named.begun(root, dataset, told.pop("images", images))
    files = _files(findings.root)
    parts = [_rows(path, told).with_columns(file=pl.lit(number)) for number, path in enumerate(files)]
    rows = pl.concat(parts, how="diagonal")
    rows = rows if split is None else rows.filter(pl.col("split") == split)
    with refusing(f"{findings.root}: not readable as a table", "Write the file again."):
        unit = _checked_unit(rows, files, told.get("unit"), findings)
        every = _named(rows)
    if every.is_empty():
        raise DataError(f"{findings.root}: not one row{f' of split {split!r}' if split else ''} that names an image.")
    home = findings.home
    image_files = ImageFiles(home)
    to_come = ToCome(home)
    listed, path_of = _images(every, image_files, unit, findings, to_come if later else None)
    for path in named.unnamed(path_of.values(), image_files) if split is None else ():
        detail = "no row names this image; it was left out"
        findings.note("annotation_missing", detail, findings.id_of(source_id_of(Path(path), home)), path)
    owner = pl.DataFrame(list(path_of.items()), {"named": pl.String, "path": pl.String}, orient="row")
    owner = owner.join(listed.select("path", "image_id", "width_px", "height_px"), on="path", how="inner")
    boxes = rows.filter(pl.all_horizontal(pl.col("label", *CORNERS).is_not_null())).join(
        owner.lazy().drop("path"), on="named", how="inner", maintain_order="left"
    )
    if unit == "pixels":
        ends = {"x": pl.col("width_px"), "y": pl.col("height_px")}
        boxes = boxes.with_columns(pl.col(name) / ends[name[0]] for name in CORNERS)
    kept = boxes.drop("row", "file", "named", "split", "image_width", "image_height", "width_px", "height_px")
    said = "corners in pixels of the image" if unit == "pixels" else "corners as shares of the image, 0..1"
    return findings.data(
        listed, kept, unit=f"{said} (--columns unit=… tells it otherwise)", remote=to_come.table(listed)
    )


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = visible(sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES), root)
    if not found:
        raise DataError(
            f"{root}: no table. Found {contents(root)}; expected a .csv or .parquet file with a row per box."
        )
    return found


def _rows(path: Path, told: Mapping[str, str]) -> pl.LazyFrame:
    with refusing(f"{path}: not readable as a table", "Expected CSV with a header, or Parquet."):
        if path.suffix.lower() == ".parquet":
            refuse_damaged(path)
            scan = pl.scan_parquet(path, glob=False).with_row_index("row")
        else:
            head = first_bytes(path)
            header = head.splitlines()[0].decode("utf-8", "replace")
            scan = pl.scan_csv(
                path,
                separator=max(",;\t", key=header.count),
                eol_char="\r" if b"\r" in head and b"\n" not in head else "\n",
                infer_schema=False,
                encoding="utf8-lossy",
                truncate_ragged_lines=True,
                row_index_name="row",
                glob=False,
            )
        names = [name for name in scan.collect_schema().names() if name != "row"]
    return as_rows(scan, chosen_columns(names, told, str(path)))


def _checked_unit(rows: pl.LazyFrame, files: list[Path], told: str | None, findings: Findings) -> str:
    """The unit of the corners; rows that say half of a box are listed."""
    said = pl.col("label", *CORNERS)
    half = pl.col("named").is_null() | (pl.any_horizontal(said.is_not_null()) & ~pl.all_horizontal(said.is_not_null()))
    large = pl.any_horizontal(pl.col(name) > LARGEST_SHARE for name in CORNERS)
    facts = rows.select(pl.len().alias("rows"), half=half.sum(), large=large.sum(), whole=(~half).sum())
    listed = rows.filter(half).select("row", "file").head(MOST_ROWS)
    counts, bad = pl.collect_all([facts, listed], engine="streaming")
    found = counts.row(0, named=True)
    findings.seen("rows", found["rows"])
    for number, (row, file) in enumerate(bad.sort("file", "row").iter_rows()):
        times = found["half"] - number if number == bad.height - 1 else 1
        place = Place(f"{files[file].name} row {row + 2}", path=files[file])
        findings.fail("rows", place, "image, label or a number of the box is missing, or is no number", times=times)
    findings.judge()
    return told or ("pixels" if found["large"] > found["whole"] / 2 else "shares")


def _named(rows: pl.LazyFrame) -> pl.DataFrame:
    """Each image as the rows name it, with its size and split if told, and how many boxes it has."""
    told = [pl.col(name).drop_nulls().first() for name in ("split", "image_width", "image_height")]
    grouped = rows.filter(pl.col("named").is_not_null()).group_by("named")
    return grouped.agg(*told, boxes=pl.col("label").count()).sort("named").collect(engine="streaming")


def _images(
    every: pl.DataFrame, files: ImageFiles, unit: str, findings: Findings, to_come: ToCome | None
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table of images, and the file that each name means."""
    path_of: dict[str, str] = {}
    entries: dict[str, Entry] = {}
    located = files.located(every["named"].to_list())
    for row, (path, why) in zip(every.iter_rows(named=True), located, strict=True):
        sized = unit != "pixels" or not row["boxes"] or stated_px(row["image_width"], row["image_height"]) is not None
        if path is None and to_come is not None and sized:
            path, why = to_come.place(row["named"], row["named"], why)  # noqa: PLW2901
        if path is None:
            detail = f"the rows name '{row['named']}', {why}; {row['boxes']} boxes were left out with it"
            findings.note("image_missing", detail, findings.id_of(bare_id(row["named"])))
            continue
        path_of[row["named"]] = path
        entry = entries.get(path) or _entry(row, path, files.home, unit, findings)
        if entry is not None:
            entries[path] = entry
    if not path_of:
        raise DataError(
            f"{findings.root}: none of the {every.height} images that the rows name is there (first: "
            f"'{every['named'][0]}'). Found {len(files.paths)} image files below {files.home}; say where they lie by "
            "--columns images=FOLDER."
        )
    return findings.images(entries.values()), path_of


def _entry(row: dict[str, Any], path: str, home: Path, unit: str, findings: Findings) -> Entry | None:
    source_id = source_id_of(Path(path), home)
    size = stated_px(row["image_width"], row["image_height"])
    if size is None and row["boxes"] and unit == "pixels":
        size = findings.size_of(path, findings.id_of(source_id), row["boxes"])
        if size is None:
            return None
    return source_id, path, row["split"], *(size or (None, None))
