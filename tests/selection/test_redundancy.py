"""Clusters of near-duplicates, by hand and against a loop over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thresher.errors import SettingsError
from thresher.selection import redundancy
from thresher.selection.redundancy import like_any, near_duplicates
from thresher.vectors import nearest_rows


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_chains_are_one_cluster_and_length_does_not_count() -> None:
    # 10° apart is a cosine of 0.985, 20° of 0.940: the first three are a chain.
    vectors = at(0, 10, 20, 90, 95, 180) * np.array([[1], [5], [0.1], [2], [1], [1]])
    assert near_duplicates(vectors, 0.98).tolist() == [0, 0, 0, 3, 3, 5]
    assert near_duplicates(vectors, 0.99).tolist() == [0, 1, 2, 3, 3, 5]


def test_an_image_without_a_vector_is_like_no_other() -> None:
    assert near_duplicates(np.zeros((3, 4)), 0.5).tolist() == [0, 1, 2]
    assert near_duplicates(np.zeros((0, 4)), 0.5).tolist() == []


def test_images_like_the_target_are_found() -> None:
    assert like_any(at(0, 45, 91), at(90, 200), 0.99).tolist() == [False, False, True]
    assert like_any(at(0, 45), np.zeros((0, 2)), 0.5).tolist() == [False, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.5, 0.9, 0.99]), st.integers(1, 50))
def test_clusters_are_those_of_a_loop_over_pairs(seed: int, count: int, cosine: float, block: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3)).astype(np.float16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redundancy, "_BLOCK", block)
        found = near_duplicates(vectors, cosine)
        near = like_any(vectors, vectors[::3], cosine)
        alike = nearest_rows(vectors)[1][:, 0] if count > 1 else np.zeros(count)
    unit = vectors.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    want = list(range(count))
    for one in range(count):
        for other in range(one):
            if unit[one] @ unit[other] >= cosine:
                low, high = sorted((want[one], want[other]))
                want = [low if each == high else each for each in want]
    others = unit @ unit.T - 3 * np.eye(count)
    np.testing.assert_allclose(alike, others.max(axis=1, initial=-3) if count > 1 else alike, atol=1e-5)
    close = np.abs(unit @ unit.T - cosine) < 1e-6  # rounding decides on those
    if not close.any():
        assert found.tolist() == want
        assert near.tolist() == [bool((unit[n] @ unit[::3].T >= cosine).any()) for n in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0.3, 0.99), st.floats(0, 0.3))
def test_clusters_keep_in_any_order_and_only_part_where_the_cosine_rises(
    seed: int, count: int, cosine: float, more: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors, order = rng.normal(size=(count, 3)), rng.permutation(count)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assume(not (np.abs(unit @ unit.T - cosine) < 1e-5).any())  # rounding decides on those
    found = near_duplicates(vectors, cosine)
    together = found[:, None] == found
    moved = near_duplicates(vectors[order], cosine)
    assert ((moved[:, None] == moved) == together[np.ix_(order, order)]).all()
    assert (found <= np.arange(count)).all() and (found[found] == found).all()  # named by its first row
    stricter = near_duplicates(vectors, min(cosine + more, 1.0))
    assert (together | (stricter[:, None] != stricter)).all()


def test_a_threshold_that_joins_everything_has_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redundancy, "_MOST_PAIRS", 10)
    with pytest.raises(SettingsError, match="duplicate_cosine = 0.5: joins more than 10 pairs of images. Raise it"):
        near_duplicates(at(*np.linspace(0, 1, 20)), 0.5)
