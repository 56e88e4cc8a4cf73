"""Gaussian mixtures, and how likely slices are under them: the inner loop of fitting and scoring.

All components' factors are stacked into a few matrices, so that one matrix product serves them all, and the product's
squares are summed while they are still in cache. A full covariance's factor is triangular: it is cut into groups of
columns, and each group meets only the features above its diagonal, which spares most of the zeros.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from safetensors.numpy import load_file, save
from threadpoolctl import ThreadpoolController

from thresher.errors import DataError
from thresher.tables import replacing

Covariance = Literal["full", "diagonal"]
#: Rows handed to a thread at a time: bounds memory whatever the number of slices.
BLOCK_ROWS = 8192
#: A matrix product of about this many numbers stays in a core's cache; fewer rows than these make it a slow one.
_CACHED_NUMBERS, _FEWEST_ROWS = 131_072, 256
#: Columns of a triangular factor that are multiplied together.
_GROUP_COLUMNS = 16, 40
#: exp(−60) is nothing beside 1, and keeps what follows out of the denormal numbers, which are many times slower.
_NOTHING = -60.0
#: Standard deviations between a component's mean and the centre of all beyond which float32 would cancel, so that
#: float64 takes over. A diagonal is evaluated as x²τ − 2xτm + m²τ, whose terms grow with the square of that distance.
_FAR = {"full": 1e3, "diagonal": 40.0}


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture.

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


def log_density(
    mixture: Mixture, slices: Float[np.ndarray, "n d"], threads: int | None = None, double: bool = False
) -> Float64[np.ndarray, " n"]:
    """How likely each slice is under the mixture.

    log p(x) = logsumexp_k (log w_k + log N(x; m_k, S_k)). Computed in float32 where that is accurate (an error of about
    1e-5 nats per nat), in float64 otherwise.

    Args:
        threads: Blocks of slices worked on at once; all processors by default. Does not change the result.
        double: Compute in float64 in any case.

    Returns:
        Log-density in nats; higher is nearer the target. Comparable within one mixture only.

    Raises:
        DataError: `slices` has another width than the mixture.

    Source: Bishop 2006, eq. 9.28; arXiv 1907.07023 §III.

    >>> log_density(Mixture.standard(d=2), np.zeros((1, 2))).round(3)
    array([-1.838])
    """
    pack = packed(mixture, slices.shape[1], double)
    density = np.empty(len(slices))

    def one(start: int) -> None:
        rows = slice(start, start + BLOCK_ROWS)
        evaluate(pack, slices[rows], density[rows])

    with threads_without_blas(threads) as pool:
        list(pool.map(one, range(0, len(slices), BLOCK_ROWS)))
    return density


def responsibilities(
    mixture: Mixture, slices: Float[np.ndarray, "n d"], double: bool = False
) -> Float[np.ndarray, "n k"]:
    """The share of each slice that each component accounts for; rows sum to 1. Source: Bishop 2006, eq. 9.23."""
    pack = packed(mixture, slices.shape[1], double)
    shares = np.empty((len(mixture.weights), len(slices)), pack.dtype)
    evaluate(pack, slices, np.empty(len(slices)), shares)
    return shares.T


@contextlib.contextmanager
def threads_without_blas(threads: int | None) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads in which each matrix product keeps to its own thread.

    Whole blocks in parallel scale better than threads inside each small product, and leave no serial part between.
    """
    workers = threads or len(os.sched_getaffinity(0))
    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield pool


@functools.cache
def _blas() -> ThreadpoolController:
    # Finding the loaded libraries takes milliseconds, as long as scoring thousands of slices.
    return ThreadpoolController()


