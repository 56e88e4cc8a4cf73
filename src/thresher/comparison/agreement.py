"""Whether two comparisons put the same arms in the same order, such as one by proxy and one of full trainings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64

from thresher import tables
from thresher.errors import DataError
from thresher.run.folder import AnyRun, as_run

#: Draws of the bootstrap.
_DRAWS = 2000
#: What says which arm a row of RESULTS is of.
_ARM = ["method", "mode", "budget"]


@dataclass(frozen=True)
class Agreement:
    """How far the arms that two comparisons have in common are in the same order by mIoU."""

    arms: int
    spearman: float
    """Rank correlation of the means over seeds, −1..1; 1 is the same order."""
    low: float
    """The 95 % interval over draws of seeds, with replacement."""
    high: float


def rank_agreement(run: AnyRun, one: str, other: str, measured_on: str = "validation", seed: int = 0) -> Agreement:
    """The rank agreement of two comparisons of a run, over the arms (method, mode and budget) that both have.

    Seeds are drawn anew in each comparison, the same for all of its arms: the interval holds the chance in both. With
    few seeds or arms it is wide.

    Args:
        one, other: Names of the comparisons.
        measured_on: The set: validation or test.
        seed: Of the draws.

    Raises:
        DataError: no such comparison, or fewer than three arms in common.

    Source: Spearman 1904; Efron & Tibshirani 1993, §13 (percentile intervals).
    """
    folders = [as_run(run).comparison(name) for name in (one, other)]
    results = [tables.read(folder / "results.parquet", tables.RESULTS) for folder in folders]
    means = [each.filter(pl.col("class").is_null() & (pl.col("set") == measured_on)) for each in results]
    shared = means[0].select(_ARM).unique().join(means[1].select(_ARM).unique(), on=_ARM, nulls_equal=True).sort(_ARM)
    if shared.height < 3:
        raise DataError(
            f"comparisons {one} and {other}: {shared.height} arms in common (method, mode, budget); expected 3 or more."
        )
    first, second = (_by_seed(each, shared) for each in means)
    rng = np.random.default_rng(seed)
    drawn = [spearman(_redrawn(first, rng), _redrawn(second, rng)) for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Agreement(shared.height, spearman(first.mean(0), second.mean(0)), float(low), float(high))


def _by_seed(means: pl.DataFrame, arms: pl.DataFrame) -> Float64[np.ndarray, "seeds arms"]:
    """mIoU of each arm with each seed; seeds that not all arms have are left out."""
    rows = arms.with_row_index("arm").join(means, on=_ARM, nulls_equal=True)
    whole = rows.group_by("seed").agg(pl.col("iou").sort_by("arm"), pl.len()).filter(pl.col("len") == arms.height)
    if whole.is_empty():
        raise DataError("no seed of the comparison has all arms yet. Let it come to its end.")
    found: Float64[np.ndarray, "seeds arms"] = np.array(whole.sort("seed")["iou"].to_list(), np.float64)
    return found


def _redrawn(values: Float64[np.ndarray, "seeds arms"], rng: np.random.Generator) -> Float64[np.ndarray, " arms"]:
    return np.asarray(values[rng.integers(0, len(values), len(values))].mean(0))


def spearman(one: Float64[np.ndarray, " n"], other: Float64[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation, −1..1: the correlation of ranks, equal values sharing the mean of theirs.

    >>> spearman(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 2.0, 4.0, 3.0]))
    0.8
    """
    ranks = [_ranks(each) for each in (one, other)]
    centred = [each - each.mean() for each in ranks]
    spread = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return round(float((centred[0] * centred[1]).sum()) / spread, 12) if spread else 0.0


def _ranks(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    below = (values[None] < values[:, None]).sum(1)
    return np.asarray(below + ((values[None] == values[:, None]).sum(1) - 1) / 2, np.float64)
