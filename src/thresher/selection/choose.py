"""From the candidates, a budget and wishes to the chosen images."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from jaxtyping import Bool

from thresher.errors import DataError, SettingsError
from thresher.selection.bounds import Bound
from thresher.selection.facts import Facts
from thresher.selection.filters import STEPS, Apart, Line
from thresher.selection.programme import best_choice
from thresher.selection.wishes import Places, Wish, bounds_of


def no_target(wish: Wish) -> Mapping[str, float]:
    """For `Wishes.target_share` where there is no target.

    Raises:
        SettingsError: always.
    """
    raise SettingsError(f"{wish.text(wish.value)}: there is no target here. Give the share: 30%.")


@dataclass(frozen=True)
class Wishes:
    """What a selection must hold, in addition to its ranking."""

    count: int
    """How many images to choose (`budget_count`)."""
    facts: Facts
    """What the wishes are counted on."""
    wishes: Sequence[Wish] = ()
    always: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Ids of images that are always chosen, by the word for it: "pinned" and "kept"."""
    by: str = "rank"
    """The word for what decides for the other images: "rank", or "coverage" where that has changed the order."""
    target_share: Callable[[Wish], Mapping[str, float]] = no_target
    """For shares as in the target: by value, its share of the target's images or objects, 0..1."""


@dataclass(frozen=True)
class Selection:
    """The chosen images, what they were chosen from, and what became of all others."""

    chosen: pl.DataFrame
    """image_id, rank (1 first, in the ranking's order; images that it does not rank come last), score."""
    unmet: Mapping[str, tuple[float, float]]
    """Wishes met in part, as written (of quotas the class): how much there is, and how much was wished."""
    candidates: pl.DataFrame
    """Candidates, best first: image_id, rank, score."""
    steps: pl.DataFrame
    """One row per image that a step removed or passed over: image_id, step ("not ranked", "rejected", "datasets",
    "where", "exclude", "guard", "near-duplicate", "cap"), reason (a short sentence)."""
    decided: pl.DataFrame
    """What decided for each chosen image: image_id, decision ("pinned", "kept", "quota CLASS", a wish as written,
    "rank", "coverage")."""
    exact: bool = True
    """Whether no other selection that meets the wishes has a better mean rank."""
    compared: int | None = None
    """How many of the best were looked at for near-duplicates; None: all."""

    def removed_by(self, step: str) -> int:
        """How many images a step removed."""
        return self.steps.filter(step=step).height


def chosen_from(line: Line, wishes: Wishes) -> Selection:
    """The images chosen from the candidates under constraints; ties and row order follow the ranking.

    Raises:
        SettingsError: the wishes cannot all be met; says which, and by how much.
    """
    always = sorted(set().union(*wishes.always.values()))
    unranked = pl.DataFrame({"image_id": always}, schema={"image_id": pl.String})
    if always:
        unranked = unranked.join(line.order, on="image_id", how="anti", maintain_order="left")
    rows = pl.concat([line.order.select("image_id", "score"), unranked.with_columns(score=pl.lit(None, pl.Float64))])
    fixed = rows["image_id"].is_in(always).to_numpy()
    places = Places(rows.select("image_id"), wishes.facts, wishes.count, wishes.target_share)
    bounds = bounds_of(wishes.wishes, places)
    # What quotas alone ask for stays as it was chosen before there were other wishes.
    patient = not all(each.if_there for each in wishes.wishes)
    made = best_choice(rows.height, wishes.count, fixed, bounds, patient)
    chosen = rows.filter(pl.Series(made.taken))
    chosen = chosen.with_columns(rank=pl.int_range(1, chosen.height + 1, dtype=pl.Int64))
    full = [each for each in bounds if each.most < math.inf and each.total(made.taken) > each.most - 1]
    passed = _passed_over(rows["image_id"], made.taken, full, line.order.height)
    return Selection(
        chosen.select("image_id", "rank", "score"),
        _unmet(wishes.wishes, bounds, made.taken),
        line.order,
        pl.concat([line.steps, passed]),
        _decided(rows["image_id"], made.taken, fixed, bounds, wishes),
        made.exact,
    )


