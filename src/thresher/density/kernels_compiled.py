"""The few loops of the mixture that numpy cannot do in one pass, compiled by numba where they are first called.

Numba compiles plain functions of arrays, so these carry no annotations: their docstrings give the shapes. All arrays of
a call are contiguous and, unless noted otherwise, of one floating type.
"""

from __future__ import annotations

import numpy as np

# The products of compiled code are scipy's, by a BLAS library of its own: loaded here, so that whoever limits the
# threads of every library that is loaded limits this one too.
import scipy.linalg.cython_blas  # noqa: F401
from numba import njit


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def subtract_squares(cells, joint):
    """joint[k, n] −= Σ_w cells[k, w, n]²: what one group of columns adds to a Gaussian's exponent."""
    for k in range(cells.shape[0]):
        for w in range(cells.shape[1]):
            for n in range(cells.shape[2]):
                joint[k, n] -= cells[k, w, n] * cells[k, w, n]


@njit(nogil=True, cache=True)
def diagonal_exponent(x, by_x, by_square, squares, linear, joint):
    """joint = x² by_square + x by_x, with `squares` and `linear` as working memory: one call, so that no other thread
    comes between its products."""
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            squares[n, i] = x[n, i] * x[n, i]
    np.dot(squares, by_square, joint)
    np.dot(x, by_x, linear)
    for n in range(joint.shape[0]):
        for k in range(joint.shape[1]):
            joint[n, k] += linear[n, k]


@njit(nogil=True, cache=True)
def add_products(shares, x, squares, first, second):
    """first += sharesᵀ x, second += sharesᵀ x², with `squares` as working memory."""
    first += np.dot(shares.T, x)
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            squares[n, i] = x[n, i] * x[n, i]
    second += np.dot(shares.T, squares)


@njit(nogil=True, cache=True)
def shift_below_peak(joint, constants, bits, peak, peak_bits, lowest):
    """Add constants[k] to joint[n, k], subtract each row's largest from it, and raise what is below `lowest` to it.

    `peak[n]` receives the row's largest. NaN stays NaN. `bits` and `peak_bits` are the memory of `joint` and `peak`
    read as integers of the same size: the maximum of integers is vectorised, that of floats is not. Their order is the
    floats' once the negative ones are turned round.
    """
    mask = peak_bits.dtype.type(np.iinfo(peak_bits.dtype).max)
    for n in range(joint.shape[0]):
        for k in range(joint.shape[1]):
            joint[n, k] += constants[k]
        largest = ~mask
        for k in range(joint.shape[1]):
            ordered = bits[n, k] ^ mask if bits[n, k] < 0 else bits[n, k]
            largest = max(largest, ordered)
        peak_bits[n] = largest ^ mask if largest < 0 else largest
        for k in range(joint.shape[1]):
            value = joint[n, k] - peak[n]
            joint[n, k] = lowest if value < lowest else value


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def row_sums(values, total):
    """total[n] = Σ_k values[n, k]."""
    for n in range(values.shape[0]):
        summed = values[n, 0] - values[n, 0]
        for k in range(values.shape[1]):
            summed += values[n, k]
        total[n] = summed


@njit(nogil=True, cache=True)
def scaled_rows(values, scale, scaled):
    """scaled[n, k] = values[n, k] · scale[n]."""
    for n in range(values.shape[0]):
        for k in range(values.shape[1]):
            scaled[n, k] = values[n, k] * scale[n]


@njit(nogil=True, cache=True)
def add_column_sums(values, least, total):
    """total[k] += Σ_n values[n, k], in the precision of `total`; returns how many values are above `least`."""
    above = 0
    for n in range(values.shape[0]):
        for k in range(values.shape[1]):
            total[k] += values[n, k]
            above += values[n, k] > least
    return above


@njit(nogil=True, cache=True, fastmath={"contract"})
def add_weighted(x, shares, least, first, second):
    """first[k] += Σ_n shares[n, k] x[n], second[k] += Σ_n shares[n, k] x[n]², of shares above `least` alone."""
    for n in range(shares.shape[0]):
        for k in range(shares.shape[1]):
            share = shares[n, k]
            if share > least:
                for i in range(x.shape[1]):
                    weighted = share * x[n, i]
                    first[k, i] += weighted
                    second[k, i] += weighted * x[n, i]
