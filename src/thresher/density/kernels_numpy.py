"""The loops of `kernels_compiled` in numpy, if numba is not installed; shapes as documented there."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int


def subtract_squares(cells: Float[np.ndarray, "k w n"], joint: Float[np.ndarray, "k n"]) -> None:
    """joint[k, n] −= Σ_w cells[k, w, n]²."""
    joint -= np.einsum("kwn,kwn->kn", cells, cells)


def diagonal_exponent(
    x: Float[np.ndarray, "n d"],
    by_x: Float[np.ndarray, "d k"],
    by_square: Float[np.ndarray, "d k"],
    squares: Float[np.ndarray, "n d"],
    linear: Float[np.ndarray, "n k"],
    joint: Float[np.ndarray, "n k"],
) -> None:
    """joint = x² by_square + x by_x."""
    np.multiply(x, x, out=squares)
    np.dot(squares, by_square, out=joint)
    joint += np.dot(x, by_x, out=linear)


def add_products(
    shares: Float[np.ndarray, "n k"],
    x: Float[np.ndarray, "n d"],
    squares: Float[np.ndarray, "n d"],
    first: Float64[np.ndarray, "k d"],
    second: Float64[np.ndarray, "k d"],
) -> None:
    """first += sharesᵀ x, second += sharesᵀ x²."""
    first += shares.T @ x
    second += shares.T @ np.multiply(x, x, out=squares)


def shift_below_peak(
    joint: Float[np.ndarray, "n k"],
    constants: Float[np.ndarray, " k"],
    bits: Int[np.ndarray, "n k"],
    peak: Float[np.ndarray, " n"],
    peak_bits: Int[np.ndarray, " n"],
    lowest: Any,
) -> None:
    """Add constants[k] to joint[n, k], subtract each row's largest from it, and raise what is below `lowest` to it."""
    joint += constants
    peak[:] = joint.max(axis=1)
    with np.errstate(invalid="ignore"):  # −∞ − −∞ is no number, here as in the compiled loop
        joint -= peak[:, None]
    np.maximum(joint, lowest, out=joint)


def row_sums(values: Float[np.ndarray, "n k"], total: Float[np.ndarray, " n"]) -> None:
    """total[n] = Σ_k values[n, k]."""
    np.sum(values, axis=1, out=total)


def scaled_rows(
    values: Float[np.ndarray, "n k"], scale: Float[np.ndarray, " n"], scaled: Float[np.ndarray, "n k"]
) -> None:
    """scaled[n, k] = values[n, k] · scale[n]."""
    np.multiply(values, scale[:, None], out=scaled)


def add_column_sums(values: Float[np.ndarray, "n k"], least: Any, total: Float[np.ndarray, " k"]) -> int:
    """total[k] += Σ_n values[n, k], in the precision of `total`; returns how many values are above `least`."""
    total += values.sum(axis=0, dtype=total.dtype)
    return int(np.count_nonzero(values > least))


def add_weighted(
    x: Float[np.ndarray, "n d"],
    shares: Float[np.ndarray, "n k"],
    least: Any,
    first: Float[np.ndarray, "k d"],
    second: Float[np.ndarray, "k d"],
) -> None:
    """first[k] += Σ_n shares[n, k] x[n], second[k] += Σ_n shares[n, k] x[n]², of shares above `least` alone."""
    kept = np.where(shares > least, shares, shares.dtype.type(0))
    first += kept.T @ x
    second += kept.T @ (x * x)
