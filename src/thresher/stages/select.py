"""select: scores → selections/NAME.parquet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from thresher import tables
from thresher.density.scorers import SCORERS
from thresher.errors import SettingsError
from thresher.run.folder import AnyRun, Run, as_run, check_name
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, perform
from thresher.selection.audit import Side, audit_rows, chosen_side
from thresher.selection.audit_words import audit_warnings
from thresher.selection.choose import Selection, Wishes, chosen_from, refuse_unknown
from thresher.selection.constraints import parsed_quotas
from thresher.selection.coverage import Coverage, covered, parted, shortlist_count
from thresher.selection.explain import with_reasons
from thresher.selection.methods import (
    DIVERSITY_WEIGHT,
    MEAN_RANKS,
    SEEDED,
    budget_count,
    ranking,
)
from thresher.selection.written import Budget, Quotas
from thresher.settings import Texts, converted, default, younger
from thresher.stages.candidates import Candidates, candidates_of
from thresher.stages.plan import select_plan

#: Marks of a review: accepted (good), rejected (never choose), pinned (always choose).
MARKS = ("accepted", "rejected", "pinned")


@converted
@dataclass(frozen=True)
class SelectSettings:
    """Which images are chosen, and how many."""

    method: str = "layout_and_diversity"
    """How the pool is ranked: layout_and_diversity, both (similarity and diversity), random, or any score by name.
    METHOD+COVERAGE, such as layout+images, sets coverage too."""
    budget: Budget = default("10%")
    """How many images to choose: a number (500), or a share of the images that can be ranked (10%)."""
    seed: int = 0
    """Seed of methods random and holds_class; no effect on the other methods."""
    name: str = ""
    """Name of the selection. Default: METHOD-BUDGET."""
    diversity_weight: float = DIVERSITY_WEIGHT
    """Weight of the diversity rank, 0 to 1; similarity has the rest. Only for layout_and_diversity and both."""
    quotas: Quotas = default(())
    """CLASS=NUMBER: choose at least this many images with this class, if the pool has them; the best ranked first."""
    datasets: Texts = default(())
    """Choose only from these data sets of the pool. Default: all."""
    duplicate_cosine: float = 0.0
    """Drop near-duplicates: keep the best image of each cluster with cosine >= this, and drop images that
    near-duplicate a target image. 0 = off, 0.95 = same photo re-encoded or re-cropped."""
    review: str = ""
    """Name of a review saved in the explorer: its rejected images are left out, its pinned ones always chosen."""
    coverage: Coverage = younger("off")
    """Choose from the shortlist those that differ most and together cover it: by their vectors (images; cheaper:
    clusters), class by class (by_class), or with the shares that looks have in the target (modes)."""
    shortlist: str = younger("5x")
    """Coverage: how many of the best ranked to choose from: a multiple of the budget (5x), a number (2000) or a share
    of the candidates (20%)."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: a value out of range, a weight that the method does not have, or a name that is no file name.
        """
        method, coverage = parted(self.method)
        if coverage:
            if self.coverage not in ("off", coverage):
                raise SettingsError(f"method = {self.method}, coverage = {self.coverage}: expected one coverage.")
            object.__setattr__(self, "method", method)
            object.__setattr__(self, "coverage", coverage)
        shortlist_count(self.shortlist, 1, 1)
        if not 0 <= self.diversity_weight <= 1:
            raise SettingsError(f"diversity_weight = {self.diversity_weight}: expected 0 to 1.")
        if self.method not in MEAN_RANKS and self.diversity_weight != DIVERSITY_WEIGHT:
            raise SettingsError(f"diversity_weight: method '{self.method}' has none. Use {' or '.join(MEAN_RANKS)}.")
        if not 0 <= self.duplicate_cosine <= 1:
            raise SettingsError(f"duplicate_cosine = {self.duplicate_cosine}: expected 0 (off) to 1, such as 0.95.")
        for name in filter(None, (self.selection_name, self.review)):
            check_name(name)

    @property
    def selection_name(self) -> str:
        """The name given, or METHOD+COVERAGE-BUDGET, with the seed where it matters."""
        seed = f"-seed{self.seed}" if self.method in SEEDED else ""
        coverage = "" if self.coverage == "off" else f"+{self.coverage}"
        return self.name or f"{self.method}{coverage}-{self.budget.replace('%', 'pct')}{seed}"


@dataclass(frozen=True)
class _Ranked:
    """The candidates, best first by the method, and how many images have no score to be ranked by."""

    order: pl.DataFrame
    not_ranked: int


def choose(candidates: Candidates, settings: SelectSettings, marks: pl.DataFrame) -> tuple[Selection, int]:
    """The selection that the settings make, and how many images have no score to be ranked by.

    Args:
        marks: image_id and mark, from `marks_of`.

    Raises:
        SettingsError: an unknown method, data set or class, or fewer candidates than the budget.
        DataError: a pinned image is not in the pool.
    """
    quotas = parsed_quotas(settings.quotas, candidates.classes)
    found = _ranked(candidates.scores, candidates.datasets, settings, marks)
    wishes = Wishes(settings.budget, quotas, marks.filter(mark="pinned")["image_id"].to_list())
    covering = None
    if settings.coverage != "off" and candidates.looks is not None:
        covering = partial(_covered, candidates=candidates, settings=settings, pinned=wishes.pinned)
    return chosen_from(found.order, wishes, candidates.counts, candidates.clusters, covering), found.not_ranked


def _covered(
    order: pl.DataFrame, count: int, candidates: Candidates, settings: SelectSettings, pinned: Collection[str]
) -> pl.DataFrame:
    assert candidates.looks is not None
    shortlist = shortlist_count(settings.shortlist, count, order.height)
    return covered(order, settings.coverage, count, shortlist, candidates.looks, candidates.counts, pinned)


def _ranked(scores: pl.DataFrame, datasets: pl.DataFrame, settings: SelectSettings, marks: pl.DataFrame) -> _Ranked:
    """The ranking without rejected images and other data sets; it still contains near-duplicates."""
    pinned, rejected = (marks.filter(mark=mark)["image_id"].to_list() for mark in ("pinned", "rejected"))
    refuse_unknown(pinned, datasets["image_id"], "pinned", "Review the selection again in `thresher explore`.")
    found = ranking(scores, settings.method, settings.seed, settings.diversity_weight)
    if found.order.is_empty():
        raise SettingsError(f"method '{settings.method}': no image has this score.{_remedy(settings.method)}")
    order = found.order.filter(~pl.col("image_id").is_in(rejected))
    if settings.datasets:
        order = _of_datasets(order, datasets, settings.datasets)
    return _Ranked(order, found.not_ranked)


def _remedy(method: str) -> str:
    if method == "yield_area":
        return " Run `thresher score RUN --network TRAINING` first."
    return f" Run `thresher score RUN --scores {method}` first." if method in (*SCORERS, "covered_area") else ""


def _of_datasets(order: pl.DataFrame, owners: pl.DataFrame, datasets: tuple[str, ...]) -> pl.DataFrame:
    known = sorted(owners["dataset"].unique())
    for name in datasets:
        if name not in known:
            raise SettingsError(f"datasets '{name}': no such data set in the pool. Known: {', '.join(known)}.")
    own = owners.filter(pl.col("dataset").is_in(list(datasets)))
    return order.join(own, on="image_id", how="semi", maintain_order="left")


def marks_of(review: pl.DataFrame) -> pl.DataFrame:
    """The last mark of each image (image_id, mark), from table REVIEW."""
    marks = review.filter(what="mark").group_by("image_id", maintain_order=True).agg(mark=pl.col("value").last())
    return marks.filter(pl.col("mark").is_in(MARKS))


def review_marks(run: Run, name: str) -> pl.DataFrame:
    """The marks of the review with this name; empty if the name is empty.

    Raises:
        DataError: no review has this name.
    """
    return marks_of(tables.read(run.review(name), tables.REVIEW) if name else tables.empty(tables.REVIEW))


def select(run: AnyRun, settings: SelectSettings | None = None, *, dry_run: bool = False) -> StageResult:
    """Choose images from the pool, with the reasons for each.

    Raises:
        SettingsError: the budget exceeds the images that can be ranked, or quotas and pins exceed the budget.
        DataError: score has not run, or no review has this name.
    """
    run = as_run(run)
    settings = settings or SelectSettings()
    name = settings.selection_name
    opened = OpenedRun(run)
    if dry_run:
        marks = review_marks(run, settings.review)
        candidates = _ranked(opened.scores, opened.pool, settings, marks).order.height
        plan = select_plan(run, opened.scores.height, budget_count(settings.budget, candidates))
        return StageResult("select", "planned", {"name": name, "candidates": candidates} | plan.summary(run))
    read = {"scores": run.scores_path, "images": run.images, "boxes": run.boxes, "taxonomy": run.taxonomy}
    if settings.review:
        read["review"] = run.review(settings.review)
    if settings.duplicate_cosine or settings.coverage != "off":
        read["pooled"] = run.pooled

    def work() -> tuple[dict[str, Any], int]:
        candidates = candidates_of(opened, settings.duplicate_cosine, settings.coverage)
        made, not_ranked = choose(candidates, settings, review_marks(run, settings.review))
        taken = with_reasons(made.chosen, candidates.scores, candidates.counts, candidates.frequencies)
        checked = tables.checked(taken, tables.SELECTION, f"selection {name}", key="image_id")
        tables.write(checked, run.selection_path(name))
        sets = candidates.datasets.join(taken, on="image_id", how="semi")["dataset"].value_counts(sort=True)
        summary = {
            "name": name,
            "method": settings.method,
            "images": taken.height,
            "candidates": made.candidates.height,
            "not_ranked": not_ranked,
            "datasets": dict(sets.sort(["count", "dataset"], descending=[True, False]).iter_rows()),
            "rare_classes": sorted(candidates.frequencies.rare),
        }
        pool = Side(candidates.datasets, candidates.counts)
        rows = audit_rows(chosen_side(pool, taken["image_id"]), pool)
        summary["audit"] = audit_warnings(rows, taken.height, pool.images.height, candidates.frequencies.rare)
        if settings.coverage != "off":
            summary["coverage"] = settings.coverage
        if settings.duplicate_cosine:
            summary["near_duplicates_left_out"] = made.duplicates
        if made.unmet:
            summary["quotas_not_met"] = {each: f"{there} of {asked}" for each, (there, asked) in made.unmet.items()}
        return summary, 0

    return perform(run, f"select:{name}", settings, read, [run.selection_path(name)], work)
