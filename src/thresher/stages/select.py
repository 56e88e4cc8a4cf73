"""select: scores → selections/NAME.parquet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.run.contents import NAME, pool_of
from thresher.run.folder import Run
from thresher.run.perform import StageResult, file_digest, perform
from thresher.selection.constraints import Constrained, constrained, parsed_quotas
from thresher.selection.explain import with_reasons
from thresher.selection.methods import DIVERSITY_WEIGHT, MEAN_RANKS, METHODS, Ranking, budget_count, ranking
from thresher.selection.written import Budget, Quotas
from thresher.settings import Texts, converted, default
from thresher.stages.candidates import LIKE_TARGET, Candidates, read_candidates
from thresher.stages.plan import select_plan

#: What a person can mark an image as: looked at and good, never to be taken, always to be taken.
MARKS = ("accepted", "rejected", "pinned")


@converted
@dataclass(frozen=True)
class SelectSettings:
    """Which images are taken, and how many."""

    method: str = "layout_and_diversity"
    """How the pool is ranked: layout (the best similarity), diversity, similarity and both (the paper's), …"""
    budget: Budget = default("10%")
    """How many: a number (500), or a share of the images that can be ranked (10%)."""
    seed: int = 0
    """Seed of `random`; the other methods use none."""
    name: str = ""
    """What to call the selection; METHOD-BUDGET by default."""
    diversity_weight: float = DIVERSITY_WEIGHT
    """For layout_and_diversity and both: what the rank by diversity weighs, 0 to 1; similarity weighs the rest."""
    quotas: Quotas = default(())
    """CLASS=NUMBER: at least so many of the chosen images hold this class; the best ranked that do are taken first."""
    datasets: Texts = default(())
    """Choose from these data sets of the pool alone."""
    duplicate_cosine: float = 0.0
    """Take one of images whose pooled vectors have this cosine or more, and none so like the target; 0: take all."""
    review: str = ""
    """A review saved by the explorer: what was rejected there is left out, what was pinned is always taken."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: unknown method, a weight that it does not have, or a name that is no plain file name.
        """
        if self.method not in METHODS:
            raise SettingsError(f"method '{self.method}': unknown. Known: {', '.join(METHODS)}.")
        if not 0 <= self.diversity_weight <= 1:
            raise SettingsError(f"diversity_weight = {self.diversity_weight}: expected 0 to 1.")
        if self.method not in MEAN_RANKS and self.diversity_weight != DIVERSITY_WEIGHT:
            raise SettingsError(f"diversity_weight: method '{self.method}' has none; {', '.join(MEAN_RANKS)} have.")
        if not 0 <= self.duplicate_cosine <= 1:
            raise SettingsError(f"duplicate_cosine = {self.duplicate_cosine}: expected 0 (off) to 1, such as 0.95.")
        for name in filter(None, (self.selection_name, self.review)):
            if not NAME.fullmatch(name):
                raise SettingsError(f"name '{name}': expected letters, digits, '.', '-', '+' or '_'.")

    @property
    def selection_name(self) -> str:
        """The name given, or METHOD-BUDGET, with the seed where it matters."""
        seed = f"-seed{self.seed}" if self.method == "random" else ""
        return self.name or f"{self.method}-{self.budget.replace('%', 'pct')}{seed}"


@dataclass(frozen=True)
class Chosen(Constrained):
    """The chosen images, out of how many, and how many had no score to be ranked by."""

    candidates: pl.DataFrame
    """All that could be chosen, best first: image_id, rank, score."""
    not_ranked: int
    duplicates: int = 0
    """How many images were left out for being like a better one, or like the target."""


def chosen(candidates: Candidates, settings: SelectSettings, marks: pl.DataFrame) -> Chosen:
    """What the settings choose.

    Args:
        marks: image_id and mark, from `marks_of`.

    Raises:
        SettingsError: an unknown data set or class, no candidate, or a budget for which there are too few.
        DataError: an image that is not in the pool is pinned.
    """
    quotas = parsed_quotas(settings.quotas, candidates.classes)
    pinned = marks.filter(mark="pinned")["image_id"]
    found = _ranked(candidates.scores, candidates.datasets, settings, marks)
    order, before = found.order, found.order.height
    if candidates.clusters is not None:
        order = _once(order, candidates.clusters, pinned)
    order = order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64))
    unranked = int((~pinned.is_in(order["image_id"].implode())).sum())
    count = budget_count(settings.budget, order.height + unranked)
    made = constrained(order, count, _holders(order, candidates.counts, quotas), quotas, pinned.to_list())
    return Chosen(made.chosen, made.unmet, order, found.not_ranked, before - order.height)


def _ranked(scores: pl.DataFrame, datasets: pl.DataFrame, settings: SelectSettings, marks: pl.DataFrame) -> Ranking:
    """The ranking without what is rejected or of another data set than asked for; near-duplicates are still in it."""
    pinned, rejected = (marks.filter(mark=mark)["image_id"] for mark in ("pinned", "rejected"))
    gone = pinned.filter(~pinned.is_in(datasets["image_id"].implode()))
    if len(gone):
        raise DataError(f"review: {len(gone)} pinned images are not in the pool (first: {gone[0]}). Review it again.")
    found = ranking(scores, settings.method, settings.seed, settings.diversity_weight)
    if found.order.is_empty():
        needed = " Run score --network TRAINING first." if settings.method == "yield" else ""
        raise SettingsError(f"method '{settings.method}': no image has what it ranks by.{needed}")
    order = found.order.filter(~pl.col("image_id").is_in(rejected.implode()))
    if settings.datasets:
        order = _of_datasets(order, datasets, settings.datasets)
    return Ranking(order, found.not_ranked)


