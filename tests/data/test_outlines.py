"""Outlines: filled again they are the mask, and simplified they stay near it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from thresher.data.outlines import filled as filled_polygons
from thresher.data.outlines import loop_area, outlines, simplified

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def filled(loops: list[np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    """The pixels whose centre lies in an odd number of loops: a vertical edge to the left of it crosses its row."""
    found = np.zeros(size, np.int64)
    for loop in loops:
        for (x0, y0), (x1, y1) in zip(loop, np.roll(loop, -1, 0), strict=True):
            if x0 == x1:
                found[min(y0, y1) : max(y0, y1), x0:] += 1
    return found % 2 == 1


@given(MASKS)
def test_outlines_filled_again_are_the_mask(mask: np.ndarray) -> None:
    loops = outlines(mask)
    assert (filled(loops, mask.shape) == mask).all()
    assert sum(loop_area(loop) for loop in loops) == mask.sum()
    for loop in loops:
        steps = np.roll(loop, -1, 0) - loop
        # Each side is straight, and the next one turns.
        assert ((steps == 0).sum(1) == 1).all()
        assert ((steps[:, 0] == 0) != (np.roll(steps, -1, 0)[:, 0] == 0)).all()


def test_a_hole_has_an_area_below_nothing() -> None:
    ring = np.ones((3, 3), np.bool_)
    ring[1, 1] = False
    assert sorted(loop_area(loop) for loop in outlines(ring)) == [-1, 9]


def test_pixels_that_touch_at_a_corner_have_outlines_of_their_own() -> None:
    assert sorted(loop_area(loop) for loop in outlines(np.eye(2, dtype=np.bool_))) == [1, 1]


@given(MASKS, st.floats(0.1, 2))
def test_a_simplified_outline_is_nowhere_further_than_allowed(mask: np.ndarray, tolerance: float) -> None:
    for loop in outlines(mask):
        fewer = simplified(loop, tolerance)
        ends = np.roll(fewer, -1, 0)
        for corner in loop:
            assert min(_distance(corner, *side) for side in zip(fewer, ends, strict=True)) <= tolerance + 1e-9


def _distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    line = (end - start).astype(float)
    length = line @ line
    share = np.clip((point - start) @ line / length, 0, 1) if length else 0.0
    return float(np.hypot(*(point - start - share * line)))


def test_a_staircase_becomes_a_slope() -> None:
    stairs = np.tril(np.ones((16, 16), np.bool_))
    (loop,) = outlines(stairs)
    assert len(loop) > 30 and len(simplified(loop, 1.0)) <= 5


CORNER = st.tuples(st.floats(-4, 14), st.floats(-4, 14))


@given(st.lists(CORNER, min_size=3, max_size=9), st.integers(1, 10), st.integers(1, 10))
def test_filled_pixels_are_those_whose_centres_lie_in_the_polygon(
    corners: list[tuple[float, float]], height: int, width: int
) -> None:
    """Against a ray to the left of each centre, one pixel after the other."""
    expected, on_an_edge = np.zeros((2, height, width), np.bool_)
    for row in range(height):
        for column in range(width):
            for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
                on_an_edge[row, column] |= abs(y0 - row - 0.5) < 1e-9
                if (y0 <= row + 0.5) != (y1 <= row + 0.5):
                    crossing = x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
                    expected[row, column] ^= crossing <= column + 0.5
                    on_an_edge[row, column] |= abs(crossing - column - 0.5) < 1e-9
    found = filled_polygons([[value for corner in corners for value in corner]], (height, width))
    assert (found == expected)[~on_an_edge].all()


@given(MASKS)
def test_outer_outlines_of_a_mask_are_filled_to_its_pixels_and_holes(mask: np.ndarray) -> None:
    loops = outlines(mask)
    if loops and all(loop_area(loop) > 0 for loop in loops):
        assert (filled_polygons([loop.ravel().tolist() for loop in loops], mask.shape) == mask).all()


@pytest.mark.parametrize(
    "polygon", [[0, 0, 1, 1], [0, 0, 1, 1, 2], [0, 0, 1, float("nan"), 2, 2], [0, 0, 1e300, 1, 2, 2], [[0], [1]]]
)
def test_what_is_no_polygon_is_refused(polygon: list[float]) -> None:
    with pytest.raises(ValueError, match="a polygon"):
        filled_polygons([polygon], (4, 4))
