"""The answer: what a selection is, in a handful of sentences that are read in a minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from thresher.reasons.audit import Audit
from thresher.reasons.budget import HowMany
from thresher.selection.audit_words import Alike, class_warnings, largest_source

#: Images at either side of the edge that are looked at.
EDGE = 12
#: From how far on between the pool's middle and the first images an edge is good, and below what it is poor (ours).
_GOOD, _POOR = 1 / 2, 1 / 5
#: From which share of the pool on that is less near a selection is like the target, and below which it is not (ours).
_NEAR, _FAR = 0.8, 0.6
#: Rare classes named at most.
_NAMED = 4

Tone = Literal["", "good", "warning"]


@dataclass(frozen=True)
class Point:
    """One thing to know of a selection."""

    about: str
    """What it is about, in a few words."""
    text: str
    """One or two sentences."""
    tone: Tone = ""
    """good, or warning: something to look at before the selection is used."""


@dataclass(frozen=True)
class Nearness:
    """How near the chosen images are to the target, by one score of likeness."""

    nearer: float
    """Share of the pool that is less near than the middle one of the chosen images, 0..1; 0.5 is a random draw."""
    first: float
    """Mean score of the first images taken."""
    last: float
    """The same of the last ones."""
    left_out: float | None
    """The same of the first ones left out; None if the ranking is no longer known."""
    pool: float
    """The pool's median."""
    images: int = EDGE
    """How many are first and last."""

    def way(self, value: float) -> float:
        """Where a score lies between the pool's median (0) and the first images (1)."""
        return (value - self.pool) / (self.first - self.pool)


