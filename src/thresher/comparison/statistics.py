"""What the results of a comparison say: means, intervals, paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64

from thresher.comparison.settings import ALL, NONE
from thresher.tables import DIFFERENCES, SUMMARY, from_rows

#: Probability that an interval contains the true mean, if the results of the seeds are normally distributed.
CONFIDENCE = 0.95
#: What the seeds of a row of SUMMARY or DIFFERENCES have in common.
_ROW = ["method", "mode", "budget", "set", "class"]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % confidence interval."""

    seeds: int
    mean: float | None
    low: float | None
    high: float | None


def mean_interval(values: Float64[np.ndarray, " seeds"]) -> Interval:
    """Mean and Student's t interval; the bounds are None for fewer than two seeds.

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
    """Table DIFFERENCES: IoU minus that of random, of none and of all, paired by seed; mean and interval over seeds.

    The two of a pair have the same seed, set and class; with random also the same budget and mode, with all the same
    mode. What varies with the seed alone cancels out, so these intervals are narrower than those of `summary`.

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
            counts = {"images": group["images"].max(), "seeds": interval.seeds}
            difference = {"iou_difference": interval.mean, "low": interval.low, "high": interval.high}
            rows.append({**key, "against": against, **counts, **difference})
    return from_rows(rows, DIFFERENCES)


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
