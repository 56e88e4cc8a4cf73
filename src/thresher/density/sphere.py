"""Mixtures of directions: von Mises–Fisher components on the unit sphere, fitted by expectation-maximisation."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64

from thresher.errors import DataError
from thresher.vectors import unit_length

log = logging.getLogger(__name__)

#: Rows worked on at a time: bounds memory whatever the number of rows.
BLOCK_ROWS = 8192
#: A component that owns less than this share of one row is dropped: it has no direction left.
_COLLAPSED_ROWS = 1e-3
#: Beyond this the rows of a component are one point; below it, they have no preferred direction.
_CONCENTRATIONS = (1e-6, 1e5)
#: From this order on three terms of the expansion leave a relative error below 1e-8.
_LARGE_ORDER = 20.0


@dataclass(frozen=True)
class Sphere:
    """A fitted mixture on the unit sphere: how common each direction is, where it points, how tightly rows keep to it.

    With one component it orders rows as the cosine to its direction does.
    """

    weights: Float64[np.ndarray, " k"]
    directions: Float64[np.ndarray, "k d"]
    concentrations: Float64[np.ndarray, " k"]


@dataclass(frozen=True)
class SphereFit:
    """A mixture and how its fit went; the log-likelihood is a mean per row, in nats."""

    sphere: Sphere
    log_likelihood: float
    iterations: int
    converged: bool


def log_density(sphere: Sphere, rows: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, " n"]:
    """How likely each row's direction is under the mixture; lengths do not count.

    log p(x) = logsumexp_k (log w_k + log C_d(κ_k) + κ_k m_k·x).

    Returns:
        Nats with respect to the sphere's surface; higher is nearer. Comparable within one mixture only.

    Raises:
        DataError: `rows` has another width than the mixture.

    Source: Banerjee et al. 2005, JMLR 6, eq. 2.2 and 3.1.

    >>> even = Sphere(np.ones(1), np.eye(3)[:1], np.array([1e-6]))
    >>> log_density(even, np.eye(3)).round(3)  # −log 4π: any direction is as good as another
    array([-2.531, -2.531, -2.531])
    """
    if rows.shape[1] != sphere.directions.shape[1]:
        raise DataError(f"sphere: rows have {rows.shape[1]} features; it was fitted on {sphere.directions.shape[1]}.")
    density = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK_ROWS):
        block = unit_length(rows[start : start + BLOCK_ROWS])
        # Row by row: one product for all of them rounds each in ways that depend on the others.
        cosines = np.matmul(block[:, None], sphere.directions.astype(np.float32).T)[:, 0]
        density[start : start + BLOCK_ROWS] = _unscaled_shares(sphere, cosines, block.shape[1])[2]
    return density


def _shares(
    sphere: Sphere, block: Float32[np.ndarray, "n d"]
) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, " n"]]:
    """Responsibilities of the components for unit rows, and the rows' log-density."""
    cosines = block @ sphere.directions.astype(np.float32).T
    shares, total, density = _unscaled_shares(sphere, cosines, block.shape[1])
    return shares / total, density


def _unscaled_shares(
    sphere: Sphere, cosines: Float32[np.ndarray, "n k"], width: int
) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, "n 1"], Float64[np.ndarray, " n"]]:
    """Responsibilities before they are divided by their sums, the sums, and the rows' log-density."""
    joint = cosines.astype(np.float64)
    joint *= sphere.concentrations
    joint += np.log(sphere.weights) + log_normaliser(sphere.concentrations, width)
    peak = joint.max(axis=1, keepdims=True)
    joint -= peak
    shares = np.exp(joint, out=joint)
    total = shares.sum(axis=1, keepdims=True)
    return shares, total, (peak + np.log(total)).ravel()


def fit_sphere(
    rows: Float[np.ndarray, "n d"],
    components: int,
    rng: np.random.Generator,
    *,
    tolerance: float = 1e-3,
    max_iterations: int = 50,
) -> SphereFit:
    """The mixture on the sphere that EM finds from a k-means++ start.

    Components that lose all their rows are dropped, with a word in the log.

    Args:
        tolerance: Stop when an iteration gains less than this many nats per row.

    Raises:
        DataError: fewer rows than components, or rows that are not finite or have no direction.

    Source: Banerjee et al. 2005, JMLR 6, §3.2 (soft-movMF); start: Arthur & Vassilvitskii 2007, on 1 − cosine.
    """
    unit = _usable(rows, components)
    sphere = _start(unit, components, rng)
    previous, gain = -np.inf, np.inf
    for iteration in range(1, max_iterations + 1):  # noqa: B007
        sphere, likelihood = _step(sphere, unit)
        gain, previous = likelihood - previous, likelihood
        if gain < tolerance:
            break
    final = float(log_density(sphere, unit).mean())
    return SphereFit(sphere, final, iteration, bool(gain < tolerance))


