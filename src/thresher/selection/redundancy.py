"""Which images are nearly the same, by the cosine of their pooled vectors: to be taken once, or not at all."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from thresher.errors import SettingsError

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
    unit = _unit(vectors)
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
                "the same photo compressed or cropped anew)."
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
    found: Bool[np.ndarray, " n"] = most_alike(vectors, others)[1] >= cosine
    return found


def most_alike(
    vectors: Float[np.ndarray, "n c"], others: Float[np.ndarray, "m c"] | None = None
) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Of each image the row of the other image that it is most like, of equals the first, and their cosine.

    Args:
        others: One at least; without them each image is held against the rest of `vectors`, of which there are two.

    >>> most_alike(np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]]))
    (array([2, 2, 1]), array([0.6, 0.8, 0.8], dtype=float32))
    """
    known = _unit(vectors if others is None else others)
    rows, found = np.zeros(len(vectors), np.int64), np.zeros(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        own = slice(start, start + _BLOCK)
        cosines = _unit(vectors[own]) @ known.T
        if others is None:
            np.fill_diagonal(cosines[:, start:], -np.inf)  # not itself
        rows[own], found[own] = cosines.argmax(axis=1), cosines.max(axis=1)
    return rows, found


def _unit(vectors: Float[np.ndarray, "n c"]) -> Float32[np.ndarray, "n c"]:
    unit: Float32[np.ndarray, "n c"] = vectors.astype(np.float32)
    # In place, and not by np.linalg.norm, which squares into a copy: of a large pool each is 128 MB.
    length = np.sqrt(np.einsum("nc,nc->n", unit, unit))[:, None]
    unit /= np.where(length > 0, length, 1)
    return unit
