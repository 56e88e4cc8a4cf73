"""Choosing: from a ranking and what a person asks besides it, to the images that are taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.errors import DataError
from thresher.selection.constraints import Constrained, constrained
from thresher.selection.methods import budget_count


@dataclass(frozen=True)
class Wishes:
    """What a person asks of a choice besides its ranking."""

    budget: str | int | float
    """How many: a number (500), or a share of the candidates ("10%", or 0.1)."""
    quotas: Mapping[str, int]
    """CLASS: at least so many of the chosen images hold this class."""
    pinned: Collection[str] = ()
    """Images that are always taken."""
    excluded: Collection[str] = ()
    """Images that are never taken."""


@dataclass(frozen=True)
class Selection(Constrained):
    """The chosen images, and out of how many."""

    candidates: pl.DataFrame
    """All that could be chosen, best first: image_id, rank, score."""
    duplicates: int = 0
    """How many images were left out for being like a better one, or like the target."""


def chosen_from(
    order: pl.DataFrame, wishes: Wishes, counts: pl.DataFrame, clusters: pl.DataFrame | None = None
) -> Selection:
    """The images that a ranking and wishes come to; ties and row order are the ranking's.

    Args:
        order: The ranking, best first: image_id, rank, score.
        counts: Objects per class (`class_counts`), for the quotas.
        clusters: image_id and cluster of near-duplicates, of which the best alone is taken; cluster −1 (like the
            target) is left out whole. An image in no cluster has no duplicate.

    Raises:
        SettingsError: a budget for which there are too few candidates, or wishes that ask for more than the budget.
    """
    order = order.filter(~pl.col("image_id").is_in(list(wishes.excluded)))
    before = order.height
    if clusters is not None:
        order = _once(order, clusters, wishes.pinned)
    order = order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64))
    unranked = len(set(wishes.pinned) - set(order["image_id"]))
    count = budget_count(wishes.budget, order.height + unranked)
    made = constrained(order, count, _holders(order, counts, wishes.quotas), wishes.quotas, wishes.pinned)
    return Selection(made.chosen, made.unmet, order, before - order.height)


def refuse_unknown(ids: Collection[str], known: pl.Series, what: str, remedy: str) -> None:
    """Refuse ids that name no image of the pool.

    Raises:
        DataError: says how many, and the first.
    """
    gone = sorted(set(ids) - set(known))
    if gone:
        raise DataError(f"{len(gone)} {what} images are not in the pool (first: {gone[0]}). {remedy}")


def _once(order: pl.DataFrame, clusters: pl.DataFrame, pinned: Collection[str]) -> pl.DataFrame:
    """The order with one image of each cluster, the best, or those that are pinned; none of what is like the target."""
    own = order.join(clusters, on="image_id", how="left", maintain_order="left")
    by_hand = pl.col("image_id").is_in(list(pinned))
    first = by_hand | (~by_hand.any().over("cluster") & (pl.col("rank") == pl.col("rank").min().over("cluster")))
    # An image that embed could not read is in no cluster.
    kept = pl.when(pl.col("cluster") == -1).then(by_hand).otherwise(pl.col("cluster").is_null() | first)
    return own.filter(kept).drop("cluster")


def _holders(order: pl.DataFrame, counts: pl.DataFrame, quotas: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Of each class with a quota, which rows of the order hold an object of it."""
    if not quotas:
        return {}
    held = order.select("image_id").join(counts, on="image_id", how="left", maintain_order="left")
    return {name: (held[name].fill_null(0) > 0).to_numpy() for name in quotas}
