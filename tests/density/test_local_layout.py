"""Where in an image its layout is like the target's: the parts add up to the score."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.density.layout import QuerySettings
from thresher.density.local_layout import local_layout
from thresher.density.mixture import Mixture
from thresher.density.scorers import FittedScorers, ScorerInput, layout
from thresher.density.slice_block import SliceBlock
from thresher.density.sphere import Sphere


def fitted(query: np.ndarray) -> FittedScorers:
    """Slices of two numbers, three with the part outside the axes; the pooled vector has two."""
    sphere = Sphere(np.ones(1), np.array([[1.0, 0.0, 0.0]]), np.ones(1))
    return FittedScorers(
        Mixture.standard(2),
        Mixture.standard(2),
        sphere,
        sphere,
        np.ones((1, 2)),
        np.array([0.5, 0.0, 0.3]),
        np.zeros(21),
        query / np.linalg.norm(query),
        np.zeros(1),
        QuerySettings(),
    )


def block(slices: np.ndarray, height: int, width: int) -> SliceBlock:
    starts, grids = np.array([0, height * width]), np.array([[height, width]])
    return SliceBlock(slices, starts, grids, slices.mean(axis=0, keepdims=True), ["a"])


@pytest.mark.parametrize("width", [3, 6, 12])
def test_the_mean_over_the_parts_is_the_score(width: int) -> None:
    rng = np.random.default_rng(width)
    learnt, images = fitted(rng.normal(size=14 * 3 + 2)), block(rng.normal(size=(7 * width, 2)), 7, width)
    (found,) = local_layout(learnt, images)
    assert found.shape == (7, width)
    third = width // 3
    middle, sides = found[:, third : 2 * third], np.delete(found, np.s_[third : 2 * third], axis=1)
    of_parts = (middle.mean(axis=1) + sides.mean(axis=1)) / 2
    assert of_parts.mean() == pytest.approx(layout(ScorerInput(learnt, images))[0], abs=2e-3)  # layouts are float16


def test_the_part_that_the_query_looks_for_is_the_highest() -> None:
    query = np.tile([0.0, 1.0, 0.0], 14)  # everywhere the second number
    slices = np.zeros((8, 9, 2))
    slices[2, 4, 1] = 1.0
    (found,) = local_layout(fitted(np.append(query, [0.0, 0.0])), block(slices.reshape(72, 2), 8, 9))
    assert np.unravel_index(found.argmax(), found.shape) == (2, 4)
    assert np.delete(found.ravel(), 2 * 9 + 4) == pytest.approx(0)
