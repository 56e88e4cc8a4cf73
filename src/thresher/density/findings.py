"""Tables of the mixture's components, and of how far the pool is from the target, from arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Float64, Int64

from thresher import tables
from thresher.errors import DataError
from thresher.vectors import unit_length

#: Block length of the bootstrap, in consecutive ids: frames of one drive are not independent.
_RUN_OF_IDS = 10


def components_tried(tried: Sequence[Mapping[str, Any]], variance_floor: float | None = None) -> pl.DataFrame:
    """Held-out and fitted log-likelihood for each K that fit tried, from mixture.json; smallest K first.

    Args:
        variance_floor: Only what was tried with this floor; None for all.
    """
    rows: list[dict[str, object]] = [
        {"components": one["components"], "held_out_nats": one["held_out"], "fitted_nats": one["fitted"]}
        for one in tried
        if variance_floor in (None, one.get("variance_floor"))
    ]
    return tables.from_rows(rows, tables.COMPONENTS_TRIED).sort("components")


def component_sizes(
    weights: Float[np.ndarray, " k"], target: Float[np.ndarray, " k"], pool: Float[np.ndarray, " k"]
) -> pl.DataFrame:
    """Weight of each component and its shares of target and pool; `component` is its index in the mixture, from 0."""
    columns = {"component": np.arange(len(weights)), "weight": weights, "target_share": target, "pool_share": pool}
    return pl.DataFrame(columns, schema=dict(tables.COMPONENTS))


def component_slices(
    rows: Sequence[Int64[np.ndarray, " _rows"]],
    image_ids: Sequence[str],
    starts: Int64[np.ndarray, " images_plus_1"],
    grids: Int64[np.ndarray, "images 2"],
    responsibility: Sequence[Float[np.ndarray, " _rows"]],
    log_density: Sequence[Float[np.ndarray, " _rows"]],
) -> pl.DataFrame:
    """The most typical slices of each component: image, row and column of its grid.

    Args:
        rows: For each component the rows of its slices, best first; `responsibility` and `log_density` are parallel.
    """
    found: list[dict[str, object]] = []
    for component, own in enumerate(rows):
        for number, slice_row in enumerate(own):
            image = int(np.searchsorted(starts, slice_row, side="right")) - 1
            row, column = divmod(int(slice_row - starts[image]), int(grids[image, 1]))
            values = {
                "responsibility": float(responsibility[component][number]),
                "log_density_nats": float(log_density[component][number]),
            }
            place = {"image_id": image_ids[image], "row": row, "column": column}
            found.append({"component": component, "rank": number + 1, **place, **values})
    return tables.from_rows(found, tables.COMPONENT_SLICES)


def similarity_bins(
    similarities: pl.DataFrame, bins: int = 60, roles: Sequence[str] = ("target", "pool")
) -> pl.DataFrame:
    """The histogram of similarity for each role over the same bins, at most about `bins`, as shares of each role.

    Shares, not counts: the pool may be a thousand times the target. The bins span the values of all.
    """
    values = similarities["similarity"].to_numpy()
    low, high = float(np.floor(values.min())), float(np.ceil(values.max()))
    # Bins of round width: 1, 2, 5, 10, …
    rough = max(high - low, 1.0) / bins
    ten = 10.0 ** np.floor(np.log10(rough))
    width = float(next(ten * step for step in (1, 2, 5, 10) if ten * step >= rough))
    low = float(np.floor(low / width) * width)
    edges = low + width * np.arange(int((high - low) // width) + 2)
    parts = []
    for role in roles:
        own = similarities.filter(pl.col("role") == role)["similarity"].to_numpy()
        share = np.histogram(own, edges)[0] / max(1, len(own))
        parts.append(
            pl.DataFrame({"role": [role] * len(share), "from_nats": edges[:-1], "to_nats": edges[1:], "share": share})
        )
    return pl.concat(parts).select(list(tables.SIMILARITY_BINS))


def near_share(similarities: pl.DataFrame) -> tuple[float, float]:
    """The similarity that 95 % of the held-out target reach (nats), and the share of the pool that reaches it, 0..1."""
    target, pool = (similarities.filter(pl.col("role") == role)["similarity"].to_numpy() for role in ("target", "pool"))
    reached = float(np.quantile(target, 0.05))
    return reached, float((pool >= reached).mean())


@dataclass(frozen=True)
class DomainGap:
    """AUC of a linear classifier of target against pool (0.5 = no difference, 1 = separable), with a 95 % interval."""

    auc: float
    low: float
    high: float


def domain_gap(
    target: Float[np.ndarray, "n c"],
    pool: Float[np.ndarray, "m c"],
    rng: np.random.Generator,
    folds: int = 5,
    resamples: int = 1000,
) -> DomainGap:
    """The area under the ROC curve of a logistic regression, target against pool, on images it was not fitted to.

    Folds are blocks of consecutive rows of either side (sort by image id before). The AUC is the mean over folds, since
    the outputs of two classifiers have no common scale. The interval is a bootstrap over runs of ten neighbouring
    held-out rows, since frames of one drive are alike. The classifiers themselves stay as they are, so the draw of the
    images that they were fitted to is not in it: on simulated data some 87 of 100 such intervals held the truth.

    Raises:
        DataError: fewer than two images on a side.

    Source: Ben-David et al. 2010, the classifier's error as a distance of domains; AUC: Hanley & McNeil 1982;
        runs: Politis & Romano 1992, the circular block bootstrap.
    """
    folds = min(folds, len(target), len(pool))
    if folds < 2:
        raise DataError(f"domain gap: {len(target)} target and {len(pool)} pool images; 2 or more of each are needed.")
    sides = (unit_length(target, np.float64), unit_length(pool, np.float64))
    held_out = [_held_out_values(sides, number, folds) for number in range(folds)]
    auc = float(np.mean([area_under_roc(*pair) for pair in held_out]))
    drawn = [
        np.mean([area_under_roc(_resampled(one, rng), _resampled(other, rng)) for one, other in held_out])
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return DomainGap(auc, float(low), float(high))


def _held_out_values(
    sides: tuple[Float64[np.ndarray, "n c"], Float64[np.ndarray, "m c"]], number: int, folds: int
) -> tuple[Float64[np.ndarray, " a"], Float64[np.ndarray, " b"]]:
    """Decision values of this fold's target and pool rows by a classifier fitted to the others; higher = target."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    held, others = [], []
    for side in sides:
        inside = np.zeros(len(side), bool)
        inside[len(side) * number // folds : len(side) * (number + 1) // folds] = True
        held.append(side[inside])
        others.append(side[~inside])
    truth = np.repeat([1, 0], [len(other) for other in others])
    # Balanced, since the sizes of target and pool must not matter.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    with threadpool_limits(limits=1):
        model.fit(np.concatenate(others), truth)
        target, pool = (np.asarray(model.decision_function(part), np.float64) for part in held)
    return target, pool


def area_under_roc(positive: Float[np.ndarray, " n"], negative: Float[np.ndarray, " m"]) -> float:
    """How often a positive is above a negative, ties counted half; 0..1.

    Source: Hanley & McNeil 1982, Radiology 143.

    >>> area_under_roc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def _resampled(values: Float64[np.ndarray, " n"], rng: np.random.Generator) -> Float64[np.ndarray, " n"]:
    # Fewer than eight runs would vary too little among themselves.
    length = min(_RUN_OF_IDS, max(1, len(values) // 8))
    first = rng.integers(0, len(values), -(-len(values) // length))
    rows = ((first[:, None] + np.arange(length)) % len(values)).ravel()[: len(values)]
    drawn: Float64[np.ndarray, " n"] = values[rows]
    return drawn
