"""Facility location: the candidates that together cover a set of points best, one added at a time."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from thresher.extras import compiled
from thresher.selection.cells import in_cells
from thresher.vectors import unit_length

#: Up to so many cosines of candidates and points the choice is exact; beyond, it is made cell by cell where at least
#: `CELL_TAKEN` are taken of each cell, and in any case where the cosines do not fit (1.6 GB).
EXACT_COSINES, MOST_COSINES = 100_000_000, 400_000_000
#: Candidates of a cell, how many are taken of it, and how much more than its share a cell may give.
CELL_ROWS, CELL_TAKEN, CELL_SHARE = 4_000, 16, 1.5
#: Gains this near to each other, as a part of all there is to cover, are equal: the last digits of a cosine depend on
#: how many are worked out at once.
_EQUAL = 1e-7
#: Points whose cosines are worked out at once.
_BLOCK = 1_024


@dataclass(frozen=True)
class Covering:
    """Candidates in the order in which they were taken, and what each added."""

    rows: Int64[np.ndarray, " taken"]
    gains: Float64[np.ndarray, " taken"]
    """What each adds to the objective; falls from one to the next."""


def facility_location(
    candidates: Float[np.ndarray, "n d"],
    points: Float[np.ndarray, "m d"] | None = None,
    count: int = 1,
    weights: Float[np.ndarray, " m"] | None = None,
    covered: Float[np.ndarray, " m"] | None = None,
) -> Covering:
    """Candidates taken one by one, each the one that adds most to Σ_i w_i · max over taken j of cos(point i, j)⁺.

    Lazy greedy: what a candidate adds can only fall while others are taken, so an old value is a bound, and only the
    candidates whose bound is highest are looked at again. It takes what plain greedy takes, and reaches at least
    1 − 1/e of the best set of this size. A larger count contains the smaller one. Ties go to the earlier row.

    All cosines are kept in memory. With more than `EXACT_COSINES` (10,000 candidates and points), both are divided into
    cells of about `CELL_ROWS` candidates (k-means); a candidate covers the points of its own cell alone; and those of
    all cells are taken in the order of what they add, of each cell at most 1.5 times its share (ours). The bound then
    holds for this smaller objective. Of 1,000 out of 20,000 it reaches 99.9 % of what exact greedy reaches
    (benchmarks/covering.py). It is coarse where few are taken of so many that the cosines do not fit (`MOST_COSINES`).

    Args:
        candidates: Vectors of any length; cosines count.
        points: What is to be covered; the candidates themselves by default.
        count: How many to take; all candidates at most.
        weights: Of the points, 0 or more; 1 by default.
        covered: How well each point is covered beforehand, as a cosine; 0 by default.

    Source: Nemhauser, Wolsey & Fisher 1978 (the bound); Minoux 1978 (lazy greedy).

    >>> two_groups = np.array([[1, 0], [1, 0.1], [1, -0.1], [0, 1], [0.1, 1]])
    >>> facility_location(two_groups, count=2).rows.tolist()  # the second leans a little towards the other group
    [1, 3]
    """
    unit = unit_length(candidates)
    known = unit if points is None else unit_length(points)
    weight = np.ones(len(known), np.float32) if weights is None else np.asarray(weights, np.float32)
    best = np.zeros(len(known), np.float32) if covered is None else np.maximum(covered, 0).astype(np.float32)
    count = min(count, len(unit))
    cosines, cells = len(unit) * len(known), -(-len(unit) // CELL_ROWS)
    if cosines <= EXACT_COSINES or (cosines <= MOST_COSINES and count < CELL_TAKEN * cells):
        return _greedy(unit, known, weight, best, count)
    return _cell_by_cell(unit, known, weight, best, count, cells)


def best_cosines(points: Float[np.ndarray, "m d"], others: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, " m"]:
    """The highest cosine of each point with any of the others, 0 at least: how well these cover it."""
    unit, known = unit_length(others), unit_length(points)
    best = np.zeros(len(known), np.float32)
    for start in range(0, len(unit), _BLOCK):
        for first in range(0, len(known), 4 * _BLOCK):
            part = slice(first, first + 4 * _BLOCK)
            np.maximum(best[part], (known[part] @ unit[start : start + _BLOCK].T).max(axis=1), out=best[part])
    return best


def _greedy(
    unit: Float32[np.ndarray, "n d"],
    known: Float32[np.ndarray, "m d"],
    weight: Float32[np.ndarray, " m"],
    best: Float32[np.ndarray, " m"],
    count: int,
) -> Covering:
    """Lazy greedy on all cosines; changes `best`."""
    gains_of = _loop()
    cosines = np.empty((len(unit), len(known)), np.float32)
    bounds = np.empty(len(unit))
    for start in range(0, len(unit), _BLOCK):
        rows = slice(start, start + _BLOCK)
        np.matmul(unit[rows], known.T, out=cosines[rows])
        bounds[rows] = gains_of(cosines[rows], weight, best)
    return lazy_greedy(cosines, weight, best, count, bounds)


def lazy_greedy(
    cosines: Float32[np.ndarray, "n m"],
    weight: Float32[np.ndarray, " m"],
    best: Float32[np.ndarray, " m"],
    count: int,
    bounds: Float64[np.ndarray, " n"] | None = None,
) -> Covering:
    """`count` candidates in the order of lazy greedy facility location, on how well each covers each point.

    Args:
        cosines: Of candidate and point; below 0 counts as 0.
        best: How well each point is covered beforehand, 0 or more; changed to how well it is afterwards.
        bounds: What each candidate adds at first, if it has been worked out.

    >>> covers = np.array([[1.0, 0.5, 0.0], [0.9, 0.9, 0.0], [0.0, 0.0, 1.0]], np.float32)
    >>> lazy_greedy(covers, np.ones(3, np.float32), np.zeros(3, np.float32), 2).rows.tolist()
    [1, 2]
    """
    gains_of = _loop()
    if bounds is None:
        bounds = np.empty(len(cosines))
        for start in range(0, len(cosines), _BLOCK):
            bounds[start : start + _BLOCK] = gains_of(cosines[start : start + _BLOCK], weight, best)
    equal = _EQUAL * float(weight.sum(dtype=np.float64))
    heap = [(-bound, row) for row, bound in enumerate(bounds.tolist())]
    heapq.heapify(heap)
    taken: list[int] = []
    gains: list[float] = []
    while len(taken) < count:
        # All whose bound reaches the highest exact gain are looked at again: one of them may be the best.
        seen: list[tuple[float, int]] = []
        top = -np.inf
        while heap and -heap[0][0] >= top - equal:
            row = heapq.heappop(heap)[1]
            gain = float(gains_of(cosines[row : row + 1], weight, best)[0])
            seen.append((-gain, row))
            top = max(top, gain)
        chosen = min(row for gain, row in seen if -gain >= top - equal)
        for again in seen:
            if again[1] == chosen:
                gains.append(-again[0])
            else:
                heapq.heappush(heap, again)
        taken.append(chosen)
        np.maximum(best, cosines[chosen], out=best)
    return Covering(np.array(taken, np.int64), np.array(gains))


def _gains(
    cosines: Float32[np.ndarray, "n m"], weight: Float32[np.ndarray, " m"], best: Float32[np.ndarray, " m"]
) -> Float64[np.ndarray, " n"]:
    """`facility_compiled.gains` in numpy."""
    more = cosines - best
    np.maximum(more, 0, out=more)
    found: Float64[np.ndarray, " n"] = (more @ weight).astype(np.float64)
    return found


@functools.cache
def _loop() -> Callable[..., np.ndarray]:
    return compiled("thresher.selection.facility_compiled", "gains", _gains)


@functools.cache
def prepare() -> None:
    """Load the loop of `facility_location`, and compile it where that has not been done: a second or two, once."""
    facility_location(np.eye(2, dtype=np.float32))


def _cell_by_cell(
    unit: Float32[np.ndarray, "n d"],
    known: Float32[np.ndarray, "m d"],
    weight: Float32[np.ndarray, " m"],
    best: Float32[np.ndarray, " m"],
    count: int,
    number: int,
) -> Covering:
    cells = in_cells(unit, number)
    own, theirs = cells.nearest(unit), cells.nearest(known)
    total = float(weight.sum(dtype=np.float64))
    rows, gains = [], []
    for cell in range(len(cells.centres)):
        members, covers = np.flatnonzero(own == cell), np.flatnonzero(theirs == cell)
        share = float(weight[covers].sum(dtype=np.float64)) / total
        most = min(len(members), int(np.ceil(CELL_SHARE * share * count)))
        made = _greedy(unit[members], known[covers], weight[covers], best[covers], most)
        rows.append(members[made.rows])
        gains.append(made.gains)
    row, gain = np.concatenate(rows), np.concatenate(gains)
    order = np.lexsort((np.arange(len(row)), -gain))[:count]
    return Covering(row[order], gain[order])
