"""Scores of an image have the same bits whatever images are scored with it, so they can be kept as a pool grows."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.density.layout import QuerySettings
from thresher.density.mixture import Mixture
from thresher.density.scorers import SCORERS, FittedScorers, ScorerInput
from thresher.density.slice_block import SliceBlock
from thresher.density.sphere import Sphere
from thresher.vectors import nearest_rows, unit_length

D, C, TARGET, IMAGES = 24, 40, 33, 150
GRIDS = [(2, 3), (7, 9), (9, 7), (1, 1)]


@pytest.fixture(scope="module")
def images() -> SliceBlock:
    rng = np.random.default_rng(1)
    grids = np.array([GRIDS[number % len(GRIDS)] for number in rng.integers(0, 4, IMAGES)])
    starts = np.concatenate([[0], np.cumsum(grids.prod(axis=1))]).astype(np.int64)
    slices = (rng.normal(size=(starts[-1], D)) * 0.2).astype(np.float16)
    return SliceBlock(slices, starts, grids, rng.normal(size=(IMAGES, C)).astype(np.float16))


def some(images: SliceBlock, first: int, last: int) -> SliceBlock:
    starts = images.starts[first : last + 1]
    slices = images.slices[starts[0] : starts[-1]]
    return SliceBlock(slices, starts - starts[0], images.grids[first:last], images.pooled[first:last])


def fitted(covariance: str) -> FittedScorers:
    rng = np.random.default_rng(2)

    def mixture(k: int) -> Mixture:
        full = np.eye(D) * 5 + np.triu(rng.normal(size=(k, D, D))) * 0.3
        factors = full if covariance == "full" else np.diagonal(full, axis1=1, axis2=2).copy()
        return Mixture(np.full(k, 1 / k), rng.normal(size=(k, D)) * 0.1, factors)

    def sphere(k: int, width: int) -> Sphere:
        return Sphere(np.full(k, 1 / k), unit_length(rng.normal(size=(k, width)), np.float64), np.full(k, 20.0))

    return FittedScorers(
        mixture=mixture(7),
        pool_mixture=mixture(3),
        sphere=sphere(5, D + 1),
        pooled_sphere=sphere(3, C),
        pooled=rng.normal(size=(TARGET, C)).astype(np.float16),
        origin=rng.normal(size=D + 1),
        rows_query=rng.normal(size=7 * (D + 1)),
        query=rng.normal(size=14 * (D + 1) + C),
        held_out_nats=rng.normal(size=20),
        query_settings=QuerySettings(),
    )


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize("name", SCORERS)
def test_a_score_does_not_depend_on_the_images_beside_it(images: SliceBlock, name: str, covariance: str) -> None:
    known = fitted(covariance)
    together = SCORERS[name](ScorerInput(known, images))
    for first, last in ((0, 1), (1, IMAGES), (7, 8), (13, 90), (90, 97)):
        alone = SCORERS[name](ScorerInput(known, some(images, first, last)))
        assert alone.tobytes() == together[first:last].tobytes(), (first, last)


def test_neither_do_the_nearest_target_images(images: SliceBlock) -> None:
    known = fitted("full").pooled
    rows, cosines = nearest_rows(images.pooled, known, 4)
    for first, last in ((0, 1), (1, IMAGES), (13, 90)):
        some_rows, some_cosines = nearest_rows(images.pooled[first:last], known, 4)
        assert some_rows.tolist() == rows[first:last].tolist()
        assert some_cosines.tobytes() == cosines[first:last].tobytes()
