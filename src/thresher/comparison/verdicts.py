"""What a comparison shows, in sentences: what a selection adds, how small a difference can be found, and how few
images do for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.comparison.settings import ALL, LABELS, NONE, TRUE, UNLABELLED

#: Below so many seeds there is a warning.
FEW_SEEDS = 5
#: Probability with which a difference is found that is as large as the sentence on power says.
POWER = 0.8


def detectable(sd: float, seeds: int) -> float:
    """The paired difference that this many seeds find in 4 of 5 comparisons, in the unit of `sd`.

    (t(0.975, n − 1) + t(0.8, n − 1)) · sd / √n, for a two-sided test at 5 %.

    Source: the usual approximation, such as Chow, Shao & Wang 2008, "Sample Size Calculations", §3.2.

    >>> [round(detectable(0.63, seeds), 1) for seeds in (3, 6, 15)]
    [2.0, 0.9, 0.5]
    """
    from scipy.special import stdtrit

    return float((stdtrit(seeds - 1, 0.975) + stdtrit(seeds - 1, POWER)) * sd / np.sqrt(seeds))


def power_words(pairs: pl.DataFrame) -> str:
    """How small a difference the comparison can find; empty if there are no pairs.

    Args:
        pairs: Rows of table DIFFERENCES of one set, over all classes.
    """
    seeds = int(pairs["seeds"].max() or 0)  # type: ignore[arg-type]
    if seeds == 0:
        return ""
    spread: float | None = pairs["sd"].median()  # type: ignore[assignment]
    warning = f"Warning: {seeds} seed{'s' * (seeds != 1)}, too few to judge by; from {FEW_SEEDS} on it is of use. "
    words = warning if seeds < FEW_SEEDS else ""
    if spread is None:
        return f"{words}One seed says nothing of chance."
    found = _points(detectable(spread, seeds))
    return (
        f"{words}Paired differences scatter over seeds by {_points(spread)} points (median), so {seeds} seeds find a "
        f"true difference of {found} points in 4 of 5 comparisons."
    )


def reduction_words(pairs: pl.DataFrame, margin: float) -> list[str]:
    """For each mode: the fewest images that are not worse than the whole pool; none without the baseline `all`.

    Not worse: the 95 % interval of the paired difference to the whole pool lies above −`margin`.

    Args:
        pairs: Rows of table DIFFERENCES of one set, over all classes.
        margin: As a share of IoU, 0.01 for one point.
    """
    baselines = (NONE, UNLABELLED, TRUE)
    rows = pairs.filter((pl.col("against") == ALL) & ~pl.col("method").is_in(list(baselines)))
    return [_reduction(rows.filter(mode=mode), mode, margin) for mode in rows["mode"].unique(maintain_order=True)]


def _reduction(rows: pl.DataFrame, mode: str, margin: float) -> str:
    within = f"by more than {_points(margin)} point{'s' * (_points(margin) != '1')}"
    good = rows.filter(pl.col("low") > -margin).sort("images", "iou_difference", descending=[False, True])
    if good.is_empty():
        closest = rows.sort("low", descending=True, nulls_last=True).row(0, named=True)
        return (
            f"{mode}, reduction: no selection is shown to be not worse than the whole pool {within}. Closest: "
            f"{_about(closest)}."
        )
    found = good.row(0, named=True)
    holds = good.filter(pl.col("low_holm") > -margin)
    after = (
        "none" if holds.is_empty() else f"N = {int(holds['images'].min()):,}"  # type: ignore[arg-type]
    )
    return (
        f"{mode}, reduction: N = {found['images']:,} is not worse than the whole pool {within}: {_about(found)}. "
        f"With intervals corrected for {rows.height} selections tried (Holm): {after}."
    )


def _about(row: dict[str, object]) -> str:
    low, high = row["low"], row["high"]
    between = "no interval" if low is None or high is None else f"{_signed(low)} to {_signed(high)}"
    seeds = f"{row['seeds']} seed{'s' * (row['seeds'] != 1)}"
    difference = _signed(row["iou_difference"])
    return f"{row['method']} with {row['images']:,} images, difference {difference} points ({between}; {seeds})"


def _points(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")


def _signed(share: object) -> str:
    return "none" if share is None else f"{100 * float(str(share)):+.2f}"


@dataclass(frozen=True)
class Gain:
    """What a selection adds over a baseline, in words."""

    text: str
    way: int | None
    """1 if the interval lies above zero, -1 below, 0 if it holds zero; None if there are too few seeds to tell."""


def gains(pairs: pl.DataFrame, method: str, budget: str) -> list[Gain]:
    """What a selection adds: over as many random images, over its images without boxes, over masks alone.

    Of several modes the one with the labels made of boxes, else the first. Below `FEW_SEEDS` seeds no number is told.

    Args:
        pairs: Rows of table DIFFERENCES of one set and one class, or over all classes.
        method: The selection's, as in the table; its name for a saved one.
        budget: The same.

    >>> row = {"method": "near", "mode": "labels", "budget": "40", "against": "random", "seeds": 10}
    >>> pairs = pl.DataFrame([{**row, "iou_difference": 0.021, "low": 0.01, "high": 0.032}])
    >>> [each.text for each in gains(pairs, "near", "40")]
    ['+2.1 points over as many random images (95 % interval 1.0 to 3.2; 10 seeds)']
    """
    own = pairs.filter(method=method, budget=budget)
    modes = own["mode"].unique(maintain_order=True).to_list()
    mode = next((each for each in modes if each.startswith(LABELS)), modes[0] if modes else "")
    rows = {row["against"]: row for row in own.filter(mode=mode).iter_rows(named=True)}
    return [_gain(rows[against], words) for against, words in _OVER.items() if against in rows]


#: What a difference to each baseline is called.
_OVER = {
    "random": "over as many random images",
    UNLABELLED: "over the same images without boxes",
    NONE: "over the masks alone",
}


def _gain(row: dict[str, object], words: str) -> Gain:
    seeds, low, high = int(str(row["seeds"])), row["low"], row["high"]
    if seeds < FEW_SEEDS or low is None or high is None:
        return Gain(f"{words} not enough seeds to tell ({seeds}; from {FEW_SEEDS} on)", None)
    low, high = 100 * float(str(low)), 100 * float(str(high))
    between = f"(95 % interval {low:.1f} to {high:.1f}; {seeds} seeds)"
    if low <= 0 <= high:
        return Gain(f"no difference shown {words} {between}", 0)
    return Gain(f"{100 * float(str(row['iou_difference'])):+.1f} points {words} {between}", 1 if low > 0 else -1)
