"""From the candidates, a budget, quotas and pins to the chosen images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from thresher.errors import DataError
from thresher.selection.constraints import constrained
from thresher.selection.filters import Line


@dataclass(frozen=True)
class Wishes:
    """Constraints on a selection in addition to its ranking."""

    count: int
    """How many images to choose (`budget_count`)."""
    quotas: Mapping[str, int]
    """Minimum number of chosen images with each class."""
    always: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Ids of images that are always chosen, by the word for it: "pinned" and "kept"."""
    by: str = "rank"
    """The word for what decides for the other images: "rank", or "coverage" where that has changed the order."""


@dataclass(frozen=True)
class Selection:
    """The chosen images, what they were chosen from, and what became of all others."""

    chosen: pl.DataFrame
    """image_id, rank (1 first, in the ranking's order; images that it does not rank come last), score."""
    unmet: Mapping[str, tuple[int, int]]
    """By class, if there were fewer images than its quota: the number chosen, and the quota."""
    candidates: pl.DataFrame
    """Candidates, best first: image_id, rank, score."""
    steps: pl.DataFrame
    """One row per image that a step removed: image_id, step ("not ranked", "rejected", "datasets", "where", "exclude",
    "near-duplicate"), reason (a short sentence)."""
    decided: pl.DataFrame
    """What decided for each chosen image: image_id, decision ("pinned", "kept", "quota CLASS", "rank", "coverage")."""

    def removed_by(self, step: str) -> int:
        """How many images a step removed."""
        return self.steps.filter(step=step).height


def chosen_from(line: Line, wishes: Wishes, counts: pl.DataFrame) -> Selection:
    """The images chosen from the candidates under constraints; ties and row order follow the ranking.

    Args:
        counts: Objects per class (`class_counts`), for the quotas.

    Raises:
        SettingsError: quotas and images always chosen that exceed the budget.
    """
    order = line.order
    always = frozenset().union(*wishes.always.values())
    holders = _holders(order, counts, wishes.quotas)
    made = constrained(order, wishes.count, holders, wishes.quotas, always)
    decided = _decided(made.chosen, order, holders, wishes)
    return Selection(made.chosen, made.unmet, order, line.steps, decided)


def _decided(
    chosen: pl.DataFrame, order: pl.DataFrame, holders: Mapping[str, np.ndarray], wishes: Wishes
) -> pl.DataFrame:
    """What decided for each chosen image: image_id and decision.

    Those who would have been among the first anyway are there by their rank, the others for a quota's sake.
    """
    rows = chosen.select("image_id").join(
        order.select("image_id", "rank", *(pl.Series(name, held) for name, held in holders.items())),
        on="image_id",
        how="left",
        maintain_order="left",
    )
    first = pl.col("rank") <= wishes.count - sum(map(len, wishes.always.values()))
    decision = [
        *(pl.when(pl.col("image_id").is_in(list(ids))).then(pl.lit(word)) for word, ids in wishes.always.items()),
        pl.when(first).then(pl.lit(wishes.by)),
        *(pl.when(name).then(pl.lit(f"quota {name}")) for name in holders),
        pl.lit(wishes.by),
    ]
    return rows.select("image_id", decision=pl.coalesce(decision))


def refuse_unknown(ids: Collection[str], known: pl.Series, what: str, remedy: str) -> None:
    """Refuse ids that are not in the pool.

    Raises:
        DataError: gives their number and the first one.
    """
    gone = sorted(set(ids) - set(known))
    if gone:
        raise DataError(f"{len(gone)} {what} images are not in the pool (first: {gone[0]}). {remedy}")


def _holders(order: pl.DataFrame, counts: pl.DataFrame, quotas: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Of each class with a quota, which rows of the order hold an object of it."""
    if not quotas:
        return {}
    held = order.select("image_id").join(counts, on="image_id", how="left", maintain_order="left")
    return {name: (held[name].fill_null(0) > 0).to_numpy() for name in quotas}
