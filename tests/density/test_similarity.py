from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.density.mixture import Mixture, log_density
from thresher.density.neighbours import nearest_target
from thresher.density.similarity import cosine_to_mean, directions, similarity
from thresher.errors import DataError


def test_similarity_is_the_mean_over_the_images_own_slices() -> None:
    rng = np.random.default_rng(0)
    slices, starts = rng.normal(size=(10, 3)).astype(np.float32), np.array([0, 4, 5, 10])
    mixture = Mixture.standard(d=3)
    by_hand = [log_density(mixture, slices[a:b]).mean() for a, b in ((0, 4), (4, 5), (5, 10))]
    assert similarity(mixture, slices, starts) == pytest.approx(by_hand)


def test_an_image_without_slices_is_an_error_not_a_number() -> None:
    with pytest.raises(DataError, match="image 1 of the block owns no slice"):
        similarity(Mixture.standard(d=1), np.zeros((2, 1)), np.array([0, 2, 2]))


def test_cosine_knows_same_opposite_and_square() -> None:
    target = np.array([[2.0, 0.0], [0.5, 0.0]])
    assert cosine_to_mean(np.array([[3.0, 0], [0, 1], [-1, 0]]), target) == pytest.approx([1, 0, -1])


def test_directions_leave_zero_alone() -> None:
    np.testing.assert_array_equal(directions(np.array([[3.0, 4.0], [0.0, 0.0]])), np.float32([[0.6, 0.8], [0, 0]]))


def test_nearest_are_named_nearest_first_with_ties_by_row() -> None:
    target = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]])
    rows, cosines = nearest_target(np.array([[1.0, 0.0]]), target, count=3)
    assert rows.tolist() == [[1, 2, 0]]
    assert cosines[0] == pytest.approx([1, 1, 0])


def test_fewer_target_images_than_asked_for_are_all_named() -> None:
    rows, _ = nearest_target(np.ones((2, 3)), np.ones((1, 3)), count=5)
    assert rows.tolist() == [[0], [0]]


@given(st.integers(0, 1000), st.integers(1, 6))
def test_nearest_are_those_of_a_stable_sort(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    target, vectors = rng.integers(-1, 2, (5, 2)), rng.integers(-1, 2, (4, 2))  # few values: many ties
    rows, cosines = nearest_target(vectors.astype(float), target.astype(float), count)
    every = directions(vectors.astype(float)) @ directions(target.astype(float)).T
    np.testing.assert_array_equal(rows, np.argsort(-every, axis=1, kind="stable")[:, :count])
    np.testing.assert_array_equal(cosines, np.take_along_axis(every, rows, axis=1))
