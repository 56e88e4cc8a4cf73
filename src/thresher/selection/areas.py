"""The exact area under the boxes of each image: compiled where numba is there, else in numpy."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Float64, Int64

from thresher.extras import compiled

#: Images that a thread works on at a time.
_IMAGES_AT_ONCE = 32_768
#: In numpy, images worked on at once are bounded by this many cells of the union grid.
_MOST_CELLS = 2_000_000


def union_areas(
    starts: Int64[np.ndarray, " images_plus_1"],
    x0: Float[np.ndarray, " n"],
    y0: Float[np.ndarray, " n"],
    x1: Float[np.ndarray, " n"],
    y1: Float[np.ndarray, " n"],
) -> Float64[np.ndarray, " images"]:
    """The area of each image under at least one of its boxes, in the square of the corners' unit.

    A box whose sides are not in order covers nothing. In float64; the order of an image's boxes plays no part.

    Args:
        starts: Image i owns boxes `starts[i]` to `starts[i + 1]`.

    >>> two = np.array([0.0, 0.5]), np.array([0.0, 0.5]), np.array([1.0, 1.5]), np.array([1.0, 1.5])
    >>> union_areas(np.array([0, 2]), *two)
    array([1.75])
    """
    areas = np.zeros(len(starts) - 1)

    def write(first: int) -> None:
        images = slice(first, first + _IMAGES_AT_ONCE)
        _loop()(starts[first : first + _IMAGES_AT_ONCE + 1], x0, y0, x1, y1, areas[images])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(write, range(0, len(areas), _IMAGES_AT_ONCE)))
    return areas


@functools.cache
def _loop() -> Callable[..., None]:
    return compiled("thresher.selection.areas_compiled", "add_areas", _add_areas)


def _add_areas(
    starts: Int64[np.ndarray, " images_plus_1"],
    x0: Float[np.ndarray, " n"],
    y0: Float[np.ndarray, " n"],
    x1: Float[np.ndarray, " n"],
    y1: Float[np.ndarray, " n"],
    areas: Float64[np.ndarray, " images"],
) -> None:
    """`areas_compiled.add_areas` in numpy: images with equally many boxes are done together."""
    flat = ~((x1 > x0) & (y1 > y0))
    sides = [np.where(flat, 0, side) for side in (x0, y0, x1, y1)]
    counts = np.diff(starts)
    for boxes in np.unique(counts[counts > 0]):
        images = np.flatnonzero(counts == boxes)
        at_once = max(1, _MOST_CELLS // int(boxes * 2) ** 2)
        for first in range(0, len(images), at_once):
            part = images[first : first + at_once]
            rows = starts[part][:, None] + np.arange(boxes)
            areas[part] = _grid_areas([side[rows] for side in sides])


def _grid_areas(sides: Sequence[Float[np.ndarray, "n m"]]) -> Float64[np.ndarray, " n"]:
    """The area under m boxes for each of n images: the corners cut the picture into cells, wholly covered or not.

    Each side has a line of its own in the grid, even where two coincide (the cells between are then of no width). Four
    marks per box at the lines' crossings, summed from the top left, give the number of boxes over each cell.
    """
    x0, y0, x1, y1 = sides
    (xs, left, right), (ys, top, bottom) = _lines(x0, x1), _lines(y0, y1)
    over = np.zeros((len(x0), ys.shape[1], xs.shape[1]), np.int16)
    image = np.arange(len(x0))[:, None]
    over[image, top, left] = over[image, bottom, right] = 1
    over[image, top, right] = over[image, bottom, left] = -1
    covered = over.cumsum(axis=1, dtype=np.int16).cumsum(axis=2, dtype=np.int16)[:, :-1, :-1] > 0
    widths = np.einsum("nyx,nx->ny", covered, np.diff(xs))
    area: Float64[np.ndarray, " n"] = np.einsum("ny,ny->n", widths, np.diff(ys))
    return area


def _lines(
    start: Float[np.ndarray, "n m"], end: Float[np.ndarray, "n m"]
) -> tuple[Float64[np.ndarray, "n two_m"], Int64[np.ndarray, "n m"], Int64[np.ndarray, "n m"]]:
    """The sorted coordinates of all sides, and at which place in that order each box starts and ends."""
    sides = np.concatenate([start, end], axis=1).astype(np.float64)
    order = np.argsort(sides, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(sides.shape[1])[None], axis=1)
    return np.take_along_axis(sides, order, axis=1), places[:, : start.shape[1]], places[:, start.shape[1] :]
