"""What the results of a comparison say: means, intervals, paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64

from thresher.comparison.settings import ALL, LABELS, NONE, SAVED, STRONG, UNLABELLED
from thresher.tables import DIFFERENCES, SUMMARY, from_rows

#: Probability that an interval contains the true mean, if the results of the seeds are normally distributed.
CONFIDENCE = 0.95
#: What the rows of DIFFERENCES are against, and what the two of a pair have in common besides seed, set and class.
_PAIRED_BY = {
    "random": ("place", "mode"),
    NONE: ("loss",),
    UNLABELLED: ("place", "loss"),
    ALL: ("mode",),
    "holds_class": ("place", "mode"),
}
AGAINST = tuple(_PAIRED_BY)
#: What the seeds of a row of SUMMARY or DIFFERENCES have in common.
_ROW = ["method", "mode", "budget", "set", "class"]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and what Student's t says of it; None for fewer than two seeds, but for the mean."""

    seeds: int
    mean: float | None
    sd: float | None = None
    """Standard deviation over seeds, with n − 1 in its denominator."""
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """Probability of a mean as far from 0, if the true one is 0."""


def mean_interval(values: Float64[np.ndarray, " seeds"], confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student's t interval: mean ± t((1 + confidence)/2, n − 1) · s / √n.

    Source: Student 1908, "The probable error of a mean".

    >>> found = mean_interval(np.array([0.4, 0.5, 0.6]))
    >>> round(found.low, 3), round(found.high, 3), round(found.p, 4)
    (0.252, 0.748, 0.0131)
    """
    from scipy.special import stdtr, stdtrit

    seeds = len(values)
    if seeds < 2:
        return Interval(seeds, float(values[0]) if seeds else None)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    error = sd / math.sqrt(seeds)
    half = float(stdtrit(seeds - 1, (1 + confidence) / 2)) * error
    if error == 0:
        return Interval(seeds, mean, sd, mean, mean, float(mean == 0))
    return Interval(seeds, mean, sd, mean - half, mean + half, float(2 * stdtr(seeds - 1, -abs(mean) / error)))


def holm(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """The p-values corrected for being so many: the k-th smallest of m times m − k + 1, but no less than those before.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm(np.array([0.04, 0.01, 0.03])).round(3).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def summary(results: pl.DataFrame) -> pl.DataFrame:
    """Table SUMMARY: for each method, mode, budget, set and class the means over seeds, and the interval of IoU.

    Args:
        results: Table RESULTS.
    """
    rows = []
    for key, group in _groups(results, _ROW):
        interval = mean_interval(_present(group["iou"]))
        iou = {"iou": interval.mean, "iou_low": interval.low, "iou_high": interval.high}
        means = {name: group[name].mean() for name in ("precision", "recall", "weak_images", "seconds")}
        rows.append({**key, "images": group["images"].max(), "seeds": interval.seeds, **iou, **means})
    return from_rows(rows, SUMMARY)


def differences(results: pl.DataFrame) -> pl.DataFrame:
    """Table DIFFERENCES: IoU minus that of each of `AGAINST`, paired by seed; mean and interval over seeds.

    The two of a pair have the same seed, set and class; with random, holds_class and unlabelled also the same budget
    and mode, with all the same mode, with none the loss of that mode. What varies with the seed alone cancels out, so
    these intervals are narrower than those of `summary`. A saved selection is paired with the budget that has as many
    images. The rows against the same, in one set and class, are a family for Holm's correction.

    Args:
        results: Table RESULTS.
    """
    rows: list[dict[str, Any]] = []
    for against in AGAINST:
        pairs = _pairs(results, against)
        family: dict[tuple[object, object], list[tuple[dict[str, Any], Float64[np.ndarray, " seeds"]]]] = {}
        for key, group in _groups(pairs, _ROW):
            values = _present(group["difference"])
            row = {**key, "against": against, "images": group["images"].max(), **_told(mean_interval(values))}
            family.setdefault((key["set"], key["class"]), []).append((row, values))
        for tested in family.values():
            rows += _corrected(tested)
    return from_rows(rows, DIFFERENCES)


def _told(interval: Interval) -> dict[str, Any]:
    numbers = {"sd": interval.sd, "low": interval.low, "high": interval.high, "p": interval.p}
    return {"seeds": interval.seeds, "iou_difference": interval.mean, **numbers}


def _corrected(tested: list[tuple[dict[str, Any], Float64[np.ndarray, " seeds"]]]) -> list[dict[str, Any]]:
    """The rows of a family with p-values and intervals corrected by Holm.

    The interval's level is that at which it leaves out 0 just if the corrected p is below 0.05.
    """
    known = [(row, values) for row, values in tested if row["p"] is not None]
    for (row, values), p in zip(known, holm(np.array([row["p"] for row, _ in known])), strict=True):
        times = p / row["p"] if row["p"] > 0 else len(known)
        interval = mean_interval(values, 1 - (1 - CONFIDENCE) / max(times, 1))
        row |= {"p_holm": float(p), "low_holm": interval.low, "high_holm": interval.high}
    return [row for row, _ in tested]


def _pairs(results: pl.DataFrame, against: str) -> pl.DataFrame:
    """The rows of RESULTS that `against` is subtracted from, with the `difference`."""
    same = ["seed", "set", "class", *_PAIRED_BY[against]]
    sizes = results.filter(pl.col("method") == against).select("budget", "images").unique()
    of_size = dict(sizes.drop_nulls().select("images", "budget").sort("images", "budget").iter_rows())
    by_size = pl.col("images").replace_strict(of_size, default=None, return_dtype=pl.String)
    place = pl.when(budget=SAVED).then(by_size).otherwise("budget")
    # Trainings on masks alone have one loss in the modes that use boxes as they are, and another in mode labels.
    loss = pl.when(pl.col("mode").str.starts_with(LABELS)).then(pl.lit(LABELS)).otherwise(pl.lit(STRONG))
    placed = results.with_columns(place=place, loss=loss)
    other = placed.filter(pl.col("method") == against).select(*same, other="iou")
    comparable = (pl.col("method") != against) & pl.col("images").is_not_null()
    if against == ALL:
        comparable &= pl.col("method") != NONE
    return (
        placed.filter(comparable)
        .join(other, on=same, nulls_equal=True)
        .filter(pl.col("place").is_not_null() if "place" in same else pl.lit(True))
        .with_columns(difference=pl.col("iou") - pl.col("other"))
    )


def mean_over_classes(metrics: pl.DataFrame) -> dict[str, float | int | None]:
    """The row of RESULTS over all classes: the means of IoU (mIoU), precision and recall, nulls left out.

    Args:
        metrics: Table CLASS_METRICS.
    """
    means = {name: metrics[name].mean() for name in ("iou", "precision", "recall")}
    found = {name: float(mean) if isinstance(mean, float) else None for name, mean in means.items()}
    return {**found, "labelled_px": int(metrics["labelled_px"].sum())}


def _groups(frame: pl.DataFrame, by: list[str]) -> list[tuple[dict[str, object], pl.DataFrame]]:
    groups = frame.group_by(by, maintain_order=True)
    return [(dict(zip(by, key, strict=True)), group) for key, group in groups]


def _present(values: pl.Series) -> Float64[np.ndarray, " seeds"]:
    return values.drop_nulls().to_numpy()
