"""Unit vectors and nearest rows, by hand and against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.vectors import nearest_rows, unit_length


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_vector_of_zeros_stays_zero() -> None:
    np.testing.assert_array_equal(unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])), np.float32([[0.6, 0.8], [0, 0]]))


def test_nearest_are_named_nearest_first_with_ties_by_row() -> None:
    target = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]])
    rows, cosines = nearest_rows(np.array([[1.0, 0.0]]), target, count=3)
    assert rows.tolist() == [[1, 2, 0]]
    assert cosines[0] == pytest.approx([1, 1, 0])


def test_fewer_target_images_than_asked_for_are_all_named() -> None:
    rows, _ = nearest_rows(np.ones((2, 3)), np.ones((1, 3)), count=5)
    assert rows.tolist() == [[0], [0]]


@given(st.integers(0, 1000), st.integers(1, 6))
def test_nearest_are_those_of_a_stable_sort(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    target, vectors = rng.integers(-1, 2, (5, 2)), rng.integers(-1, 2, (4, 2))  # few values: many ties
    rows, cosines = nearest_rows(vectors.astype(float), target.astype(float), count)
    known = unit_length(target.astype(float))
    every = np.array([np.einsum("mc,mc->m", known, np.tile(one, (5, 1))) for one in unit_length(vectors.astype(float))])
    np.testing.assert_array_equal(rows, np.argsort(-every, axis=1, kind="stable")[:, :count])
    np.testing.assert_array_equal(cosines, np.take_along_axis(every, rows, axis=1))


def test_the_image_most_like_each_is_another_one() -> None:
    rows, cosines = nearest_rows(at(0, 10, 90, 80, 10) * np.array([[1], [2], [3], [4], [5]]))
    assert rows.ravel().tolist() == [1, 4, 3, 2, 1]
    np.testing.assert_allclose(cosines.ravel(), np.cos(np.radians([10, 0, 10, 10, 0])), rtol=1e-6)
    rows, cosines = nearest_rows(at(0, 85), at(90, 200, 5))
    assert rows.ravel().tolist() == [2, 0]
    np.testing.assert_allclose(cosines.ravel(), np.cos(np.radians([5, 5])), rtol=1e-6)
