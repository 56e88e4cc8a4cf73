"""Quotas per class and pinned images of a selection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool

from thresher.errors import SettingsError


@dataclass(frozen=True)
class Constrained:
    """The chosen images, and the quotas that could not be met."""

    chosen: pl.DataFrame
    """image_id, rank (1 first, in the ranking's order; images that it does not rank come last), score."""
    unmet: Mapping[str, tuple[int, int]]
    """By class, if there were fewer images than its quota: the number chosen, and the quota."""


def constrained(
    order: pl.DataFrame,
    count: int,
    holders: Mapping[str, Bool[np.ndarray, " n"]],
    quotas: Mapping[str, int],
    pinned: Collection[str] = (),
) -> Constrained:
    """The pinned images, then for each quota the best that hold its class, then the best of the rest.

    An image counts for every class that it holds; quotas are met rarest class first, so that what a rare one brings
    along counts for the others. Without quotas and pins it is the head of the order. A larger choice need not contain
    the smaller one. (All of it is ours.)

    Args:
        order: Candidates, best first: image_id, rank, score. What is rejected is not in it.
        count: How many to choose.
        holders: By class with a quota, which rows of `order` contain it.
        quotas: Minimum number of images with each class.
        pinned: Ids always chosen, even if not in `order`.

    Raises:
        SettingsError: pins and quotas exceed `count` images.

    >>> order = pl.DataFrame({"image_id": ["a", "b", "c"], "rank": [1, 2, 3], "score": [3.0, 2.0, 1.0]})
    >>> constrained(order, 2, {"bus": np.array([False, False, True])}, {"bus": 1}).chosen["image_id"].to_list()
    ['a', 'c']
    """
    taken = order["image_id"].is_in(list(pinned)).to_numpy().copy()
    unranked = sorted(set(pinned) - set(order["image_id"].filter(pl.Series(taken))))
    unmet = {}
    for name in sorted(quotas, key=lambda each: (int(holders[each].sum()), each)):
        there = int((taken & holders[name]).sum())
        found = np.flatnonzero(holders[name] & ~taken)[: max(0, quotas[name] - there)]
        taken[found] = True
        if there + len(found) < quotas[name]:
            unmet[name] = (there + len(found), quotas[name])
    asked = int(taken.sum()) + len(unranked)
    if asked > count:
        raise SettingsError(
            f"pinned images and quotas ask for {asked} images; the budget is {count}. Raise the budget or ask for less."
        )
    taken[np.flatnonzero(~taken)[: count - asked]] = True
    rows = order.filter(pl.Series(taken)).select("image_id", "score")
    if unranked:
        nowhere = pl.DataFrame({"image_id": unranked}, schema={"image_id": pl.String}).with_columns(score=None)
        rows = pl.concat([rows, nowhere.cast({"score": pl.Float64})])
    return Constrained(
        rows.with_columns(rank=pl.int_range(1, rows.height + 1, dtype=pl.Int64)).select("image_id", "rank", "score"),
        unmet,
    )


def parsed_quotas(texts: Collection[str], known: Collection[str]) -> dict[str, int]:
    """Quotas by class, from CLASS=NUMBER.

    Raises:
        SettingsError: not CLASS=NUMBER, an unknown class, or a class given twice.

    >>> parsed_quotas(["bus=20", "truck=5"], ["bus", "car", "truck"])
    {'bus': 20, 'truck': 5}
    """
    found: dict[str, int] = {}
    for text in texts:
        name, sign, number = text.rpartition("=")
        if not sign or not number.strip().isdecimal():
            raise SettingsError(f"quotas '{text}': expected CLASS=NUMBER, such as bus=20.")
        if name not in known:
            raise SettingsError(f"quotas '{text}': no class of interest is called '{name}'. Known: {', '.join(known)}.")
        if name in found:
            raise SettingsError(f"quotas: class '{name}' is named twice.")
        found[name] = int(number)
    return found
