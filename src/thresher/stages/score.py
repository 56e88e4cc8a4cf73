"""score: slices, mixture and boxes → scores.parquet, one row per readable pool image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.data.taxonomy import load_taxonomy
from thresher.density.evidence import load_evidence
from thresher.density.mixture import load_mixture
from thresher.density.neighbours import nearest_target
from thresher.density.scorers import SCORERS, Evidence, Images, View
from thresher.errors import DataError, SettingsError
from thresher.features.shards import SliceBlock, read_blocks, shard_files, slices_of
from thresher.run.contents import checkpoint_of
from thresher.run.folder import Run
from thresher.run.perform import StageResult, Track, file_digest, perform, untracked
from thresher.selection.diversity import (
    ClassFrequencies,
    class_frequencies,
    counted_boxes,
    covered_areas,
    diversity_scores,
)
from thresher.settings import OptionalPath, converted, default
from thresher.stages.candidates import labelled_pool
from thresher.stages.plan import Plan, score_plan
from thresher.stages.score_yield import yields

#: Where each scorer's number stands in the scores table.
COLUMNS = {
    "layout": "layout",
    "likelihood": "similarity_nats",
    "ratio": "ratio_nats",
    "typicality": "typicality",
    "cosine": "cosine",
    "nearest": "nearest_cosine",
    "rows": "rows",
    "sphere": "sphere_nats",
    "pooled_sphere": "pooled_sphere_nats",
}


@converted
@dataclass(frozen=True)
class ScoreSettings:
    """What is measured of each pool image."""

    neighbours: int = 3
    """Name this many nearest target images."""
    class_scores: OptionalPath = default(None)
    """TOML file with your own worth per class (bus = 3.0) in place of inverse document frequency."""
    network: str = ""
    """A training without weak images, by whose network to measure what the boxes would teach (method yield)."""

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
        SettingsError: there is no training of the network's name.
        DataError: an earlier stage has not run, or the pool is empty.
    """
    settings = settings or ScoreSettings()
    needed = tables.some(tables.INDEXED_IMAGES, "image_id", "dataset", "role")
    images = tables.read(run.images, needed, key="image_id")
    if dry_run:
        return StageResult("score", "planned", _plan(run, images, settings).told(run))
    read = {
        "images": run.images,
        "boxes": run.boxes,
        "taxonomy": run.taxonomy,
        "pooled": run.pooled,
        "mixture": run.mixture,
        "evidence": run.evidence,
    }
    inputs = {name: file_digest(path) for name, path in read.items()}
    if settings.class_scores is not None:
        inputs["class_scores"] = file_digest(settings.class_scores)
    if settings.network:
        inputs["network"] = file_digest(checkpoint_of(run, settings.network))

    def work() -> tuple[dict[str, Any], int]:
        pool = _with_role(images, "pool")
        evidence, names = _known(run, images)
        blocks = track(read_blocks(run.slices), len(shard_files(run.slices)), "scoring")
        # The parts have no name of their own, so that they are gone before diversity needs the room.
        near = pl.concat([_near(evidence, names, block, settings.neighbours) for block in blocks])
        near = near.join(pool, on="image_id", how="semi")
        if near.is_empty():
            raise DataError(f"{run.folder}: the pool holds no readable image. Index it with --pool FORMAT:ROOT.")
        diverse, frequencies = _diversities(run, pool, settings)
        yields, failed = _yields(run, near, diverse, settings, track)
        scores = near.join(diverse, on="image_id", how="left").join(yields, on="image_id", how="left")
        scores = scores.sort("image_id").select(list(tables.SCORES))
        tables.write(tables.checked(scores, tables.SCORES, "scores", key="image_id"), run.scores)
        return _summary(scores, frequencies), failed

    return perform(run, "score", settings, inputs, [run.scores], work)


def _plan(run: Run, images: pl.DataFrame, settings: ScoreSettings) -> Plan:
    pool = images.filter(pl.col("role") == "pool").height
    if not run.evidence.is_file() or not run.slices.is_dir():
        return score_plan(run, pool, None)
    evidence, names = _known(run, images)
    return score_plan(run, pool, lambda block: _near(evidence, names, block, settings.neighbours))


def _known(run: Run, images: pl.DataFrame) -> tuple[Evidence, pl.Series]:
    """What fit left, and the ids of the target's images in the order of its pooled vectors."""
    target = slices_of(run.slices, set(_with_role(images, "target")["image_id"].to_list()))
    evidence = load_evidence(run.evidence, load_mixture(run.mixture), target.pooled)
    return evidence, pl.Series(target.image_ids, dtype=pl.String)


def _with_role(images: pl.DataFrame, role: str) -> pl.DataFrame:
    return images.filter(pl.col("role") == role).select("image_id", "dataset")


def _near(evidence: Evidence, target_ids: pl.Series, block: SliceBlock, neighbours: int) -> pl.DataFrame:
    """Every scorer's column for the images of one shard, and the target images nearest to each."""
    view = View(evidence, Images(block.slices, block.starts, block.grids, block.pooled))
    columns: dict[str, object] = {
        COLUMNS[name]: scorer(view)
        for name, scorer in SCORERS.items()
        if name != "typicality" or len(evidence.held_out_nats)
    }
    # A target of one image leaves nothing to hold out, so nobody knows what is typical of it.
    columns.setdefault("typicality", pl.Series([None] * len(block.image_ids), dtype=pl.Float64))
    rows, _ = nearest_target(block.pooled, evidence.pooled, neighbours)
    nearest = target_ids.gather(rows.ravel()).reshape(rows.shape).arr.to_list()
    return pl.DataFrame({"image_id": block.image_ids, **columns, "nearest_ids": nearest})


def _diversities(run: Run, pool: pl.DataFrame, settings: ScoreSettings) -> tuple[pl.DataFrame, ClassFrequencies]:
    counts, labelled = labelled_pool(run, pool)
    classes = load_taxonomy(str(run.taxonomy)).classes_of_interest
    areas = covered_areas(counted_boxes(tables.scan(run.boxes, tables.BOXES), classes))
    frequencies = class_frequencies(counts, labelled.height, _class_scores(settings.class_scores, run))
    return diversity_scores(counts, areas, labelled, frequencies.weights), frequencies


def _yields(
    run: Run, near: pl.DataFrame, diverse: pl.DataFrame, settings: ScoreSettings, track: Track[Any]
) -> tuple[pl.DataFrame, int]:
    """image_id and yield_area of the labelled images, and how many could not be read; no rows without a network."""
    if not settings.network:
        return tables.empty(tables.some(tables.SCORES, "image_id", "yield_area")), 0
    return yields(run, settings.network, near.join(diverse, on="image_id", how="semi").select("image_id"), track)


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
        for name in ("layout", "similarity_nats", "cosine", "diversity")
        if scores[name].null_count() < scores.height
    }
    return {
        "images": scores.height,
        "without_boxes_to_count": scores["diversity"].null_count(),
        "quantiles_05_50_95": quantiles,
        "class_images": dict(frequencies.document_frequency),
        "class_weights": {name: round(weight, 3) for name, weight in frequencies.weights.items()},
    }
