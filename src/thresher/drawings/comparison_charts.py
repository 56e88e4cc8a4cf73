"""Charts of a comparison, as specs that hold their own numbers: mIoU over images selected; how often classes occur."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import polars as pl

from thresher.drawings.charts import INK, WIDTH, Spec, finished, held, legend

#: Distinguishable with colour blindness. Source: Okabe & Ito 2008, "Color Universal Design", but for the yellow.
_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]
_SHAPES = ["circle", "square", "triangle-up", "triangle-down", "cross", "triangle-right"]
#: What every other method must beat, in grey.
_RANDOM = "#8a8a92"
#: Marks of one budget stand so many pixels apart, so that their intervals can be seen; lines bend at the true number
#: of images.
_APART_PX = 5
#: Below so many seeds an interval is so wide that the points alone are drawn.
_FEW_SEEDS = 5
#: Trainings on the images of another method; no selections of their own.
_TWINS = ("unlabelled", "true")
_PERCENT = alt.Axis(format=".1f", tickCount=8)


def is_measured(means: pl.DataFrame, of: str | None = None) -> bool:
    """Whether table SUMMARY has an IoU to draw: no class of an endpoint need occur in a set of images."""
    return bool(means.select((pl.col("class").eq_missing(of) & pl.col("iou").is_not_null()).any()).item())


def miou_chart(
    results: pl.DataFrame, means: pl.DataFrame, measured_on: str, strong_images: int, of: str | None = None
) -> Spec:
    """IoU over the number of selected images, on a log axis.

    A line for each method (dashed by mode where there are several), and a small point for each seed; from five seeds on
    with intervals. A line across for no weak data; a diamond at the pool's size for all of it.

    Args:
        results: Table RESULTS of one set.
        means: Table SUMMARY of the same set.
        measured_on: validation or test.
        of: The class in these tables to draw, such as an endpoint; None for the mean over all classes.
    """
    seeds = results.filter(pl.col("class").eq_missing(of))
    rows = means.filter(pl.col("class").eq_missing(of) & pl.col("iou").is_not_null())
    if (rows["seeds"].max() or 0) < _FEW_SEEDS:  # type: ignore[operator]
        rows = rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("iou_low", "iou_high"))
    chosen = rows.filter(pl.col("budget").is_not_null())
    methods = sorted(chosen["method"].unique(), key=lambda name: (name == "random", name))
    numbers = [n for n in rows["images"] if n] or [1]
    axes = _Axes(min(numbers), max(numbers), *_range(seeds, rows), "mIoU" if of is None else f"{of}, IoU")
    places = {name: axes.beside(n - (len(methods) - 1) / 2) for n, name in enumerate(methods)}
    layers = [
        *_none(rows.filter(method="none"), axes),
        *_lines(_placed(chosen, places), _placed(seeds.filter(pl.col("budget").is_not_null()), places), methods, axes),
        *_all(rows.filter(method="all"), seeds.filter(method="all"), axes),
    ]
    if not layers:
        raise ValueError("a chart of no training")
    anchors = {"none": " Line across: no weak data.", "all": " Diamond: the whole pool."}
    shown = "".join(words for name, words in anchors.items() if name in rows["method"])
    words = [
        f"{_seeds(rows['seeds'].to_list())}.{shown}",
        f"Every network learns from the same {strong_images} strong images, for as many steps.",
    ]
    return finished(alt.layer(*layers), _title(rows, measured_on, of), words, height=380)


def _range(seeds: pl.DataFrame, rows: pl.DataFrame) -> tuple[float, float]:
    """The shares that the axis spans: those of the points, so that wide intervals do not press them together."""
    values = [value for value in [*seeds["iou"], *rows["iou"]] if value is not None] or [0.0, 1.0]
    room = max(0.08 * (max(values) - min(values)), 0.004)
    return max(0.0, min(values) - room), min(1.0, max(values) + room)


def _title(rows: pl.DataFrame, measured_on: str, of: str | None) -> str:
    """The title: the selection with the highest mean, or that none beats no weak data, or that seeds are too few."""
    chosen = rows.filter(pl.col("budget").is_not_null() & ~pl.col("method").is_in(list(_TWINS)))
    where = measured_on if of is None else f"{of}, {measured_on}"
    if chosen.is_empty():
        return f"{of or 'mIoU'} on the {measured_on} images"
    if (most := max(rows["seeds"].to_list())) < _FEW_SEEDS:
        return f"{most} seed{'s are' if most != 1 else ' is'} not enough to tell which selection is best ({where})"
    best = chosen.sort("iou", descending=True).row(0, named=True)
    none = rows.filter(method="none")
    # Without weak data there is one loss in mode labels and one in the others.
    of_mode = (
        none.filter(mode=best["mode"]) if best["mode"] in none["mode"] else none.filter(pl.col("mode") != "labels")
    )
    without = [iou for iou in of_mode["iou"].to_list() if iou >= best["iou"]]
    if without:
        return f"No selection has a higher mean than no weak data: {100 * max(without):.1f} % ({where})"
    which = f"{best['method']} ({best['mode']})" if chosen["mode"].n_unique() > 1 else best["method"]
    return f"{which} has the highest mean: {100 * best['iou']:.1f} % at {best['images']:,} images ({where})"


def _seeds(seeds: list[int]) -> str:
    """Number of seeds of the means, in words."""
    least, most = min(seeds), max(seeds)
    if most == 1:
        return "One seed each, so no interval"
    count = str(most) if least == most else f"{least} to {most}"
    if most < _FEW_SEEDS:
        return f"Mean over {count} seeds (small points), too few for intervals"
    return f"Mean over {count} seeds (small points) with its 95 % t interval (bars, grey band)"


def _placed(frame: pl.DataFrame, places: dict[str, float]) -> pl.DataFrame:
    """Each row beside the others of its budget (`place`), its shares in percent."""
    factors = pl.DataFrame(
        {"method": [*places], "factor": [*places.values()]}, {"method": pl.String, "factor": pl.Float64}
    )
    beside = _in_percent(frame).join(factors, on="method", maintain_order="left")
    return beside.with_columns(place=pl.col("images") * pl.col("factor")).drop("factor")


def _in_percent(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("^iou.*$") * 100)


@dataclass(frozen=True)
class _Axes:
    """Numbers of images, on a log axis with some room about them, and shares in percent."""

    least: int
    most: int
    low: float
    high: float
    title: str

    @property
    def ends(self) -> tuple[float, float]:
        """The numbers of images at both ends of the axis."""
        room = max(1.4, 2 / (self.most / self.least) ** 0.5)
        return self.least / room, self.most * room

    def beside(self, steps: float) -> float:
        """The factor to a place so many steps of `_APART_PX` to the right."""
        first, last = self.ends
        return float((last / first) ** (steps * _APART_PX / WIDTH))

    def x(self, name: str) -> alt.X:
        """Numbers of images."""
        scale = alt.Scale(type="log", nice=False, domain=list(self.ends))
        axis = alt.Axis(format="~s", grid=False, labelOverlap=True)
        return alt.X(f"{name}:Q", title="weak images selected (number, log axis)", scale=scale, axis=axis)

    def y(self, name: str) -> alt.Y:
        """IoU in percent."""
        scale = alt.Scale(zero=False, nice=False, domain=[100 * self.low, 100 * self.high])
        return alt.Y(f"{name}:Q", title=f"{self.title} (%)", scale=scale, axis=_PERCENT)


def _colour(methods: list[str]) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of each method."""
    others = [name for name in methods if name != "random"]
    colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(others)} | {"random": _RANDOM}
    # Beyond six methods colours come again, with other shapes.
    shapes = {name: _SHAPES[(n + n // len(_SHAPES)) % len(_SHAPES)] for n, name in enumerate(others)}
    shapes["random"] = "diamond" if len(others) > len(_SHAPES) else "cross"
    return (
        alt.Color(
            "method:N",
            title=None,
            legend=legend(),
            scale=alt.Scale(domain=methods, range=[colours[name] for name in methods]),
        ),
        alt.Shape(
            "method:N",
            title=None,
            legend=legend(),
            scale=alt.Scale(domain=methods, range=[shapes[name] for name in methods]),
        ),
    )


def _lines(means: pl.DataFrame, seeds: pl.DataFrame, methods: list[str], axes: _Axes) -> list[alt.Chart]:
    if means.is_empty():
        return []
    colour, shape = _colour(methods)
    dashed = means["mode"].n_unique() > 1
    dash = {"strokeDash": alt.StrokeDash("mode:N", title=None, legend=legend())} if dashed else {"detail": "mode:N"}
    base = alt.Chart(held(means.sort("images").to_dicts())).encode(x=axes.x("place"), y=axes.y("iou"), color=colour)
    bars = alt.Chart(held(means.drop_nulls("iou_low").to_dicts())).encode(x=axes.x("place"), color=colour)
    points = alt.Chart(held(seeds.select("method", "mode", "seed", "images", "place", "iou").to_dicts()))
    return [
        bars.mark_rule(strokeWidth=2, opacity=0.55, clip=True).encode(y=axes.y("iou_low"), y2="iou_high:Q"),
        base.mark_line(strokeWidth=2.2).encode(x=axes.x("images"), **dash),
        points.mark_point(size=14, filled=True, opacity=0.5).encode(x=axes.x("place"), y=axes.y("iou"), color=colour),
        base.mark_point(size=110, filled=True, opacity=1).encode(shape=shape),
    ]


def _none(means: pl.DataFrame, axes: _Axes) -> list[alt.Chart]:
    if means.is_empty():
        return []
    several = means.height > 1
    words = pl.format("no weak data, {}", "mode") if several else pl.lit("no weak data")
    rows = _in_percent(means).with_columns(words=words).to_dicts()
    base = alt.Chart(held(rows)).encode(y=axes.y("iou"))
    bands = alt.Chart(held([row for row in rows if row["iou_low"] is not None]))
    return [
        bands.mark_rect(color=INK, opacity=0.09, clip=True).encode(y=axes.y("iou_low"), y2="iou_high:Q"),
        base.mark_rule(color=INK, strokeWidth=2),
        base.mark_text(color=INK, align="left", dx=4, dy=-8, fontSize=12).encode(x=alt.value(0), text="words:N"),
    ]


def _all(means: pl.DataFrame, seeds: pl.DataFrame, axes: _Axes) -> list[alt.Chart]:
    if means.is_empty():
        return []
    several = means.height > 1
    words = pl.format("whole pool, {}", "mode") if several else pl.lit("whole pool")
    rows = _in_percent(means).with_columns(words=words).to_dicts()
    base = alt.Chart(held(rows)).encode(x=axes.x("images"), y=axes.y("iou"))
    bars = alt.Chart(held([row for row in rows if row["iou_low"] is not None])).encode(x=axes.x("images"))
    points = alt.Chart(held(_in_percent(seeds).select("seed", "mode", "images", "iou").to_dicts()))
    return [
        bars.mark_rule(strokeWidth=2, opacity=0.55, color=INK, clip=True).encode(y=axes.y("iou_low"), y2="iou_high:Q"),
        points.mark_point(size=14, filled=True, opacity=0.5, color=INK).encode(x=axes.x("images"), y=axes.y("iou")),
        base.mark_point(size=170, shape="diamond", color=INK, fill="#ffffff", strokeWidth=2.2, opacity=1),
        base.mark_text(color=INK, align="right", dx=-12, dy=-10, fontSize=12).encode(text="words:N"),
    ]


def frequencies_chart(frequencies: pl.DataFrame) -> Spec:
    """On what share of images each countable class occurs: in the pool, in the target, in each selection; log axis.

    Random selections stand as the mean over their seeds. A class that a set lacks is a hollow mark at the left edge.
    Its label includes its share of the target's labelled pixels.

    Args:
        frequencies: Table FREQUENCIES.
    """
    rare = set(frequencies.filter("rare")["class"])
    shares = _shares(frequencies)
    names = _names(frequencies, shares, rare)
    series = shares["series"].unique(maintain_order=True).to_list()
    edge = 0.5 * min(shares.filter(pl.col("share") > 0)["share"].to_list(), default=1e-3)
    rows = shares.with_columns(
        name=pl.col("class").replace_strict(names),
        place=pl.max_horizontal("share", pl.lit(edge)),
        absent=pl.col("share") == 0,
    )
    colour, shape = _series_marks(series)
    base = alt.Chart(held(rows.to_dicts())).encode(
        x=alt.X(
            "place:Q",
            title="share of images with the class (%, log axis)",
            scale=alt.Scale(type="log", nice=False, padding=10),
            axis=alt.Axis(labelExpr="format(datum.value * 100, '~g')", labelOverlap=True, labelSeparation=8),
        ),
        y=alt.Y(
            "name:N", title=None, sort=list(names.values()), axis=alt.Axis(grid=True, tickBand="extent", labelLimit=240)
        ),
        yOffset=alt.YOffset("series:N", sort=series),
        color=colour,
        shape=shape,
    )
    marks = [base.transform_filter("!datum.absent").mark_point(size=70, filled=True, opacity=1)]
    if rows["absent"].any():  # Vega warns of a layer without a mark
        marks.append(
            base.transform_filter("datum.absent").mark_point(size=40, filled=False, strokeWidth=1.5, opacity=1)
        )
    words = [
        "Beside a class: its share of the target's labelled pixels, and whether it is rare (weighs more than the",
        "average in diversity). Hollow at the left edge: none. Target: by masks; all else: by boxes.",
    ]
    height = max(160, len(names) * (9 * len(series) + 10))
    return finished(alt.layer(*marks), _rare_title(shares, rare), words, height)


def _rare_title(shares: pl.DataFrame, rare: set[str]) -> str:
    chosen = shares.filter(~pl.col("series").is_in(["pool", "target"]))
    lacking = chosen.filter((pl.col("share") == 0) & pl.col("class").is_in(list(rare)))["series"].n_unique()
    count = chosen["series"].n_unique()
    if not count:
        return "How often classes occur"
    return f"{count - lacking} of {count} selections hold every rare class of the pool"


def _names(frequencies: pl.DataFrame, shares: pl.DataFrame, rare: set[str]) -> dict[str, str]:
    """The label of each class, the most frequent in the pool first."""
    strong = dict(frequencies.filter(of="target").select("class", "strong_share").iter_rows())
    order = shares.filter(series="pool").sort("share", "class", descending=[True, False])["class"]
    return {
        name: name
        + (", rare" if name in rare else "")
        + (f" · {100 * strong[name]:.2g} % of px" if name in strong else "")
        for name in order
    }


def _shares(frequencies: pl.DataFrame) -> pl.DataFrame:
    """class, series, share (0..1) of the classes with boxes in the pool: pool, target, then each method and budget."""
    occurring = frequencies.filter((pl.col("of") == "pool") & (pl.col("images") > 0))["class"]
    each = frequencies.filter(pl.col("class").is_in(occurring.implode())).with_columns(
        share=pl.col("images") / pl.col("of_images"),
        series=pl.when(pl.col("method").is_null()).then("of").otherwise(pl.format("{} {}", "method", "budget")),
    )
    means = each.group_by("series", "class", maintain_order=True).agg(pl.col("share").mean())
    place = pl.col("series").replace_strict({"pool": 0, "target": 1}, default=2)
    return means.sort(place, maintain_order=True)


def _series_marks(series: list[str]) -> tuple[alt.Color, alt.Shape]:
    """Colours tell methods apart, shapes budgets; pool and target are black."""
    fixed = {"pool": "square", "target": "diamond"}
    made = [name.rsplit(" ", 1) for name in series if name not in fixed]
    methods = [method for method in dict.fromkeys(method for method, _ in made) if method != "random"]
    budgets = list(dict.fromkeys(budget for _, budget in made))
    of_method = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(methods)} | {"random": _RANDOM}
    colours, shapes = [], []
    for name in series:
        method, _, budget = name.rpartition(" ")
        colours.append(INK if name in fixed else of_method[method])
        shapes.append(fixed.get(name) or _SHAPES[budgets.index(budget) % len(_SHAPES)])
    above = alt.Legend(orient="top", labelFontSize=12, symbolSize=90, symbolOpacity=1, columns=4, labelLimit=240)
    return (
        alt.Color("series:N", title=None, legend=above, scale=alt.Scale(domain=series, range=colours)),
        alt.Shape("series:N", title=None, legend=above, scale=alt.Scale(domain=series, range=shapes)),
    )
