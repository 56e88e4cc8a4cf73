"""score: slices, mixture and boxes → scores.parquet, one row per readable pool image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.data.taxonomy import load_taxonomy
from thresher.density.mixture import Mixture, load_mixture
from thresher.density.neighbours import nearest_target
from thresher.density.similarity import cosine_to_mean, similarity
from thresher.errors import DataError, SettingsError
from thresher.features.shards import read_blocks, shard_files
from thresher.run import Run, StageResult, Track, file_digest, perform, untracked
from thresher.selection.diversity import ClassFrequencies, class_frequencies, counted_boxes, diversity_scores


@dataclass(frozen=True)
class ScoreSettings:
    """What is measured of each pool image."""

    neighbours: int = 3
    """Name this many nearest target images; their mean cosine is `nearest_cosine`."""
    class_scores: Path | None = None
    """TOML file with your own worth per class (bus = 3.0) in place of inverse document frequency."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: no neighbours asked for.
        """
        if self.neighbours < 1:
            raise SettingsError(f"neighbours = {self.neighbours}: expected 1 or more.")


def score(
    run: Run, settings: ScoreSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Measure similarity and diversity of every pool image that could be read.

    Raises:
        DataError: an earlier stage has not run, or the pool is empty.
    """
    settings = settings or ScoreSettings()
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    if dry_run:
        return StageResult("score", "planned", {"pool_images": images.filter(pl.col("role") == "pool").height})
    read = {
        "images": run.images,
        "boxes": run.boxes,
        "taxonomy": run.taxonomy,
        "pooled": run.pooled,
        "mixture": run.mixture,
    }
    inputs = {name: file_digest(path) for name, path in read.items()}
    if settings.class_scores is not None:
        inputs["class_scores"] = file_digest(settings.class_scores)

    def work() -> tuple[dict[str, Any], int]:
        pooled = tables.read(run.pooled, tables.POOLED, key="image_id").join(
            images.select("image_id", "role"), on="image_id", how="inner"
        )
        pool, target = (pooled.filter(pl.col("role") == role).sort("image_id") for role in ("pool", "target"))
        if pool.is_empty():
            raise DataError(f"{run.folder}: the pool holds no readable image. Index it with --pool FORMAT:ROOT.")
        similar = _similarities(run, load_mixture(run.mixture), set(pool["image_id"].to_list()), track)
        diverse, frequencies = _diversities(run, images, settings)
        scores = pool.select("image_id").join(similar, on="image_id", how="left")
        scores = scores.hstack(_pooled_scores(pool, target, settings.neighbours))
        scores = scores.join(diverse, on="image_id", how="left").sort("image_id").select(list(tables.SCORES))
        tables.write(tables.checked(scores, tables.SCORES, "scores", key="image_id"), run.scores)
        return _summary(scores, frequencies), 0

    return perform(run, "score", settings, inputs, [run.scores], work)


def _similarities(run: Run, mixture: Mixture, pool_ids: set[str], track: Track[Any]) -> pl.DataFrame:
    ids: list[str] = []
    values = []
    for block in track(read_blocks(run.slices), len(shard_files(run.slices)), "scoring similarity"):
        ids += block.image_ids
        values.append(similarity(mixture, block.slices, block.starts))
    frame = pl.DataFrame({"image_id": ids, "similarity_nats": np.concatenate(values)})
    return frame.filter(pl.col("image_id").is_in(list(pool_ids)))


def _pooled_scores(pool: pl.DataFrame, target: pl.DataFrame, neighbours: int) -> pl.DataFrame:
    vectors, target_vectors = (side["vector"].rechunk().to_numpy(allow_copy=False) for side in (pool, target))
    rows, cosines = nearest_target(vectors, target_vectors, neighbours)
    names = np.array(target["image_id"].to_list(), dtype=object)
    return pl.DataFrame(
        {
            "cosine": cosine_to_mean(vectors, target_vectors),
            "nearest_cosine": cosines.mean(axis=1),
            "nearest_ids": pl.Series(names[rows].tolist(), dtype=pl.List(pl.String)),
        }
    )


def _diversities(run: Run, images: pl.DataFrame, settings: ScoreSettings) -> tuple[pl.DataFrame, ClassFrequencies]:
    boxes = tables.read(run.boxes, tables.BOXES)
    counted, labelled = labelled_pool(boxes, images, run)
    frequencies = class_frequencies(counted, labelled.height, _class_scores(settings.class_scores, run))
    return diversity_scores(counted, labelled, frequencies.weights), frequencies


def labelled_pool(boxes: pl.DataFrame, images: pl.DataFrame, run: Run) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The counted boxes of the pool, and the pool's labelled images.

    A dataset without a single box was not labelled at all: its images have no diversity, rather than none to offer.
    """
    pool = images.filter(pl.col("role") == "pool").select("image_id", "dataset")
    boxes = boxes.join(pool.select("image_id"), on="image_id", how="semi")
    datasets = pool.join(boxes, on="image_id", how="semi")["dataset"].unique()
    counted = counted_boxes(boxes, load_taxonomy(str(run.taxonomy)).classes_of_interest)
    return counted, pool.filter(pl.col("dataset").is_in(datasets.implode())).select("image_id")


def _class_scores(path: Path | None, run: Run) -> dict[str, float] | None:
    if path is None:
        return None
    import tomllib

    known = load_taxonomy(str(run.taxonomy)).classes_of_interest
    worths = tomllib.loads(path.read_text("utf-8"))
    for name, worth in worths.items():
        if name not in known or not isinstance(worth, int | float) or worth < 0:
            raise SettingsError(f"{path}: {name} = {worth!r}: expected a class of interest ({', '.join(known)}) "
                                "and a number, 0 or more.")  # fmt: skip
    return worths


def _summary(scores: pl.DataFrame, frequencies: ClassFrequencies) -> dict[str, Any]:
    quantiles = {
        name: [round(float(scores[name].quantile(q) or 0.0), 4) for q in (0.05, 0.5, 0.95)]
        for name in ("similarity_nats", "cosine", "diversity")
        if scores[name].null_count() < scores.height
    }
    return {
        "images": scores.height,
        "without_boxes_to_count": scores["diversity"].null_count(),
        "quantiles_05_50_95": quantiles,
        "class_images": dict(frequencies.document_frequency),
        "class_weights": {name: round(weight, 3) for name, weight in frequencies.weights.items()},
    }
