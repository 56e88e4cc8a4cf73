"""From a ranking, a budget, quotas and pins to the chosen images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.errors import DataError
from thresher.selection.constraints import Constrained, constrained
from thresher.selection.methods import budget_count

#: The cluster of images that are nearly the same as one of the target.
LIKE_TARGET = -1


@dataclass(frozen=True)
class Wishes:
    """Constraints on a selection in addition to its ranking."""

    budget: str
    """How many images to choose: a number ("500"), or a share of the candidates ("10%")."""
    quotas: Mapping[str, int]
    """Minimum number of chosen images with each class."""
    pinned: Collection[str] = ()
    """Ids of images that are always chosen."""
    excluded: Collection[str] = ()
    """Ids of images that are never chosen."""


@dataclass(frozen=True)
class Selection(Constrained):
    """The chosen images, and the candidates that they were chosen from."""

    candidates: pl.DataFrame
    """Candidates, best first: image_id, rank, score."""
    duplicates: int = 0
    """Number of images left out as near-duplicates of a better one or of a target image."""


def chosen_from(
    order: pl.DataFrame,
    wishes: Wishes,
    counts: pl.DataFrame,
    clusters: pl.DataFrame | None = None,
    covering: Callable[[pl.DataFrame, int], pl.DataFrame] | None = None,
) -> Selection:
    """The images chosen from a ranking under constraints; ties and row order follow the ranking.

    Args:
        order: The ranking, best first: image_id, rank, score.
        counts: Objects per class (`class_counts`), for the quotas.
        clusters: image_id and cluster of near-duplicates; only the best of each cluster is kept, and none of cluster
            −1 (near-duplicates of the target). Images in no cluster are kept.
        covering: Puts those of the candidates in front that together cover the most, for this number of images.

    Raises:
        SettingsError: fewer candidates than the budget, or quotas and pins that exceed the budget.
    """
    order = order.filter(~pl.col("image_id").is_in(list(wishes.excluded)))
    before = order.height
    if clusters is not None:
        order = _once(order, clusters, wishes.pinned)
    order = order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64))
    unranked = len(set(wishes.pinned) - set(order["image_id"]))
    count = budget_count(wishes.budget, order.height + unranked)
    if covering is not None:
        order = covering(order, count)
    made = constrained(order, count, _holders(order, counts, wishes.quotas), wishes.quotas, wishes.pinned)
    return Selection(made.chosen, made.unmet, order, before - order.height)


def refuse_unknown(ids: Collection[str], known: pl.Series, what: str, remedy: str) -> None:
    """Refuse ids that are not in the pool.

    Raises:
        DataError: gives their number and the first one.
    """
    gone = sorted(set(ids) - set(known))
    if gone:
        raise DataError(f"{len(gone)} {what} images are not in the pool (first: {gone[0]}). {remedy}")


def _once(order: pl.DataFrame, clusters: pl.DataFrame, pinned: Collection[str]) -> pl.DataFrame:
    """The order with the best image of each cluster, or its pinned ones; none of near-duplicates of the target."""
    own = order.join(clusters, on="image_id", how="left", maintain_order="left")
    is_pinned = pl.col("image_id").is_in(list(pinned))
    first = is_pinned | (~is_pinned.any().over("cluster") & (pl.col("rank") == pl.col("rank").min().over("cluster")))
    # An image that embed could not read is in no cluster.
    kept = pl.when(pl.col("cluster") == LIKE_TARGET).then(is_pinned).otherwise(pl.col("cluster").is_null() | first)
    return own.filter(kept).drop("cluster")


def _holders(order: pl.DataFrame, counts: pl.DataFrame, quotas: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Of each class with a quota, which rows of the order hold an object of it."""
    if not quotas:
        return {}
    held = order.select("image_id").join(counts, on="image_id", how="left", maintain_order="left")
    return {name: (held[name].fill_null(0) > 0).to_numpy() for name in quotas}
