"""export and sheet: a selection → files that other tools read; its contact sheet as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from thresher import tables
from thresher.data.exports import FORMATS, WITH_POOL, WITH_SCORES, Format
from thresher.data.file_states import with_states
from thresher.data.readers.open_images_later import BUCKET
from thresher.drawings.contact_sheet import Cell, contact_sheet, save_sheet
from thresher.errors import DataError, SettingsError, quoted
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.opened import OpenedRun, selected
from thresher.run.perform import StageResult
from thresher.run.state import outdated_of, refuse_outdated
from thresher.selection.explain import sentence


def export(
    run: AnyRun,
    name: str,
    format: Format,
    out: Path | str,
    *,
    images: Literal["link", "copy", "none"] = "link",
    pool: bool = False,
    as_it_stands: bool = False,
    dry_run: bool = False,
) -> StageResult:
    """Write a selection in the given format; `index` reads the same images and boxes back, if it reads the format.

    Args:
        name: Name of the selection.
        format: Format of the export.
        out: File (csv, txt, parquet, atlas) or folder (other formats) to write.
        images: link, copy or leave out (none) the image files, in formats that hold images (atlas: copies thumbnails).
        pool: Also write the pool images that were not chosen (atlas only).
        as_it_stands: Write an outdated selection too, as it was chosen: one that is already at the labellers.

    Raises:
        SettingsError: unknown selection or format, or a format that cannot hold the pool.
        DataError: `out` holds files that thresher did not write; the selection is damaged, unfinished or, without
            as_it_stands, outdated; or an image of it is no longer in the pool.
    """
    run, out = as_run(run), Path(out)
    if format not in FORMATS:
        raise SettingsError(f"format '{format}': unknown. Known: {', '.join(FORMATS)}.")
    if images not in ("link", "copy", "none"):
        raise SettingsError(f"images = {images!r}: expected 'link', 'copy' or 'none'.")
    if pool and format not in WITH_POOL:
        raise SettingsError(f"pool: format '{format}' can only hold the chosen images. Use {', '.join(WITH_POOL)}.")
    opened = OpenedRun(run)
    outdated = _refuse_outdated(run, name, as_it_stands)
    chosen = opened.selection(name)
    if dry_run:
        rows = _and_pool(opened, chosen) if pool else chosen
        return StageResult("export", "planned", {"images": rows.height, "format": format, "out": str(out)})
    settings = opened.settings_of(f"select:{name}")
    if not settings:
        raise DataError(
            f"selection '{name}': {run.manifest} has no record of it. "
            f"Run `thresher select {quoted(run.folder)} --name {name} …` again first."
        )
    method = settings["method"]
    words = [sentence(row["why"], row["score"], method) for row in chosen.iter_rows(named=True)]
    chosen = chosen.with_columns(why_text=pl.Series(words, dtype=pl.String))
    if pool:
        chosen = _and_pool(opened, chosen)
    if format in WITH_SCORES:
        chosen = _beside(chosen, opened.scores.select(list(tables.SCORES)))
    if format in WITH_POOL:
        chosen = _with_places(opened, chosen)
    if format == "txt":
        chosen = _with_addresses(opened.run, chosen)
    boxes = opened.boxes_of(chosen)
    labels = opened.labels.drop_nulls("name")
    names = dict(zip(labels["label"].to_list(), labels["name"].to_list(), strict=True))
    FORMATS[format](chosen, boxes, names, out, images)
    told = {"images": chosen.height, "boxes": boxes.height, "out": str(out)}
    return StageResult("export", "done", told | outdated)


def _refuse_outdated(run: Run, name: str, as_it_stands: bool) -> dict[str, str]:
    """What to tell of an outdated selection, where one may be exported."""
    refuse_outdated(run, ["index"])
    if not as_it_stands:
        refuse_outdated(run, [f"select:{name}"], "To export what was chosen then, add --as-it-stands.")
    outdated = outdated_of(run, [f"select:{name}"])
    return {"note": "the selection is outdated; written as it was chosen"} if outdated else {}


def _with_addresses(run: Run, chosen: pl.DataFrame) -> pl.DataFrame:
    """With column `address`, for a downloader, where any of the images is listed for a later download and not here."""
    remote = tables.read_if_there(run.remote, tables.REMOTE).unique("image_id", keep="first", maintain_order=True)
    listed = chosen.join(remote, on="image_id", how="inner").select("image_id", "path", "url")
    if with_states(listed)["size_bytes"].null_count() == 0:
        return chosen
    own = pl.col("url").str.strip_prefix(BUCKET)
    line = pl.when(own == pl.col("url")).then("url").otherwise(own.str.strip_suffix(".jpg"))
    return _beside(chosen, listed.select("image_id", address=line)).with_columns(
        pl.coalesce("address", "path").alias("address")
    )


def _beside(chosen: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    return chosen.join(table, on="image_id", how="left", maintain_order="left")


def _and_pool(opened: OpenedRun, chosen: pl.DataFrame) -> pl.DataFrame:
    """The chosen images, then the other scored images of the pool, without rank, score and reason."""
    scored = opened.images.join(opened.scores.select("image_id"), on="image_id", how="semi")
    return pl.concat([chosen, scored.join(chosen, on="image_id", how="anti")], how="diagonal")


def _with_places(opened: OpenedRun, chosen: pl.DataFrame) -> pl.DataFrame:
    """With each image's pooled vector and, if insight has run, its coordinates in the map."""
    vectors = opened.pooled.select("image_id", pl.col("vector").cast(pl.List(pl.Float32)))
    chosen = _beside(chosen, vectors)
    drawn = opened.run.insight / "map.parquet"
    if not drawn.is_file():
        return chosen
    places = tables.read(drawn, tables.MAP, key="image_id")
    return _beside(chosen, places.select("image_id", projection_x="x", projection_y="y"))


def sheet(run: AnyRun, name: str, *, images: int = 48, columns: int = 8, out: Path | str | None = None) -> StageResult:
    """Draw the first images of a selection, best first.

    Args:
        name: Name of the selection.
        images: Number of images to draw.
        columns: Images per row.
        out: PNG file to write. Default: RUN/sheets/NAME.png.

    Raises:
        SettingsError: no selection has this name.
        DataError: the selection is outdated or damaged.
    """
    run = as_run(run)
    for setting, number in (("images", images), ("columns", columns)):
        if number < 1:
            raise SettingsError(f"{setting} = {number}: expected 1 or more.")
    refuse_outdated(run, ["index", f"select:{name}"])
    chosen = selected(run, name)
    shown = chosen.head(images)
    cells = [
        Cell(Path(row["path"]), f"{row['rank']}  {row['dataset']}", _detail(row["score"], row["why"]["rare_classes"]))
        for row in shown.iter_rows(named=True)
    ]
    path = Path(out) if out else run.folder / "sheets" / f"{name}.png"
    save_sheet(contact_sheet(cells, f"{name}: the first {len(cells)} of {chosen.height}", columns), path)
    return StageResult("sheet", "done", {"name": name, "images": len(cells), "path": str(path)})


def _detail(score: float | None, rare_classes: list[str] | None) -> str:
    return ("pinned" if score is None else f"{score:.3f}") + (f"  {', '.join(rare_classes)}" if rare_classes else "")
