"""The input of `select`, read once from a run and independent of most of its settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.run.opened import OpenedRun
from thresher.selection.choose import LIKE_TARGET
from thresher.selection.coverage import Looks
from thresher.selection.diversity import ClassFrequencies
from thresher.selection.redundancy import like_any, near_duplicates


@dataclass(frozen=True)
class Candidates:
    """Everything `select` needs to choose.

    Depends only on `duplicate_cosine` and on whether there is a coverage, so it can be cached across other settings.
    """

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
    """image_id and cluster of near-duplicates in the pool (`clusters_of`); None if they are not dropped."""
    looks: Looks | None = None
    """Pooled vectors of pool and target; None without coverage."""


def candidates_of(opened: OpenedRun, duplicate_cosine: float = 0.0, coverage: str = "off") -> Candidates:
    """Everything `select` needs to choose.

    Raises:
        DataError: score has not run, or, if near-duplicates are dropped or with coverage, embed has not.
        SettingsError: as `clusters_of`.
    """
    return Candidates(
        opened.scores,
        opened.pool.select("image_id", "dataset"),
        opened.counts,
        opened.frequencies,
        opened.classes,
        clusters_of(opened, duplicate_cosine) if duplicate_cosine else None,
        None if coverage == "off" else looks_of(opened),
    )


def looks_of(opened: OpenedRun) -> Looks:
    """Pooled vectors of pool and target.

    Raises:
        DataError: embed has not run.
    """
    return Looks(*opened.vectors(opened.pool), opened.vectors(opened.target)[1])


def clusters_of(opened: OpenedRun, cosine: float) -> pl.DataFrame:
    """image_id and cluster of the embedded pool images; near-duplicates of a target image have `LIKE_TARGET`.

    Raises:
        DataError: embed has not run.
        SettingsError: the cosine is too low and joins too many images.
    """
    ids, vectors = opened.vectors(opened.pool)
    _, target = opened.vectors(opened.target)
    labels = np.where(like_any(vectors, target, cosine), LIKE_TARGET, near_duplicates(vectors, cosine))
    return ids.with_columns(cluster=pl.Series(labels, dtype=pl.Int64))
