"""Why an image was taken, or why not: its places, the bar it missed, and the step that decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher.selection.choose import Selection
from thresher.selection.edge import places_by_score


@dataclass(frozen=True)
class Choice:
    """A selection, and what it was made by."""

    made: Selection
    method: str
    ranked: pl.DataFrame
    """All images that the method ranks, before any step: image_id, rank (1 first), score."""
    scores: pl.DataFrame
    """Table SCORES."""
    shortlist: int | None = None
    """With coverage: how many of the best ranked candidates were chosen from."""
    coverage: str = "off"


@dataclass(frozen=True)
class Place:
    """The place of an image by one score: 1 is the highest."""

    score: str
    value: float
    place: int
    of: int


@dataclass(frozen=True)
class Instead:
    """The chosen image that is most like another."""

    image_id: str
    rank: int
    """Its rank in the selection."""
    cosine: float
    """Of the pooled vectors, −1..1."""


@dataclass(frozen=True)
class Why:
    """Why one image was taken, or why not."""

    image_id: str
    taken: bool
    decided_by: str
    """What decided. Of a taken image: rank, coverage, pinned, kept or quota CLASS; of another the step that removed it,
    such as near-duplicate or datasets, or rank, shortlist, coverage, unreadable or target."""
    words: tuple[str, ...]
    """The reasons, in sentences."""
    rank: int | None = None
    """Its rank in the selection."""
    score: float | None = None
    """Its score by the selection's method."""
    bar: float | None = None
    """The score of the last image that was taken by its rank, or that came into the shortlist."""
    places: tuple[Place, ...] = ()
    """Its place by each score that it has."""
    holds: Mapping[str, int] | None = None
    """Objects of each class of interest; None if its data set has no boxes."""
    instead: Instead | None = None
    """Of an image that was not taken: the chosen one most like it; None if it has no vector."""


def why_of(image_id: str, choice: Choice, holds: Mapping[str, int] | None, instead: Instead | None = None) -> Why:
    """Why an image of the pool was taken, or why not.

    Args:
        holds: Objects of each class of interest; None if its data set has no boxes.
        instead: The chosen image most like it, for one that was not taken.
    """
    made = choice.made
    chosen = _row(made.chosen, image_id)
    own = _row(choice.ranked, image_id)
    places = _places(choice.scores, image_id)
    if chosen is not None:
        decided, words = _taken(image_id, chosen["rank"], own, choice)
        bar = _bar(choice)
        score = own["score"] if own else None
        return Why(image_id, True, decided, words, chosen["rank"], score, bar["score"] if bar else None, places, holds)
    decided, words, missed = _not_taken(image_id, own, choice)
    return Why(image_id, False, decided, words, None, own["score"] if own else None, missed, places, holds, instead)


def _row(frame: pl.DataFrame, image_id: str) -> dict[str, Any] | None:
    found = frame.filter(image_id=image_id)
    return found.row(0, named=True) if found.height else None


def _places(scores: pl.DataFrame, image_id: str) -> tuple[Place, ...]:
    """The place by each numeric column that has a value for the image."""
    own = _row(scores, image_id)
    if own is None:
        return ()
    names = [name for name, kind in scores.schema.items() if kind.is_numeric() and own[name] is not None]
    above = scores.select((pl.col(name) > own[name]).sum() for name in names).row(0, named=True)
    known = scores.select(pl.col(name).count() for name in names).row(0, named=True)
    return tuple(Place(name, float(own[name]), above[name] + 1, known[name]) for name in names)


def _bar(choice: Choice) -> dict[str, Any] | None:
    """The last candidate that was taken by its rank, or that came into the shortlist: image_id, place, score."""
    order = places_by_score(choice.made.candidates)
    if choice.shortlist is not None:
        return order.row(min(choice.shortlist, order.height) - 1, named=True) if order.height else None
    by_rank = choice.made.decided.filter(decision="rank")
    taken = order.join(by_rank, on="image_id", how="semi", maintain_order="left")
    return taken.row(-1, named=True) if taken.height else None


