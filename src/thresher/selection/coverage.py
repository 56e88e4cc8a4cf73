"""Near enough, then different: of the best of a ranking, those that together cover the most."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from thresher.errors import SettingsError
from thresher.selection.cells import in_cells
from thresher.selection.facility import best_cosines, facility_location
from thresher.selection.methods import budget_count

Coverage = Literal["off", "images", "clusters", "by_class", "modes", "objects"]
#: The ways to cover.
COVERAGES: tuple[str, ...] = tuple(name for name in get_args(Coverage) if name != "off")
#: Those by the vectors of images; `object_cover` is by those of objects.
BY_IMAGE: tuple[str, ...] = tuple(name for name in COVERAGES if name != "objects")
#: Share of the target in what `images` and `modes` cover; the shortlist itself has the rest (ours).
TARGET_SHARE = 0.5
#: Most images of a shortlist that is not told, as a multiple of those to choose.
AUTO_TIMES = 5
#: Most clusters of `clusters`; most modes of the target, and target images for each.
_MOST_CLUSTERS, _MOST_MODES, _MODE_IMAGES = 256, 16, 10


@dataclass(frozen=True)
class Looks:
    """Pooled vectors of the images that have been embedded."""

    ids: pl.DataFrame
    """image_id of the pool's images, a row for each vector."""
    pool: Float[np.ndarray, "n d"]
    target: Float[np.ndarray, "m d"]


def parted(method: str) -> tuple[str, str]:
    """Method and coverage of METHOD+COVERAGE; the coverage is empty where none is named.

    >>> parted("diversity+images"), parted("diversity"), parted("0.5*layout + 0.5*diversity")
    (('diversity', 'images'), ('diversity', ''), ('0.5*layout + 0.5*diversity', ''))
    """
    ranked, sign, last = method.rpartition("+")
    return (ranked.strip(), last.strip()) if sign and last.strip() in COVERAGES else (method, "")


def shortlist_count(shortlist: str, count: int, candidates: int, alike: float | None = None) -> int:
    """How many of the best are looked at: "5x" the images to choose, a number ("2000"), a share ("20%") or "auto".

    Never fewer than are chosen, nor more than there are. auto: 5x, but no more than are as near to the target as its
    own images are to each other: near enough, then different.

    Args:
        alike: Which share of the pool is as near as that, 0..1; None if it is not known.

    Raises:
        SettingsError: anything else.

    >>> [shortlist_count(each, 100, 3_000) for each in ("5x", "2000", "20%", "10", "100x", "auto")]
    [500, 2000, 600, 100, 3000, 500]
    >>> [shortlist_count("auto", 100, 3_000, alike) for alike in (0.5, 0.1, 0.01)]
    [500, 300, 100]
    """
    text = shortlist.strip().lower()
    try:
        if text == "auto":
            asked = min(AUTO_TIMES * count, candidates if alike is None else alike * candidates) or 1
        elif text.endswith("x"):
            asked = count * float(text[:-1])
        elif text.endswith("%"):
            asked = candidates * float(text[:-1]) / 100
        else:
            asked = int(text)
        valid = 0 < asked < float("inf")
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(
            f"shortlist = {shortlist!r}: expected auto, a multiple of the budget (5x), a number of images (2000) or a "
            "share of the candidates (20%)."
        )
    return min(candidates, max(count, round(asked)))


def enough_apart(budget: str, coverage: str, shortlist: str, candidates: int, alike: float | None = None) -> int | None:
    """How many of the best that are no near-duplicates suffice for a choice; None where all have to be known.

    Args:
        candidates: How many there are, near-duplicates among them.
        alike: As for `shortlist_count`; a share of the images that are no near-duplicates.

    >>> [enough_apart(each, "off", "5x", 10_000) for each in ("100", "5%")]
    [100, None]
    >>> [enough_apart("100", "images", "auto", 10_000, alike) for alike in (None, 0.2, 0.05)]
    [500, 2500, None]
    """
    if "%" in budget or "%" in shortlist or coverage == "modes":
        return None
    enough = budget_count(budget, sys.maxsize)
    if coverage != "off":
        enough = shortlist_count(shortlist, enough, candidates)
        if alike and shortlist.strip().lower() == "auto":
            enough = math.ceil(enough / alike)  # of so many that the share that is alike does not cut the shortlist
    return enough if enough < candidates else None


