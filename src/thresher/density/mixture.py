"""Gaussian mixtures, and how likely slices are under them: the inner loop of fitting and scoring.

All components' factors are stacked into a few matrices, so that one matrix product serves them all, and the product's
squares are summed while they are still in cache. A full covariance's factor is triangular: it is cut into groups of
columns, and each group meets only the features above its diagonal, which spares most of the zeros.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64, Int64
from safetensors.numpy import save
from threadpoolctl import ThreadpoolController

from thresher.density.kernels import (
    diagonal_exponent,
    loops,
    row_sums,
    scaled_rows,
    shift_below_peak,
    subtract_squares,
)
from thresher.errors import DataError
from thresher.files import replacing
from thresher.run_files import read_arrays

Covariance = Literal["full", "diagonal"]
#: Numbers handed to a thread at a time: bounds memory whatever the number of slices.
_BLOCK_NUMBERS, _FEWEST_BLOCK_ROWS = 524_288, 1024
#: Images handed to a thread at a time, where each is worked on by itself.
_GROUP_IMAGES = 64
_FULL_ROWS, _DIAGONAL_ROWS = (256, 384), (192, 960)
#: Up to a million multiplications OpenBLAS does not copy its operands, which is a fifth faster for products this
#: narrow. Source: OpenBLAS, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c.
_UNPACKED_PRODUCTS = 1_000_000
#: Slices, their log-density and their components' shares, the last two to be written.
Evaluator = Callable[[Float[np.ndarray, "n d"], Float64[np.ndarray, " n"], Float[np.ndarray, "n k"] | None], None]
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
    mixture: Mixture,
    slices: Float[np.ndarray, "n d"],
    threads: int | None = None,
    double: bool = False,
    starts: Int64[np.ndarray, " images_plus_1"] | None = None,
) -> Float64[np.ndarray, " n"]:
    """How likely each slice is under the mixture.

    log p(x) = logsumexp_k (log w_k + log N(x; m_k, S_k)). Computed in float32 where that is accurate (an error of about
    1e-5 nats per nat), in float64 otherwise.

    Args:
        threads: Blocks of slices worked on at once; all processors by default. Does not change the result.
        double: Compute in float64 in any case.
        starts: Work on each image by itself: image i owns rows `starts[i]` to `starts[i + 1]`. Its slices then get
            the same bits whatever others are worked on with them; takes up to twice as long.

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
    with mapped_without_blas(threads) as mapped:
        if starts is None:
            list(mapped(lambda rows: evaluate(pack, slices[rows], density[rows]), thread_blocks(slices)))
        else:
            groups = [starts[first : first + _GROUP_IMAGES + 1] for first in range(0, len(starts) - 1, _GROUP_IMAGES)]
            list(mapped(lambda group: _evaluate_each(pack, slices, density, group), groups))
    return density


def _evaluate_each(
    pack: Packed,
    slices: Float[np.ndarray, "n d"],
    density: Float64[np.ndarray, " n"],
    starts: Int64[np.ndarray, " images_plus_1"],
) -> None:
    """`evaluate` for some images, one after the other."""
    most = rows_at_once(pack)
    evaluate_piece = evaluator(pack, min(most, int(np.diff(starts).max())))
    for start, end in itertools.pairwise(starts):
        for first in range(start, end, most):
            piece = slice(first, min(first + most, end))
            evaluate_piece(slices[piece].astype(pack.dtype), density[piece], None)


def responsibilities(
    mixture: Mixture, slices: Float[np.ndarray, "n d"], double: bool = False
) -> Float[np.ndarray, "n k"]:
    """The share of each slice that each component accounts for; rows sum to 1. Source: Bishop 2006, eq. 9.23."""
    pack = packed(mixture, slices.shape[1], double)
    shares = np.empty((len(slices), len(mixture.weights)), pack.dtype)
    evaluate(pack, slices, np.empty(len(slices)), shares)
    return shares


