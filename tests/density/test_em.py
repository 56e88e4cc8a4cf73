"""EM beyond one array in memory: blocks, threads, precision, mini-batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thresher.density.em import MixtureSettings, fit_blocks, fit_mixture, fit_stepwise
from thresher.density.mixture import Mixture, log_density, packed, responsibilities
from thresher.density.start import SAMPLE_ROWS, uniform_sample
from thresher.errors import DataError, SettingsError

pytestmark = pytest.mark.slow

CENTRES = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]])


def clusters(rng: np.random.Generator, rows: int) -> np.ndarray:
    owner = rng.integers(len(CENTRES), size=rows)
    return (CENTRES[owner] + 0.5 * rng.normal(size=(rows, 3))).astype(np.float32)


def assert_near(ours: np.ndarray, planted: np.ndarray, within: float) -> None:
    distances = np.linalg.norm(ours[:, None] - planted, axis=2)
    assert distances.min(axis=0).max() < within
    assert distances.min(axis=1).max() < within


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_blocks_give_what_one_array_gives(covariance: str) -> None:
    data = clusters(np.random.default_rng(0), 30_000)
    settings = MixtureSettings(covariance=covariance, double=True)
    whole = fit_mixture(data, 4, settings, np.random.default_rng(1))
    parts = fit_blocks(lambda: iter(np.array_split(data, 7)), 4, settings, np.random.default_rng(1))
    assert parts.iterations == whole.iterations
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-9)
    np.testing.assert_allclose(parts.mixture.means, whole.mixture.means, atol=1e-9)


def test_blocks_may_lie_on_disk(tmp_path: Path) -> None:
    data = clusters(np.random.default_rng(0), 5000)
    for number, part in enumerate(np.array_split(data, 3)):
        np.save(tmp_path / f"{number}.npy", part)

    def blocks():
        return (np.load(path, mmap_mode="r") for path in sorted(tmp_path.glob("*.npy")))

    assert_near(fit_blocks(blocks, 4, MixtureSettings(), np.random.default_rng(2)).mixture.means, CENTRES, 0.1)


def test_the_number_of_threads_changes_no_bit() -> None:
    data = clusters(np.random.default_rng(3), 40_000)
    one, three = (fit_mixture(data, 4, MixtureSettings(), np.random.default_rng(4), threads) for threads in (1, 3))
    np.testing.assert_array_equal(one.mixture.factors, three.mixture.factors)
    np.testing.assert_array_equal(log_density(one.mixture, data, 1), log_density(one.mixture, data, 3))


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_single_precision_stays_within_a_thousandth_of_a_nat(covariance: str) -> None:
    rng = np.random.default_rng(5)
    k, d = 16, 64
    means = rng.normal(size=(k, d)) * 0.5
    deviations = 0.5 * np.exp(0.3 * rng.normal(size=(k, d)))
    factors = 1 / deviations
    if covariance == "full":
        factors = np.stack([np.triu(rng.normal(size=(d, d)) * 0.05, 1) + np.diag(row) for row in factors])
    mixture = Mixture(np.full(k, 1 / k), means, factors)
    data = (means[rng.integers(k, size=3000)] + rng.normal(size=(3000, d)) * 0.5).astype(np.float32)
    off = np.abs(log_density(mixture, data) - log_density(mixture, data, double=True))
    assert off.mean() <= 1e-3
    assert (off / np.abs(log_density(mixture, data, double=True))).max() <= 5e-5


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_single_and_double_precision_reach_the_same_likelihood_in_equal_steps(covariance: str) -> None:
    data = clusters(np.random.default_rng(6), 20_000)
    reached = [
        fit_mixture(
            data,
            6,
            MixtureSettings(covariance=covariance, max_iterations=15, tolerance=1e-300, double=double),
            np.random.default_rng(7),
        ).log_likelihood
        for double in (False, True)
    ]
    assert reached[0] == pytest.approx(reached[1], abs=1e-4)


def test_components_far_from_the_origin_are_computed_in_double_precision() -> None:
    near = Mixture(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
    far = Mixture(np.ones(1), np.full((1, 2), 1e5), np.ones((1, 2)))
    assert packed(near, 2).dtype == np.float32
    assert packed(far, 2).dtype == np.float64
    density = log_density(far, np.array([[1e5 + 1, 1e5]]))
    assert density == pytest.approx([-np.log(2 * np.pi) - 0.5], abs=1e-6)


def test_a_slice_far_from_everything_has_a_density_and_shares() -> None:
    mixture = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]]))
    far = np.array([[-500.0]])
    assert log_density(mixture, far) == pytest.approx([np.log(0.5) - 0.5 * np.log(2 * np.pi) - 125_000], rel=1e-6)
    assert responsibilities(mixture, far)[0] == pytest.approx([1, 0], abs=1e-6)


def test_stepwise_em_finds_the_planted_clusters_in_one_pass() -> None:
    rng = np.random.default_rng(8)
    blocks = [clusters(rng, 500) for _ in range(60)]
    fit = fit_stepwise(lambda: iter(blocks), 4, MixtureSettings(), np.random.default_rng(9))
    assert fit.iterations == 60
    assert_near(fit.mixture.means, CENTRES, 0.15)
    exact = fit_blocks(lambda: iter(blocks), 4, MixtureSettings(), np.random.default_rng(9))
    everything = np.concatenate(blocks)
    lost = exact.log_likelihood - log_density(fit.mixture, everything).mean()
    assert 0 <= lost + 1e-6 < 0.02


def test_a_sample_is_uniform_over_blocks_and_bounded() -> None:
    blocks = [np.full((40_000, 1), float(number), np.float32) for number in range(5)]
    sample = uniform_sample(lambda: iter(blocks), 1, np.random.default_rng(10)).ravel()
    assert len(sample) == SAMPLE_ROWS
    shares = np.bincount(sample.astype(int)) / SAMPLE_ROWS
    assert shares == pytest.approx([0.2] * 5, abs=0.01)


def test_words_of_errors() -> None:
    with pytest.raises(SettingsError, match="forgetting = 0.3: expected more than 0.5 and at most 1"):
        fit_stepwise(lambda: [np.zeros((5, 1))], 1, MixtureSettings(), np.random.default_rng(0), forgetting=0.3)
    with pytest.raises(DataError, match="0 slices cannot hold 1 components"):
        fit_blocks(lambda: iter([]), 1, MixtureSettings(), np.random.default_rng(0))
