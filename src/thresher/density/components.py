"""The components of a mixture: their shares of the slices, and their most typical slices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from thresher.density.mixture import Mixture, log_density, responsibilities

#: Rows worked on at a time: the n × k responsibilities of a large target need not be in memory at once.
BLOCK_ROWS = 16_384
#: A slice shown for a component belongs to it by more than half; for a small component the next best may be others'.
_OWNED = 0.5


def component_shares(mixture: Mixture, slices: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, " k"]:
    """The share of the slices that each component accounts for: its mean responsibility; they sum to 1.

    Every slice is assigned, however unlikely it is: outliers go to the broadest component.

    Source: Bishop 2006, eq. 9.26 and 9.27.
    """
    total = np.zeros(len(mixture.weights))
    for start in range(0, len(slices), BLOCK_ROWS):
        total += responsibilities(mixture, slices[start : start + BLOCK_ROWS]).sum(axis=0)
    return total / len(slices)


def typical_slices(
    mixture: Mixture, slices: Float[np.ndarray, "n d"], starts: Int64[np.ndarray, " images_plus_1"], count: int
) -> list[Int64[np.ndarray, " rows"]]:
    """For each component the rows of its most typical slices, at most one per image, best first.

    Ranked by responsibility × density = π_k N(φ; μ_k, Σ_k), which within one component ranks as nearness to its mean
    does. Slices that mostly belong to another component are left out, so a small component may have fewer than `count`.

    Args:
        starts: Image i owns rows `starts[i]` to `starts[i + 1]`; each owns one at least.
    """
    owned = np.empty((len(slices), len(mixture.weights)))
    for start in range(0, len(slices), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        shares = responsibilities(mixture, slices[rows])
        with np.errstate(divide="ignore"):
            joint = np.log(shares) + log_density(mixture, slices[rows])[:, None]
        owned[rows] = np.where(shares > _OWNED, joint, -np.inf)
    return [_best_per_image(column, starts, count) for column in owned.T]


def _best_per_image(
    values: Float64[np.ndarray, " n"], starts: Int64[np.ndarray, " images_plus_1"], count: int
) -> Int64[np.ndarray, " rows"]:
    peaks = np.maximum.reduceat(values, starts[:-1])
    images = [int(i) for i in np.argsort(-peaks, kind="stable")[:count] if np.isfinite(peaks[i])]
    return np.array([starts[i] + np.argmax(values[starts[i] : starts[i + 1]]) for i in images], np.int64)
