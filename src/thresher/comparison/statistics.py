"""Which trainings a comparison is made of, and what their results say: means, intervals, paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64

from thresher.comparison.settings import ALL, NONE
from thresher.tables import DIFFERENCES, SUMMARY, from_rows

#: Share of comparisons whose interval holds the true mean, if seeds scatter normally.
CONFIDENCE = 0.95
#: What a row of results is of, apart from its seed.
_ROW = ["method", "mode", "budget", "set", "class"]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and where the mean over all seeds there could be lies in 95 % of comparisons."""

    seeds: int
    mean: float | None
    low: float | None
    high: float | None


def mean_interval(values: Float64[np.ndarray, " seeds"]) -> Interval:
    """Mean and Student's t interval; without bounds where fewer than two seeds were measured.

    mean ± t(0.975, n − 1) · s / √n, where s is the standard deviation with n − 1 in its denominator.

    Source: Student 1908, "The probable error of a mean".

    >>> found = mean_interval(np.array([0.4, 0.5, 0.6]))
    >>> round(found.low, 3), round(found.high, 3)
    (0.252, 0.748)
    """
    from scipy.special import stdtrit

    seeds = len(values)
    if seeds == 0:
        return Interval(0, None, None, None)
    mean = float(values.mean())
    if seeds == 1:
        return Interval(1, mean, None, None)
    half = float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2) * values.std(ddof=1) / np.sqrt(seeds))
    return Interval(seeds, mean, mean - half, mean + half)


def summary(results: pl.DataFrame) -> pl.DataFrame:
    """Table SUMMARY: of each method, mode, budget, set and class the means over seeds, and the IoU's interval.

    Args:
        results: Table RESULTS.
    """
    rows = []
    for key, group in _groups(results, _ROW):
        interval = mean_interval(_present(group["iou"]))
        rows.append(
            {**key, "images": group["images"].max(), "seeds": interval.seeds, "iou": interval.mean,
             "iou_low": interval.low, "iou_high": interval.high}
            | {name: group[name].mean() for name in ("precision", "recall", "weak_images", "seconds")}
        )  # fmt: skip
    return from_rows(rows, SUMMARY)


def differences(results: pl.DataFrame) -> pl.DataFrame:
    """Table DIFFERENCES: by how much IoU is above that of random, none and all, seed by seed.

    A pair has the same seed, set and class; against random also the same budget and mode, against all the same mode.
    What differs between seeds alone falls out of a pair, so these intervals are narrower than those of `summary`.

    Args:
        results: Table RESULTS.
    """
    others = {
        "random": (pl.col("budget").is_not_null(), ["budget", "mode", "seed", "set", "class"]),
        NONE: (pl.lit(True), ["seed", "set", "class"]),
        ALL: (pl.col("method") != NONE, ["mode", "seed", "set", "class"]),
    }
    rows = []
    for against, (comparable, same) in others.items():
        other = results.filter(pl.col("method") == against).select(*same, other="iou")
        pairs = (
            results.filter((pl.col("method") != against) & comparable)
            .join(other, on=same, nulls_equal=True)
            .with_columns(difference=pl.col("iou") - pl.col("other"))
        )
        for key, group in _groups(pairs, _ROW):
            interval = mean_interval(_present(group["difference"]))
            rows.append(
                {**key, "against": against, "images": group["images"].max(), "seeds": interval.seeds,
                 "iou_difference": interval.mean, "low": interval.low, "high": interval.high}
            )  # fmt: skip
    return from_rows(rows, DIFFERENCES)


def mean_over_classes(metrics: pl.DataFrame) -> dict[str, float | int | None]:
    """The row of RESULTS that stands for all classes, from table CLASS_METRICS: each mean is over those that have one.

    Its IoU is the mIoU.
    """
    means = {name: metrics[name].mean() for name in ("iou", "precision", "recall")}
    found = {name: float(mean) if isinstance(mean, float) else None for name, mean in means.items()}
    return {**found, "labelled_px": int(metrics["labelled_px"].sum())}


def _groups(frame: pl.DataFrame, by: list[str]) -> list[tuple[dict[str, object], pl.DataFrame]]:
    groups = frame.group_by(by, maintain_order=True)
    return [(dict(zip(by, key, strict=True)), group) for key, group in groups]


def _present(values: pl.Series) -> Float64[np.ndarray, " seeds"]:
    return values.drop_nulls().to_numpy()