def _usable(rows: Float[np.ndarray, "n d"], components: int) -> Float32[np.ndarray, "n d"]:
    if components < 1 or len(rows) < components:
        raise DataError(f"sphere: {len(rows)} rows cannot hold {components} components. Use 1 to {len(rows)}.")
    unit = unit_length(rows)
    bad = int((~(np.einsum("nd,nd->n", unit, unit) > 0.5)).sum())
    if bad:
        raise DataError(
            f"sphere: {bad} of {len(rows)} rows are zero or not finite, so have no direction. Embed them again."
        )
    return unit


def _start(unit: Float32[np.ndarray, "n d"], components: int, rng: np.random.Generator) -> Sphere:
    """Directions spread by k-means++, all as tight as the rows are about their nearest one."""
    chosen = [int(rng.integers(len(unit)))]
    distance = np.maximum(1 - unit @ unit[chosen[0]], 0).astype(np.float64)
    while len(chosen) < components:
        total = distance.sum()
        chosen.append(int(rng.choice(len(unit), p=distance / total if total > 0 else None)))
        distance = np.minimum(distance, np.maximum(1 - unit @ unit[chosen[-1]], 0))
    # Two rows drawn about one direction are 1 − r² apart in the mean: the start must not be tighter than that.
    resultant = np.sqrt(np.clip(1 - distance.mean(), 0, 1))
    tightness = concentration(np.full(components, resultant), unit.shape[1])
    return Sphere(np.full(components, 1 / components), unit[chosen].astype(np.float64), tightness)


def _step(sphere: Sphere, unit: Float32[np.ndarray, "n d"]) -> tuple[Sphere, float]:
    """One round of EM, and the mean log-likelihood under the mixture that it started from."""
    counts, sums, total = np.zeros(len(sphere.weights)), np.zeros(sphere.directions.shape), 0.0
    for start in range(0, len(unit), BLOCK_ROWS):
        block = unit[start : start + BLOCK_ROWS]
        shares, density = _shares(sphere, block)
        counts += shares.sum(axis=0)
        sums += shares.T.astype(np.float32) @ block
        total += float(density.sum())
    alive = counts > _COLLAPSED_ROWS
    if not alive.all():
        log.warning("sphere: %d components owned no rows and were dropped", int((~alive).sum()))
    counts, sums = counts[alive], sums[alive]
    lengths = np.maximum(np.linalg.norm(sums, axis=1), np.finfo(np.float64).tiny)
    tightness = concentration(np.minimum(lengths / counts, 1.0), unit.shape[1])
    return Sphere(counts / counts.sum(), sums / lengths[:, None], tightness), total / len(unit)


def concentration(resultant: Float64[np.ndarray, " k"], d: int) -> Float64[np.ndarray, " k"]:
    """κ of rows whose mean has this length, 0 (anywhere) to 1 (one point): κ ≈ r (d − r²) / (1 − r²).

    Source: Banerjee et al. 2005, eq. 4.4; kept within 1e-6 .. 1e5 (ours), so that no component becomes a point.
    """
    squared = resultant * resultant
    kappa = resultant * (d - squared) / np.maximum(1 - squared, 1e-12)
    kept: Float64[np.ndarray, " k"] = np.clip(kappa, *_CONCENTRATIONS)
    return kept


def log_normaliser(concentrations: Float64[np.ndarray, " k"], d: int) -> Float64[np.ndarray, " k"]:
    """log C_d(κ), nats: what makes C_d(κ) exp(κ m·x) integrate to 1 over the unit sphere in d ≥ 2 dimensions.

    log C_d(κ) = ν log κ − (ν + 1) log 2π − log I_ν(κ), ν = d/2 − 1.

    Source: Banerjee et al. 2005, eq. 2.3.
    """
    order = d / 2 - 1
    constant: Float64[np.ndarray, " k"] = order * np.log(concentrations) - (order + 1) * np.log(2 * np.pi)
    constant -= log_bessel(order, concentrations)
    return constant


def log_bessel(order: float, x: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """log I_ν(x), the modified Bessel function of the first kind, for ν ≥ 0 and x > 0.

    The function itself passes out of float64's range for d = 320; its logarithm does not.

    Source: DLMF 10.41.3 with three terms, for large orders. Smaller orders come down from there by the recurrence
    10.29.1, I_ν = I_{ν+2} + 2 (ν + 1) / x · I_{ν+1}, which is stable in this direction.
    """
    steps = max(0, int(np.ceil(_LARGE_ORDER - order)))
    top = order + steps
    value, above = _log_bessel_large(top, x), _log_bessel_large(top + 1, x)
    ratio = np.exp(above - value)
    for current in (order + step for step in reversed(range(steps))):
        ratio = 1 / (ratio + 2 * (current + 1) / x)
        value = value - np.log(ratio)
    return value


def _log_bessel_large(order: float, x: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    z = x / order
    root = np.sqrt(1 + z * z)
    eta = root + np.log(z / (1 + root))
    p = 1 / root
    u1 = (3 * p - 5 * p**3) / 24
    u2 = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    u3 = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    series = np.log1p(u1 / order + u2 / order**2 + u3 / order**3)
    value: Float64[np.ndarray, " k"] = order * eta - 0.5 * np.log(2 * np.pi * order * root) + series
    return value
