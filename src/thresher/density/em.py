"""Fitting a Gaussian mixture by expectation-maximisation: exact, over data in memory or on disk, or stepwise."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from scipy.linalg.lapack import dtrtri

from thresher.density.mixture import (
    BLOCK_ROWS,
    Covariance,
    Mixture,
    Packed,
    evaluate,
    log_density,
    packed,
    threads_without_blas,
)
from thresher.density.start import Blocks, kmeans_plus_plus, squared_distances, uniform_sample
from thresher.errors import SettingsError

log = logging.getLogger(__name__)

#: A component that owns less than this share of one slice has nothing left to estimate a covariance from.
_COLLAPSED_ROWS = 1e-3
#: Responsibilities below float32's last digit change no sum; most of them are, so most of the M-step need not be done.
_NEGLIGIBLE = float(np.finfo(np.float32).eps)

#: The K that "auto" tries, smallest first.
CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
#: Numbers whose squares stay in a core's cache.
_CACHED_NUMBERS = 131_072


@dataclass(frozen=True)
class MixtureSettings:
    """How the target's slices are modelled."""

    components: str = "auto"
    """Number of components K, or "auto": the K of 1, 2, 4, … 64 with the best held-out log-likelihood."""
    covariance: Covariance = "full"
    """Shape of each component: a full matrix, or its diagonal."""
    tolerance: float = 1e-3
    """Stop when an iteration gains less than this many nats per slice."""
    max_iterations: int = 100
    """Stop after this many iterations all the same."""
    variance_floor: float = 1e-6
    """Added to every variance, so that no component shrinks to a point."""
    data: Literal["sample", "shards", "stepwise"] = "sample"
    """Fit on a random sample in memory; on every slice from disk, exactly, a pass per iteration; or in one pass."""
    max_slices: int = 200_000
    """The size of that sample."""
    double: bool = False
    """Compute in float64 throughout, at about half the speed."""
    seed: int = 0
    """Seed of the start and of the draw."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.components != "auto" and not (self.components.isdigit() and int(self.components) > 0):
            raise SettingsError(f"components = {self.components!r}: expected 'auto' or a number, 1 or more.")
        for name in ("tolerance", "max_iterations", "variance_floor", "max_slices"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected more than 0.")


@dataclass(frozen=True)
class Fit:
    """A mixture and how its fit went; log-likelihoods are means per slice, in nats."""

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
    """The same by exact EM over blocks, one pass over them per iteration; memory is bounded by one block.

    Components that lose all their slices are dropped, with a word in the log.

    Raises:
        DataError: fewer slices than components, or values that are not finite.
    """
    mixture = _start(blocks, components, settings, rng)
    previous, gain, iteration = -np.inf, np.inf, 0
    while iteration < settings.max_iterations and gain >= settings.tolerance:
        iteration += 1
        moments = _expectation(mixture, blocks(), settings, threads)
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

    For more slices than are worth many passes. Blocks should be mixed: a block of one drive pulls all towards it.

    Args:
        forgetting: 0.5 < forgetting ≤ 1; smaller forgets the start sooner and settles later.

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
        fresh = _expectation(mixture, [block], settings, threads).normalised()
        scores.append(fresh.log_likelihood)
        running = fresh if running is None else running.blended(fresh, (step + 2) ** -forgetting)
        mixture = _maximisation(mixture, running, settings)
        running = running.about_its_own_means()
    return Fit(mixture, float(np.mean(scores)), len(scores), True)


@dataclass
class Moments:
    """Sums over slices, weighted by responsibility, of a component's slices relative to `centres`.

    Second moments about zero would cancel: two large numbers whose small difference is the covariance.
    """

    centres: Float64[np.ndarray, "k d"]
    counts: Float64[np.ndarray, " k"]
    first: Float64[np.ndarray, "k d"]
    second: Float64[np.ndarray, "k ..."]
    log_likelihood: float = 0.0

    @classmethod
    def about(cls, centres: Float64[np.ndarray, "k d"], covariance: Covariance) -> Moments:
        """No slices yet."""
        k, d = centres.shape
        return cls(centres, np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d) if covariance == "full" else (k, d)))

    def add(self, other: Moments) -> None:
        """Take in the sums of other slices about the same centres."""
        self.counts += other.counts
        self.first += other.first
        self.second += other.second
        self.log_likelihood += other.log_likelihood

    def normalised(self) -> Moments:
        """The same per slice: counts sum to 1."""
        n = self.counts.sum()
        return Moments(self.centres, self.counts / n, self.first / n, self.second / n, self.log_likelihood)

    def blended(self, fresh: Moments, step: float) -> Moments:
        """A step of that size from these moments towards fresh ones about the same centres."""
        parts = ((getattr(self, name), getattr(fresh, name)) for name in ("counts", "first", "second"))
        return Moments(self.centres, *((1 - step) * old + step * new for old, new in parts))

    def about_its_own_means(self) -> Moments:
        """The same slices seen from their components' means; components without slices are left out."""
        alive = self.counts > _COLLAPSED_ROWS * self.counts.mean()
        first = self.first[alive]
        shift = first / self.counts[alive, None]
        moved = shift[:, :, None] * first[:, None, :] if self.second.ndim == 3 else shift * first
        return Moments(
            self.centres[alive] + shift, self.counts[alive], np.zeros_like(shift), self.second[alive] - moved
        )


