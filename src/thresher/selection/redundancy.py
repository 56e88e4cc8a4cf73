"""Which images are nearly the same, by the cosine of their pooled vectors: to be taken once, or not at all."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from thresher.errors import SettingsError
from thresher.vectors import nearest_rows, unit_length

#: Rows whose cosines with all others are in memory at once (51 MB for 100,000), and pairs kept at most: more are no
#: near-duplicates.
_BLOCK, _MOST_PAIRS = 128, 20_000_000


def near_duplicates(vectors: Float[np.ndarray, "n c"], cosine: float) -> Int64[np.ndarray, " n"]:
    """The cluster of each image: the first row that it is joined to; its own row where it is like no other.

    Two images are joined where their cosine is `cosine` or more, and clusters are what is joined by any chain of
    those, so that two of a long one may be less alike (single linkage, ours: frames of a drive are such chains).

    Args:
        vectors: Of any length but 0; an image whose vector is 0 is like no other.
        cosine: Above 0, at most 1.

    Raises:
        SettingsError: it joins more pairs than near-duplicates ever are.

    >>> near_duplicates(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01]]), 0.99).tolist()
    [0, 1, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    unit = unit_length(vectors)
    firsts, seconds, pairs = [], [], 0
    for start in range(0, len(unit), _BLOCK):
        # Only columns behind the block's first row: each pair is met once.
        alike = unit[start : start + _BLOCK] @ unit[start:].T >= cosine
        corner = alike[:, : len(alike)]
        corner[:] = np.triu(corner, 1)
        rows, columns = np.nonzero(alike)
        firsts.append(rows + start)
        seconds.append(columns + start)
        pairs += len(rows)
        if pairs > _MOST_PAIRS:
            raise SettingsError(
                f"duplicate_cosine = {cosine}: joins more than {_MOST_PAIRS:,} pairs of images. Raise it (0.95 finds "
                "the same photo re-encoded or re-cropped)."
            )
    first, second = np.concatenate([*firsts, []]).astype(np.int64), np.concatenate([*seconds, []]).astype(np.int64)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(unit), len(unit)))
    labels = connected_components(graph, directed=False)[1]
    clusters: Int64[np.ndarray, " n"] = np.unique(labels, return_index=True)[1][labels].astype(np.int64)
    return clusters


def like_any(
    vectors: Float[np.ndarray, "n c"], others: Float[np.ndarray, "m c"], cosine: float
) -> Bool[np.ndarray, " n"]:
    """Whether the cosine of each image with any of the others is `cosine` or more: does the pool hold the target?"""
    if not len(others):
        return np.zeros(len(vectors), bool)
    found: Bool[np.ndarray, " n"] = nearest_rows(vectors, others)[1][:, 0] >= cosine
    return found
