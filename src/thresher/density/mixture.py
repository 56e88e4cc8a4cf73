"""Gaussian mixtures of slices, fitted by expectation-maximisation."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from safetensors.numpy import load_file, save

from thresher.errors import DataError, SettingsError
from thresher.tables import replacing

log = logging.getLogger(__name__)

Covariance = Literal["full", "diagonal"]
#: Rows worked on at a time: bounds memory whatever the number of slices.
BLOCK_ROWS = 8192
#: A component that owns less than this share of one slice has nothing left to estimate a covariance from.
_COLLAPSED_ROWS = 1e-3


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
    max_slices: int = 200_000
    """Fit on at most this many slices, drawn at random."""
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
class Mixture:
    """A fitted Gaussian mixture.

    `factors` hold what turns a centred slice into a standard normal one: full, the upper triangular P with
    Σ⁻¹ = P Pᵀ; diagonal, 1 / standard deviation.
    """

    weights: Float64[np.ndarray, " k"]
    means: Float64[np.ndarray, "k d"]
    factors: Float64[np.ndarray, "k d d"] | Float64[np.ndarray, "k d"]

    @property
    def covariance(self) -> Covariance:
        """Which shape of covariance the factors stand for."""
        return "full" if self.factors.ndim == 3 else "diagonal"

    @classmethod
    def standard(cls, d: int) -> Mixture:
        """One standard normal component in d dimensions."""
        return cls(np.ones(1), np.zeros((1, d)), np.ones((1, d)))


@dataclass(frozen=True)
class Fit:
    """A mixture and how its fit went; log-likelihoods are means per slice, in nats."""

    mixture: Mixture
    log_likelihood: float
    iterations: int
    converged: bool


def log_density(mixture: Mixture, slices: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, " n"]:
    """How likely each slice is under the mixture.

    log p(x) = logsumexp_k (log w_k + log N(x; m_k, S_k)).

    Returns:
        Log-density in nats; higher is nearer the target. Comparable within one mixture only.

    Raises:
        DataError: `slices` has another width than the mixture.

    Source: Bishop 2006, eq. 9.28; arXiv 1907.07023 §III.

    >>> log_density(Mixture.standard(d=2), np.zeros((1, 2))).round(3)
    array([-1.838])
    """
    if slices.shape[1] != mixture.means.shape[1]:
        raise DataError(f"mixture: slices have {slices.shape[1]} features; it was fitted on {mixture.means.shape[1]}.")
    density = np.empty(len(slices))
    for start in range(0, len(slices), BLOCK_ROWS):
        joint = _log_joint(mixture, slices[start : start + BLOCK_ROWS].astype(np.float64))
        density[start : start + BLOCK_ROWS] = _log_sum_exp(joint)
    return density


def responsibilities(mixture: Mixture, slices: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n k"]:
    """The share of each slice that each component accounts for; rows sum to 1. Source: Bishop 2006, eq. 9.23."""
    joint = _log_joint(mixture, slices.astype(np.float64))
    shares: Float64[np.ndarray, "n k"] = np.exp(joint - _log_sum_exp(joint)[:, None])
    return shares


def _log_joint(mixture: Mixture, block: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n k"]:
    """log w_k + log N(x; m_k, S_k) for each slice and component."""
    d = block.shape[1]
    joint = np.empty((len(block), len(mixture.weights)))
    for k, (mean, factor) in enumerate(zip(mixture.means, mixture.factors, strict=True)):
        white = (block - mean) @ factor if factor.ndim == 2 else (block - mean) * factor
        joint[:, k] = -0.5 * np.einsum("nd,nd->n", white, white)
    diagonals = np.diagonal(mixture.factors, axis1=1, axis2=2) if mixture.factors.ndim == 3 else mixture.factors
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights)
    joint += log_weights + np.log(diagonals).sum(axis=1) - 0.5 * d * np.log(2 * np.pi)
    return joint


def _log_sum_exp(joint: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, " n"]:
    peak = joint.max(axis=1)
    total: Float64[np.ndarray, " n"] = peak + np.log(np.exp(joint - peak[:, None]).sum(axis=1))
    return total


def fit_mixture(
    slices: Float[np.ndarray, "n d"], components: int, settings: MixtureSettings, rng: np.random.Generator
) -> Fit:
    """The mixture that EM finds from a k-means++ start.

    Components that lose all their slices are dropped, with a word in the log.

    Raises:
        DataError: fewer slices than components, or values that are not finite.

    Source: Bishop 2006 §9.2.2; start: Arthur & Vassilvitskii 2007.
    """
    data = _usable(slices, components)
    mixture = _start(data, components, settings, rng)
    previous, gain = -np.inf, np.inf
    for iteration in range(1, settings.max_iterations + 1):  # noqa: B007
        moments = _expectation(mixture, data)
        mixture = _maximisation(mixture, moments, settings)
        gain, previous = moments.log_likelihood - previous, moments.log_likelihood
        if gain < settings.tolerance:
            break
    final = float(log_density(mixture, data).mean())
    return Fit(mixture, final, iteration, bool(gain < settings.tolerance))


def _usable(slices: Float[np.ndarray, "n d"], components: int) -> Float64[np.ndarray, "n d"]:
    data = np.asarray(slices, np.float64)
    if len(data) < components:
        raise DataError(f"mixture: {len(data)} slices cannot hold {components} components. Use fewer components.")
    if not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).any(axis=1).sum())
        raise DataError(f"mixture: {bad} of {len(data)} slices are not finite. Embed those images again.")
    return data


def _start(
    data: Float64[np.ndarray, "n d"], components: int, settings: MixtureSettings, rng: np.random.Generator
) -> Mixture:
    """Means spread by k-means++; every component starts with the spread of its nearest slices."""
    means = _kmeans_plus_plus(data, components, rng)
    owner = np.argmin(_squared_distances(data, means), axis=1)
    moments = _Moments.about(means, settings.covariance)
    for start in range(0, len(data), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        moments.add(data[rows], (owner[rows, None] == np.arange(components)).astype(np.float64))
    return _maximisation(Mixture(np.full(components, 1 / components), means, np.ones_like(means)), moments, settings)


def _kmeans_plus_plus(
    data: Float64[np.ndarray, "n d"], components: int, rng: np.random.Generator
) -> Float64[np.ndarray, "k d"]:
    chosen = [int(rng.integers(len(data)))]
    nearest = _squared_distances(data, data[chosen]).ravel()
    while len(chosen) < components:
        total = nearest.sum()
        weights = nearest / total if total > 0 else None
        chosen.append(int(rng.choice(len(data), p=weights)))
        nearest = np.minimum(nearest, _squared_distances(data, data[chosen[-1:]]).ravel())
    return data[chosen]


def _squared_distances(a: Float64[np.ndarray, "n d"], b: Float64[np.ndarray, "k d"]) -> Float64[np.ndarray, "n k"]:
    squared = (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    return np.asarray(np.maximum(squared, 0))


@dataclass
class _Moments:
    """Sums over slices, weighted by responsibility. Slices are centred on the means of the last iteration.

    Second moments about zero would cancel: two large numbers whose small difference is the covariance.
    """

    centres: Float64[np.ndarray, "k d"]
    counts: Float64[np.ndarray, " k"]
    first: Float64[np.ndarray, "k d"]
    second: Float64[np.ndarray, "k ..."]
    log_likelihood: float = 0.0

    @classmethod
    def about(cls, centres: Float64[np.ndarray, "k d"], covariance: Covariance) -> _Moments:
        k, d = centres.shape
        return cls(centres, np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d) if covariance == "full" else (k, d)))

    def add(self, block: Float64[np.ndarray, "n d"], shares: Float64[np.ndarray, "n k"]) -> None:
        self.counts += shares.sum(axis=0)
        for k, centre in enumerate(self.centres):
            centred = block - centre
            weighted = centred * shares[:, k, None]
            self.first[k] += weighted.sum(axis=0)
            self.second[k] += weighted.T @ centred if self.second.ndim == 3 else (weighted * centred).sum(axis=0)


def _expectation(mixture: Mixture, data: Float64[np.ndarray, "n d"]) -> _Moments:
    """The moments of each component's share of the slices, and the mean log-likelihood under the old mixture."""
    moments = _Moments.about(mixture.means, mixture.covariance)
    total = 0.0
    for start in range(0, len(data), BLOCK_ROWS):
        block = data[start : start + BLOCK_ROWS]
        joint = _log_joint(mixture, block)
        density = _log_sum_exp(joint)
        moments.add(block, np.exp(joint - density[:, None]))
        total += float(density.sum())
    moments.log_likelihood = total / len(data)
    return moments


