"""Comparisons: the figure, mIoU with intervals, paired differences, and IoU of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thresher.drawings import comparison_charts as comparison
from thresher.report.blocks import (
    Block,
    Cell,
    Chart,
    Drawing,
    Grid,
    Missing,
    Number,
    Section,
)


@dataclass(frozen=True)
class Compared:
    """One comparison's tables RESULTS, SUMMARY and DIFFERENCES, and how many strong images taught."""

    name: str
    results: pl.DataFrame
    summary: pl.DataFrame
    differences: pl.DataFrame
    strong_images: int
    pictures: Sequence[str] = ()
    """Pictures of the predictions and labels of a few images, as paths within the run."""
    command: str = "thresher compare RUN"
    """The command that continues the comparison and draws these files."""
    lacking: Sequence[str] = ()
    """Missing libraries that this command needs."""
    outdated: str = ""
    """Why it no longer follows from the run's tables; empty if it does."""


def comparison_section(found: Sequence[Compared]) -> Section:
    """The section over all comparisons of the run."""
    blocks: list[Block] = []
    for one in found:
        if one.outdated:
            blocks.append(Missing(f"{one.name} is outdated: {one.outdated} since it was made.", one.command))
        for measured_on in one.summary["set"].unique(maintain_order=True):
            blocks += _one(one, measured_on)
        blocks += [
            Drawing(
                file,
                f"{one.name}: image, labels, and predictions of the networks of seed 0.",
                "An image, its labels and the predicted label maps side by side; the tables above give their IoU.",
            )
            for file in one.pictures
        ]
        if not one.pictures:
            words = f"Predictions of {one.name} have not been drawn. Networks that no longer exist are trained again."
            if one.lacking:
                words += f" {', '.join(one.lacking)} not installed: first run pip install 'thresher[train,report]'."
            blocks.append(Missing(words, one.command))
    if not blocks:
        blocks.append(Missing("No comparison has been run.", "thresher compare RUN"))
    return Section("comparison", "Comparison", blocks)


def _one(one: Compared, measured_on: str) -> list[Block]:
    means = one.summary.filter(set=measured_on)
    results = one.results.filter(set=measured_on)
    name, where = f"{one.name}-{measured_on}", f"{one.name}, {measured_on} images"
    spec = comparison.miou_chart(results, means, measured_on, one.strong_images)
    alt = f"mIoU over the number of selected images, {where}; the numbers stand in the table below."
    overall = means.filter(pl.col("class").is_null()).sort("iou", descending=True, nulls_last=True)
    rows: list[list[Cell]] = [
        [
            *_about(row),
            _points(row["iou"], "iou"),
            _points(row["iou_low"], "iou_low"),
            _points(row["iou_high"], "iou_high"),
        ]
        for row in overall.iter_rows(named=True)
    ]
    pairs = one.differences.filter(pl.col("class").is_null() & (pl.col("set") == measured_on))
    pairs = pairs.sort("against", "iou_difference", descending=[False, True], nulls_last=True)
    differences: list[list[Cell]] = [
        [
            *_about(row),
            row["against"],
            _points(row["iou_difference"], "iou_difference"),
            _points(row["low"], "low"),
            _points(row["high"], "high"),
        ]
        for row in pairs.iter_rows(named=True)
    ]
    blocks: list[Block] = [
        Chart(f"figure-{name}", alt, {"": spec}),
        Grid(f"miou-{name}", f"mIoU ({where}), %", [*_ABOUT, "mIoU", "95 % interval from", "to"], rows),
    ]
    if differences:
        blocks.append(
            Grid(
                f"differences-{name}",
                f"Paired differences ({where}), percentage points",
                [*_ABOUT, "against", "difference", "95 % interval from", "to"],
                differences,
            )
        )
    return [*blocks, _classes(means, name, where)]


_ABOUT = ("method", "mode", "budget", "images", "seeds")


def _about(row: dict[str, object]) -> list[Cell]:
    images, seeds = int(str(row["images"])), int(str(row["seeds"]))
    return [
        str(row["method"]),
        str(row["mode"]),
        str(row["budget"] or "–"),
        Number(images, f"{images:,}", "images"),
        Number(seeds, f"{seeds}", "seeds"),
    ]


def _points(share: float | None, column: str) -> Number | None:
    return None if share is None else Number(share, f"{100 * share:.2f}", column)


def _classes(means: pl.DataFrame, name: str, where: str) -> Grid:
    each = means.filter(pl.col("class").is_not_null()).with_columns(
        of=pl.format("{} {} {}", "method", pl.col("budget").fill_null(""), "mode").str.replace_all("  ", " ")
    )
    columns = each["of"].unique(maintain_order=True).to_list()
    rows: list[list[Cell]] = []
    for of_class in each["class"].unique(maintain_order=True):
        own = dict(each.filter(pl.col("class") == of_class).select("of", "iou").iter_rows())
        rows.append([of_class, *(_points(own.get(column), "iou") for column in columns)])
    return Grid(f"classes-{name}", f"IoU of each class ({where}), %", ["class", *columns], rows, folded=True)
