"""Charts of the insight tables as Vega-Lite specs that hold their own data, and those specs as PNG, offline."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt
import polars as pl
import vl_convert as vlc

from thresher.density.findings import DomainGap

#: A Vega-Lite specification: plain JSON values.
Spec = dict[str, Any]

#: Distinguishable with colour blindness and in grey: the target is darker.
TARGET, POOL, INK, FAINT, _GRID = "#0b5c8a", "#e39a3b", "#18181b", "#696970", "#e4e4e7"
_ROLES = alt.Scale(domain=["target", "pool"], range=[TARGET, POOL])
WIDTH = 620
_VERSION = alt.SCHEMA_VERSION.removeprefix("v").rsplit(".", 1)[0]


def components_tried_chart(tried: pl.DataFrame) -> Spec:
    """Held-out and fitted log-likelihood over K; the K that was taken is marked."""
    best = tried.sort("held_out_nats", descending=True).row(0, named=True)
    names = {"held_out_nats": "on images held out", "fitted_nats": "on the images fitted"}
    long = tried.unpivot(list(names), index="components", variable_name="on", value_name="nats")
    rows = long.with_columns(pl.col("on").replace_strict(names)).to_dicts()
    colour = alt.Color(
        "on:N", title=None, scale=alt.Scale(domain=list(names.values()), range=[TARGET, "#9a9aa2"]), legend=legend()
    )
    base = alt.Chart(held(rows)).encode(
        x=alt.X("components:O", title="components K", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("nats:Q", title="mean log-likelihood (nats per slice)", scale=alt.Scale(zero=False)),
        color=colour,
    )
    chosen = alt.Chart(held([{**best, "words": f"{best['held_out_nats']:.1f}"}])).encode(
        x="components:O", y="held_out_nats:Q"
    )
    chart = alt.layer(
        base.mark_line(strokeWidth=2.5),
        base.mark_point(filled=True, size=50, opacity=1),
        chosen.mark_point(size=260, color=INK, strokeWidth=1.8),
        chosen.mark_text(dy=22, color=INK, fontSize=13).encode(text="words:N"),
    )
    plural = "" if best["components"] == 1 else "s"
    return finished(
        chart,
        f"{best['components']} component{plural} describe{'' if plural else 's'} unseen target images best",
        ["The gap between the lines is overfitting to the fitted images."],
        height=300,
    )


def component_sizes_chart(sizes: pl.DataFrame) -> Spec:
    """The share of target and pool slices that each component takes, the target's largest first; its weight as a tick.

    A component that takes much of the pool and little of the target holds what fits nowhere.
    """
    order = sizes.sort("target_share", descending=True)["component"].to_list()
    long = sizes.unpivot(["target_share", "pool_share"], index="component", variable_name="role", value_name="share")
    rows = long.with_columns(pl.col("role").str.replace("_share", "")).to_dicts()
    bars = (
        alt.Chart(held(rows))
        .mark_bar()
        .encode(
            y=_component_axis(order),
            yOffset=alt.YOffset("role:N", sort=["target", "pool"]),
            x=alt.X("share:Q", title="share of slices", axis=alt.Axis(format=".0%", tickCount=8)),
            color=alt.Color("role:N", title=None, scale=_ROLES, legend=legend()),
        )
    )
    ticks = (
        alt.Chart(held(sizes.select("component", "weight").to_dicts()))
        .mark_tick(color=INK, thickness=2)
        .encode(y=_component_axis(order), x="weight:Q")
    )
    most = sizes.sort("pool_share", descending=True).row(0, named=True)
    title = (
        f"Component {most['component']} takes {most['pool_share']:.0%} of the pool's slices "
        f"and {most['target_share']:.0%} of the target's"
    )
    words = [
        "Every slice is assigned to components, however unlikely it is: outliers go to the broadest one.",
        "Black tick: the component's weight in the mixture.",
    ]
    return finished(alt.layer(bars, ticks), title, words, height=max(160, 30 * len(order)))


def _component_axis(order: list[int]) -> alt.Y:
    return alt.Y("component:N", title="component", sort=order)


def similarities_chart(bins: pl.DataFrame, reached: float, share: float) -> Spec:
    """Histograms of similarity in the held-out target and in the pool.

    Args:
        reached: Similarity that 95 % of the held-out target reach; drawn as a line.
        share: Share of the pool that reaches it.
    """
    bars = (
        alt.Chart(held(bins.to_dicts()))
        .mark_rect(opacity=0.65)
        .encode(
            x=alt.X(
                "from_nats:Q",
                title="similarity (nats per slice); right = nearer the target",
                scale=alt.Scale(zero=False, nice=False),
                axis=alt.Axis(grid=False, tickCount=10),
            ),
            x2="to_nats:Q",
            y2=alt.Y2Datum(0),
            y=alt.Y("share:Q", title="share of the images", axis=alt.Axis(format=".0%")),
            color=alt.Color("role:N", title=None, scale=_ROLES, sort=["target", "pool"], legend=legend()),
        )
    )
    line = alt.Chart(held([{"at": reached, "words": f"95% of the target is right of {reached:.1f}"}]))
    rule = line.mark_rule(color=INK, strokeDash=[4, 3], strokeWidth=1.5).encode(x="at:Q")
    note = line.mark_text(color=INK, align="right", dx=-7, dy=-2, fontSize=12, baseline="top").encode(
        x="at:Q", y=alt.value(4), text="words:N"
    )
    return finished(
        alt.layer(bars, rule, note),
        f"{share:.0%} of the pool is as similar to the target as 95% of the held-out target",
        ["Each image is scored under mixtures fitted without it."],
        height=280,
    )


def map_chart(places: pl.DataFrame, gap: DomainGap) -> Spec:
    """Target and pool in the t-SNE map, with the domain gap as title."""
    pool_first = places.sort("role", "image_id").to_dicts()  # the target, the fewer, is drawn on top
    points = (
        alt.Chart(held(pool_first))
        .mark_circle(size=22, opacity=0.6)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(zero=False, nice=False, padding=12)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(zero=False, nice=False, padding=12)),
            color=alt.Color("role:N", title=None, scale=_ROLES, legend=legend()),
        )
    )
    words = [
        "Each dot is an image; neighbours have similar features. Axes, cluster sizes and the distances between",
        "clusters mean nothing (t-SNE).",
    ]
    title = f"Linear classifier of target against pool: AUC {gap.auc:.3f} (95% interval {gap.low:.3f}–{gap.high:.3f})"
    return finished(points, title, words, height=460)


def held(rows: list[dict[str, Any]]) -> alt.Data:
    """Rows embedded in the spec."""
    return alt.Data(values=rows)  # type: ignore[no-untyped-call]


def legend() -> alt.Legend:
    """Above the chart, large enough to read."""
    return alt.Legend(orient="top", labelFontSize=13, symbolSize=120, symbolOpacity=1, labelLimit=400)


def finished(chart: Any, title: str, words: list[str], height: int) -> Spec:
    """The spec with title, size and the look all charts share."""
    header = alt.TitleParams(
        title, subtitle=words, anchor="start", fontSize=17, subtitleFontSize=13, subtitleColor=FAINT, offset=14
    )
    spec: Spec = (
        chart.properties(title=header, width=WIDTH, height=height, background="#ffffff", padding=16)
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", gridColor=_GRID, titleColor=INK)
        .to_dict()
    )
    return spec


def png(spec: Spec) -> bytes:
    """The chart as PNG at twice its size; nothing is fetched."""
    return vlc.vegalite_to_png(spec, vl_version=_VERSION, scale=2, allowed_base_urls=[])


def svg(spec: Spec) -> str:
    """The chart as SVG; nothing is fetched."""
    drawn: str = vlc.vegalite_to_svg(spec, vl_version=_VERSION, allowed_base_urls=[])
    return drawn


@lru_cache
def vega_bundle() -> str:
    """The JavaScript that draws the specs in a browser, as one script; it puts `vegaEmbed` in the window."""
    bundle: str = vlc.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION)
    return bundle
