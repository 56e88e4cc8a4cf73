"""Near-duplicates of a kept image, by hand and against a loop over all pairs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.selection import redundancy
from thresher.selection.redundancy import LIKE_TARGET, Near, leaders, like_any


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_chain_leaves_one_wherever_it_has_moved_on_and_length_does_not_count() -> None:
    # 10° apart is a cosine of 0.985, 20° of 0.940: of frames 10° apart every second one remains.
    vectors = at(0, 10, 20, 30, 40) * np.array([[1], [5], [0.1], [2], [1]])
    assert leaders(vectors, 0.98).rows.tolist() == [0, 0, 2, 2, 4]
    assert leaders(vectors, 0.99).rows.tolist() == [0, 1, 2, 3, 4]
    made = leaders(at(20, 0, 10), 0.98)  # the third is like both that are kept
    assert made.kept.tolist() == [True, True, False]
    assert made.cosines.tolist() == pytest.approx([1, 1, np.cos(np.radians(10))], abs=1e-6)


def test_the_first_may_be_kept_in_any_case() -> None:
    assert leaders(at(0, 1, 2, 90), 0.98, always=2).rows.tolist() in ([0, 1, 1, 3], [0, 1, 0, 3])


def test_an_image_without_a_vector_is_like_no_other() -> None:
    assert leaders(np.zeros((3, 4)), 0.5).rows.tolist() == [0, 1, 2]
    assert leaders(np.zeros((0, 4)), 0.5).rows.tolist() == []


def test_images_like_the_target_are_found() -> None:
    assert like_any(at(0, 45, 91), at(90, 200), 0.99).tolist() == [False, False, True]
    assert like_any(at(0, 45), np.zeros((0, 2)), 0.5).tolist() == [False, False]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.integers(1, 50),
    st.integers(0, 4),
    st.booleans(),
)
def test_what_is_kept_is_that_of_a_loop_over_pairs(
    seed: int, count: int, cosine: float, block: int, always: int, in_cells: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3)).astype(np.float16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redundancy, "_BLOCK", block)
        if in_cells:  # each is compared with all cells into which the cosine can reach: nothing is missed
            patch.setattr(redundancy, "EXACT_ROWS", 0)
            patch.setattr(redundancy, "_CELL_ROWS", 5)
        made = leaders(vectors, cosine, always)
    unit = vectors.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = unit @ unit.T
    if (np.abs(alike - cosine) < 1e-6).any():  # rounding decides on those
        return
    kept: list[int] = []
    for row in range(count):
        if row < always or not any(alike[row, other] >= cosine for other in kept):
            kept.append(row)
    assert np.flatnonzero(made.kept).tolist() == kept
    np.testing.assert_allclose(made.cosines, alike[np.arange(count), made.rows], atol=1e-5)
    assert (made.cosines[~made.kept] >= cosine - 1e-6).all()
    assert set(made.rows.tolist()) == set(kept)


def test_clusters_go_by_the_order_and_are_found_once() -> None:
    ids = pl.DataFrame({"image_id": list("abcde")})
    near = Near(ids, at(0, 1, 2, 90, 200), 0.98, np.array([False, False, False, False, True]))
    order = pl.DataFrame({"image_id": ["e", "x", "c", "a", "d", "b"]})  # x has no vector
    found = near.clusters(order)
    assert near.clusters(pl.DataFrame({"image_id": ["e", "x", "c", "a", "d", "b"]})) is found
    rows = {row[0]: row[1:3] for row in found.rows()}
    assert rows == {"c": (2, "c"), "a": (2, "c"), "b": (2, "c"), "d": (3, "d"), "e": (LIKE_TARGET, None)}
    pinned = {row[0]: row[2] for row in near.clusters(order, ["b", "e"]).rows()}
    assert pinned == {"b": "b", "c": "b", "a": "b", "d": "d", "e": "e"}
