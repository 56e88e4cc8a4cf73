from __future__ import annotations

import numpy as np
import pytest

from thresher.density.mixture import Mixture, log_density
from thresher.density.similarity import cosine_to_mean, mean_log_density
from thresher.errors import DataError


def test_similarity_is_the_mean_over_the_images_own_slices() -> None:
    rng = np.random.default_rng(0)
    slices, starts = rng.normal(size=(10, 3)).astype(np.float32), np.array([0, 4, 5, 10])
    mixture = Mixture.standard(d=3)
    by_hand = [log_density(mixture, slices[a:b]).mean() for a, b in ((0, 4), (4, 5), (5, 10))]
    assert mean_log_density(mixture, slices, starts) == pytest.approx(by_hand)


def test_an_image_without_slices_is_an_error_not_a_number() -> None:
    with pytest.raises(DataError, match="image 1 of the block has no slices"):
        mean_log_density(Mixture.standard(d=1), np.zeros((2, 1)), np.array([0, 2, 2]))


def test_cosine_knows_same_opposite_and_square() -> None:
    target = np.array([[2.0, 0.0], [0.5, 0.0]])
    assert cosine_to_mean(np.array([[3.0, 0], [0, 1], [-1, 0]]), target) == pytest.approx([1, 0, -1])
