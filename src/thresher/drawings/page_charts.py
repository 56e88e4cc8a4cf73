"""Charts of the report whose points the page brings along: similarity against diversity, the map; and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from thresher.drawings.charts import POOL, TARGET, Spec, finished, held, legend

#: Distinguishable from target and pool, also with colour blindness.
SELECTION = "#a6326f"
SETS = alt.Scale(domain=["target", "pool", "selection"], range=[TARGET, POOL, SELECTION])
#: For names without an order, the strongest first, then fainter ones; they come again beyond. And for what has none.
KINDS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#e45756",
    "#b279a2",
    "#439894",
    "#f2cf5b",
    "#9e765f",
    "#d67195",
    "#9ecae9",
    "#ffbf79",
    "#88d27a",
    "#ff9d98",
    "#d6a5c9",
    "#83bcb6",
    "#b79a20",
    "#d8b5a5",
    "#fcbfd2",
)
UNKNOWN, _GREY = "none", "#a1a1aa"
#: Maximum number of dots for which the brush fades those outside it.
_FADED = 4000
#: The name of the data set that the page fills in.
POINTS = "points"


def histogram_chart(bins: pl.DataFrame, title: str, words: list[str]) -> Spec:
    """How similarity is spread in each role of the bins (table SIMILARITY_BINS; roles target, pool, selection)."""
    roles = [role for role in ("target", "pool", "selection") if role in bins["role"]]
    steps = (
        alt.Chart(held(bins.to_dicts()))
        .mark_rect(opacity=0.55)
        .encode(
            x=alt.X(
                "from_nats:Q",
                title="similarity (nats per slice); right = nearer the target",
                scale=alt.Scale(zero=False, nice=False),
                axis=alt.Axis(grid=False, tickCount=10),
            ),
            x2="to_nats:Q",
            y2=alt.Y2Datum(0),
            y=alt.Y("share:Q", title="share of the images", axis=alt.Axis(format="%")),
            color=alt.Color(
                "role:N",
                title=None,
                scale=SETS,
                sort=roles,
                legend=alt.Legend(orient="top", labelFontSize=13, symbolSize=120, symbolOpacity=1, values=roles),
            ),
        )
    )
    return finished(steps, title, words, height=280)


def scatter_chart(across: str, across_title: str, points: int, title: str, words: list[str]) -> Spec:
    """Diversity over a similarity, a dot for each pool image, with a rectangle to be drawn over it.

    The points have `across`, diversity and set; of fewer the dots are larger.
    """
    brush = alt.selection_interval(name="brush", encodings=["x", "y"])
    # Fading the dots outside recomputes every dot at each move of the pointer: too slow for many.
    opacity = alt.condition(brush, alt.value(0.65), alt.value(0.12)) if points < _FADED else alt.value(0.5)
    dots = (
        alt.Chart(alt.NamedData(name=POINTS))
        .mark_circle(size=40 if points < 2000 else 16, clip=True)
        .encode(
            x=alt.X(
                f"{across}:Q",
                title=f"{across_title}; right = nearer the target",
                scale=alt.Scale(zero=False, nice=False, padding=8),
            ),
            y=alt.Y("diversity:Q", title="diversity", scale=alt.Scale(nice=False, padding=8)),
            color=alt.Color(
                "set:N",
                title=None,
                scale=SETS,
                legend=alt.Legend(
                    orient="top", labelFontSize=13, symbolSize=120, symbolOpacity=1, values=["pool", "selection"]
                ),
            ),
            opacity=opacity,
        )
        .add_params(brush)
    )
    return finished(dots, title, words, height=420)


def places_chart(
    colour: str, title: str, words: list[str], sets: Sequence[str] = (), names: Sequence[str] = ()
) -> Spec:
    """The map: a dot for each image, coloured by one column of the points; the selection is drawn larger.

    Args:
        sets: Those that there are, where the colour is by set.
        names: What the column holds, the most frequent first, where it holds names; `UNKNOWN` is grey.
    """
    by_set = colour == "set"
    numeric = colour in ("similarity", "layout", "diversity")
    kind = "Q" if numeric else "N"
    scale: Any = SETS if by_set else alt.Scale(scheme="viridis") if numeric else _kinds(names)
    key = (
        alt.Legend(orient="top", labelFontSize=12, gradientLength=240, symbolLimit=20, symbolOpacity=1, columns=6)
        if not by_set
        else alt.Legend(orient="top", labelFontSize=13, symbolSize=120, symbolOpacity=1, values=list(sets))
    )
    plane = alt.Scale(zero=False, nice=False, padding=12)
    chosen = alt.FieldEqualPredicate(field="set", equal="selection")
    dots = (
        alt.Chart(alt.NamedData(name=POINTS))
        .mark_circle(opacity=0.7)
        .encode(
            x=alt.X("x:Q", axis=None, scale=plane),
            y=alt.Y("y:Q", axis=None, scale=plane),
            size=alt.condition(chosen, alt.value(46), alt.value(18)),
            color=alt.Color(
                f"{colour}:{kind}", title=None if by_set else colour.replace("_", " "), scale=scale, legend=key
            ),
        )
    )
    return finished(dots, title, words, height=460)


def _kinds(names: Sequence[str]) -> alt.Scale:
    known = [name for name in names if name != UNKNOWN]
    colours = [KINDS[number % len(KINDS)] for number in range(len(known))]
    unknown = len(known) < len(names)
    return alt.Scale(domain=known + [UNKNOWN] * unknown, range=colours + [_GREY] * unknown)


def datasets_chart(shares: pl.DataFrame) -> Spec:
    """What each data set makes of the pool and of the selection (dataset, role, share)."""
    order = shares.filter(role="selection").sort("share", "dataset", descending=[True, False])["dataset"].to_list()
    bars = (
        alt.Chart(held(shares.to_dicts()))
        .mark_bar()
        .encode(
            y=alt.Y("dataset:N", title=None, sort=order, axis=alt.Axis(labelLimit=220)),
            yOffset=alt.YOffset("role:N", sort=["pool", "selection"]),
            x=alt.X("share:Q", title="share of the images", axis=alt.Axis(format="%", tickCount=8)),
            color=alt.Color(
                "role:N",
                title=None,
                legend=legend(),
                scale=alt.Scale(domain=["pool", "selection"], range=[POOL, SELECTION]),
            ),
        )
    )
    words = ["A longer lower bar: the selection has more of this data set than a random draw would."]
    return finished(bars, "Data sets of the pool and of the selection", words, height=max(90, 30 * len(order)))


def worth_chart(rows: pl.DataFrame, knee: int, words: list[str]) -> Spec:
    """What share of the target the first N images cover, over N, with a line at the knee.

    Args:
        rows: images and covered (0..1).
    """
    line = (
        alt.Chart(held(rows.to_dicts()))
        .mark_line(point=True, color=SELECTION)
        .encode(x=_taken(), y=alt.Y("covered:Q", title="share of the target covered", axis=alt.Axis(format="%")))
    )
    rule = alt.Chart(held([{"images": knee}])).mark_rule(strokeDash=[4, 4], color=_GREY).encode(x="images:Q")
    return finished(line + rule, "What the first images of the ranking cover of the target", words, height=260)


def trained_chart(tried: pl.DataFrame, curves: pl.DataFrame, words: list[str]) -> Spec:
    """IoU of trainings over the number of images, and the saturating curves through them.

    Args:
        tried, curves: images, iou (0..1) and the name of the method and mode.
    """
    iou = alt.Y("iou:Q", title="mIoU", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    colour = alt.Color("name:N", title=None, legend=legend(), scale=alt.Scale(range=list(KINDS)))
    points = alt.Chart(held(tried.to_dicts())).mark_point(filled=True, size=70).encode(x=_taken(), y=iou, color=colour)
    lines = alt.Chart(held(curves.to_dicts())).mark_line().encode(x=_taken(), y=iou, color=colour)
    return finished(points + lines, "What trainings on more and more images have reached", words, height=260)


def _taken() -> alt.X:
    return alt.X("images:Q", title="images taken", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(grid=False))
