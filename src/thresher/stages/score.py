"""score: slices, mixture and boxes → scores.parquet, one row per readable pool image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.density.fitted_scorers import load_fitted_scorers
from thresher.density.mixture import load_mixture
from thresher.density.scorers import (
    SCORERS,
    SIMILARITIES,
    FittedScorers,
    Score,
    ScorerInput,
)
from thresher.density.slice_block import SliceBlock
from thresher.errors import DataError, SettingsError, quoted
from thresher.features.shards import listed_shards, read_blocks, slices_of
from thresher.run.digests import Input, digest_of
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.inputs import embedded_target
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, perform, untracked
from thresher.run.scored import Scored, kept_scores, last_scored, own_columns
from thresher.run.stages import stage_named
from thresher.selection.diversity import (
    ClassFrequencies,
    class_frequencies,
    counted_boxes,
    covered_areas,
    diversity_scores,
)
from thresher.selection.methods import COMBINED
from thresher.selection.written import Names
from thresher.settings import OptionalPath, converted, default, did_you_mean
from thresher.stages.plan import Plan, Slices, score_plan
from thresher.stages.score_yield import yield_areas
from thresher.vectors import nearest_rows

#: A score from boxes that takes longer than all others together, and is computed on request only.
_AREA = "covered_area"
#: Scores from boxes that can be asked for.
_OF_BOXES = ("diversity", _AREA)
#: Every score; its name is that of its column in scores.parquet and of its method of select.
SCORES = (
    *SIMILARITIES,
    Score("objects", "objects", ("boxes",), diversity_scores, "Boxes of the classes of interest."),
    Score("classes", "classes", ("boxes",), diversity_scores, "Different classes of interest."),
    Score("class_entropy_bits", "bits", ("boxes",), diversity_scores, "Entropy of the classes of its boxes."),
    Score(_AREA, "share of the picture", ("boxes",), diversity_scores, "Area under at least one box."),
    Score("diversity", "", ("boxes",), diversity_scores, "Many objects, of many and of rare classes."),
    Score(
        "yield_area",
        "shares of the picture",
        ("boxes", "network"),
        yield_areas,
        "Area in its boxes that a trained network assigns to their class; needs `score --network`.",
    ),
)
#: The similarities that the default methods, the report and the paper's method need.
DEFAULT_SCORES = ("layout", "similarity", "cosine", "nearest")
#: The columns of the similarities.
_NEAR = ("image_id", *SCORERS, "nearest_ids")


@converted
@dataclass(frozen=True)
class ScoreSettings:
    """Scores to compute for each pool image."""

    scores: Names = default(DEFAULT_SCORES)
    """Scores to compute, or all: layout, similarity, ratio, typicality, cosine, nearest, rows, sphere, pooled_sphere,
    covered_area. layout, similarity and the other scores from boxes (diversity, objects, …) are always computed.
    diversity alone: only the scores from boxes, which need neither embed nor fit."""
    neighbours: int = 3
    """Number of nearest target images listed for each pool image."""
    class_scores: OptionalPath = default(None)
    """TOML file with a weight per class (bus = 3.0) for diversity. Default: inverse document frequency."""
    network: str = ""
    """Name of a training whose network computes yield_area; train it without weakly labelled images. Default: none."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: an unknown score, or no neighbours asked for.
        """
        known = ["all", *SCORERS, *_OF_BOXES]
        for name in self.scores:
            if name not in known:
                raise SettingsError(f"scores: '{name}' is unknown.{did_you_mean(name, known)}")
        if self.neighbours < 1:
            raise SettingsError(f"neighbours = {self.neighbours}: expected 1 or more.")
        if self.boxes_alone and self.network:
            raise SettingsError("scores = diversity, network: yield_area needs pixels. Leave out one of the two.")

    @property
    def similarities(self) -> tuple[str, ...]:
        """The requested similarities and those that the report and `why` need, in the order of the table."""
        wanted = set() if self.boxes_alone else {*self.scores, "layout", "similarity"}
        return tuple(name for name in SCORERS if name in wanted or "all" in wanted)

    @property
    def boxes_alone(self) -> bool:
        """Whether only scores from boxes are asked for."""
        return "diversity" in self.scores and set(self.scores) <= set(_OF_BOXES)

    @property
    def area_wanted(self) -> bool:
        """Whether the area covered is asked for."""
        return bool({_AREA, "all"} & set(self.scores))


def score(
    run: AnyRun, settings: ScoreSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Measure similarity and diversity of every pool image that could be read.

    Raises:
        SettingsError: no training has the name of `network`.
        DataError: an earlier stage has not run, or the pool is empty.
    """
    run = as_run(run)
    settings = settings or ScoreSettings()
    opened = OpenedRun(run)
    if dry_run:
        return StageResult("score", "planned", _plan(opened, settings).summary(run))
    read = {"images": run.images, "boxes": run.boxes, "taxonomy": run.taxonomy}
    read |= {"tags": run.tags} if run.tags.is_file() else {}
    if not settings.boxes_alone:
        read |= {"shards": run.shards, "mixture": run.mixture, "evidence": run.evidence}
    inputs: dict[str, Input] = dict(read)
    if settings.class_scores is not None:
        inputs["class_scores"] = settings.class_scores
    if settings.network:
        inputs["network"] = opened.checkpoint(settings.network)
    last, own = last_scored(run), own_columns(run)

    def work() -> tuple[dict[str, Any], int]:
        told: dict[str, str] | None = None
        near, kept, elsewhere = tables.empty(tables.some(tables.SCORES, *_NEAR)), 0, opened.pool.select("image_id")
        if not settings.boxes_alone:
            shaped_by = _shaped_by(run, settings)
            old, numbers = kept_scores(run, last, shaped_by, opened.pool.select("image_id"), _NEAR)
            near, kept = _all_near(opened, settings, old, numbers, track), old.height
            told = Scored(shaped_by, listed_shards(run.slices)["sha256"].to_list()).metadata()
            elsewhere = elsewhere.join(near, on="image_id", how="anti").join(_remote(run), on="image_id", how="semi")
        if near.is_empty() and elsewhere.is_empty():
            raise DataError(
                f"{run.folder}: the pool has no readable image. "
                f"Run `thresher index {quoted(run.folder)} --target … --pool FORMAT:ROOT` first."
            )
        diverse, frequencies = _diversities(opened, settings)
        areas, failed = _yield_areas(opened, near, diverse, settings, track)
        near = pl.concat([near, elsewhere], how="diagonal")
        scores = near.join(diverse, on="image_id", how="left").join(areas, on="image_id", how="left")
        scores = scores.sort("image_id").select(list(tables.SCORES))
        checked = tables.checked(scores, tables.SCORES, "scores", key="image_id")
        if own is not None:
            checked = checked.join(own, on="image_id", how="left", maintain_order="left")
        tables.write(checked, run.scores_path, told)
        return _summary(scores, frequencies) | {
            "scored_now": near.height - elsewhere.height - kept,
            "kept": kept,
            "not_embedded": elsewhere.height,
        }, failed

    reads = ["index"] if settings.boxes_alone else None
    return perform(run, "score", settings, inputs, [run.scores_path], work, reads=reads)


