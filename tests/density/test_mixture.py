from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from thresher.density.em import MixtureSettings, choose_mixture, fit_mixture
from thresher.density.mixture import (
    Mixture,
    load_mixture,
    log_density,
    responsibilities,
    save_mixture,
)
from thresher.errors import DataError, SettingsError

pytestmark = pytest.mark.slow

SKLEARN_NAME = {"full": "full", "diagonal": "diag"}


def clouds(rng: np.random.Generator, count: int = 3, rows: int = 400, d: int = 4) -> np.ndarray:
    return np.concatenate(
        [rng.normal(size=(rows, d)) @ rng.normal(size=(d, d)) * 0.4 + 3 * rng.normal(size=d) for _ in range(count)]
    )


def test_density_of_a_standard_normal_at_its_centre_and_one_away() -> None:
    density = log_density(Mixture.standard(d=1), np.array([[0.0], [1.0]]))
    assert density == pytest.approx([-0.5 * np.log(2 * np.pi), -0.5 * np.log(2 * np.pi) - 0.5])


def test_density_of_two_far_components_is_half_of_each() -> None:
    mixture = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [100.0]]), np.array([[1.0], [2.0]]))
    density = log_density(mixture, np.array([[0.0], [100.0]]))
    alone = -0.5 * np.log(2 * np.pi)
    assert density == pytest.approx([np.log(0.5) + alone, np.log(0.5) + alone + np.log(2)])


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_one_component_is_the_sample_mean_and_covariance(covariance: str) -> None:
    data = clouds(np.random.default_rng(0), count=2)
    fit = fit_mixture(
        data, 1, MixtureSettings(covariance=covariance, variance_floor=1e-12, double=True), np.random.default_rng(0)
    )
    expected = np.cov(data.T, bias=True)
    factor = fit.mixture.factors[0]
    found = np.linalg.inv(factor @ factor.T) if covariance == "full" else 1 / factor**2
    np.testing.assert_allclose(fit.mixture.means[0], data.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found, expected if covariance == "full" else np.diag(expected), rtol=1e-6)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_density_equals_scikit_learn(covariance: str) -> None:
    rng = np.random.default_rng(1)
    data = clouds(rng)
    oracle = GaussianMixture(5, covariance_type=SKLEARN_NAME[covariance], random_state=0).fit(data)
    ours = Mixture(oracle.weights_, oracle.means_, oracle.precisions_cholesky_)
    np.testing.assert_allclose(log_density(ours, data, double=True), oracle.score_samples(data), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(responsibilities(ours, data, double=True), oracle.predict_proba(data), atol=1e-10)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_em_from_one_start_ends_where_scikit_learn_ends(covariance: str) -> None:
    rng = np.random.default_rng(2)
    data = clouds(rng)
    steps = 12
    same = MixtureSettings(
        covariance=covariance, max_iterations=steps, tolerance=1e-300, variance_floor=1e-6, double=True
    )
    first = fit_mixture(
        data,
        4,
        MixtureSettings(covariance=covariance, max_iterations=1, variance_floor=1e-6, double=True),
        np.random.default_rng(3),
    )
    fit = fit_mixture(data, 4, same, np.random.default_rng(3))
    start = first.mixture
    precisions = np.stack([p @ p.T for p in start.factors]) if covariance == "full" else start.factors**2
    oracle = GaussianMixture(
        4,
        covariance_type=SKLEARN_NAME[covariance],
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions,
        max_iter=steps - 1,
        tol=0,
        reg_covar=1e-6,
    )
    with pytest.warns(Warning, match="did not converge"):
        oracle.fit(data)
    np.testing.assert_allclose(fit.mixture.means, oracle.means_, rtol=1e-7, atol=1e-9)
    assert fit.log_likelihood == pytest.approx(oracle.score(data), abs=1e-8)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), components=st.integers(1, 6))