def _maximisation(mixture: Mixture, moments: _Moments, settings: MixtureSettings) -> Mixture:
    """The mixture that those moments ask for; components without slices are left out."""
    alive = moments.counts > _COLLAPSED_ROWS
    if not alive.all():
        log.warning("mixture: %d components owned no slices and were dropped", int((~alive).sum()))
    counts = moments.counts[alive]
    shift = moments.first[alive] / counts[:, None]
    second = moments.second[alive]
    full = second.ndim == 3
    moved = shift[:, :, None] * shift[:, None, :] if full else shift * shift
    covariances = second / counts.reshape((-1, 1, 1) if full else (-1, 1)) - moved
    means = mixture.means[alive] + shift
    return Mixture(counts / counts.sum(), means, _factors(covariances, settings.variance_floor))


def _factors(covariances: Float64[np.ndarray, "k ..."], floor: float) -> Float64[np.ndarray, "k ..."]:
    if covariances.ndim == 2:
        # The diagonal's subtraction may end a hair below zero.
        diagonal: Float64[np.ndarray, "k ..."] = 1 / np.sqrt(np.maximum(covariances, 0) + floor)
        return diagonal
    d = covariances.shape[1]
    lower = np.linalg.cholesky(covariances + floor * np.eye(d))
    return np.ascontiguousarray(np.linalg.inv(lower).transpose(0, 2, 1))


