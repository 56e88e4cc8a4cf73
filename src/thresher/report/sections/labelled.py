"""Label sets: how good each route is on held-out masks, what became of the boxes, and the sheet of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thresher.report.blocks import Block, Cell, Drawing, Grid, Missing, Number, Section, percent


@dataclass(frozen=True)
class Labelled:
    """One label set's tables LABEL_ROUTES and LABELLED_BOXES (some columns), and its sheet as a path within the run."""

    name: str
    routes: pl.DataFrame
    boxes: pl.DataFrame
    sheet: str
    outdated: str = ""
    """Why it no longer follows from the run's tables; empty if it does."""


def label_section(found: Sequence[Labelled]) -> Section:
    """The section over all label sets of the run."""
    blocks: list[Block] = []
    for one in found:
        if one.outdated:
            again = f"thresher labels RUN --name {one.name} …"
            blocks.append(Missing(f"{one.name} is outdated: {one.outdated} since it was made.", again))
        if one.routes.height:
            blocks.append(_routes(one))
        blocks.append(_boxes(one))
        caption = f"{one.name}: images with their boxes, and their labels; white is no label."
        blocks.append(Drawing(one.sheet, caption, "Images beside their label maps; the tables above give the numbers."))
    return Section("labels", "Pixel labels from boxes", blocks)


def _routes(one: Labelled) -> Grid:
    routes = one.routes["route"].unique(maintain_order=True).to_list()
    rows: list[list[Cell]] = []
    for name in one.routes["class"].unique(maintain_order=True):
        own = one.routes.filter(pl.col("class").eq_missing(name))
        ious = {row["route"]: _interval(row) for row in own.iter_rows(named=True)}
        taken = own.filter("chosen")["route"].to_list()
        counted = [_count(own, "images"), _count(own, "objects")]
        title = name or "mean of the classes with boxes"
        rows.append([title, *(ious.get(route) for route in routes), *(taken or ["–"]), *counted])
    columns = ["class", *routes, "taken", "images", "objects"]
    return Grid(f"routes-{one.name}", f"{one.name}: IoU of the labels on held-out masks, %", columns, rows)


def _count(rows: pl.DataFrame, column: str) -> Number:
    """A count that is the same in all the rows."""
    value = int(rows[column][0])
    return Number(value, f"{value:,}", column)


def _interval(row: dict[str, float | None]) -> Number | None:
    iou, low, high = row["iou"], row["low"], row["high"]
    if iou is None or low is None or high is None:
        return None
    return Number(iou, f"{100 * iou:.1f} ({100 * low:.1f}–{100 * high:.1f})", "iou")


def _boxes(one: Labelled) -> Grid:
    each = one.boxes.group_by("class").agg(
        pl.len().alias("boxes"),
        pl.col("share_labelled", "agreement").mean(),
        pl.col("warning").count().alias("warnings"),
    )
    rows: list[list[Cell]] = [
        [
            row["class"],
            Number(row["boxes"], f"{row['boxes']:,}", "boxes"),
            percent(row["share_labelled"], column="share_labelled"),
            percent(row["agreement"], column="agreement"),
            Number(row["warnings"], f"{row['warnings']:,}", "warnings"),
        ]
        for row in each.sort("class").iter_rows(named=True)
    ]
    columns = ["class", "boxes", "labelled", "agreement with the box", "boxes with a warning"]
    return Grid(f"boxes-{one.name}", f"{one.name}: what became of the boxes", columns, rows)