def _remote(run: Run) -> pl.DataFrame:
    """image_id of the images that are listed for a later download: they have scores from boxes before they are here."""
    return tables.read_if_there(run.remote, tables.some(tables.REMOTE, "image_id"))


def known_methods(run: Run) -> list[str]:
    """Methods of select: the combined ones, every score, and other numeric columns of the run's scores."""
    others = pl.read_parquet_schema(run.scores_path) if run.scores_path.is_file() else {}
    numeric = [name for name, kind in others.items() if kind.is_numeric()]
    return list(dict.fromkeys([*COMBINED, *(score.name for score in SCORES), *numeric]))


def _plan(opened: OpenedRun, settings: ScoreSettings) -> Plan:
    run, pool, scores = opened.run, opened.pool.height, len(settings.similarities)
    if not run.evidence.is_file() or not run.slices.is_dir():
        return score_plan(run, Slices.of(run), pool, scores)
    fitted, names = _fitted(opened)
    return score_plan(run, Slices.of(run), pool, scores, lambda block: _near(fitted, names, block, settings))


def _shaped_by(run: Run, settings: ScoreSettings) -> str:
    """Fingerprint of all that shapes an image's similarities but the image itself."""
    evidence = [digest_of(path) for path in (run.projection, run.mixture, run.evidence)]
    target = embedded_target(run.folder)
    shaped_by = [stage_named("score").version, settings.similarities, settings.neighbours, target, evidence]
    return hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()


