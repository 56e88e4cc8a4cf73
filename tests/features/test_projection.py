from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from thresher.errors import DataError
from thresher.features.projection import (
    fit_projection,
    load_projection,
    save_projection,
)
from thresher.vectors import random_rows, unit_length


def test_projection_equals_scikit_learns_pca_up_to_sign() -> None:
    data = (np.random.default_rng(0).normal(size=(200, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5])).astype(np.float32)
    ours = fit_projection(data, None, width=3)
    oracle = PCA(3).fit(data.astype(np.float64))
    np.testing.assert_allclose(np.abs(ours.projected(data)), np.abs(oracle.transform(data)), atol=1e-3)
    assert ours.explained == pytest.approx(oracle.explained_variance_ratio_.sum(), abs=1e-6)


def test_target_and_pool_weigh_the_same_however_many_slices_they_have() -> None:
    rng = np.random.default_rng(1)
    target = (rng.normal(size=(500, 3)) * [1, 0.1, 0.1]).astype(np.float32)
    pool = (rng.normal(size=(5000, 3)) * [0.1, 0.1, 1.5]).astype(np.float32)
    once, often = fit_projection(target, pool, 2), fit_projection(np.tile(target, (20, 1)), pool, 2)
    np.testing.assert_allclose(once.axes, often.axes, atol=1e-4)
    assert np.abs(once.axes[0, 2]) > 0.99
    assert np.abs(once.axes[1, 0]) > 0.99


def test_unit_length() -> None:
    np.testing.assert_allclose(unit_length(np.float32([[3, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])


def test_a_saved_projection_comes_back(tmp_path: Path) -> None:
    ours = fit_projection(np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32), None, 2)
    save_projection(ours, tmp_path / "p.safetensors")
    back = load_projection(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(back.axes, ours.axes)
    np.testing.assert_array_equal(back.mean, ours.mean)
    assert back.explained == ours.explained


def test_words_of_errors() -> None:
    ours = fit_projection(np.eye(4, dtype=np.float32), None, 2)
    with pytest.raises(DataError, match="slices have 3 features; it was fitted on 4"):
        ours.projected(np.zeros((1, 3), np.float32))
    with pytest.raises(DataError, match="no slices to fit on"):
        fit_projection(np.zeros((0, 4), np.float32), None, 2)


def test_random_rows_keep_their_order_and_do_not_repeat() -> None:
    values = np.arange(100.0)[:, None]
    drawn = random_rows(values, 10, np.random.default_rng(0)).ravel()
    assert len(set(drawn)) == 10
    assert (np.diff(drawn) > 0).all()
    assert random_rows(values, 100, np.random.default_rng(0)) is values
