"""The mixture's loops, compiled and in numpy: each by hand, and against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thresher.density import kernels_compiled, kernels_numpy
from thresher.density.mixture import Mixture
from thresher.density.moments import expected_moments, moments_of_owners

KERNELS = {"compiled": kernels_compiled, "numpy": kernels_numpy}
PRECISIONS = pytest.mark.parametrize(("dtype", "bits"), [(np.float32, np.int32), (np.float64, np.int64)])


@pytest.fixture(params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> Any:
    return KERNELS[request.param]


@PRECISIONS
@pytest.mark.parametrize("k", [1, 3, 16, 33])
def test_rows_are_shifted_below_their_peak(kernels: Any, dtype: type, bits: type, k: int) -> None:
    rng = np.random.default_rng(k)
    joint, constants = (rng.normal(size=(50, k)) * 40).astype(dtype), rng.normal(size=k).astype(dtype)
    summed, peak = joint + constants, np.empty(50, dtype)
    kernels.shift_below_peak(joint, constants, joint.view(bits), peak, peak.view(bits), dtype(-60))
    np.testing.assert_array_equal(peak, summed.max(axis=1))
    np.testing.assert_array_equal(joint, np.maximum(summed - peak[:, None], -60))


@PRECISIONS
def test_a_row_with_nan_stays_without_a_number_and_spoils_no_other(kernels: Any, dtype: type, bits: type) -> None:
    joint, peak = np.array([[0, np.nan], [-3, -1]], dtype), np.empty(2, dtype)
    kernels.shift_below_peak(joint, np.zeros(2, dtype), joint.view(bits), peak, peak.view(bits), dtype(-60))
    assert np.isnan(joint[0]).all()
    assert peak[1] == -1
    assert joint[1].tolist() == [-2, 0]


def test_squares_sums_and_scales_by_hand(kernels: Any) -> None:
    joint = np.full((1, 2), 10.0, np.float32)
    kernels.subtract_squares(np.array([[[1, 2], [3, 0]]], np.float32), joint)
    assert joint.tolist() == [[0, 6]]  # 10 − 1² − 3², 10 − 2² − 0²
    values, total = np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.empty(2, np.float32)
    kernels.row_sums(values, total)
    assert total.tolist() == [6, 15]
    kernels.scaled_rows(values, np.array([2, 0], np.float32), values)
    assert values.tolist() == [[2, 4, 6], [0, 0, 0]]
    columns = np.ones(3)
    assert kernels.add_column_sums(values, np.float32(3), columns) == 2
    assert columns.tolist() == [3, 5, 7]


def test_weighted_sums_leave_out_what_is_negligible(kernels: Any) -> None:
    first, second = np.zeros((2, 2, 1), np.float32)
    shares = np.array([[1, 0.25], [0.5, 0.125]], np.float32)
    kernels.add_weighted(np.array([[2], [4]], np.float32), shares, np.float32(0.125), first, second)
    assert first.tolist() == [[4], [0.5]]  # 1·2 + ½·4; ¼·2
    assert second.tolist() == [[12], [1]]  # 1·4 + ½·16; ¼·4


@PRECISIONS
@pytest.mark.parametrize("seed", range(3))
def test_compiled_loops_and_numpy_give_the_same(dtype: type, bits: type, seed: int) -> None:
    rng, n, k, d = np.random.default_rng(seed), 300, 17, 9
    cells = rng.normal(size=(k, 5, n)).astype(dtype)
    joint = (rng.normal(size=(k, n)) * 30).astype(dtype)
    constants = rng.normal(size=k).astype(dtype)
    x, shares = rng.normal(size=(n, d)).astype(dtype), rng.random((n, k)).astype(dtype)
    found = []
    for loops in KERNELS.values():
        rows, below = joint.copy(), np.empty((n, k), dtype)
        loops.subtract_squares(cells, rows)
        below[:] = rows.T
        peak, sums, scaled = np.empty(n, dtype), np.empty(n, dtype), np.empty((n, k), dtype)
        loops.shift_below_peak(below, constants, below.view(bits), peak, peak.view(bits), dtype(-40))
        loops.row_sums(shares, sums)
        loops.scaled_rows(shares, sums, scaled)
        columns, first, second = np.ones(k), np.zeros((k, d), dtype), np.zeros((k, d), dtype)
        above = loops.add_column_sums(shares, dtype(0.9), columns)
        loops.add_weighted(x, shares, dtype(0.9), first, second)
        found.append((rows, below, peak, sums, scaled, columns, np.array(above), first, second))
    tolerance = 2e-5 if dtype is np.float32 else 1e-12
    for compiled, plain in zip(*found, strict=True):
        assert compiled.dtype == plain.dtype
        np.testing.assert_allclose(compiled, plain, rtol=tolerance, atol=tolerance * 50)


def test_few_shares_and_many_give_the_same_moments() -> None:
    """Far components leave one share per slice (added slice by slice); near ones leave all (a matrix product)."""
    rng = np.random.default_rng(1)
    for apart in (0.0, 30.0):
        means = np.arange(40.0)[:, None] * apart * np.ones(2)
        slices = means[rng.integers(40, size=500)] + rng.normal(size=(500, 2))
        mixture = Mixture(np.full(40, 1 / 40), means, np.ones((40, 2)))
        found = expected_moments(mixture, [slices])
        log_p = -0.5 * ((slices[:, None] - means) ** 2).sum(axis=2)
        shares = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        centred = slices[:, None] - means
        np.testing.assert_allclose(found.counts, shares.sum(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.first, np.einsum("nk,nkd->kd", shares, centred), atol=1e-3)
        np.testing.assert_allclose(found.second, np.einsum("nk,nkd->kd", shares, centred**2), atol=2e-3)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_moments_may_be_seen_from_anywhere(covariance) -> None:
    slices = np.random.default_rng(2).normal(size=(60, 3))
    owner, means, other = np.arange(60) % 2, np.zeros((2, 3)), np.array([[1.0, -2, 3], [0.5, 0, -1]])
    moved = moments_of_owners(slices, owner, means, covariance).seen_from(other)
    for k in (0, 1):
        centred = slices[owner == k] - other[k]
        outer = centred.T @ centred
        np.testing.assert_allclose(moved.first[k], centred.sum(axis=0), atol=1e-12)
        np.testing.assert_allclose(moved.second[k], outer if covariance == "full" else np.diag(outer), atol=1e-11)