def _taken(image_id: str, rank: int, own: dict[str, Any] | None, choice: Choice) -> tuple[str, tuple[str, ...]]:
    found = _row(choice.made.decided, image_id)
    decision = str(found["decision"]) if found else "rank"
    count = choice.made.chosen.height
    by = _OBJECTS if decision == "coverage" and choice.coverage == "objects" else _DECIDED.get(decision, decision)
    words = [f"Taken, rank {rank:,} of {count:,}: {by}."]
    if own is not None:
        of = f"{choice.ranked.height:,} ({_score(own['score'])})"
        words.append(f"By {choice.method} it is place {own['rank']:,} of {of}.")
    else:
        words.append(f"{choice.method} cannot rank it.")
    return decision, tuple(words)


_OBJECTS = "its objects add to how well the objects of their classes are covered (coverage objects)"
_DECIDED = {
    "rank": "by its rank",
    "coverage": "it adds to what the others cover",
    "pinned": "pinned in the review",
    "kept": "kept, as a list asks for it",
}


def _not_taken(image_id: str, own: dict[str, Any] | None, choice: Choice) -> tuple[str, tuple[str, ...], float | None]:
    """What decided, the sentences, and the score of the bar that it missed."""
    removed = _row(choice.made.steps, image_id)
    if removed is not None:
        words = [f"Not taken ({removed['step']}): {removed['reason']}."]
        if own is not None and own["rank"] <= choice.made.chosen.height:
            words.append(
                f"By its score alone it would have been: {choice.method} place {own['rank']:,} of "
                f"{choice.ranked.height:,}."
            )
        return str(removed["step"]), tuple(words), None
    if own is None:
        return "not ranked", (f"Not taken: {choice.method} cannot rank it.",), None
    order, bar = places_by_score(choice.made.candidates), _bar(choice)
    place = _row(order, image_id)
    if place is None or bar is None:
        return "rank", ("Not taken: pinned and kept images and quotas took all of the budget.",), None
    return _below(place, order.height, bar, choice)


def _below(
    place: dict[str, Any], candidates: int, bar: dict[str, Any], choice: Choice
) -> tuple[str, tuple[str, ...], float | None]:
    """A candidate that no step removed: it missed the bar, or others cover what it shows."""
    here = f"place {place['place']:,} of {candidates:,} candidates by {choice.method} ({_score(place['score'])})"
    last = bar["score"]
    places = place["place"] - bar["place"]
    missed = (
        f"so it missed the bar by {places:,} place{'s' * (places != 1)} and {_score(last - place['score'])} in score"
    )
    at = f"place {bar['place']:,} ({_score(last)})"
    if choice.shortlist is not None:
        if place["place"] <= choice.shortlist:
            within = f"within the shortlist of {choice.shortlist:,}"
            more = "the objects of others add" if choice.coverage == "objects" else "others add"
            return "coverage", (f"Not taken: {here}, {within}, but {more} more to what is covered.",), last
        return "shortlist", (f"Not taken: {here}; the shortlist ends at {at}, {missed}.",), last
    words = [f"Not taken: {here}; the last one taken by its rank is at {at}, {missed}."]
    later = places_by_score(choice.made.candidates).filter(pl.col("place") > place["place"])
    ahead = choice.made.decided.filter(pl.col("decision") != "rank").join(later, on="image_id", how="semi")
    if ahead.height:
        counted = ahead["decision"].value_counts(sort=True).sort("count", "decision", descending=[True, False])
        named = ", ".join(f"{decision} ({count:,})" for decision, count in counted.iter_rows())
        words.append(f"Of lower rank, but taken for another reason: {named}.")
    return "rank", tuple(words), last


def _score(value: float) -> str:
    return f"{value:.4g}"
