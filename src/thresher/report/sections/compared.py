"""Comparisons: the figure, mIoU with intervals, paired differences, and IoU of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thresher import extras
from thresher.comparison.verdicts import power_words, reduction_words
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
    Words,
    number,
)

#: What a reader must know of a comparison by proxy; follows its name.
PROXY_WORDS = (
    "is by proxy: small heads on the features of the frozen encoder were trained, no whole networks. It sorts "
    "selections; its mIoU is not to be compared with that of trainings."
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
    margin: float = 0.01
    """By how much IoU may be lower than the whole pool's and count as not worse."""
    proxy: bool = False
    """Whether heads on frozen features were trained in place of networks."""
    endpoint: str | None = None
    """The class of SUMMARY that is the endpoint named beforehand; None for the mean over all classes."""


def comparison_section(found: Sequence[Compared]) -> Section:
    """The section over all comparisons of the run."""
    blocks: list[Block] = []
    for one in found:
        if one.outdated:
            blocks.append(Missing(f"{one.name} is outdated: {one.outdated} since it was made.", one.command))
        if one.proxy:
            blocks.append(Words(f"{one.name} {PROXY_WORDS}"))
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
        if not one.pictures and not one.proxy:
            words = f"Predictions of {one.name} have not been drawn. Networks that no longer exist are trained again."
            if one.lacking:
                words += f" {', '.join(one.lacking)} not installed: first run {extras.install('train,report')}."
            blocks.append(Missing(words, one.command))
    if not blocks:
        blocks.append(Missing("No comparison has been run.", "thresher compare RUN"))
    return Section("comparison", "Comparison", blocks)


def _one(one: Compared, measured_on: str) -> list[Block]:
    means = one.summary.filter(set=measured_on)
    results = one.results.filter(set=measured_on)
    name, where = f"{one.name}-{measured_on}", f"{one.name}, {measured_on} images"
    alt = f"mIoU over the number of selected images, {where}; the numbers stand in the table below."
    shown: dict[str, tuple[str | None, str]] = {f"figure-{name}": (None, alt)}
    if one.endpoint:
        shown[f"figure-{name}-endpoint"] = (one.endpoint, f"The same of the endpoint, {one.endpoint}.")
    blocks: list[Block] = [
        Chart(id_, words, {"": comparison.miou_chart(results, means, measured_on, one.strong_images, of)})
        for id_, (of, words) in shown.items()
        if comparison.is_measured(means, of)
    ]
    pairs = one.differences.filter(set=measured_on)
    judged = pairs.filter(pl.col("class").eq_missing(one.endpoint))
    blocks += [Words(text) for text in (power_words(judged), *reduction_words(judged, one.margin)) if text]
    for of_class, what in [(one.endpoint, f"Endpoint: {one.endpoint}")] * (one.endpoint is not None) + [(None, "mIoU")]:
        id_ = f"{name}{'-endpoint' if of_class else ''}"
        blocks += _tables(_of(means, of_class), _of(pairs, of_class), id_, f"{what} ({where})")
    return [*blocks, _classes(means.filter(pl.col("class").ne_missing(one.endpoint)), name, where)]


def _of(frame: pl.DataFrame, of_class: str | None) -> pl.DataFrame:
    return frame.filter(pl.col("class").eq_missing(of_class))


def _tables(means: pl.DataFrame, pairs: pl.DataFrame, name: str, what: str) -> list[Block]:
    """The tables of one mean: over all classes, or over those of the endpoint."""
    rows: list[list[Cell]] = [
        [*_about(row), *(_points(row[column], column) for column in ("iou", "iou_low", "iou_high"))]
        for row in means.sort("iou", descending=True, nulls_last=True).iter_rows(named=True)
    ]
    blocks: list[Block] = [Grid(f"miou-{name}", f"{what}, %", [*_ABOUT, "IoU", "95 % interval from", "to"], rows)]
    pairs = pairs.sort("against", "iou_difference", descending=[False, True], nulls_last=True)
    numbers = ("iou_difference", "low", "high", "low_holm", "high_holm")
    compared: list[list[Cell]] = [
        [
            *_about(row),
            row["against"],
            *(_points(row[column], column) for column in numbers),
            number(row["p_holm"], 3, "p_holm"),
        ]
        for row in pairs.iter_rows(named=True)
    ]
    if compared:
        interval = ["95 % interval from", "to", "corrected (Holm) from", "to", "p (Holm)"]
        head = [*_ABOUT, "against", "difference", *interval]
        blocks.append(Grid(f"differences-{name}", f"Paired differences: {what}, percentage points", head, compared))
    return blocks


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
