from __future__ import annotations

import numpy as np
import pytest

from thresher.density.components import component_shares, typical_slices
from thresher.density.em import MixtureSettings, fit_mixture
from thresher.density.held_out import contiguous_folds, held_out_similarity
from thresher.density.mixture import Mixture, log_density
from thresher.density.similarity import mean_log_density
from thresher.errors import DataError

pytestmark = pytest.mark.slow

SETTINGS = MixtureSettings(components="3")


def target(images: int = 12, slices: int = 20, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    own = rng.normal(size=(images, 1, d)) * 0.7  # what is peculiar to each image
    return (own + rng.normal(size=(images, slices, d))).reshape(-1, d), np.arange(images + 1) * slices


def test_folds_are_runs_that_cover_all_images_once() -> None:
    assert contiguous_folds(12, 3).tolist() == [0, 4, 8, 12]
    assert contiguous_folds(2, 5).tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="1 images cannot be cut into folds; 2 or more are needed"):
        contiguous_folds(1, 3)


def test_held_out_images_are_less_likely_than_the_same_images_fitted() -> None:
    slices, starts = target()
    held_out = held_out_similarity(slices, starts, 3, SETTINGS, np.random.default_rng(0))
    mixture = fit_mixture(slices, 3, SETTINGS, np.random.default_rng(0)).mixture
    fitted = mean_log_density(mixture, slices, starts)
    assert held_out.similarities.mean() < fitted.mean() - 0.1


def test_each_image_is_scored_by_the_mixture_of_the_other_folds() -> None:
    slices, starts = target(images=4)
    held_out = held_out_similarity(slices, starts, 1, SETTINGS, np.random.default_rng(0), folds=2)
    first = slices[: starts[2]]
    # One component is the Gaussian of the other half, whatever the start.
    other = slices[starts[2] :]
    by_hand = fit_mixture(other, 1, SETTINGS, np.random.default_rng(9)).mixture
    np.testing.assert_allclose(by_hand.means[0], other.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(held_out.log_densities[: starts[2]], log_density(by_hand, first), rtol=1e-3)
    per_image = held_out.log_densities.reshape(4, -1).mean(axis=1)
    np.testing.assert_allclose(held_out.similarities, per_image, rtol=1e-5)
    assert len(held_out.mixtures) == 2


def test_the_same_seed_gives_the_same_numbers_and_no_more_slices_than_asked_for() -> None:
    slices, starts = target()
    few = MixtureSettings(components="2", max_slices=50)
    one, two = (held_out_similarity(slices, starts, 2, few, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.log_densities, two.log_densities)
    np.testing.assert_array_equal(one.similarities, two.similarities)


PLANTED = Mixture(np.array([0.25, 0.75]), np.array([[0.0, 0.0], [50.0, 0.0]]), np.ones((2, 2)))


def test_component_shares_are_the_planted_counts() -> None:
    slices = np.concatenate([np.zeros((30, 2)), np.full((10, 2), [50.0, 0.0])])
    assert component_shares(PLANTED, slices) == pytest.approx([0.75, 0.25])


def test_typical_slices_are_those_nearest_the_mean_and_one_per_image() -> None:
    near_first = np.array([[0.1, 0], [0.0, 0], [9, 0], [50, 0.3], [0.5, 0], [50, 0], [1.0, 0], [0.9, 0]])
    rows = typical_slices(PLANTED, near_first, np.array([0, 3, 6, 8]), count=2)
    # Image 0 owns rows 0–2, image 1 rows 3–5, image 2 rows 6–7.
    assert rows[0].tolist() == [1, 4]
    assert rows[1].tolist() == [5]  # no other image has a slice that mostly belongs to component 1
