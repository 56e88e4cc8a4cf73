"""Distributions: similarity of target, pool and selection, similarity against diversity, classes, data sets, sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.density.findings import similarity_bins
from thresher.drawings import page_charts
from thresher.drawings.comparison_charts import frequencies_chart
from thresher.report.blocks import (
    Block,
    Cell,
    Chart,
    Grid,
    Missing,
    Section,
    Words,
    number,
    percent,
)

#: Points of the scatter plot, at most.
MOST_POINTS = 20_000
_ACROSS = {"layout": "layout", "similarity": "similarity (nats per slice)"}
#: Cells a side of the grid of which each brings a picture of every set.
_CELLS = 13
#: Folders listed at most.
_FOLDERS = 60


@dataclass(frozen=True)
class DistributionsInput:
    """What the section is made from; None where a stage has not run.

    `scores` has the columns of SCORES that the run has; `target` is table SIMILARITIES of insight, its target rows;
    `frequencies` is table FREQUENCIES of pool, selection and, where a comparison counted its masks, target; `sizes` is
    image_id, width_px, height_px as decoded.
    """

    images: pl.DataFrame
    scores: pl.DataFrame | None
    chosen: pl.DataFrame | None
    target: pl.DataFrame | None
    frequencies: pl.DataFrame | None
    sizes: pl.DataFrame | None


def distributions_section(given: DistributionsInput, seed: int = 0) -> Section:
    """The section; `seed` draws the points of the scatter plot where there are too many."""
    blocks: list[Block] = []
    if given.scores is None:
        blocks.append(Missing("No image has been scored.", "thresher score RUN"))
    else:
        blocks += _similarity(given.scores, given.chosen, given.target)
        blocks += _scatter(given.scores, given.chosen, seed)
    if given.frequencies is not None:
        blocks += _classes(given.frequencies)
    if given.chosen is not None:
        blocks.append(_datasets(given.images, given.chosen))
    blocks += _folders(given.images, given.chosen)
    if given.sizes is not None and given.sizes.height:
        blocks.append(_sizes(given.images, given.sizes))
    return Section("distributions", "Distributions", blocks)


def _similarity(scores: pl.DataFrame, chosen: pl.DataFrame | None, target: pl.DataFrame | None) -> list[Block]:
    rows = [scores.select("similarity", role=pl.lit("pool"))]
    if chosen is not None:
        own = scores.join(chosen, on="image_id", how="semi")
        rows.append(own.select("similarity", role=pl.lit("selection")))
    if target is not None:
        rows.append(target.select("similarity", role=pl.lit("target")))
    values = pl.concat(rows).drop_nulls()
    if values.is_empty():
        return []
    roles = [role for role in ("target", "pool", "selection") if role in values["role"]]
    bins = similarity_bins(values, roles=roles)
    quantiles: list[list[Cell]] = []
    for role in roles:
        column = values.filter(role=role)["similarity"]
        at = np.quantile(column.to_numpy(), [0.05, 0.25, 0.5, 0.75, 0.95])
        quantiles.append([role, number(column.len(), column="images"), *(number(float(value), 1) for value in at)])
    words = ["Share of images per bin. Pool and selection: under the run's mixture, as in `score`."]
    if target is not None:
        words += ["Target: held out, under mixtures fitted without it, which gives slightly lower values."]
    title = (
        "Similarity of the pool and the selection to the target"
        if chosen is not None
        else "Similarity of the pool to the target"
    )
    alt = f"Histograms of similarity of {', '.join(roles)}; their quantiles stand in the table below."
    blocks: list[Block] = [
        Chart("similarity", alt, {"": page_charts.histogram_chart(bins, title, words)}),
        Grid(
            "similarity-quantiles",
            "Similarity: quantiles (nats per slice)",
            ["", "images", "5 %", "25 %", "median", "75 %", "95 %"],
            quantiles,
            folded=True,
        ),
    ]
    if target is None:
        blocks.append(Missing("The held-out target has not been scored.", "thresher insight RUN"))
    return blocks


def _scatter(scores: pl.DataFrame, chosen: pl.DataFrame | None, seed: int) -> list[Block]:
    across = [name for name in _ACROSS if name in scores.columns and scores[name].null_count() < scores.height]
    rows = scores.drop_nulls(["diversity", *across])
    if not across or rows.is_empty():
        return [Words("No image has a diversity score: the pool has no boxes of the classes of interest.")]
    taken = pl.Series([], dtype=pl.String) if chosen is None else chosen["image_id"]
    rows = rows.with_columns(
        set=pl.when(pl.col("image_id").is_in(taken.implode())).then(pl.lit("selection")).otherwise(pl.lit("pool"))
    ).sort("image_id")
    shown = _drawn(rows, MOST_POINTS, seed).sort("set", "image_id")  # the selection, the fewer, lies on top
    words = [
        f"{shown.height:,} of {scores.height:,} images; {scores.height - rows.height:,} have no diversity.",
        "Draw a rectangle to see the images within it.",
    ]
    variants = {
        _ACROSS[name]: page_charts.scatter_chart(
            name, _ACROSS[name], shown.height, "Similarity against diversity", words
        )
        for name in across
    }
    digits = {"layout": 4, "similarity": 3, "diversity": 3}
    points = {name: shown[name].round(digits[name]).to_list() for name in (*across, "diversity")}
    points |= {name: shown[name].to_list() for name in ("image_id", "set")}
    alt = "Scatter plot of similarity against diversity, a dot for each pool image. Give bounds below to list images."
    axes = (across[0], "diversity")
    return [Chart("scatter", alt, variants, "Similarity", points, axes, (*axes, _CELLS), renderer="canvas")]


def _drawn(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """At most that many rows, the selection's first."""
    if rows.height <= most:
        return rows
    order = np.random.default_rng(seed).permutation(rows.height)
    place = rows.with_columns(place=pl.Series(order)).sort(pl.col("set") != "selection", "place")
    return place.head(most).drop("place")