def _expectation(
    mixture: Mixture, blocks: Iterable[Float[np.ndarray, "n d"]], settings: MixtureSettings, threads: int | None
) -> Moments:
    """The moments of each component's share of the slices; the log-likelihood as a mean under this mixture."""
    moments = Moments.about(mixture.means, mixture.covariance)
    pack = packed(mixture, mixture.means.shape[1], settings.double)
    rows = 0
    with threads_without_blas(threads) as pool:
        for block in blocks:
            rows += len(block)
            pieces = [block[start : start + BLOCK_ROWS] for start in range(0, len(block), BLOCK_ROWS)]
            for part in pool.map(lambda piece: _moments_of(mixture, pack, piece), pieces):
                moments.add(part)
    moments.log_likelihood /= rows
    return moments


def _moments_of(mixture: Mixture, pack: Packed, piece: Float[np.ndarray, "n d"]) -> Moments:
    density, shares = np.empty(len(piece)), np.empty((len(mixture.weights), len(piece)), pack.dtype)
    evaluate(pack, piece, density, shares)
    moments = Moments.about(mixture.means, mixture.covariance)
    moments.log_likelihood = float(density.sum())
    return weighted_moments(moments, piece, shares)


def weighted_moments(moments: Moments, piece: Float[np.ndarray, "n d"], shares: Float[np.ndarray, "k n"]) -> Moments:
    """The moments with these slices taken in, each by its share; computed in the precision of the shares."""
    x = piece.astype(shares.dtype, copy=False)
    if moments.second.ndim == 2:
        most = max(256, _CACHED_NUMBERS // x.shape[1])
        for start in range(0, len(x), most):
            rows = slice(start, start + most)
            _add_diagonal(moments, x[rows], shares[:, rows])
        return moments
    centres = moments.centres.astype(shares.dtype)
    for k, share in enumerate(shares):
        mine = np.flatnonzero(share > _NEGLIGIBLE)
        if len(mine):
            weights = share[mine]
            centred = x[mine]
            centred -= centres[k]
            moments.counts[k] += weights.sum()
            moments.first[k] += weights @ centred
            moments.second[k] += (centred * weights[:, None]).T @ centred
    return moments


def _add_diagonal(moments: Moments, x: Float[np.ndarray, "n d"], shares: Float[np.ndarray, "k n"]) -> None:
    # Two products about the origin serve all components. The shift to each centre is done in float64, and the shares
    # are float64 themselves where components lie so far from the origin that float32 would cancel.
    counts = shares.sum(axis=1, dtype=np.float64)[:, None]
    first, second = (shares @ x).astype(np.float64), (shares @ (x * x)).astype(np.float64)
    moments.counts += counts[:, 0]
    moments.first += first - counts * moments.centres
    moments.second += second - 2 * moments.centres * first + counts * moments.centres**2


def _maximisation(mixture: Mixture, moments: Moments, settings: MixtureSettings) -> Mixture:
    """The mixture that those moments ask for; components without slices are left out."""
    own = moments.about_its_own_means()
    lost = len(moments.counts) - len(own.counts)
    if lost:
        log.warning("mixture: %d components owned no slices and were dropped", lost)
    shape = (-1, 1, 1) if own.second.ndim == 3 else (-1, 1)
    covariances = own.second / own.counts.reshape(shape)
    return Mixture(own.counts / own.counts.sum(), own.centres, _factors(covariances, settings.variance_floor))


def _factors(covariances: Float64[np.ndarray, "k ..."], floor: float) -> Float64[np.ndarray, "k ..."]:
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
    shares = (np.arange(components)[:, None] == owner).astype(np.float64)
    moments = weighted_moments(Moments.about(means, settings.covariance), sample, shares)
    return _maximisation(Mixture(np.full(components, 1 / components), means, np.ones_like(means)), moments, settings)


@dataclass(frozen=True)
class Choice:
    """What each number of components reached on slices it was not fitted on; nats per slice."""

    components: int
    held_out: float
    fitted: float


def choose_components(
    folds: Sequence[tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]],
    settings: MixtureSettings,
    rng: np.random.Generator,
    candidates: Iterable[int] = CANDIDATES,
) -> list[Choice]:
    """Held-out log-likelihood for growing K, until it has fallen twice in a row.

    Args:
        folds: (fitted on, held out) pairs; hold out whole images, since slices of one image are alike.
    """
    # The last small gains do not change which K is best.
    coarse = dataclasses.replace(settings, tolerance=settings.tolerance * 10)
    tried: list[Choice] = []
    for components in candidates:
        large = [(train, held) for train, held in folds if len(train) >= components]
        fits = [(fit_mixture(train, components, coarse, rng), held) for train, held in large]
        if not fits:
            break
        held_out = float(np.mean([log_density(fit.mixture, held).mean() for fit, held in fits]))
        tried.append(Choice(components, held_out, float(np.mean([fit.log_likelihood for fit, _ in fits]))))
        if len(tried) >= 3 and tried[-1].held_out < tried[-2].held_out < tried[-3].held_out:
            break
    return tried
