"""Held-out similarity of the target: each image under a mixture fitted without it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from thresher.density.em import MixtureSettings, fit_mixture
from thresher.density.mixture import Mixture, log_density
from thresher.density.similarity import mean_log_density
from thresher.density.slice_block import SliceBlock
from thresher.errors import DataError
from thresher.vectors import random_rows


@dataclass(frozen=True)
class HeldOut:
    """Held-out log-densities of each image and slice, in the given order; nats."""

    similarities: Float64[np.ndarray, " images"]
    log_densities: Float64[np.ndarray, " n"]
    mixtures: tuple[Mixture, ...]
    """One per fold, fitted to the other folds."""


def contiguous_folds(images: int, folds: int) -> Int64[np.ndarray, " borders"]:
    """The borders of `folds` runs of neighbouring images, as equal as can be: fold f is `borders[f]:borders[f + 1]`.

    Frames of one drive have consecutive ids; with a random split, near-duplicates would be on both sides.

    Raises:
        DataError: fewer than two images.

    >>> contiguous_folds(images=7, folds=3)
    array([0, 2, 4, 7])
    """
    if images < 2:
        raise DataError(f"held out: {images} images cannot be cut into folds; 2 or more are needed.")
    folds = min(folds, images)
    return np.array([images * number // folds for number in range(folds + 1)], np.int64)


def component_folds(
    block: SliceBlock, folds: int, max_slices: int, rng: np.random.Generator
) -> list[tuple[Float[np.ndarray, "_n d"], Float[np.ndarray, "_m d"]]]:
    """(to fit, held out) slices to choose the number of components by: whole images, in runs of neighbours.

    A lone image is cut into halves.

    Args:
        max_slices: Maximum number of slices per fit, sampled at random.
    """
    if len(block.grids) > 1:
        borders = block.starts[contiguous_folds(len(block.grids), folds)]
    else:
        borders = np.array([0, len(block.slices) // 2, len(block.slices)])
    pairs = []
    for first, last in itertools.pairwise(borders):
        inside = np.zeros(len(block.slices), bool)
        inside[first:last] = True
        train = random_rows(block.slices[~inside], max_slices, rng).astype(np.float32)
        pairs.append((train, block.slices[inside].astype(np.float32)))
    return pairs


def held_out_similarity(
    slices: Float[np.ndarray, "n d"],
    starts: Int64[np.ndarray, " images_plus_1"],
    components: int,
    settings: MixtureSettings,
    rng: np.random.Generator,
    folds: int = 3,
) -> HeldOut:
    """Each image's similarity under a mixture of the same kind and K, fitted without it and its neighbours.

    A mixture gives the images it was fitted to a higher likelihood than others of the same domain. Held out, target
    and pool are comparable: neither was fitted to.

    Args:
        starts: Image i owns rows `starts[i]` to `starts[i + 1]`; images in the order of their ids.
        components: K of every fold's mixture.
        folds: Runs of neighbouring images; each is held out once.

    Returns:
        Similarities in nats per slice, log-densities in nats; higher is nearer the target.

    Raises:
        DataError: fewer than two images, or fewer slices in the other folds than components.

    Source: Stone 1974, cross-validatory choice; runs of neighbouring ids are ours.
    """
    images = len(starts) - 1
    borders = contiguous_folds(images, folds)
    similarities, log_densities = np.empty(images), np.empty(len(slices))
    mixtures = []
    for first, last in itertools.pairwise(borders):
        inside = slice(int(starts[first]), int(starts[last]))
        others = np.concatenate([slices[: inside.start], slices[inside.stop :]])
        if len(others) > settings.max_slices:
            others = others[np.sort(rng.choice(len(others), settings.max_slices, replace=False))]
        mixture = fit_mixture(others.astype(np.float32), components, settings, rng).mixture
        log_densities[inside] = log_density(mixture, slices[inside])
        similarities[first:last] = mean_log_density(mixture, slices[inside], starts[first : last + 1] - starts[first])
        mixtures.append(mixture)
    return HeldOut(similarities, log_densities, tuple(mixtures))