def _classes(frequencies: pl.DataFrame) -> list[Block]:
    columns = [(of, frequencies.filter(of=of)) for of in frequencies["of"].unique(maintain_order=True)]
    order = frequencies.filter(of="pool").sort("images", "class", descending=[True, False])
    rows: list[list[Cell]] = []
    for name, rare in order.select("class", "rare").iter_rows():
        cells: list[Cell] = [name, "rare" if rare else ""]
        for of, own in columns:
            found = own.filter(pl.col("class") == name)
            images, total = found.select("images", "of_images").row(0) if found.height else (None, 1)
            cells += [number(images, column=f"{of} images"), percent(_share(images, total), column=f"{of} share")]
        rows.append(cells)
    heads = ["class", "rare", *(head for of, _ in columns for head in (f"{of}: images", f"{of}: share"))]
    blocks: list[Block] = []
    if order["images"].sum():
        alt = "Share of images with each class in pool, selection and target; the numbers stand in the table below."
        blocks.append(Chart("classes", alt, {"": frequencies_chart(frequencies)}))
    blocks.append(Grid("class-frequencies", "Images with each class", heads, rows))
    if "target" not in [of for of, _ in columns]:
        blocks.append(
            Missing("The target's classes are not shown: a comparison counts its masks.", "thresher compare RUN")
        )
    return blocks


def _share(count: int | None, total: int) -> float | None:
    return None if count is None else count / max(1, total)


def _datasets(images: pl.DataFrame, chosen: pl.DataFrame) -> Chart:
    pool = images.filter(role="pool")
    counted = [
        frame.group_by("dataset").len().select("dataset", role=pl.lit(role), share=pl.col("len") / max(1, frame.height))
        for role, frame in (("pool", pool), ("selection", pool.join(chosen, on="image_id", how="semi")))
    ]
    every = pool.select(pl.col("dataset").unique()).join(pl.DataFrame({"role": ["pool", "selection"]}), how="cross")
    shares = every.join(pl.concat(counted), on=["dataset", "role"], how="left").with_columns(
        pl.col("share").fill_null(0.0)
    )
    alt = "Bars: what share of the pool and of the selection each data set makes; the counts stand under the selection."
    return Chart("dataset-shares", alt, {"": page_charts.datasets_chart(shares.sort("dataset", "role"))})


def _folders(images: pl.DataFrame, chosen: pl.DataFrame | None) -> list[Block]:
    """Images of each folder within the data sets, such as cities; nothing where every data set is one folder."""
    folder = pl.col("image_id").str.extract(r"^(.*)/[^/]*$").fill_null(pl.col("dataset"))
    taken = pl.lit(False) if chosen is None else pl.col("image_id").is_in(chosen["image_id"].implode())
    each = images.select("dataset", "role", folder=folder, taken=taken).group_by("role", "dataset", "folder")
    found = each.agg(images=pl.len(), taken=pl.col("taken").sum())
    if found.height == found.select("role", "dataset").unique().height:
        return []
    rows: list[list[Cell]] = [
        [
            row["folder"],
            row["role"],
            number(row["images"], column="images"),
            number(row["taken"], column="taken") if row["role"] == "pool" and chosen is not None else None,
        ]
        for row in found.sort(["role", "taken", "images", "folder"], descending=[True, True, True, False])
        .head(_FOLDERS)
        .iter_rows(named=True)
    ]
    more = f", {_FOLDERS} of {found.height:,}" if found.height > _FOLDERS else ""
    heads = ["folder", "role", "images", "taken"]
    return [Grid("folders", f"Folders within the data sets (cities, drives){more}", heads, rows, folded=True)]


def _sizes(images: pl.DataFrame, sizes: pl.DataFrame) -> Grid:
    own = images.select("image_id", "dataset", "role").join(sizes, on="image_id")
    sides = [
        getattr(pl.col(f"{side}_px"), how)().alias(f"{side}_{how}")
        for side in ("width", "height")
        for how in ("min", "median", "max")
    ]
    found = own.group_by("role", "dataset").agg(pl.len().alias("images"), *sides)
    rows: list[list[Cell]] = []
    for row in found.sort("role", "images", "dataset", descending=[True, True, False]).iter_rows(named=True):
        numbers = [number(row[expression.meta.output_name()]) for expression in sides]
        rows.append([row["dataset"], row["role"], number(row["images"], column="images"), *numbers])
    heads = [f"{side}: {word}" for side in ("width", "height") for word in ("least", "median", "most")]
    return Grid("sizes", "Image sizes (px)", ["data set", "role", "images", *heads], rows, folded=True)


def spread_out(chart: Chart) -> list[str]:
    """Of the chart's images one of each set in every occupied cell of its grid: those that get a picture."""
    if chart.spread is None:
        return []
    x, y, cells = chart.spread
    frame = pl.DataFrame({name: chart.points[name] for name in (x, y, "image_id", "set")})
    places = [
        ((pl.col(name) - pl.col(name).min()) / (pl.col(name).max() - pl.col(name).min()) * cells)
        .fill_nan(0)
        .floor()
        .clip(0, cells - 1)
        for name in (x, y)
    ]
    firsts = frame.group_by("set", places[0].alias("column"), places[1].alias("row")).agg(pl.col("image_id").min())
    return sorted(firsts["image_id"])