@dataclass(frozen=True)
class Packed:
    """A mixture's numbers in the order in which they are multiplied."""

    full: bool
    constants: Float[np.ndarray, "k 1"]
    """What does not depend on the slice."""
    products: tuple[np.ndarray, ...]
    """Full: matrices (rows × features used + 1) whose products with a slice and the constant 1, squared and summed, are
    (x − m)ᵀ Σ⁻¹ (x − m). Diagonal: what x and x² are multiplied by, −½ included."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """What is computed in."""
        return self.constants.dtype


def packed(mixture: Mixture, width: int, double: bool = False) -> Packed:
    """The mixture ready for `evaluate`, in float32 where that is accurate, else (or if asked for) in float64.

    Raises:
        DataError: slices of this width do not fit the mixture.
    """
    d = mixture.means.shape[1]
    if width != d:
        raise DataError(f"mixture: slices have {width} features; it was fitted on {d}.")
    full = mixture.covariance == "full"
    white = np.einsum("kd,kde->ke", mixture.means, mixture.factors) if full else mixture.means * mixture.factors
    far = float(np.sqrt((white * white).sum(axis=1)).max()) > _FAR[mixture.covariance]
    dtype = np.float64 if double or far else np.float32
    diagonals = np.diagonal(mixture.factors, axis1=1, axis2=2) if full else mixture.factors
    with np.errstate(divide="ignore"):
        constants = np.log(mixture.weights) + np.log(diagonals).sum(axis=1) - 0.5 * d * np.log(2 * np.pi)
    if full:
        return Packed(True, constants[:, None].astype(dtype), tuple(_column_groups(mixture.factors, white, dtype)))
    constants -= 0.5 * (white * white).sum(axis=1)
    products = (white * mixture.factors, -0.5 * mixture.factors**2)
    return Packed(False, constants[:, None].astype(dtype), tuple(each.astype(dtype) for each in products))


def _column_groups(
    factors: Float64[np.ndarray, "k d d"], white: Float64[np.ndarray, "k d"], dtype: type
) -> Iterator[np.ndarray]:
    k, d, _ = factors.shape
    narrow, wide = _GROUP_COLUMNS
    for columns in np.array_split(np.arange(d), max(1, d // (narrow if d <= 128 else wide))):
        used = int(columns[-1]) + 1
        matrix: np.ndarray = np.empty((k, len(columns), used + 1), dtype)
        matrix[:, :, :used] = factors[:, :used, columns].transpose(0, 2, 1)
        matrix[:, :, used] = -white[:, columns]
        yield matrix.reshape(k * len(columns), used + 1)


def evaluate(
    pack: Packed,
    block: Float[np.ndarray, "n d"],
    density: Float64[np.ndarray, " n"],
    shares: Float[np.ndarray, "k n"] | None = None,
) -> None:
    """Write log p(x) of each slice into `density`, and each component's share of it into `shares`.

    Source: Bishop 2006, eq. 2.43, 9.23, 9.28.
    """
    largest = max(len(matrix) for matrix in pack.products)
    widest = max(largest, block.shape[1])
    rows = max(_FEWEST_ROWS, min(1024, _CACHED_NUMBERS // widest // 16 * 16))
    scratch: np.ndarray = np.empty(largest * rows, pack.dtype)
    for start in range(0, len(block), rows):
        piece = slice(start, start + rows)
        x = block[piece].astype(pack.dtype, copy=False)
        joint = _full_joint(pack, x, scratch) if pack.full else _diagonal_joint(pack, x)
        peak = joint.max(axis=0)
        joint -= peak
        np.maximum(joint, _NOTHING, out=joint)
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        density[piece] = peak + np.log(total)
        if shares is not None:
            np.multiply(joint, 1 / total, out=shares[:, piece])


def _diagonal_joint(pack: Packed, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k n"]:
    linear, quadratic = pack.products
    joint: Float[np.ndarray, "k n"] = np.dot(linear, x.T)
    joint += np.dot(quadratic, (x * x).T)
    joint += pack.constants
    return joint


def _full_joint(
    pack: Packed, x: Float[np.ndarray, "n d"], scratch: Float[np.ndarray, " numbers"]
) -> Float[np.ndarray, "k n"]:
    k, n, d = len(pack.constants), *x.shape
    features: np.ndarray = np.empty((d + 1, n), pack.dtype)
    joint: Float[np.ndarray, "k n"] = np.zeros((k, n), pack.dtype)
    features[:-1] = x.T
    # The constant 1 follows the last feature that a group uses: from the last group down it overwrites what is done.
    for matrix in reversed(pack.products):
        used = matrix.shape[1]
        features[used - 1] = 1
        cells = scratch[: len(matrix) * n].reshape(len(matrix), n)
        np.dot(matrix, features[:used], out=cells)
        each = cells.reshape(k, -1, n)
        joint += np.einsum("kwn,kwn->kn", each, each)
    joint *= -0.5
    joint += pack.constants
    return joint


def save_mixture(mixture: Mixture, path: Path) -> None:
    """Write it as safetensors."""
    with replacing(path) as file:
        file.write(save({name: np.ascontiguousarray(value) for name, value in vars(mixture).items()}))


def load_mixture(path: Path) -> Mixture:
    """The mixture written by `save_mixture`.

    Raises:
        DataError: there is none.
    """
    if not path.is_file():
        raise DataError(f"{path}: no mixture here. Run fit first.")
    arrays = load_file(path)
    return Mixture(arrays["weights"], arrays["means"], arrays["factors"])
