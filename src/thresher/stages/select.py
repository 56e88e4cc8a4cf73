"""select: scores → selections/NAME.parquet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher import tables
from thresher.data.image_lists import LIST_SUFFIXES
from thresher.density.scorers import SCORERS
from thresher.errors import SettingsError
from thresher.run.folder import AnyRun, Run, as_run, check_name
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, perform
from thresher.run.stages import stage_named
from thresher.selection.audit import Side, audit_rows, chosen_side
from thresher.selection.audit_words import audit_warnings
from thresher.selection.choose import Selection, Wishes, chosen_from, refuse_unknown
from thresher.selection.constraints import parsed_quotas
from thresher.selection.coverage import Coverage, covered, parted, shortlist_count
from thresher.selection.explain import with_reasons
from thresher.selection.filters import Line, named, near_duplicates_of_better, of_other_datasets, ranked
from thresher.selection.methods import (
    DIVERSITY_WEIGHT,
    MEAN_RANKS,
    SEEDED,
    budget_count,
    ranking,
    why_unranked,
)
from thresher.selection.written import Budget, Quotas
from thresher.settings import Texts, converted, default, did_you_mean, younger
from thresher.stages.candidates import Candidates, candidates_of, list_path, read_list
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
    """Drop near-duplicates: from the best ranked down, each image with cosine >= this to one that stays, and images
    that near-duplicate a target image. 0 = off, 0.95 = same photo re-encoded or re-cropped."""
    review: str = ""
    """Name of a review saved in the explorer: its rejected images are left out, its pinned ones always chosen."""
    coverage: Coverage = younger("off")
    """Choose from the shortlist those that differ most and together cover it: by their vectors (images; cheaper:
    clusters), class by class (by_class), or with the shares that looks have in the target (modes)."""
    shortlist: str = younger("5x")
    """Coverage: how many of the best ranked to choose from: a multiple of the budget (5x), a number (2000) or a share
    of the candidates (20%)."""
    keep: Texts = younger(())
    """Lists of images that are always chosen and count towards budget and quotas: names of selections, or files
    (.txt with an id per line, .csv or .parquet with column image_id or the first, a COCO .json)."""
    exclude: Texts = younger(())
    """Lists of images that are never chosen, such as those used already: as for `keep`."""

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


def choose(candidates: Candidates, settings: SelectSettings, marks: pl.DataFrame) -> Selection:
    """The selection that the settings make: the ranking, what each step leaves of it, and the choice.

    Args:
        candidates: With the lists of the settings (`lists_in`).
        marks: image_id and mark, from `marks_of`.

    Raises:
        SettingsError: an unknown method, data set or class, fewer candidates than the budget, or images both kept and
            excluded.
        DataError: a pinned image is not in the pool.
    """
    quotas = parsed_quotas(settings.quotas, candidates.classes)
    lists = {text: found.image_ids for text, found in candidates.lists.items()}
    line = _filtered(candidates.scores, candidates.images, lists, settings, marks)
    if candidates.near is not None:
        line = line.without(near_duplicates_of_better(line, candidates.near), "near-duplicate")
    count = budget_count(settings.budget, line.height)
    if settings.coverage != "off" and candidates.looks is not None:
        shortlist = shortlist_count(settings.shortlist, count, line.order.height)
        looks, counts = candidates.looks, candidates.counts
        line = line.reordered(covered(line.order, settings.coverage, count, shortlist, looks, counts, line.always))
    wishes = Wishes(
        count, quotas, _always(lists, settings, marks), "rank" if settings.coverage == "off" else "coverage"
    )
    return chosen_from(line, wishes, candidates.counts)


def _filtered(
    scores: pl.DataFrame,
    images: pl.DataFrame,
    lists: Mapping[str, Sequence[str]],
    settings: SelectSettings,
    marks: pl.DataFrame,
) -> Line:
    """The ranking without all that is not wanted; it still contains near-duplicates."""
    always = _always(lists, settings, marks)
    refuse_unknown(always["pinned"], images["image_id"], "pinned", "Review the selection again in `thresher explore`.")
    found = ranking(scores, settings.method, settings.seed, settings.diversity_weight)
    if found.order.is_empty():
        raise SettingsError(f"method '{settings.method}': no image has this score.{_remedy(settings.method)}")
    line = ranked(found, why_unranked(settings.method), {*always["pinned"], *always["kept"]})
    line = line.without(named(_marked(marks, "rejected"), f"rejected in review {settings.review}"), "rejected")
    if settings.datasets:
        _refuse_unknown_datasets(images, settings.datasets)
        line = line.without(of_other_datasets(images, settings.datasets), "datasets")
    for text in settings.exclude:
        _refuse_both(lists[text], line.always, text)
        line = line.without(named(lists[text], f"listed in {text}"), "exclude")
    return line


def _marked(marks: pl.DataFrame, mark: str) -> list[str]:
    return marks.filter(mark=mark)["image_id"].to_list()


def _always(lists: Mapping[str, Sequence[str]], settings: SelectSettings, marks: pl.DataFrame) -> dict[str, set[str]]:
    """Ids of the images that are always chosen: those pinned, and those kept that are neither pinned nor rejected."""
    pinned, kept = set(_marked(marks, "pinned")), {each for text in settings.keep for each in lists[text]}
    return {"pinned": pinned, "kept": kept - pinned - set(_marked(marks, "rejected"))}


def _refuse_both(excluded: Sequence[str], always: Collection[str], text: str) -> None:
    both = sorted(set(excluded) & set(always))
    if both:
        raise SettingsError(
            f"exclude '{text}': {len(both)} of its images are kept or pinned as well (first: {both[0]}). "
            "Take them out of one of the two."
        )


def _remedy(method: str) -> str:
    if method == "yield_area":
        return " Run `thresher score RUN --network TRAINING` first."
    return f" Run `thresher score RUN --scores {method}` first." if method in (*SCORERS, "covered_area") else ""


def _refuse_unknown_datasets(images: pl.DataFrame, datasets: Sequence[str]) -> None:
    known = sorted(images["dataset"].unique())
    for name in datasets:
        if name not in known:
            raise SettingsError(f"datasets '{name}': no such data set in the pool.{did_you_mean(name, known)}")


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
        lists = {text: read_list(opened, text).image_ids for text in lists_in(settings)}
        candidates = _filtered(opened.scores, opened.pool, lists, settings, marks).order.height
        plan = select_plan(run, opened.scores.height, budget_count(settings.budget, candidates))
        return StageResult("select", "planned", {"name": name, "candidates": candidates} | plan.summary(run))
    read = {"scores": run.scores_path, "images": run.images, "boxes": run.boxes, "taxonomy": run.taxonomy}
    read |= {f"list {text}": list_path(opened, text) for text in lists_in(settings)}
    if settings.review:
        read["review"] = run.review(settings.review)
    if settings.duplicate_cosine or settings.coverage != "off":
        read["pooled"] = run.pooled

    def work() -> tuple[dict[str, Any], int]:
        candidates = candidates_for(opened, settings)
        made = choose(candidates, settings, review_marks(run, settings.review))
        taken = with_reasons(made.chosen, candidates.scores, candidates.counts, candidates.frequencies)
        checked = tables.checked(taken, tables.SELECTION, f"selection {name}", key="image_id")
        tables.write(checked, run.selection_path(name))
        return {"name": name, "method": settings.method} | _told(made, candidates, settings), 0

    others = [f"select:{text}" for text in lists_in(settings) if not text.endswith(LIST_SUFFIXES)]
    reads = [*stage_named("select").reads, *others]
    return perform(run, f"select:{name}", settings, read, [run.selection_path(name)], work, reads=reads)


def lists_in(settings: SelectSettings) -> tuple[str, ...]:
    """The lists of `keep` and `exclude`, each once."""
    return tuple(dict.fromkeys((*settings.keep, *settings.exclude)))


def candidates_for(opened: OpenedRun, settings: SelectSettings) -> Candidates:
    """Everything that `choose` needs for these settings.

    Raises:
        DataError: a stage has not run, or a list cannot be read.
        SettingsError: as `candidates_of`.
    """
    return candidates_of(opened, settings.duplicate_cosine, settings.coverage, lists_in(settings))


def _told(made: Selection, candidates: Candidates, settings: SelectSettings) -> dict[str, Any]:
    """The summary of a selection."""
    sets = candidates.images.join(made.chosen, on="image_id", how="semi")["dataset"].value_counts(sort=True)
    told: dict[str, Any] = {
        "images": made.chosen.height,
        "candidates": made.candidates.height,
        "not_ranked": made.removed_by("not ranked"),
        "datasets": dict(sets.sort(["count", "dataset"], descending=[True, False]).iter_rows()),
        "rare_classes": sorted(candidates.frequencies.rare),
    }
    pool = Side(candidates.images.select("image_id", "dataset"), candidates.counts)
    rows = audit_rows(chosen_side(pool, made.chosen["image_id"]), pool)
    told["audit"] = audit_warnings(rows, made.chosen.height, pool.images.height, candidates.frequencies.rare)
    if settings.coverage != "off":
        told["coverage"] = settings.coverage
    if settings.keep:
        told["kept"] = made.decided.filter(decision="kept").height
    if settings.exclude:
        told["excluded"] = made.removed_by("exclude")
    for text, found in candidates.lists.items():
        if found.unknown:
            some = f"{len(found.unknown)} of {len(found.unknown) + len(found.image_ids)} (first: {found.unknown[0]})"
            told[f"not_in_the_pool: {text}"] = some
    if settings.duplicate_cosine:
        told["near_duplicates_left_out"] = made.removed_by("near-duplicate")
    if made.unmet:
        told["quotas_not_met"] = {each: f"{there} of {asked}" for each, (there, asked) in made.unmet.items()}
    return told