def covered(
    order: pl.DataFrame,
    coverage: str,
    count: int,
    shortlist: int,
    looks: Looks,
    counts: pl.DataFrame | None = None,
    taken: Collection[str] = (),
) -> pl.DataFrame:
    """The order with those of its first `shortlist` images in front that together cover the most, `count` at most.

    - `images`: facility location on pooled vectors; what is to be covered is the target and the shortlist, half each.
    - `clusters`: k-means of the shortlist; the best of each cluster in turn.
    - `by_class`: the classes in turn; of the images that hold a class, facility location over these.
    - `modes`: k-means of the target; its clusters (modes) each get their share. The shortlist has this share of images
      nearest to each mode, however far down the order; within a mode, facility location as in `images`.

    Images without a vector are not looked at and keep their place behind.

    Args:
        order: Candidates, best first: image_id, rank, score.
        count: How many will be chosen.
        shortlist: From `shortlist_count`.
        counts: Objects per class of images (`selection.diversity.class_counts`), for by_class.
        taken: Ids that are chosen in any case: what these cover needs no more cover.

    Returns:
        The same rows; `rank` counts the new order. Which are the first depends on count and shortlist.
    """
    seen = order.with_row_index("place").join(
        looks.ids.with_row_index("look"), on="image_id", how="inner", maintain_order="left"
    )
    place, look = (seen[name].to_numpy().astype(np.int64) for name in ("place", "look"))
    known = looks.ids.with_row_index("look").filter(pl.col("image_id").is_in(list(taken)))["look"].to_numpy()
    head = _Head(looks, look[:shortlist], looks.pool[known])
    if coverage == "images":
        first = head.covering(count)
    elif coverage == "clusters":
        first = head.of_clusters(count)
    elif coverage == "by_class":
        first = head.of_classes(count, seen.head(shortlist), counts)
    elif coverage == "modes":
        head, first = _of_modes(looks, look, shortlist, count, head.taken)
    else:
        raise SettingsError(f"coverage '{coverage}': expected {', '.join(BY_IMAGE)}.")
    by_look = np.full(len(looks.pool), -1, np.int64)
    by_look[look] = place
    front = by_look[head.look[first[:count]]]
    behind = np.setdiff1d(np.arange(order.height), front)
    return order[np.concatenate([front, behind])].with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64))


@dataclass(frozen=True)
class _Head:
    """The shortlist, best first."""

    looks: Looks
    look: Int64[np.ndarray, " s"]
    """Rows of `looks.pool`."""
    taken: Float[np.ndarray, "t d"]
    """Vectors of what is chosen in any case."""

    @property
    def vectors(self) -> Float[np.ndarray, "s d"]:
        found: Float[np.ndarray, "s d"] = self.looks.pool[self.look]
        return found

    def covering(self, count: int, target: Float[np.ndarray, "m d"] | None = None) -> Int64[np.ndarray, " c"]:
        """Places in the shortlist in the order of facility location over it and the target."""
        vectors = self.vectors
        aims = self.looks.target if target is None else target
        points = np.concatenate([aims.astype(vectors.dtype), vectors])
        # Weights as if each image of the shortlist had 1 − the target's share.
        share = TARGET_SHARE if len(aims) else 0.0
        each = share * len(vectors) / max(1, len(aims))
        weights = np.repeat([each, 1 - share], [len(aims), len(vectors)]).astype(np.float32)
        before = best_cosines(points, self.taken) if len(self.taken) else None
        return facility_location(vectors, points, count, weights, before).rows

    def of_clusters(self, count: int) -> Int64[np.ndarray, " s"]:
        """All places, the best of each cluster first."""
        vectors = self.vectors
        number = in_cells(vectors, min(count, _MOST_CLUSTERS)).nearest(vectors)
        turn = _places_within(number)
        in_turn: Int64[np.ndarray, " s"] = np.lexsort((np.arange(len(turn)), turn)).astype(np.int64)
        return in_turn

    def of_classes(self, count: int, shown: pl.DataFrame, counts: pl.DataFrame | None) -> Int64[np.ndarray, " c"]:
        """Places by turns of the classes, rarest first."""
        if counts is None or counts.width < 2:
            raise SettingsError("coverage = by_class: there are no boxes of a class of interest. Use images.")
        held = shown.select("image_id").join(counts, on="image_id", how="left", maintain_order="left")
        holders = {name: np.flatnonzero(held[name].fill_null(0).to_numpy() > 0) for name in counts.columns[1:]}
        places, turns, sizes = [], [], []
        for own in (rows for rows in holders.values() if len(rows)):
            vectors = self.looks.pool[self.look[own]]
            before = best_cosines(vectors, self.taken) if len(self.taken) else None
            found = own[facility_location(vectors, None, min(count, len(own)), None, before).rows]
            places.append(found)
            turns.append(np.arange(len(found)))
            sizes.append(np.full(len(found), len(own)))
        if not places:
            return np.zeros(0, np.int64)
        place = np.concatenate(places)
        in_turn = place[np.lexsort((place, np.concatenate(sizes), np.concatenate(turns)))]
        return in_turn[np.sort(np.unique(in_turn, return_index=True)[1])].astype(np.int64)


def _of_modes(
    looks: Looks, look: Int64[np.ndarray, " n"], shortlist: int, count: int, taken: Float[np.ndarray, "t d"]
) -> tuple[_Head, Int64[np.ndarray, " c"]]:
    """A shortlist with each mode's share of the target, and places in it such that each head has these shares."""
    modes = in_cells(looks.target, int(np.clip(len(looks.target) // _MODE_IMAGES, 1, _MOST_MODES)))
    theirs, own = modes.nearest(looks.target), modes.nearest(looks.pool[look])
    rows, keys = [], []
    for mode in np.unique(theirs):
        share = float((theirs == mode).mean())
        nearest = look[own == mode][: int(np.ceil(share * shortlist))]
        if len(nearest):
            part = _Head(looks, nearest, taken)
            first = part.covering(min(len(nearest), count), looks.target[theirs == mode])
            rows.append(nearest[first])
            keys.append((np.arange(len(first)) + 0.5) / share)
    if not rows:
        return _Head(looks, look[:0], taken), np.zeros(0, np.int64)
    found = np.concatenate(rows)
    return _Head(looks, found, taken), np.argsort(np.concatenate(keys), kind="stable")


def _places_within(number: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The place of each row among those of the same number."""
    order = np.argsort(number, kind="stable")
    found = np.empty(len(number), np.int64)
    found[order] = np.arange(len(number)) - np.searchsorted(number[order], number[order])
    return found