def _all_near(
    opened: OpenedRun, settings: ScoreSettings, kept: pl.DataFrame, numbers: list[int], track: Track[Any]
) -> pl.DataFrame:
    """The similarities of the pool: those kept, and those of the shards of these numbers."""
    if not numbers:
        return kept
    fitted, names = _fitted(opened)
    blocks = track(read_blocks(opened.run.slices, numbers), len(numbers), "scoring")
    # No variables for the parts, so that their memory is free before diversity needs it.
    near = pl.concat([_near(fitted, names, block, settings) for block in blocks])
    near = near.join(opened.pool.select("image_id"), on="image_id", how="semi")
    return pl.concat([kept.select(near.columns), near])


def _fitted(opened: OpenedRun) -> tuple[FittedScorers, pl.Series]:
    """The fitted state, and the target's image ids in the order of its pooled vectors."""
    run = opened.run
    target = slices_of(run.slices, set(opened.target["image_id"].to_list()))
    fitted = load_fitted_scorers(run.evidence, load_mixture(run.mixture), target.pooled)
    return fitted, pl.Series(target.image_ids, dtype=pl.String)


def _near(fitted: FittedScorers, target_ids: pl.Series, block: SliceBlock, settings: ScoreSettings) -> pl.DataFrame:
    """The similarities of one shard's images, null where not asked for, and the target images nearest to each."""
    given = ScorerInput(fitted, block)
    # With one target image nothing can be held out, so typicality is undefined.
    known = [name for name in settings.similarities if name != "typicality" or len(fitted.held_out_nats)]
    columns = {name: pl.Series(SCORERS[name](given)) for name in known}
    absent = {name: pl.lit(None, pl.Float64) for name in SCORERS if name not in known}
    rows, _ = nearest_rows(block.pooled, fitted.pooled, settings.neighbours)
    nearest = target_ids.gather(rows.ravel()).reshape(rows.shape).arr.to_list()
    frame = pl.DataFrame({"image_id": block.image_ids, **columns, "nearest_ids": nearest})
    return frame.with_columns(**absent).select(_NEAR)


def _diversities(opened: OpenedRun, settings: ScoreSettings) -> tuple[pl.DataFrame, ClassFrequencies]:
    areas = covered_areas(counted_boxes(opened.lazy_boxes(), opened.classes)) if settings.area_wanted else None
    worths = _class_scores(settings.class_scores, opened.classes)
    frequencies = class_frequencies(opened.counts, opened.labelled.height, worths)
    return diversity_scores(opened.counts, areas, opened.labelled, frequencies.weights), frequencies


def _yield_areas(
    opened: OpenedRun, near: pl.DataFrame, diverse: pl.DataFrame, settings: ScoreSettings, track: Track[Any]
) -> tuple[pl.DataFrame, int]:
    """image_id and yield_area of the labelled images, and how many could not be read; no rows without a network."""
    if not settings.network:
        return tables.empty(tables.some(tables.SCORES, "image_id", "yield_area")), 0
    labelled = near.join(diverse, on="image_id", how="semi").select("image_id")
    return yield_areas(opened, settings.network, labelled, track)


def _class_scores(path: Path | None, known: tuple[str, ...]) -> dict[str, float] | None:
    if path is None:
        return None
    import tomllib

    worths = tomllib.loads(path.read_text("utf-8"))
    for name, worth in worths.items():
        if name not in known or not isinstance(worth, int | float) or worth < 0:
            raise SettingsError(
                f"{path}: {name} = {worth!r}: expected a class of interest ({', '.join(known)}) "
                "and a number, 0 or more."
            )
    return worths


def _summary(scores: pl.DataFrame, frequencies: ClassFrequencies) -> dict[str, Any]:
    quantiles = {
        name: [round(float(scores[name].quantile(q) or 0.0), 4) for q in (0.05, 0.5, 0.95)]
        for name in ("layout", "similarity", "cosine", "diversity")
        if scores[name].null_count() < scores.height
    }
    return {
        "images": scores.height,
        "without_boxes_to_count": scores["diversity"].null_count(),
        "quantiles_05_50_95": quantiles,
        "class_images": dict(frequencies.document_frequency),
        "class_weights": {name: round(weight, 3) for name, weight in frequencies.weights.items()},
    }
