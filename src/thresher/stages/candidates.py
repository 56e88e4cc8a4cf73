"""What a choice is made from: read once, and the same whatever is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher import tables
from thresher.data.taxonomy import load_taxonomy
from thresher.run.contents import pool_of
from thresher.run.folder import Run
from thresher.selection.diversity import (
    ClassFrequencies,
    class_counts,
    class_frequencies,
)
from thresher.selection.redundancy import like_any, near_duplicates

#: The cluster of what is nearly the same as an image of the target.
LIKE_TARGET = -1


@dataclass(frozen=True)
class Candidates:
    """What a choice is made from; of the settings only the cosine of near-duplicates shapes it, so it can be kept."""

    scores: pl.DataFrame
    """Table SCORES."""
    datasets: pl.DataFrame
    """image_id and dataset of the pool's images."""
    counts: pl.DataFrame
    """Objects per class of each image (`class_counts`)."""
    frequencies: ClassFrequencies
    classes: tuple[str, ...]
    """The classes of interest."""
    clusters: pl.DataFrame | None = None
    """image_id and cluster of the pool's near-duplicates (`clusters_of`), where they are asked for."""


def clusters_of(run: Run, pool: pl.DataFrame, cosine: float) -> pl.DataFrame:
    """image_id and cluster of the pool's images that embed has read; what is like the target is in `LIKE_TARGET`.

    Raises:
        DataError: embed has not run.
        SettingsError: the cosine joins more images than near-duplicates ever are.
    """
    pooled = tables.read(run.pooled, tables.some(tables.POOLED, "image_id", "vector"), key="image_id")
    own = pooled.join(pool.select("image_id"), on="image_id", how="semi").sort("image_id")
    rest = pooled.join(pool.select("image_id"), on="image_id", how="anti")
    vectors, target = (each["vector"].rechunk().to_numpy(allow_copy=False) for each in (own, rest))
    labels = np.where(like_any(vectors, target, cosine), LIKE_TARGET, near_duplicates(vectors, cosine))
    return own.select("image_id", cluster=pl.Series(labels, dtype=pl.Int64))


def candidates_of(run: Run, scores: pl.DataFrame, pool: pl.DataFrame, duplicate_cosine: float = 0.0) -> Candidates:
    """What a choice is made from.

    Args:
        scores: Table SCORES.
        pool: image_id and dataset of the pool's images.
    """
    clusters = clusters_of(run, pool, duplicate_cosine) if duplicate_cosine else None
    counts, labelled = labelled_pool(run, pool)
    classes = load_taxonomy(str(run.taxonomy)).classes_of_interest
    return Candidates(scores, pool, counts, class_frequencies(counts, labelled.height), classes, clusters)


def read_candidates(run: Run, duplicate_cosine: float = 0.0) -> Candidates:
    """Read what a choice is made from.

    Raises:
        DataError: score has not run.
    """
    scores = tables.read(run.scores, tables.SCORES, key="image_id")
    return candidates_of(run, scores, pool_of(run), duplicate_cosine)


def labelled_pool(run: Run, pool: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The objects per class of the pool's images (`class_counts`), and the ids of its labelled images.

    A dataset without a single box was not labelled at all: its images have no diversity, rather than none to offer.

    Args:
        pool: image_id and dataset of the pool's images.
    """
    boxes = tables.scan(run.boxes, tables.BOXES)
    counts = class_counts(boxes, load_taxonomy(str(run.taxonomy)).classes_of_interest)
    owners = boxes.select("image_id").join(pool.lazy(), on="image_id")
    datasets = owners.select(pl.col("dataset").unique()).collect(engine="streaming")["dataset"]
    labelled = pool.filter(pl.col("dataset").is_in(datasets.implode())).select("image_id")
    return counts.join(pool, on="image_id", how="semi"), labelled
