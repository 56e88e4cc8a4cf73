"""Cells: vectors divided by which of a few centres is nearest by cosine (k-means on the unit sphere)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from thresher.vectors import random_rows, unit_length

#: Rows per centre from which the centres are found, and times that they are moved.
_ROWS_EACH, _ROUNDS = 64, 12
_BLOCK = 16_384


@dataclass(frozen=True)
class Cells:
    """Centres of unit length."""

    centres: Float32[np.ndarray, "k d"]

    def nearest(self, vectors: Float[np.ndarray, "n d"]) -> Int64[np.ndarray, " n"]:
        """The number of the centre of highest cosine for each vector; of equals the smaller number."""
        found = np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), _BLOCK):
            rows = slice(start, start + _BLOCK)
            found[rows] = (vectors[rows].astype(np.float32, copy=False) @ self.centres.T).argmax(axis=1)
        return found


def in_cells(vectors: Float[np.ndarray, "n d"], count: int, seed: int = 0) -> Cells:
    """At most `count` cells of the vectors, by k-means on the unit sphere; some may be empty.

    The centres start at rows far apart (each the farthest of a few drawn at random), and are found from at most 64
    rows for each. Equal vectors and seed give equal cells.

    Source: Dhillon & Modha 2001 (spherical k-means); Arthur & Vassilvitskii 2007 (the start).

    >>> cells = in_cells(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 2)
    >>> numbers = cells.nearest(np.array([[2.0, 0.1], [0.1, 3.0], [0.0, 1.0]]))
    >>> bool(numbers[0] != numbers[1]), bool(numbers[1] == numbers[2])
    (True, True)
    """
    rng = np.random.default_rng(seed)
    unit = unit_length(random_rows(vectors, count * _ROWS_EACH, rng))
    unit = unit[np.linalg.norm(unit, axis=1) > 0.5]  # not the vectors of zeros
    if not len(unit):
        return Cells(np.zeros((1, vectors.shape[1]), np.float32))
    cells = Cells(_start(unit, min(count, len(unit)), rng))
    for _ in range(_ROUNDS):
        number = cells.nearest(unit)
        order = np.argsort(number, kind="stable")
        used, firsts = np.unique(number[order], return_index=True)
        sums = np.add.reduceat(unit[order].astype(np.float64), firsts)
        centres = cells.centres.copy()
        centres[used] = unit_length(sums)
        if np.array_equal(centres, cells.centres):
            break
        cells = Cells(centres)
    return cells


def _start(unit: Float32[np.ndarray, "n d"], count: int, rng: np.random.Generator) -> Float32[np.ndarray, "k d"]:
    """Rows drawn by how far they are from those drawn before (k-means++)."""
    chosen = [int(rng.integers(len(unit)))]
    far = np.maximum(1 - unit @ unit[chosen[0]], 0).astype(np.float64)
    while len(chosen) < count:
        total = far.sum()
        if total <= 1e-6:  # all rows are the same as a chosen one
            break
        chosen.append(int(np.searchsorted(np.cumsum(far), rng.random() * total, side="right").clip(max=len(far) - 1)))
        far = np.minimum(far, np.maximum(1 - unit @ unit[chosen[-1]], 0))
    return unit[chosen]