def test_more_iterations_never_lose_likelihood(seed: int, components: int) -> None:
    """Without the floor, that is: what it adds to every variance is not what maximises the likelihood."""
    data = clouds(np.random.default_rng(seed), rows=60)
    fits = [
        fit_mixture(
            data,
            components,
            MixtureSettings(max_iterations=steps, tolerance=1e-300, variance_floor=1e-12, double=True),
            np.random.default_rng(seed),
        )
        for steps in (1, 3, 9)
    ]
    # A component of no more points than dimensions lies in a plane: there the floor decides, not the likelihood.
    assume(min(fit.mixture.weights.min() for fit in fits) * len(data) > data.shape[1] + 1)
    values = [fit.log_likelihood for fit in fits]
    assert values[0] <= values[1] + 1e-9 <= values[2] + 2e-9


def test_far_from_the_origin_the_covariance_does_not_cancel() -> None:
    rng = np.random.default_rng(4)
    data = rng.normal(size=(2000, 3)) * [1e-3, 1.0, 1.0] + 1e4
    fit = fit_mixture(data, 1, MixtureSettings(variance_floor=1e-12), rng)
    factor = fit.mixture.factors[0]
    assert np.linalg.inv(factor @ factor.T)[0, 0] == pytest.approx(1e-6, rel=0.1)


def test_the_planted_number_of_clouds_wins_on_held_out_slices() -> None:
    rng = np.random.default_rng(5)
    centres = np.array([[0.0, 0], [20, 0], [0, 20], [20, 20]])
    train, held = (np.concatenate([c + rng.normal(size=(150, 2)) for c in centres]) for _ in range(2))
    tried = choose_mixture([(train, held)], MixtureSettings(), rng)
    best = max(tried, key=lambda choice: choice.held_out)
    assert best.components == 4
    assert tried[0].held_out < best.held_out - 1


def test_the_floor_is_chosen_beside_k_where_few_slices_would_be_fitted_too_closely() -> None:
    rng = np.random.default_rng(0)
    train, held = (0.05 * rng.normal(size=(40, 16)) for _ in range(2))
    tried = choose_mixture([(train, held)], MixtureSettings(), rng, [1, 2])
    assert {one.variance_floor for one in tried} >= {1e-6, 1e-3, 1e-2}
    by_floor = {one.variance_floor: one.held_out for one in tried if one.components == 1}
    assert by_floor[1e-3] > by_floor[1e-6] + 0.5
    fixed = choose_mixture([(train, held)], MixtureSettings(variance_floor=1e-5), rng, [1, 2])
    assert {one.variance_floor for one in fixed} == {1e-5}
    with pytest.raises(SettingsError, match=r"variance_floor = -1.0: expected 'auto' or more than 0"):
        MixtureSettings(variance_floor=-1)


def test_equal_slices_neither_crash_nor_give_nan(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fit = fit_mixture(np.ones((50, 3)), 4, MixtureSettings(), np.random.default_rng(0))
    assert np.isfinite(fit.log_likelihood)
    assert np.isfinite(fit.mixture.factors).all()
    assert len(fit.mixture.weights) < 4
    assert "were dropped" in caplog.text


def test_a_saved_mixture_comes_back_as_it_was(tmp_path) -> None:
    fit = fit_mixture(clouds(np.random.default_rng(6)), 3, MixtureSettings(), np.random.default_rng(0))
    save_mixture(fit.mixture, tmp_path / "mixture.safetensors")
    back = load_mixture(tmp_path / "mixture.safetensors")
    for name, value in vars(fit.mixture).items():
        np.testing.assert_array_equal(getattr(back, name), value)


def test_words_of_errors(tmp_path) -> None:
    with pytest.raises(DataError, match="slices have 3 features; it was fitted on 2"):
        log_density(Mixture.standard(d=2), np.zeros((1, 3)))
    with pytest.raises(DataError, match="2 slices cannot hold 3 components. Use fewer"):
        fit_mixture(np.zeros((2, 2)), 3, MixtureSettings(), np.random.default_rng(0))
    with pytest.raises(DataError, match="1 of 2 slices are not finite"):
        fit_mixture(np.array([[0.0], [np.nan]]), 1, MixtureSettings(), np.random.default_rng(0))
    with pytest.raises(SettingsError, match="components = 'many': expected 'auto' or a number"):
        MixtureSettings(components="many")
    with pytest.raises(DataError, match="no such file. .fit. writes it: run .thresher fit"):
        load_mixture(tmp_path / "mixture.safetensors")
