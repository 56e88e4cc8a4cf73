"""The map: target, pool and selection in the plane of t-SNE."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from thresher.drawings import page_charts
from thresher.report.blocks import Chart, Missing, Section, Words

_WORDS = [
    "Each dot is an image; neighbours have similar features. Axes, cluster sizes and the distances between",
    "clusters mean nothing (t-SNE).",
]
#: Cells a side of the grid of which each brings a picture of every set.
_CELLS = 9


def map_section(places: pl.DataFrame | None, scores: pl.DataFrame | None, left_out: bool = False) -> Section:
    """The section.

    Args:
        places: image_id, x, y, set (target, pool, selection), dataset, and, if known, `class` (the most
            frequent one of interest) and `component` (of the mixture); None where embed has not run.
        scores: Table SCORES, those of its columns that the run has; None before score.
        left_out: Whether map_images = 0.
    """
    title = "The map"
    if left_out:
        return Section("map", title, [Words("Not drawn: map_images = 0.")])
    if places is None or places.is_empty():
        return Section("map", title, [Missing("No image has been embedded.", "thresher embed RUN")])
    columns = [name for name in ("similarity", "layout", "diversity") if scores is not None and name in scores.columns]
    if scores is not None:
        places = places.join(scores.select("image_id", *columns), on="image_id", how="left")
    order = {"pool": 0, "target": 1, "selection": 2}
    rows = places.sort(pl.col("set").replace_strict(order), "image_id")  # the fewer lie on top
    sets = [name for name in ("target", "pool", "selection") if name in rows["set"]]
    counts = ", ".join(f"{rows.filter(set=name).height:,} {name}" for name in sets)
    known = [name for name in rows.columns if rows[name].null_count() < rows.height]
    kinds = [name for name in ("class", "component") if name in rows.columns]
    rows = rows.with_columns(pl.col(kinds).fill_null(page_charts.UNKNOWN))
    variants = {
        words: page_charts.places_chart(
            column, f"Images by their pooled vectors ({counts})", _WORDS, sets, _frequent_first(rows[column])
        )
        for words, column in _choices(columns).items()
        if column in known
    }
    points = {name: rows[name].round(2).to_list() for name in ("x", "y")}
    points |= {name: rows[name].to_list() for name in ("image_id", "set", "dataset", *kinds)}
    points |= {name: rows[name].round(3).to_list() for name in columns}
    alt = f"Map of {rows.height:,} images ({counts}) by t-SNE; neighbouring dots are images with similar features."
    chart = Chart("map", alt, variants, "Colour by", points, spread=("x", "y", _CELLS), renderer="canvas")
    return Section("map", title, [chart])


def _frequent_first(names: pl.Series) -> list[str]:
    if names.dtype != pl.String:
        return []
    return names.alias("name").value_counts().sort(["count", "name"], descending=[True, False])["name"].to_list()


def _choices(columns: Sequence[str]) -> dict[str, str]:
    words = {"similarity": "similarity", "layout": "layout", "diversity": "diversity"}
    kinds = {
        "set": "set",
        "data set": "dataset",
        "most frequent class": "class",
        "component of the mixture": "component",
    }
    return kinds | {words[name]: name for name in columns}