@dataclass(frozen=True)
class Choice:
    """What each number of components reached on slices it was not fitted on; nats per slice."""

    components: int
    held_out: float
    fitted: float


def choose_components(
    folds: list[tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]],
    settings: MixtureSettings,
    rng: np.random.Generator,
    candidates: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64),
) -> list[Choice]:
    """Held-out log-likelihood for growing K, until it has fallen twice in a row.

    Args:
        folds: (fitted on, held out) pairs; hold out whole images, since slices of one image are alike.
    """
    # The last small gains do not change which K is best.
    coarse = dataclasses.replace(settings, tolerance=settings.tolerance * 10)
    tried: list[Choice] = []
    for components in candidates:
        fits = [
            (fit_mixture(train, components, coarse, rng), held) for train, held in folds if len(train) >= components
        ]
        if not fits:
            break
        held_out = float(np.mean([log_density(fit.mixture, held).mean() for fit, held in fits]))
        tried.append(Choice(components, held_out, float(np.mean([fit.log_likelihood for fit, _ in fits]))))
        if len(tried) >= 3 and tried[-1].held_out < tried[-2].held_out < tried[-3].held_out:
            break
    return tried


def save_mixture(fit: Fit, choices: list[Choice], path: Path) -> None:
    """Write the arrays as `path` (safetensors), and how they came about beside them as JSON."""
    arrays = {name: np.ascontiguousarray(value) for name, value in vars(fit.mixture).items()}
    with replacing(path) as file:
        file.write(save(arrays))
    told = {
        "components": len(fit.mixture.weights),
        "covariance": fit.mixture.covariance,
        "log_likelihood_nats": fit.log_likelihood,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "tried": [asdict(choice) for choice in choices],
    }
    with replacing(path.with_suffix(".json")) as file:
        file.write((json.dumps(told, indent=1) + "\n").encode())


def load_mixture(path: Path) -> Mixture:
    """The mixture written by `save_mixture`.

    Raises:
        DataError: there is none.
    """
    if not path.is_file():
        raise DataError(f"{path}: no mixture here. Run fit first.")
    arrays = load_file(path)
    return Mixture(arrays["weights"], arrays["means"], arrays["factors"])
