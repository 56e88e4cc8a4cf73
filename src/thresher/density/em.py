"""EM for a Gaussian mixture: exact, over data in memory or on disk, or stepwise."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

from thresher.density.mixture import Covariance, Mixture, log_density
from thresher.density.moments import Moments, expected_moments, moments_of_owners
from thresher.density.start import (
    Blocks,
    kmeans_plus_plus,
    squared_distances,
    uniform_sample,
)
from thresher.errors import SettingsError
from thresher.settings import Given, converted, default

log = logging.getLogger(__name__)

#: The K that "auto" tries, smallest first.
CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
#: The variance floor that "auto" starts with (directions of unit length, cut to 64 axes, vary by about that much along
#: each), and the others that it tries.
_USUAL_FLOOR, FLOORS = 1e-3, (1e-6, 1e-5, 1e-4, 1e-2)


@converted
@dataclass(frozen=True)
class MixtureSettings:
    """The Gaussian mixture of the target's slices, and how EM fits it."""

    components: Given[str, int] = default("auto")
    """Number of components K, or auto: the K of 1, 2, 4, … 64 with the highest held-out log-likelihood."""
    covariance: Covariance = "full"
    """Covariance matrix of each component: full or diagonal."""
    tolerance: float = 1e-3
    """Stop when an iteration raises the mean log-likelihood by less than this, in nats per slice."""
    max_iterations: int = 100
    """Maximum number of iterations."""
    variance_floor: Literal["auto"] | float = "auto"
    """Added to every variance, so that no component collapses to a point; auto: 1e-3, or where components is auto too
    the one of 1e-6, 1e-5, … 1e-2 with the highest held-out log-likelihood."""
    data: Literal["sample", "shards", "stepwise"] = "sample"
    """sample: fit to a random sample in memory. shards: to every slice, read from disk once per iteration. stepwise: to
    every slice in a single pass (approximate)."""
    max_slices: int = 200_000
    """Maximum number of slices in the sample."""
    double: bool = False
    """Compute everything in float64, at about half the speed."""
    seed: int = 0
    """Seed of the k-means++ start and of the samples."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.components != "auto" and not (self.components.isdigit() and int(self.components) > 0):
            raise SettingsError(f"components = {self.components!r}: expected 'auto' or a number, 1 or more.")
        for name in ("tolerance", "max_iterations", "max_slices"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected more than 0.")
        if self.variance_floor != "auto" and self.variance_floor <= 0:
            raise SettingsError(f"variance_floor = {self.variance_floor}: expected 'auto' or more than 0.")

    @property
    def floor(self) -> float:
        """The variance floor as a number."""
        return _USUAL_FLOOR if self.variance_floor == "auto" else self.variance_floor


@dataclass(frozen=True)
class Fit:
    """A fitted mixture; log_likelihood is a mean per slice, in nats."""

    mixture: Mixture
    log_likelihood: float
    iterations: int
    converged: bool


def fit_mixture(
    slices: Float[np.ndarray, "n d"],
    components: int,
    settings: MixtureSettings,
    rng: np.random.Generator,
    threads: int | None = None,
) -> Fit:
    """The mixture that EM finds from a k-means++ start, for slices in memory.

    Raises:
        DataError: fewer slices than components, or values that are not finite.

    Source: Bishop 2006 §9.2.2; start: Arthur & Vassilvitskii 2007.
    """
    return fit_blocks(lambda: [slices], components, settings, rng, threads)


def fit_blocks(
    blocks: Blocks,
    components: int,
    settings: MixtureSettings,
    rng: np.random.Generator,
    threads: int | None = None,
) -> Fit:
    """Exact EM over blocks, one pass per iteration; memory is bounded by one block.

    Components without slices are dropped and logged.

    Raises:
        DataError: fewer slices than components, or values that are not finite.
    """
    mixture = _start(blocks, components, settings, rng)
    previous, gain, iteration = -np.inf, np.inf, 0
    while iteration < settings.max_iterations and gain >= settings.tolerance:
        iteration += 1
        moments = expected_moments(mixture, blocks(), settings.double, threads)
        mixture = _maximisation(mixture, moments, settings)
        gain, previous = moments.log_likelihood - previous, moments.log_likelihood
    total = [(log_density(mixture, block, threads, settings.double).sum(), len(block)) for block in blocks()]
    final = float(sum(value for value, _ in total) / sum(count for _, count in total))
    return Fit(mixture, final, iteration, bool(gain < settings.tolerance))


def fit_stepwise(
    blocks: Blocks,
    components: int,
    settings: MixtureSettings,
    rng: np.random.Generator,
    forgetting: float = 0.7,
    threads: int | None = None,
) -> Fit:
    """The mixture after one pass of stepwise EM: each block moves the moments a little, t later by (t + 2)^−forgetting.

    For data too large for many passes. Shuffle the blocks: a block of one drive pulls all components towards it.

    Args:
        forgetting: 0.5 < forgetting ≤ 1; smaller forgets the start sooner and converges later.

    Returns:
        The fit; its log-likelihood is the mean over blocks, each under the mixture before it was seen.

    Raises:
        SettingsError: `forgetting` outside its range.
        DataError: fewer slices than components, or values that are not finite.

    Source: Cappé & Moulines 2009 §2; Liang & Klein 2009 §3.
    """
    if not 0.5 < forgetting <= 1:
        raise SettingsError(f"forgetting = {forgetting}: expected more than 0.5 and at most 1.")
    mixture = _start(blocks, components, settings, rng)
    running: Moments | None = None
    scores = []
    for step, block in enumerate(blocks()):
        fresh = expected_moments(mixture, [block], settings.double, threads).normalised()
        scores.append(fresh.log_likelihood)
        running = fresh if running is None else running.blended(fresh, (step + 2) ** -forgetting)
        mixture = _maximisation(mixture, running, settings)
        running = running.about_its_own_means()
    return Fit(mixture, float(np.mean(scores)), len(scores), True)


def _maximisation(mixture: Mixture, moments: Moments, settings: MixtureSettings) -> Mixture:
    """The M-step: the mixture with these moments; components without slices are left out."""
    own = moments.about_its_own_means()
    lost = len(moments.counts) - len(own.counts)
    if lost:
        log.warning("mixture: %d components owned no slices and were dropped", lost)
    shape = (-1, 1, 1) if own.second.ndim == 3 else (-1, 1)
    covariances = own.second / own.counts.reshape(shape)
    return Mixture(own.counts / own.counts.sum(), own.centres, _factors(covariances, settings.floor))


def _factors(covariances: Float64[np.ndarray, "k ..."], floor: float) -> Float64[np.ndarray, "k ..."]:
    from scipy.linalg.lapack import dtrtri

    if covariances.ndim == 2:
        # The subtraction of the means may end a hair below zero.
        deviations: Float64[np.ndarray, "k ..."] = 1 / np.sqrt(np.maximum(covariances, 0) + floor)
        return deviations
    identity = np.eye(covariances.shape[1])
    lower = np.linalg.cholesky((covariances + covariances.transpose(0, 2, 1)) / 2 + floor * identity)
    # A triangle is inverted with a sixth of the work of any other matrix.
    return np.stack([dtrtri(each, lower=1)[0].T for each in lower])


def _start(blocks: Blocks, components: int, settings: MixtureSettings, rng: np.random.Generator) -> Mixture:
    """Means spread by k-means++ over a sample; every component starts with the spread of its nearest slices."""
    sample = uniform_sample(blocks, components, rng)
    means = kmeans_plus_plus(sample, components, rng)
    owner = np.argmin(squared_distances(sample, means), axis=1)
    moments = moments_of_owners(sample, owner, means, settings.covariance)
    return _maximisation(Mixture(np.full(components, 1 / components), means, np.ones_like(means)), moments, settings)


@dataclass(frozen=True)
class Tried:
    """What a number of components and a variance floor reached on slices not fitted on; nats per slice."""

    components: int
    held_out: float
    fitted: float
    variance_floor: float


def choose_mixture(
    folds: Sequence[tuple[Float[np.ndarray, "_n d"], Float[np.ndarray, "_m d"]]],
    settings: MixtureSettings,
    rng: np.random.Generator,
    candidates: Iterable[int] = CANDIDATES,
) -> list[Tried]:
    """Held-out log-likelihood for growing K, until it has fallen twice in a row; then for other variance floors.

    With floor "auto", the best K of the usual floor is tried with the others, and where one of them is better, K grows
    on from there. The best is the one with the highest `held_out`.

    Args:
        folds: (fitted on, held out) pairs; hold out whole images, since slices of one image are alike.

    Source: Stone 1974, cross-validatory choice; the order of the search is ours.
    """
    ks = list(candidates)
    tried = _growing(folds, settings, rng, ks, settings.floor)
    if settings.variance_floor != "auto" or not tried:
        return tried
    best = max(tried, key=lambda one: one.held_out)
    others = [one for floor in FLOORS for one in _growing(folds, settings, rng, [best.components], floor)]
    better = max(others, key=lambda one: one.held_out)
    larger = [k for k in ks if k > best.components]
    if better.held_out > best.held_out and larger:
        others += _growing(folds, settings, rng, larger, better.variance_floor)
    return tried + others


def _growing(
    folds: Sequence[tuple[Float[np.ndarray, "_n d"], Float[np.ndarray, "_m d"]]],
    settings: MixtureSettings,
    rng: np.random.Generator,
    candidates: Iterable[int],
    floor: float,
) -> list[Tried]:
    # The last small gains do not change which K is best.
    coarse = dataclasses.replace(settings, tolerance=settings.tolerance * 10, variance_floor=floor)
    tried: list[Tried] = []
    for components in candidates:
        large = [(train, held) for train, held in folds if len(train) >= components]
        fits = [(fit_mixture(train, components, coarse, rng), held) for train, held in large]
        if not fits:
            break
        held_out = float(np.mean([log_density(fit.mixture, held).mean() for fit, held in fits]))
        tried.append(Tried(components, held_out, float(np.mean([fit.log_likelihood for fit, _ in fits])), floor))
        if len(tried) >= 3 and tried[-1].held_out < tried[-2].held_out < tried[-3].held_out:
            break
    return tried
