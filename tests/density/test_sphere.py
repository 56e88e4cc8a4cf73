from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ive

from thresher.density.sphere import (
    Sphere,
    concentration,
    fit_sphere,
    log_bessel,
    log_density,
    log_normaliser,
)
from thresher.errors import DataError


def around(rng: np.random.Generator, centre: np.ndarray, rows: int, spread: float) -> np.ndarray:
    noisy = centre + spread * rng.normal(size=(rows, len(centre)))
    return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 7.5, 31.0, 31.5, 159.0, 639.0])
def test_log_bessel_equals_scipy(order: float) -> None:
    x = np.array([1e-2, 0.5, 3.0, 40.0, 300.0, 2e3, 9e4])
    with np.errstate(divide="ignore"):
        expected = np.log(ive(order, x)) + x
    inside = np.isfinite(expected)  # scipy's own value leaves float64's range for large orders
    assert inside.sum() >= 3
    np.testing.assert_allclose(log_bessel(order, x)[inside], expected[inside], rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("d", [2, 3, 64, 320])
def test_log_bessel_is_finite_where_the_function_is_not(d: int) -> None:
    assert np.isfinite(log_normaliser(np.array([1e-6, 1.0, 1e5]), d)).all()


def test_in_three_dimensions_the_normaliser_is_known_in_closed_form() -> None:
    kappa = np.array([0.1, 1.0, 10.0])
    np.testing.assert_allclose(log_normaliser(kappa, 3), np.log(kappa / (4 * np.pi * np.sinh(kappa))), atol=1e-7)


def test_on_the_circle_the_density_integrates_to_one() -> None:
    angle = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mixture = Sphere(np.array([0.3, 0.7]), np.array([[1.0, 0.0], [0.0, -1.0]]), np.array([2.0, 9.0]))
    assert np.exp(log_density(mixture, circle)).mean() * 2 * np.pi == pytest.approx(1, abs=1e-5)


def test_the_concentration_of_a_known_resultant() -> None:
    # r = 1/2 in 3 dimensions: 0.5 (3 − 0.25) / 0.75; rows at one point end at the bound, without an infinity.
    np.testing.assert_allclose(concentration(np.array([0.5, 1.0, 0.0]), 3), [11 / 6, 1e5, 1e-6])


def test_one_component_ranks_as_the_cosine_to_the_mean_does() -> None:
    rng = np.random.default_rng(0)
    data = around(rng, rng.normal(size=64), 500, 0.8)
    fit = fit_sphere(data, 1, rng)
    mean = data.mean(axis=0)
    others = rng.normal(size=(300, 64))
    cosine = others @ mean / np.linalg.norm(others, axis=1) / np.linalg.norm(mean)
    np.testing.assert_array_equal(np.argsort(log_density(fit.sphere, others)), np.argsort(cosine))
    np.testing.assert_allclose(fit.sphere.directions[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_planted_clusters_are_found_with_their_shares_and_tightness() -> None:
    rng = np.random.default_rng(1)
    centres = np.linalg.qr(rng.normal(size=(16, 3)))[0].T
    sizes, spreads = (600, 300, 100), (0.05, 0.1, 0.05)
    data = np.concatenate([around(rng, *each) for each in zip(centres, sizes, spreads, strict=True)])
    sphere = fit_sphere(data, 3, rng).sphere
    found = np.argmax(sphere.directions @ centres.T, axis=1)
    assert sorted(found) == [0, 1, 2]
    np.testing.assert_allclose(sphere.weights, np.array(sizes)[found] / 1000, atol=1e-3)
    assert (np.einsum("kd,kd->k", sphere.directions, centres[found]) > 0.998).all()
    # Noise of variance s² in each direction is a concentration of about 1 / s².
    np.testing.assert_allclose(sphere.concentrations, 1 / np.array(spreads)[found] ** 2, rtol=0.1)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), components=st.integers(1, 5))
def test_more_iterations_lose_no_likelihood_that_counts(seed: int, components: int) -> None:
    # κ is an approximation, so EM may lose a little where rows are few; never much.
    rng = np.random.default_rng(seed)
    data = np.concatenate([around(rng, rng.normal(size=12), 40, 0.5) for _ in range(3)])
    few, many = (
        fit_sphere(data, components, np.random.default_rng(seed), tolerance=-np.inf, max_iterations=steps)
        for steps in (1, 8)
    )
    assert few.log_likelihood <= many.log_likelihood + 0.02


def test_lengths_do_not_count_and_half_precision_is_enough() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(size=(50, 8))
    sphere = fit_sphere(data, 2, rng).sphere
    np.testing.assert_allclose(log_density(sphere, data * 7), log_density(sphere, data), atol=1e-4)
    np.testing.assert_allclose(log_density(sphere, data.astype(np.float16)), log_density(sphere, data), atol=0.05)


def test_equal_rows_give_neither_nan_nor_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fit = fit_sphere(np.ones((40, 320)), 4, np.random.default_rng(0))
    assert np.isfinite(fit.log_likelihood)
    assert np.isfinite(log_density(fit.sphere, -np.ones((2, 320)))).all()


def test_words_of_errors() -> None:
    sphere = Sphere(np.ones(1), np.eye(2)[:1], np.ones(1))
    with pytest.raises(DataError, match="rows have 3 features; it was fitted on 2"):
        log_density(sphere, np.ones((1, 3)))
    with pytest.raises(DataError, match="2 rows cannot hold 3 components. Use 1 to 2"):
        fit_sphere(np.ones((2, 2)), 3, np.random.default_rng(0))
    with pytest.raises(DataError, match="2 of 3 rows are zero or not finite, so have no direction"):
        fit_sphere(np.array([[0.0, 0], [np.nan, 1], [1, 1]]), 1, np.random.default_rng(0))
