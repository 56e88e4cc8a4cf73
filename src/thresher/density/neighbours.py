"""The target images most like each pool image: a score, and the explanation a person wants."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from thresher.density.similarity import directions

BLOCK_ROWS = 4096


def nearest_target(
    vectors: Float[np.ndarray, "n c"], target: Float[np.ndarray, "m c"], count: int
) -> tuple[Int64[np.ndarray, "n j"], Float64[np.ndarray, "n j"]]:
    """The `count` target images of highest cosine for each vector (all of them if there are fewer).

    Returns:
        Their row numbers in `target`, nearest first, ties by row number; and their cosines, −1..1.
    """
    unit_target = directions(target)
    count = min(count, len(target))
    rows = np.empty((len(vectors), count), np.int64)
    cosines = np.empty((len(vectors), count))
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        cosine = directions(vectors[block]) @ unit_target.T
        each = np.arange(len(cosine))
        # A few passes for the largest are much quicker than sorting all, and the first of equals is what argmax finds.
        for place in range(count):
            best = cosine.argmax(axis=1)
            rows[block, place], cosines[block, place] = best, cosine[each, best]
            cosine[each, best] = -np.inf
    return rows, cosines
