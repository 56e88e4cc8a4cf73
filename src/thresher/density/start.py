"""Start of EM: a sample of the slices, and means by k-means++."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Float64

from thresher.errors import DataError

#: Returns a new iterator over blocks of slices at each call: from memory, or from shards on disk.
Blocks = Callable[[], Iterable[Float[np.ndarray, "n d"]]]
#: Number of slices in the sample for the start.
SAMPLE_ROWS = 20_000


def uniform_sample(blocks: Blocks, components: int, rng: np.random.Generator) -> Float64[np.ndarray, "m d"]:
    """At most `SAMPLE_ROWS` slices, uniformly drawn in one pass: those with the smallest of random keys.

    Raises:
        DataError: fewer slices than components, or values that are not finite.
    """
    kept: np.ndarray | None = None
    keys = np.empty(0)
    seen = 0
    for block in blocks():
        # A sum in float64 is finite just where every value is, and makes no copy.
        if not np.isfinite(block.sum(dtype=np.float64)):
            bad = int((~np.isfinite(block)).any(axis=1).sum())
            raise DataError(f"mixture: {bad} of {len(block)} slices are not finite. Embed those images again.")
        seen += len(block)
        keys = np.concatenate([keys, rng.random(len(block))])
        rows = block if kept is None else np.concatenate([kept, block])
        best = np.sort(np.argpartition(keys, SAMPLE_ROWS)[:SAMPLE_ROWS]) if len(keys) > SAMPLE_ROWS else slice(None)
        kept, keys = rows[best], keys[best]
    if kept is None or seen < components:
        raise DataError(f"mixture: {seen} slices cannot hold {components} components. Use fewer components.")
    return kept.astype(np.float64)


def kmeans_plus_plus(
    data: Float64[np.ndarray, "n d"], components: int, rng: np.random.Generator
) -> Float64[np.ndarray, "k d"]:
    """Rows far apart (k-means++): each is the best of a few drawn by squared distance to the previous ones.

    Source: Arthur & Vassilvitskii 2007; several trials per row: their §7 (greedy).
    """
    trials = 2 + int(np.log(components))
    chosen = [int(rng.integers(len(data)))]
    nearest = squared_distances(data, data[chosen])[:, 0]
    while len(chosen) < components:
        total = nearest.sum()
        drawn = rng.choice(len(data), size=trials, p=nearest / total if total > 0 else None)
        left = np.minimum(nearest[:, None], squared_distances(data, data[drawn]))
        best = int(np.argmin(left.sum(axis=0)))
        chosen.append(int(drawn[best]))
        nearest = left[:, best]
    return data[chosen]


def squared_distances(a: Float64[np.ndarray, "n d"], b: Float64[np.ndarray, "k d"]) -> Float64[np.ndarray, "n k"]:
    """Squared Euclidean distance of each row of `a` to each of `b`."""
    squared = (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    return np.asarray(np.maximum(squared, 0))
