"""COCO's run lengths: what is encoded is decoded, and a text that its own tools write is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from thresher.data.run_lengths import as_text, from_text, mask_of, run_lengths
from thresher.errors import DataError

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
def test_a_mask_survives_its_run_lengths_and_their_text(mask: np.ndarray) -> None:
    counts = run_lengths(mask)
    assert sum(counts) == mask.size and all(counts[1:])
    assert from_text(as_text(counts)) == counts
    assert (mask_of(counts, mask.shape) == mask).all()


@given(st.lists(st.integers(0, 10**6), max_size=20))
def test_any_counts_survive_their_text(counts: list[int]) -> None:
    assert from_text(as_text(counts)) == counts


def test_columns_come_first() -> None:
    mask = np.zeros((3, 2), np.bool_)
    mask[1:, 0] = mask[0, 1] = True
    assert run_lengths(mask) == [1, 3, 2]
    assert run_lengths(np.zeros((2, 2), np.bool_)) == [4]
    assert run_lengths(np.ones((2, 2), np.bool_)) == [0, 4]


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(DataError, match="sum to 3; expected 4, for 2 × 2 pixels"):
        mask_of([1, 2], (2, 2))
    with pytest.raises(DataError, match="ends within a number"):
        from_text(as_text([100])[:-1])
    with pytest.raises(DataError, match="no character"):
        from_text(" ")
