"""The loop of `facility`, compiled by numba when it is first called; without annotations, which numba does not read."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def gains(cosines, weight, best):
    """What each candidate (row) adds: Σ_i weight_i · (cosine_i − best_i)⁺; float32 in, float64 out."""
    found = np.zeros(len(cosines))
    for row in range(len(cosines)):
        for start in range(0, len(best), 4096):
            total = np.float32(0)
            for i in range(start, min(len(best), start + 4096)):
                total += weight[i] * max(cosines[row, i] - best[i], np.float32(0))
            found[row] += total
    return found
