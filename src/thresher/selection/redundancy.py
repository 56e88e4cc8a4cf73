"""Near-duplicate images, by the cosine of their pooled vectors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from thresher.errors import SettingsError
from thresher.vectors import nearest_rows, unit_length

#: Rows whose cosines with all others are in memory at once (51 MB for 100,000 images), and the maximum number of pairs.
_BLOCK, _MOST_PAIRS = 128, 20_000_000


def near_duplicates(vectors: Float[np.ndarray, "n c"], cosine: float) -> Int64[np.ndarray, " n"]:
    """The cluster of each image, numbered by its first row; an image without near-duplicates has its own row number.

    Single linkage (ours): images with a cosine of at least `cosine` are joined, also through others. Two images of a
    long chain, such as the frames of a drive, may thus be less similar than `cosine`.

    Args:
        vectors: Any length; a zero vector has no near-duplicates.
        cosine: Above 0, at most 1.

    Raises:
        SettingsError: more than 20 million pairs are joined.

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
    """Whether each image has a cosine of at least `cosine` with any of the others."""
    if not len(others):
        return np.zeros(len(vectors), bool)
    found: Bool[np.ndarray, " n"] = nearest_rows(vectors, others)[1][:, 0] >= cosine
    return found