def chosen_apart(apart: Apart, wishes: Wishes) -> Selection:
    """The same from candidates of which only the best have been compared: more are, until the choice is known.

    Raises:
        SettingsError: as `chosen_from`.
    """
    while (made := _known(apart, wishes)) is None:
        apart = apart.further()
    return made if apart.enough is None else replace(made, compared=apart.compared.height)


def _known(apart: Apart, wishes: Wishes) -> Selection | None:
    """The choice; None if it is not known yet.

    What wishes come to, what they miss and by how much depends on all that is no near-duplicate.
    """
    try:
        made = chosen_from(apart.line, wishes)
    except SettingsError:
        if apart.enough is None:
            raise
        return None
    return made if apart.allows(made.chosen) and (apart.enough is None or not made.unmet) else None


def _unmet(
    wishes: Sequence[Wish], bounds: Sequence[Bound], taken: Bool[np.ndarray, " rows"]
) -> dict[str, tuple[float, float]]:
    found = {}
    for each in bounds:
        total = each.total(taken)
        if total < each.asked - 1e-6 or total > each.most + 1e-6:
            found[each.text] = (total, float(each.asked if total < each.asked else each.most))
    names = _quotas(wishes)
    return {names.get(text, text): there for text, there in found.items()}


def _quotas(wishes: Sequence[Wish]) -> dict[str, str]:
    """The class of each quota, by its text as a wish."""
    return {wish.text(wish.value): wish.value for wish in wishes if wish.if_there}


def _decided(
    ids: pl.Series,
    taken: Bool[np.ndarray, " rows"],
    fixed: Bool[np.ndarray, " rows"],
    bounds: Sequence[Bound],
    wishes: Wishes,
) -> pl.DataFrame:
    """What decided for each chosen image: image_id and decision.

    Those who would have been among the first anyway are there by their rank, the others for a wish's sake.
    """
    free, names = np.cumsum(~fixed), _quotas(wishes.wishes)
    place, owned = np.cumsum(taken) - 1, ids.filter(pl.Series(taken))
    words = np.full(len(owned), wishes.by, dtype=object)
    late = taken & ~fixed & (free > wishes.count - fixed.sum())
    for each in bounds:
        if each.least > 0:
            at = place[each.rows[late[each.rows]]]
            words[at[words[at] == wishes.by]] = f"quota {names[each.text]}" if each.text in names else each.text
    for word, always in wishes.always.items():
        if always:
            words[owned.is_in(list(always)).to_numpy()] = word
    return pl.DataFrame({"image_id": owned, "decision": words.tolist()})


def _passed_over(ids: pl.Series, taken: Bool[np.ndarray, " rows"], full: Sequence[Bound], ranked: int) -> pl.DataFrame:
    """Rows of STEPS: images before the last chosen one that an upper bound has no room for."""
    last = int(np.flatnonzero(taken[:ranked]).max(initial=-1))
    frames = [pl.DataFrame(schema=STEPS)]
    seen = taken.copy()
    for each in full:
        rows = each.rows[(each.rows < last) & ~seen[each.rows]]
        seen[rows] = True
        reason = f"{each.text} is reached by others"
        found = pl.DataFrame({"image_id": ids.gather(rows.tolist())}, schema={"image_id": pl.String})
        frames.append(found.with_columns(step=pl.lit("cap"), reason=pl.lit(reason)))
    return pl.concat(frames)


def refuse_unknown(ids: Collection[str], known: pl.Series, what: str, remedy: str) -> None:
    """Refuse ids that are not in the pool.

    Raises:
        DataError: gives their number and the first one.
    """
    asked = pl.DataFrame({"image_id": sorted(set(ids))}, schema={"image_id": pl.String})
    gone = asked.join(known.to_frame("image_id"), on="image_id", how="anti") if asked.height else asked
    if gone.height:
        raise DataError(f"{gone.height} {what} images are not in the pool (first: {gone['image_id'][0]}). {remedy}")
