"""Outlines: filled again they are the mask, and simplified they stay near it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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
