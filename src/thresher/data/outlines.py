"""Masks as polygons and back: outlines along the edges of pixels, and the pixels that polygons cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

Loop = Int64[np.ndarray, "corners 2"]
#: Corners further away than this, in pixels, are a mistake.
_FURTHEST_PX = 1e7
#: More crossings of edges and rows would take gigabytes.
_MOST_CROSSINGS = 50_000_000


def outlines(mask: Bool[np.ndarray, "h w"]) -> list[Loop]:
    """Every outline of a mask: the corners, as x and y in pixels, of closed loops along the edges of its pixels.

    Walked with the mask on the right (y points down), so the area of an outer outline is above 0 (`loop_area`), that of
    a hole below. Pixels that touch at a corner only are parted.

    >>> [loop.tolist() for loop in outlines(np.array([[1, 1]], bool))]
    [[[0, 0], [2, 0], [2, 1], [0, 1]]]
    """
    ends = _edges(mask)
    loops = []
    while ends:
        start = next(iter(ends))
        place, heading, corners = start, (0, 0), []
        while True:
            step = _turned(ends[place], heading)
            ends[place].remove(step)
            if not ends[place]:
                del ends[place]
            if step != heading:
                corners.append(place)
            place, heading = (place[0] + step[0], place[1] + step[1]), step
            if place == start:
                break
        if len(corners) > 1 and _straight(corners[-1], corners[0], corners[1]):
            corners = corners[1:]
        loops.append(np.array(corners, np.int64))
    return loops


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """For each corner of pixels the steps (x, y) that an outline takes from it, top to bottom and left to right."""
    padded = np.pad(mask.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (inside & ~padded[:-2, 1:-1], (0, 0), (1, 0)),  # nothing above: to the right along the upper edge
        (inside & ~padded[1:-1, 2:], (1, 0), (0, 1)),
        (inside & ~padded[2:, 1:-1], (1, 1), (-1, 0)),
        (inside & ~padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for bare, corner, step in sides:
        for row, column in zip(*(axis.tolist() for axis in np.nonzero(bare)), strict=True):
            found.setdefault((column + corner[0], row + corner[1]), []).append(step)
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0])))


def _turned(steps: list[tuple[int, int]], heading: tuple[int, int]) -> tuple[int, int]:
    """Of two ways on the one to the right, which stays with the same pixel."""
    right = (-heading[1], heading[0])
    return right if right in steps else steps[0]


def _straight(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> bool:
    return (first[0] == second[0] == third[0]) or (first[1] == second[1] == third[1])


def loop_area(loop: Int64[np.ndarray, "corners 2"] | Float64[np.ndarray, "corners 2"]) -> float:
    """The area in a loop, in square pixels; below 0 where it goes round a hole.

    >>> loop_area(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]))
    2.0
    """
    after = np.roll(loop, -1, 0)
    return float((loop[:, 0] * after[:, 1] - after[:, 0] * loop[:, 1]).sum() / 2)


def simplified(loop: Int64[np.ndarray, "corners 2"], tolerance_px: float) -> Int64[np.ndarray, "fewer 2"]:
    """A loop with fewer corners, from none of which the old line is further than this.

    Source: Douglas & Peucker 1973, on the two halves of the loop between its first corner and the one furthest from it.

    >>> simplified(np.array([[0, 0], [4, 0], [8, 1], [8, 8], [0, 8]]), 1.0).tolist()
    [[0, 0], [8, 1], [8, 8], [0, 8]]
    """
    if len(loop) < 4:
        return loop
    far = int(((loop - loop[0]) ** 2).sum(1).argmax())
    closed = np.concatenate([loop, loop[:1]])
    kept = sorted({*_kept(closed, 0, far, tolerance_px), *_kept(closed, far, len(loop), tolerance_px)} - {len(loop)})
    return loop[kept] if len(kept) > 2 else loop


def _kept(points: np.ndarray, first: int, last: int, tolerance: float) -> set[int]:
    """The points between two that stay, and the two."""
    kept, waiting = {first, last}, [(first, last)]
    while waiting:
        low, high = waiting.pop()
        if high - low < 2:
            continue
        line, between = points[high] - points[low], points[low + 1 : high] - points[low]
        length = float(np.hypot(*line))
        across = np.abs(line[0] * between[:, 1] - line[1] * between[:, 0])
        distances = across / length if length else np.hypot(between[:, 0], between[:, 1])
        worst = int(distances.argmax())
        if distances[worst] > tolerance:
            middle = low + 1 + worst
            kept.add(middle)
            waiting += [(low, middle), (middle, high)]
    return kept


def filled(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The pixels whose centres lie in one of some polygons; within one polygon what it goes round twice is a hole.

    Args:
        polygons: Corners of each as [x, y, x, y, …] in pixels; the first pixel reaches from 0 to 1.
        size: Height and width in pixels.

    Raises:
        ValueError: a polygon of fewer than three corners, or with a corner that is no place near an image.

    >>> filled([[0, 0, 2, 0, 2, 2, 0, 2]], (2, 3)).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0]]
    """
    mask = np.zeros(size, np.bool_)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
            raise ValueError(f"a polygon of {corners.size} numbers; expected x and y of at least three corners")
        if not (np.abs(corners) < _FURTHEST_PX).all():  # not a number is not below it either
            raise ValueError("a polygon with a corner that is no number of pixels")
        _fill(mask, corners.reshape(-1, 2))
    return mask


def _fill(mask: np.ndarray, corners: np.ndarray) -> None:
    """Add the pixels of one polygon: each edge swaps inside and outside for all pixels to its right (even-odd rule)."""
    limits = np.array(mask.shape[::-1])
    left, top = np.clip(np.floor(corners.min(0)), 0, limits).astype(np.int64).tolist()
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, limits).astype(np.int64).tolist()
    height, width = bottom - top, right - left
    if height <= 0 or width <= 0:
        return
    x, y = (corners - (left, top)).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    # A row counts where its middle lies between an edge's ends, the upper of which belongs to it.
    first = np.clip(np.ceil(np.minimum(y, next_y) - 0.5), 0, height).astype(np.int64)
    rows_of = np.clip(np.ceil(np.maximum(y, next_y) - 0.5), 0, height).astype(np.int64) - first
    if rows_of.sum() > _MOST_CROSSINGS:
        raise ValueError(f"a polygon of {len(corners)} corners, whose edges cross {rows_of.sum():,} rows")
    edge = np.repeat(np.arange(len(x)), rows_of)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows_of) - rows_of, rows_of) + first[edge]
    crossing = x[edge] + (row + 0.5 - y[edge]) / (next_y - y)[edge] * (next_x - x)[edge]
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    swaps = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    mask[top:bottom, left:right] |= np.cumsum(swaps, 1)[:, :width] % 2 == 1