def nearness_of(scores: pl.DataFrame, taken: pl.DataFrame, left_out: pl.DataFrame | None) -> Nearness | None:
    """How near the chosen images and those at the edge are by `nearest`, where it is not known by `similarity`.

    None if no image has such a score.

    Args:
        scores: Table SCORES.
        taken: image_id of the chosen images, in the order of their ranking.
        left_out: image_id of the first ones left out.
    """
    column = "nearest" if "nearest" in scores.columns and scores["nearest"].count() else "similarity"
    known = scores.select("image_id", near=pl.col(column)).drop_nulls()
    own = taken.select("image_id").join(known, on="image_id", maintain_order="left")["near"]
    if own.is_empty():
        return None
    images = min(EDGE, max(1, own.len() // 2))
    after = None if left_out is None else left_out.head(images).join(known, on="image_id")["near"]
    return Nearness(
        float((known["near"] < own.median()).sum()) / known.height,
        _mean(own.head(images)),
        _mean(own.tail(images)),
        None if after is None or after.is_empty() else _mean(after),
        float(known["near"].median()),  # type: ignore[arg-type]
        images,
    )


def _mean(values: pl.Series) -> float:
    return float(values.mean())  # type: ignore[arg-type]


def answer(
    audit: Audit,
    rare: Collection[str],
    nearness: Nearness | None,
    how_many: HowMany | None,
    duplicates_left_out: int | None,
) -> list[Point]:
    """What a selection brings, and what is wrong with it.

    Args:
        rare: The rare classes.
        duplicates_left_out: How many near-duplicates `select` dropped; None if it was not asked to.
    """
    points = [*_brings(audit, rare), *_near(nearness), *_source(audit)]
    points += _duplicates(audit.alike, duplicates_left_out)
    if how_many is not None:
        points.append(Point("How many", _how_many(how_many, audit.images)))
    return points


def _brings(audit: Audit, rare: Collection[str]) -> list[Point]:
    rows = audit.table
    classes = rows.filter(aspect="class").filter(pl.col("pool_count") > 0)
    if classes.is_empty():
        return [Point("What it brings", "No box of a class of interest is known in the pool.")]
    held = classes.filter(pl.col("selection_count") > 0)
    objects = int(rows.filter(aspect="objects")["selection_count"].sum())
    words = f"{objects:,} objects of {held.height} of the pool's {classes.height} classes of interest"
    scarce = held.filter(pl.col("name").is_in(list(rare))).sort("selection_count", "name", descending=[True, False])
    named = [
        f"{row['name']} on {row['selection_count']:,} images (as many at random: {row['pool'] * audit.images:,.0f})"
        for row in scarce.head(_NAMED).iter_rows(named=True)
    ]
    points = [Point("What it brings", f"{words}{'; rare ones: ' + ', '.join(named) if named else ''}.")]
    lacks = class_warnings(rows, audit.images, rare) if audit.images < audit.pool else []
    return points + [Point("What it lacks", text, "warning") for text in lacks]


def _near(found: Nearness | None) -> list[Point]:
    if found is None:
        return [Point("Like the target", "Not known until `embed`, `fit` and `score` have looked at the pixels.")]
    words = f"The middle one of the chosen images is nearer to the target than {found.nearer:.0%} of the pool.".replace(
        "%", " %"
    )
    tone: Tone = "good" if found.nearer >= _NEAR else "warning" if found.nearer < _FAR else ""
    return [Point("Like the target", words, tone), edge_point(found)]


def edge_point(found: Nearness) -> Point:
    """Whether the last images taken are still like the target.

    >>> print(edge_point(Nearness(0.9, 0.95, 0.85, None, 0.55)).text)
    Good: from the pool's middle (0 %) to the first 12 taken (100 %), the last 12 taken reach 75 % in nearness.
    """
    if found.nearer < _FAR or found.first <= found.pool:
        return Point("The edge", "Poor: the chosen images are hardly nearer to the target than the pool.", "warning")
    reached = found.way(found.last)
    after = "" if found.left_out is None else f", the first left out {found.way(found.left_out):.0%}"
    words = (
        f"from the pool's middle (0%) to the first {found.images} taken (100%), the last {found.images} taken reach "
        f"{reached:.0%}{after} in nearness.".replace("%", " %")
    )
    if reached >= _GOOD:
        return Point("The edge", f"Good: {words}", "good")
    if reached >= _POOR:
        return Point("The edge", f"Fair: {words}")
    remedy = "Choose fewer, or, where a coverage chose, from a shorter list (`--shortlist`)."
    return Point("The edge", f"Poor: {words} {remedy}", "warning")


def _source(audit: Audit) -> list[Point]:
    found = largest_source(audit.table)
    if found is None:
        return []
    words = f"{100 * found.share:.0f} % from one {found.kind}, {found.name} ({100 * found.pool:.0f} % of the pool)."
    if found.too_much:
        words += " `select --at-most` bounds it."
    return [Point("Sources", words, "warning" if found.too_much else "")]


def _duplicates(alike: Alike | None, left_out: int | None) -> list[Point]:
    if alike is None and left_out is None:
        return []
    words = [f"{left_out:,} left out."] if left_out is not None else []
    inside, of_target = (alike.inside, alike.of_target) if alike else (0, 0)
    if inside and alike is not None:
        words.append(f"{inside:,} of {alike.compared:,} chosen images have one among them.")
        words += ["`select --duplicate-cosine 0.95` keeps the best of each."] if left_out is None else []
    elif alike is not None:
        words.append("None among the chosen images.")
    if of_target:
        words.append(f"{of_target:,} nearly duplicate a target image: if those judge, training on these leaks them.")
    return [Point("Near-duplicates", " ".join(words), "warning" if inside or of_target else "good")]


def _how_many(found: HowMany, taken: int) -> str:
    knee = int(float(f"{found.knee:.2g}"))
    words = (
        f"By what they add, about {knee:,} images of the ranking are worth taking; this selection takes {taken:,}. "
        "From there on an image adds less than the average."
    )
    known: Sequence[str] = [each.in_words() for each in found.trained if each.smallest is not None]
    return " ".join([words, *known])