def _once(order: pl.DataFrame, clusters: pl.DataFrame, pinned: pl.Series) -> pl.DataFrame:
    """The order with one image of each cluster, the best, or those that are pinned; none of what is like the target."""
    own = order.join(clusters, on="image_id", how="left", maintain_order="left")
    by_hand = pl.col("image_id").is_in(pinned.implode())
    first = by_hand | (~by_hand.any().over("cluster") & (pl.col("rank") == pl.col("rank").min().over("cluster")))
    # An image that embed could not read is in no cluster.
    kept = pl.when(pl.col("cluster") == LIKE_TARGET).then(by_hand).otherwise(pl.col("cluster").is_null() | first)
    return own.filter(kept).drop("cluster")


def _of_datasets(order: pl.DataFrame, owners: pl.DataFrame, datasets: tuple[str, ...]) -> pl.DataFrame:
    known = sorted(owners["dataset"].unique())
    for name in datasets:
        if name not in known:
            raise SettingsError(f"datasets '{name}': no such data set in the pool. Known: {', '.join(known)}.")
    own = owners.filter(pl.col("dataset").is_in(list(datasets)))
    return order.join(own, on="image_id", how="semi", maintain_order="left")


def _holders(order: pl.DataFrame, counts: pl.DataFrame, quotas: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Of each class with a quota, which rows of the order hold an object of it."""
    if not quotas:
        return {}
    held = order.select("image_id").join(counts, on="image_id", how="left", maintain_order="left")
    return {name: (held[name].fill_null(0) > 0).to_numpy() for name in quotas}


def marks_of(review: pl.DataFrame) -> pl.DataFrame:
    """What each image is marked as in the end (image_id, mark), from table REVIEW."""
    marks = review.filter(what="mark").group_by("image_id", maintain_order=True).agg(mark=pl.col("value").last())
    return marks.filter(pl.col("mark").is_in(MARKS))


def review_marks(run: Run, name: str) -> pl.DataFrame:
    """The marks of the review of that name; none without a name.

    Raises:
        DataError: there is no such review.
    """
    return marks_of(tables.read(run.review(name), tables.REVIEW) if name else tables.empty(tables.REVIEW))


def settings_from(recorded: Mapping[str, Any]) -> SelectSettings:
    """The settings that a manifest recorded; those younger than it are at their default."""
    known = {field.name for field in dataclasses.fields(SelectSettings)}
    told: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items() if name in known
    }
    return SelectSettings(**told)


def select(run: Run, settings: SelectSettings | None = None, *, dry_run: bool = False) -> StageResult:
    """Choose images from the pool and say why each was chosen.

    Raises:
        SettingsError: the budget asks for more than can be ranked, or quotas and pins for more than the budget.
        DataError: score has not run, or there is no such review.
    """
    settings = settings or SelectSettings()
    name = settings.selection_name
    if dry_run:
        scores = tables.read(run.scores, tables.SCORES, key="image_id")
        candidates = _ranked(scores, pool_of(run), settings, review_marks(run, settings.review)).order.height
        plan = select_plan(run, scores.height, budget_count(settings.budget, candidates))
        return StageResult("select", "planned", {"name": name, "candidates": candidates} | plan.told(run))
    read = {"scores": run.scores, "images": run.images, "boxes": run.boxes, "taxonomy": run.taxonomy}
    if settings.review:
        read["review"] = run.review(settings.review)
    if settings.duplicate_cosine:
        read["pooled"] = run.pooled
    inputs = {key: file_digest(path) for key, path in read.items()}

    def work() -> tuple[dict[str, Any], int]:
        candidates = read_candidates(run, settings.duplicate_cosine)
        made = chosen(candidates, settings, review_marks(run, settings.review))
        taken = with_reasons(made.chosen, candidates.scores, candidates.counts, candidates.frequencies)
        tables.write(tables.checked(taken, tables.SELECTION, f"selection {name}", key="image_id"), run.selection(name))
        sets = candidates.datasets.join(taken, on="image_id", how="semi")["dataset"].value_counts(sort=True)
        told = {
            "name": name,
            "method": settings.method,
            "images": taken.height,
            "candidates": made.candidates.height,
            "not_ranked": made.not_ranked,
            "datasets": dict(sets.sort(["count", "dataset"], descending=[True, False]).iter_rows()),
            "rare_classes": sorted(candidates.frequencies.rare),
        }
        if settings.duplicate_cosine:
            told["near_duplicates_left_out"] = made.duplicates
        if made.unmet:
            told["quotas_not_met"] = {each: f"{there} of {asked}" for each, (there, asked) in made.unmet.items()}
        return told, 0

    return perform(run, f"select:{name}", settings, inputs, [run.selection(name)], work)
