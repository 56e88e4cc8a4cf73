"""The sums of EM over slices: count, mean and covariance of each component."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from thresher.density.kernels import add_column_sums, add_products, add_weighted
from thresher.density.mixture import (
    Covariance,
    Mixture,
    Packed,
    evaluator,
    mapped_without_blas,
    packed,
    rows_at_once,
    thread_blocks,
)

#: A component that owns less than this share of one slice has nothing left to estimate a covariance from.
_COLLAPSED_ROWS = 1e-3
#: Where fewer of the shares than this are left, adding one slice at a time beats a matrix product.
_SPARSE = 1 / 12


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
        """Add the sums of other slices about the same centres."""
        self.counts += other.counts
        self.first += other.first
        self.second += other.second
        self.log_likelihood += other.log_likelihood

    def normalised(self) -> Moments:
        """The same per slice: counts sum to 1."""
        n = self.counts.sum()
        return Moments(self.centres, self.counts / n, self.first / n, self.second / n, self.log_likelihood)

    def blended(self, fresh: Moments, step: float) -> Moments:
        """(1 − step) × these moments + step × fresh ones about the same centres."""
        parts = ((getattr(self, name), getattr(fresh, name)) for name in ("counts", "first", "second"))
        return Moments(self.centres, *((1 - step) * old + step * new for old, new in parts))

    def seen_from(self, centres: Float64[np.ndarray, "k d"]) -> Moments:
        """The same slices relative to other centres."""
        shift = centres - self.centres
        counts = self.counts[:, None]
        if self.second.ndim == 2:
            second = self.second - 2 * shift * self.first + counts * shift * shift
        else:
            crossed = shift[:, :, None] * (self.first - counts * shift / 2)[:, None, :]
            second = self.second - crossed - crossed.transpose(0, 2, 1)
        return Moments(centres, self.counts, self.first - counts * shift, second, self.log_likelihood)

    def about_its_own_means(self) -> Moments:
        """The same slices seen from their components' means; components without slices are left out."""
        alive = self.counts > _COLLAPSED_ROWS * self.counts.mean()
        centres, counts, first, second = (each[alive] for each in (self.centres, self.counts, self.first, self.second))
        return Moments(centres, counts, first, second).seen_from(centres + first / counts[:, None])


def expected_moments(
    mixture: Mixture, blocks: Iterable[Float[np.ndarray, "n d"]], double: bool = False, threads: int | None = None
) -> Moments:
    """The E-step: moments of each component's share of the slices, about its mean; log-likelihood as a mean, in nats.

    Source: Bishop 2006, eq. 9.23 and the sums of 9.24–9.27.
    """
    pack = packed(mixture, mixture.means.shape[1], double)
    moments = Moments.about(_centres(mixture), mixture.covariance)
    rows = 0
    with mapped_without_blas(threads) as mapped:
        for block in blocks:
            rows += len(block)
            pieces = [block[piece] for piece in thread_blocks(block)]
            for part in mapped(lambda piece: _moments_of(mixture, pack, piece), pieces):
                moments.add(part)
    moments.log_likelihood /= rows
    return moments.seen_from(mixture.means)


def _centres(mixture: Mixture) -> Float64[np.ndarray, "k d"]:
    # Diagonal moments are taken about the origin, where two products serve all components, and in float64 wherever
    # float32 would cancel (`packed` sees to it).
    return mixture.means if mixture.covariance == "full" else np.zeros_like(mixture.means)


def _moments_of(mixture: Mixture, pack: Packed, piece: Float[np.ndarray, "n d"]) -> Moments:
    moments = Moments.about(_centres(mixture), mixture.covariance)
    rows = min(len(piece), rows_at_once(pack))
    evaluate_piece, density = evaluator(pack, rows), np.empty(len(piece))
    shares = np.empty((len(piece) if pack.full else rows, len(mixture.weights)), pack.dtype)
    squares = np.empty((rows, piece.shape[1]), pack.dtype)
    for start in range(0, len(piece), rows):
        x = piece[start : start + rows].astype(pack.dtype, copy=False)
        mine = shares[start : start + rows] if pack.full else shares[: len(x)]
        evaluate_piece(x, density[start : start + rows], mine)
        if not pack.full:
            _add_diagonal(moments, x, mine, squares[: len(x)])
    if pack.full:
        _add_full(moments, piece.astype(pack.dtype, copy=False), shares)
    moments.log_likelihood = float(density.sum())
    return moments


def _negligible(shares: Float[np.ndarray, "n k"]) -> Any:
    # Responsibilities below the precision change no sum; most are, so most of the M-step can be skipped.
    return np.finfo(shares.dtype).eps


def _add_full(moments: Moments, x: Float[np.ndarray, "n d"], shares: Float[np.ndarray, "n k"]) -> None:
    centres = moments.centres.astype(shares.dtype)
    for k, share in enumerate(np.ascontiguousarray(shares.T)):
        mine = np.flatnonzero(share > _negligible(shares))
        if len(mine):
            weights = share[mine]
            centred = x[mine]
            centred -= centres[k]
            moments.counts[k] += weights.sum()
            moments.first[k] += weights @ centred
            moments.second[k] += (centred * weights[:, None]).T @ centred


def _add_diagonal(
    moments: Moments,
    x: Float[np.ndarray, "n d"],
    shares: Float[np.ndarray, "n k"],
    squares: Float[np.ndarray, "n d"],
) -> None:
    negligible = _negligible(shares)
    if add_column_sums(shares, negligible, moments.counts) < _SPARSE * shares.size:
        first, second = np.zeros((2, *moments.first.shape), shares.dtype)
        add_weighted(x, shares, negligible, first, second)
        moments.first += first
        moments.second += second
    else:
        add_products(shares, x, squares, moments.first, moments.second)


def moments_of_owners(
    slices: Float64[np.ndarray, "n d"],
    owner: Int64[np.ndarray, " n"],
    means: Float64[np.ndarray, "k d"],
    covariance: Covariance,
) -> Moments:
    """Moments with each slice assigned to one component: the start of EM."""
    shares = (owner[:, None] == np.arange(len(means))).astype(np.float64)
    moments = Moments.about(means if covariance == "full" else np.zeros_like(means), covariance)
    if covariance == "full":
        _add_full(moments, slices, shares)
    else:
        _add_diagonal(moments, slices, shares, np.empty_like(slices))
    return moments
