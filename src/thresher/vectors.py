"""Vectors at unit length, and which of them are nearest to each other by cosine."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

#: Rows brought to unit length at a time, so that a large pool needs no second copy of itself.
_BLOCK_ROWS = 65_536
#: Cosines in memory at once (64 MB in float32).
_MOST_COSINES = 1 << 24
#: Most by which a cosine from a product of matrices may be wrong, and pairs worked out again at a time.
_ROUGHNESS, _BLOCK_PAIRS = 1e-4, 16_384


def unit_length(vectors: Float[np.ndarray, "n c"], dtype: type = np.float32) -> Float[np.ndarray, "n c"]:
    """Each vector divided by its Euclidean length; a vector of zeros stays zero.

    Args:
        dtype: Of the result and of the arithmetic.

    >>> unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    unit: np.ndarray = np.empty(vectors.shape, dtype)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block: np.ndarray = vectors[start : start + _BLOCK_ROWS].astype(dtype)
        length = np.linalg.norm(block, axis=1, keepdims=True)
        unit[start : start + _BLOCK_ROWS] = block / np.where(length > 0, length, 1)
    return unit


def nearest_rows(
    vectors: Float[np.ndarray, "n c"], others: Float[np.ndarray, "m c"] | None = None, count: int = 1
) -> tuple[Int64[np.ndarray, "n j"], Float64[np.ndarray, "n j"]]:
    """The `count` rows of `others` of highest cosine for each vector; all of them if there are fewer.

    Args:
        others: Without them each vector is compared with the other rows of `vectors`, of which there are two or more.

    Returns:
        Row numbers, nearest first, of equals the smaller number first; and their cosines, −1..1.

    >>> rows, cosines = nearest_rows(np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]]))
    >>> rows.ravel().tolist(), cosines.ravel().round(3).tolist()
    ([2, 2, 1], [0.6, 0.8, 0.8])
    """
    known = unit_length(vectors if others is None else others)
    count = min(count, len(known) - (others is None))
    rows, cosines = np.empty((len(vectors), count), np.int64), np.empty((len(vectors), count))
    each_block = max(1, _MOST_COSINES // max(1, len(known)))
    for start in range(0, len(vectors), each_block):
        block = slice(start, start + each_block)
        unit = unit_length(vectors[block])
        rough = unit @ known.T
        if others is None:
            np.fill_diagonal(rough[:, start:], -np.inf)  # not itself
        rows[block], cosines[block] = _nearest(unit, known, rough, count)
    return rows, cosines


def _nearest(
    unit: Float[np.ndarray, "n c"], known: Float[np.ndarray, "m c"], rough: Float[np.ndarray, "n m"], count: int
) -> tuple[Int64[np.ndarray, "n j"], Float64[np.ndarray, "n j"]]:
    """Row numbers and cosines of the nearest.

    The last digits of `rough` depend on how many vectors were multiplied at once: what may be among the nearest is
    multiplied again, each by itself.
    """
    least = np.partition(rough, -count, axis=1)[:, -count] if count else np.full(len(rough), np.inf)
    each, row = np.nonzero(rough >= (least - _ROUGHNESS)[:, None])
    pieces = [slice(start, start + _BLOCK_PAIRS) for start in range(0, len(each), _BLOCK_PAIRS)]
    exact = [np.einsum("nc,nc->n", unit[each[piece]], known[row[piece]]) for piece in pieces]
    cosine = np.concatenate([*exact, np.empty(0)]).astype(np.float64)
    order = np.lexsort((row, -cosine, each))
    place = np.arange(len(each)) - np.searchsorted(each, each)  # among its own; `each` is sorted
    taken = order[place < count].reshape(len(unit), count)
    return row[taken], cosine[taken]


def random_rows(values: Float[np.ndarray, "n d"], most: int, rng: np.random.Generator) -> Float[np.ndarray, "m d"]:
    """At most `most` rows, drawn without repetition, in their old order."""
    if len(values) <= most:
        return values
    return values[np.sort(rng.choice(len(values), most, replace=False))]
