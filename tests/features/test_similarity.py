"""Similarity on arrays of one's own: numbers by hand, planted truth, and the very numbers of the stages."""

from __future__ import annotations

import numpy as np
import pytest

from thresher import similarity
from thresher.errors import DataError, SettingsError
from thresher.features.similarity import METHODS

pytestmark = pytest.mark.slow


def planted(rng: np.random.Generator, count: int, mean: np.ndarray, form: tuple[int, ...] = ()) -> np.ndarray:
    """Images whose vectors scatter around a mean."""
    return mean + 0.3 * rng.normal(size=(count, *form, len(mean)))


def test_cosine_and_nearest_are_numpys() -> None:
    rng = np.random.default_rng(0)
    pool, target = rng.normal(size=(30, 8)), rng.normal(size=(7, 8))
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (pool, target)]
    mean = unit[1].mean(axis=0) / np.linalg.norm(unit[1].mean(axis=0))
    np.testing.assert_allclose(similarity(pool, target), unit[0] @ mean, atol=1e-6)
    best = np.sort(unit[0] @ unit[1].T, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(similarity(pool, target, "nearest"), best, atol=1e-6)


def test_the_length_of_vectors_does_not_matter() -> None:
    """So vectors of any model will do, also unnormalised ones of 1,536 numbers."""
    rng = np.random.default_rng(1)
    pool, target = rng.normal(size=(20, 1536)) * 40, rng.normal(size=(12, 1536)) * 40
    for method in ("cosine", "similarity", "pooled_sphere"):
        found = similarity(pool, target, method, components=2)
        np.testing.assert_allclose(found, similarity(pool / 40, target / 40, method, components=2), rtol=1e-3)
        assert np.abs(found).max() < 1e4


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_was_planted(method: str) -> None:
    rng = np.random.default_rng(2)
    inside, outside = np.eye(12)[0], np.eye(12)[1]
    form = (4, 5)
    pool = np.concatenate([planted(rng, 15, inside, form), planted(rng, 45, outside, form)])
    found = similarity(pool, planted(rng, 30, inside, form), method, components=2)
    assert found.shape == (60,)
    assert found.dtype == np.float64
    near = np.argsort(-found)[:15]
    # The pool's own mixture takes the ratio's point away where the pool holds the target's kind.
    assert (near < 15).mean() >= (0.6 if method == "ratio" else 0.9)


def test_a_grid_of_one_cell_is_a_vector() -> None:
    rng = np.random.default_rng(3)
    pool, target = rng.normal(size=(10, 6)), rng.normal(size=(5, 6))
    as_grids = similarity(pool[:, None, None], target[:, None, None], "similarity", components=1)
    np.testing.assert_allclose(as_grids, similarity(pool, target, "similarity", components=1), rtol=1e-6)


def test_the_same_seed_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(4)
    pool, target = rng.normal(size=(40, 6)), rng.normal(size=(25, 6))
    first = similarity(pool, target, "similarity", seed=7)
    np.testing.assert_array_equal(first, similarity(pool, target, "similarity", seed=7))


def test_words_of_errors() -> None:
    vectors = np.ones((3, 4))
    with pytest.raises(SettingsError, match="method 'cosin': unknown. Known: cosine, nearest"):
        similarity(vectors, vectors, "cosin")
    with pytest.raises(SettingsError, match=r"'layout' compares regions of the image, so needs grids .* got \(3, 4\)"):
        similarity(vectors, vectors, "layout")
    with pytest.raises(
        DataError, match=r"pool has shape \(3, 4\), target \(3, 5\): expected the same number of axes and channels"
    ):
        similarity(vectors, np.ones((3, 5)))
    with pytest.raises(DataError, match=r"target: got an array of shape \(4,\); expected \(n, c\) vectors"):
        similarity(vectors, np.ones(4))
    with pytest.raises(DataError, match=r"pool: 1 images hold NaN or infinity \(first: row 1\)"):
        similarity(np.array([[1.0, 2.0], [np.nan, 1.0]]), np.ones((2, 2)))
    with pytest.raises(SettingsError, match="components"):
        similarity(vectors, vectors, "similarity", components="many")


def test_columns_of_lists_and_tensors_are_arrays() -> None:
    pl = pytest.importorskip("polars")
    torch = pytest.importorskip("torch")
    pool, target = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.1]])
    expected = similarity(pool, target)
    np.testing.assert_array_equal(similarity(pl.Series(pool.tolist()), target), expected)
    np.testing.assert_array_equal(similarity(torch.tensor(pool, requires_grad=True), target), expected)
    with pytest.raises(DataError, match="pool: not an array of numbers, or its images differ in shape"):
        similarity([[1.0, 2.0], [1.0]], target)


def test_a_target_too_small_for_a_mixture_says_so() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(DataError, match="target: 20 slices of 2 numbers .* too few for a mixture of 100 components"):
        similarity(rng.normal(size=(9, 6)), rng.normal(size=(20, 6)), "similarity", components=100)
    with pytest.raises(DataError, match="target: 1 slices .* use method='cosine'"):
        similarity(rng.normal(size=(9, 6)), rng.normal(size=(1, 6)), "similarity", components=1)
    with pytest.raises(SettingsError, match="seed = -1: expected 0 or more"):
        similarity(np.ones((2, 2)), np.ones((2, 2)), seed=-1)
