"""How many images are worth taking: what each further image of an order adds, and where that falls off."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from thresher.vectors import nearest_rows, unit_length

#: Target images are compared with those of other parts of as many, runs of neighbours by id: frames of one drive are
#: alike. And the share of the target that is as near to the others as `target_nearness` says.
_PARTS, _REACHED = 10, 0.95
#: Images of one step of the grid that are compared with all before them at most, evenly spaced.
_MOST_COMPARED = 400
#: Cosines in memory at once (64 MB in float32), and rows compared with those of a step.
_MOST_COSINES, _BLOCK = 1 << 24, 32_768


@dataclass(frozen=True)
class Worth:
    """What the first N images of an order are worth, for each N of a grid; all parallel."""

    images: Int64[np.ndarray, " grid"]
    """N, ascending."""
    nearness: Float64[np.ndarray, " grid"]
    """Mean over the target's images of the cosine to the nearest of the N: the value of facility location, −1..1."""
    covered: Float64[np.ndarray, " grid"]
    """Share of the target's images with one of the N as near as its own other images are, 0..1."""
    near: Int64[np.ndarray, " grid"]
    """How many of the N are as near to the target as its own images are to each other."""
    repeated: Float64[np.ndarray, " grid"]
    """Of the images since the last N, the share that near-duplicates an earlier one, 0..1."""
    threshold: float
    """The cosine that is as near as the target's own images (`target_nearness`)."""
    knee: int
    """N at the knee of `nearness` over all N, not only those of the grid (`knee`)."""


def target_nearness(target: Float[np.ndarray, "m c"]) -> float:
    """The cosine that 95 % of the target's images reach to their nearest other, −1..1.

    Others are those outside its own tenth of the target, by id, so that the next frame of a drive does not count: the
    same convention as for similarity, held out.

    Args:
        target: Pooled vectors in the order of their ids, two or more.

    >>> round(target_nearness(np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])), 3)  # the nearest: 0.6, 0.8 and 0.8
    0.62
    """
    borders = np.linspace(0, len(target), min(_PARTS, len(target)) + 1).astype(np.int64)
    nearest = np.empty(len(target))
    for first, last in itertools.pairwise(borders):
        others = np.concatenate([target[:first], target[last:]])
        nearest[first:last] = nearest_rows(target[first:last], others)[1][:, 0]
    return float(np.quantile(nearest, 1 - _REACHED))


def worth(
    ordered: Float[np.ndarray, "n c"],
    target: Float[np.ndarray, "m c"],
    grid: Int64[np.ndarray, " grid"],
    duplicate_cosine: float,
) -> Worth:
    """What the first N of an order of images are worth for the target, N in `grid`.

    Args:
        ordered: Pooled vectors of the candidates, best first.
        target: Those of the target, in the order of their ids, two or more.
        grid: Ascending, 1..n.
        duplicate_cosine: Images with at least this cosine are near-duplicates.
    """
    threshold = target_nearness(target)
    unit, goal = unit_length(ordered), unit_length(target)
    best = np.full(len(goal), -np.inf, np.float32)
    value, covered, near = (np.empty(len(unit)) for _ in range(3))
    rows = max(1, _MOST_COSINES // len(goal))
    for start in range(0, len(unit), rows):
        block = slice(start, start + rows)
        cosines = unit[block] @ goal.T
        near[block] = cosines.max(axis=1) >= threshold
        np.maximum(cosines[0], best, out=cosines[0])
        np.maximum.accumulate(cosines, axis=0, out=cosines)
        value[block] = cosines.mean(axis=1, dtype=np.float64)
        covered[block] = (cosines >= threshold).mean(axis=1)
        best = cosines[-1].copy()
    last = grid - 1
    near_count = np.cumsum(near)[last].astype(np.int64)
    repeated = _repeated(unit, grid, duplicate_cosine)
    return Worth(grid, value[last], covered[last], near_count, repeated, threshold, knee(value))


def _repeated(
    unit: Float[np.ndarray, "n c"], grid: Int64[np.ndarray, " grid"], cosine: float
) -> Float64[np.ndarray, " grid"]:
    """Of each step of the grid the share of images that near-duplicate one before them, in a spread-out draw of it."""
    found, start = np.zeros(len(grid)), 0
    for place, end in enumerate(grid.tolist()):
        rows = np.unique(np.linspace(start, end - 1, min(_MOST_COMPARED, end - start)).astype(np.int64))
        is_first: Bool[np.ndarray, " n"] = np.arange(end)[None, :] < rows[:, None]
        alike = np.zeros(len(rows), bool)
        for first in range(0, end, _BLOCK):
            part = slice(first, min(end, first + _BLOCK))
            alike |= ((unit[rows] @ unit[part].T >= cosine) & is_first[:, part]).any(axis=1)
        found[place], start = alike.mean(), end
    return found


def knee(value: Float[np.ndarray, " n"]) -> int:
    """N at which the value of the first N images is farthest above the straight line from first to last.

    From there on an image adds less than the average image of the whole order does. It depends on where the order
    ends: a longer tail of useless images moves it to the right, at most to where the value stops to rise.

    Source: the maximum of the difference curve of Satopää et al. 2011, "Finding a Kneedle in a Haystack", on the curve
    as it is (unsmoothed, linear axes).

    >>> knee(np.array([0.1, 0.5, 0.8, 0.9, 0.92, 0.94, 0.95]))
    3
    """
    return int(np.argmax(value - np.linspace(value[0], value[-1], len(value)))) + 1


def log_grid(most: int, steps_of_ten: int = 6) -> Int64[np.ndarray, " grid"]:
    """Numbers of images from 10, or `most` if that is less, to `most`, of two digits, evenly spaced on a log axis.

    >>> log_grid(340).tolist()
    [10, 15, 22, 32, 46, 68, 100, 150, 220, 320, 340]
    """
    powers = np.arange(steps_of_ten, int(np.ceil(steps_of_ten * np.log10(max(10, most)))) + 1) / steps_of_ten
    rough = 10.0**powers
    scale = 10.0 ** np.maximum(0, np.floor(np.log10(rough)) - 1)
    numbers = np.round(rough / scale) * scale
    grid: Int64[np.ndarray, " grid"] = np.unique(np.append(numbers[numbers < most], most).astype(np.int64))
    return grid