def thread_blocks(slices: Float[np.ndarray, "n d"]) -> list[slice]:
    """The rows that one thread works on at a time: as many as bound its memory, the same for any number of threads."""
    rows = max(_FEWEST_BLOCK_ROWS, _BLOCK_NUMBERS // slices.shape[1])
    return [slice(start, start + rows) for start in range(0, len(slices), rows)]


@contextlib.contextmanager
def mapped_without_blas(threads: int | None) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` over that many threads, in which each matrix product keeps to its own thread.

    Whole blocks in parallel scale better than threads inside each small product, and leave no serial part between. One
    thread is the caller's own: another would begin on another processor, with cold caches.
    """
    workers = threads or len(os.sched_getaffinity(0))
    with _blas().limit(limits=1, user_api="blas"):
        if workers == 1:
            yield map
            return
        with ThreadPoolExecutor(workers) as pool:
            yield pool.map


@functools.cache
def _blas() -> ThreadpoolController:
    # Finding the loaded libraries takes milliseconds, as long as scoring thousands of slices. The loops come first: the
    # compiled ones load a library.
    loops()
    return ThreadpoolController()


@dataclass(frozen=True)
class Packed:
    """A mixture's numbers in the order in which they are multiplied."""

    full: bool
    constants: Float[np.ndarray, " k"]
    """What does not depend on the slice."""
    products: tuple[np.ndarray, ...]
    """Full: matrices (rows × features used + 1) whose products with a slice and the constant 1, squared and summed, are
    ½ (x − m)ᵀ Σ⁻¹ (x − m). Diagonal (features × k): what x and x² are multiplied by, −½ included."""

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
        return Packed(True, constants.astype(dtype), tuple(_column_groups(mixture.factors, white, dtype)))
    constants -= 0.5 * (white * white).sum(axis=1)
    products = (white * mixture.factors, -0.5 * mixture.factors**2)
    by_feature = tuple(np.ascontiguousarray(each.T, dtype) for each in products)
    return Packed(False, constants.astype(dtype), by_feature)


def _column_groups(
    factors: Float64[np.ndarray, "k d d"], white: Float64[np.ndarray, "k d"], dtype: type
) -> Iterator[np.ndarray]:
    k, d, _ = factors.shape
    # Narrow groups spare more of the zeros, wide ones make better products.
    for columns in np.array_split(np.arange(d), max(1, min(32, d // 8))):
        used = int(columns[-1]) + 1
        matrix: np.ndarray = np.empty((k, len(columns), used + 1), dtype)
        matrix[:, :, :used] = factors[:, :used, columns].transpose(0, 2, 1) * np.sqrt(0.5)
        matrix[:, :, used] = -white[:, columns] * np.sqrt(0.5)
        yield matrix.reshape(k * len(columns), used + 1)


def evaluate(
    pack: Packed,
    block: Float[np.ndarray, "n d"],
    density: Float64[np.ndarray, " n"],
    shares: Float[np.ndarray, "n k"] | None = None,
) -> None:
    """Write log p(x) of each slice into `density`, and each component's share of it into `shares`."""
    rows = max(1, min(len(block), rows_at_once(pack)))
    evaluate_piece = evaluator(pack, rows)
    for start in range(0, len(block), rows):
        piece = slice(start, start + rows)
        x = block[piece].astype(pack.dtype, copy=False)
        evaluate_piece(x, density[piece], None if shares is None else shares[piece])


def rows_at_once(pack: Packed) -> int:
    """Rows of one matrix product: what it makes should still be in a core's cache when it is used."""
    if pack.full:
        narrow, wide = _FULL_ROWS
        return narrow if pack.products[-1].shape[1] <= 129 else wide
    fewest, most = _DIAGONAL_ROWS
    return max(fewest, min(most, _UNPACKED_PRODUCTS // pack.products[0].size // 16 * 16))


def evaluator(pack: Packed, rows: int) -> Evaluator:
    """`evaluate` for blocks of limited size, in the precision of the pack.

    It owns its working memory: arrays of this size are new pages each time they are asked for, which takes longer than
    what is written into them. So there is one per thread.

    Source: Bishop 2006, eq. 2.43, 9.23, 9.28.
    """
    write_exponent = _full_exponent(pack, rows) if pack.full else _diagonal_exponent(pack, rows)
    bits = np.int32 if pack.dtype == np.float32 else np.int64
    whole, peaks, totals = (np.empty(shape, pack.dtype) for shape in ((rows, len(pack.constants)), rows, rows))

    def evaluated(
        x: Float[np.ndarray, "n d"], density: Float64[np.ndarray, " n"], shares: Float[np.ndarray, "n k"] | None
    ) -> None:
        joint, peak, total = whole[: len(x)], peaks[: len(x)], totals[: len(x)]
        write_exponent(x, joint)
        shift_below_peak(joint, pack.constants, joint.view(bits), peak, peak.view(bits), pack.dtype.type(_NOTHING))
        np.exp(joint, out=joint)
        row_sums(joint, total)
        np.add(peak, np.log(total), out=density)
        if shares is not None:
            scaled_rows(joint, 1 / total, shares)

    return evaluated


#: Writes what of log w_k + log N(x; m_k, S_k) depends on the slice.
_Exponent = Callable[[Float[np.ndarray, "n d"], Float[np.ndarray, "n k"]], None]


def _diagonal_exponent(pack: Packed, rows: int) -> _Exponent:
    by_x, by_square = pack.products
    squares: np.ndarray = np.empty((rows, len(by_x)), pack.dtype)
    linear: np.ndarray = np.empty((rows, by_x.shape[1]), pack.dtype)

    def write(x: Float[np.ndarray, "n d"], exponent: Float[np.ndarray, "n k"]) -> None:
        diagonal_exponent(x, by_x, by_square, squares[: len(x)], linear[: len(x)], exponent)

    return write


def _full_exponent(pack: Packed, rows: int) -> _Exponent:
    k, d = len(pack.constants), pack.products[-1].shape[1] - 1
    features: np.ndarray = np.empty((d + 1) * rows, pack.dtype)
    scratch: np.ndarray = np.empty(max(len(matrix) for matrix in pack.products) * rows, pack.dtype)
    summed: np.ndarray = np.empty(k * rows, pack.dtype)

    def write(x: Float[np.ndarray, "n d"], exponent: Float[np.ndarray, "n k"]) -> None:
        n = len(x)
        by_feature, by_component = features[: (d + 1) * n].reshape(d + 1, n), summed[: k * n].reshape(k, n)
        by_feature[:-1] = x.T
        by_component[:] = 0
        # The constant 1 follows the last feature that a group uses: from the last group down it overwrites what is
        # done.
        for matrix in reversed(pack.products):
            used = matrix.shape[1]
            by_feature[used - 1] = 1
            cells = np.dot(matrix, by_feature[:used], out=scratch[: len(matrix) * n].reshape(len(matrix), n))
            subtract_squares(cells.reshape(k, -1, n), by_component)
        exponent[:] = by_component.T

    return write


def save_mixture(mixture: Mixture, path: Path) -> None:
    """Write it as safetensors."""
    with replacing(path) as file:
        file.write(save({name: np.ascontiguousarray(value) for name, value in vars(mixture).items()}))


def load_mixture(path: Path) -> Mixture:
    """The mixture written by `save_mixture`.

    Raises:
        DataError: no such file, or a damaged one.
    """
    arrays = read_arrays(path)
    return Mixture(arrays["weights"], arrays["means"], arrays["factors"])
