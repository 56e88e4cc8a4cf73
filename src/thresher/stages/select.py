"""select: scores → selections/NAME.parquet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.run.digests import Input
from thresher.run.folder import AnyRun, as_run, check_name
from thresher.run.lists import is_test, list_path, read_list, review_marks
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, as_json, perform
from thresher.run.state import outdated_of
from thresher.selection.choose import Selection, Wishes, chosen_apart, refuse_unknown
from thresher.selection.conditions import parsed_conditions
from thresher.selection.coverage import Coverage, covered, parted, shortlist_count
from thresher.selection.explain import with_reasons
from thresher.selection.facts import Facts
from thresher.selection.filters import (
    Apart,
    Line,
    always_chosen,
    excluded,
    marked,
    named,
    of_other_datasets,
    ranked,
)
from thresher.selection.methods import (
    DEFAULT_METHOD,
    DIVERSITY_WEIGHT,
    MEAN_RANKS,
    SEEDED,
    budget_count,
    combination_of,
    ranking,
    why_unranked,
)
from thresher.selection.object_cover import covered_by_objects
from thresher.selection.wishes import Kind, all_wishes
from thresher.selection.written import Budget, Quotas, WishTexts
from thresher.settings import OptionalPath, Texts, converted, default, younger
from thresher.stages.candidates import (
    Candidates,
    candidates_of,
    enough_of,
    facts_of,
    planned_selection,
    remedy,
    scores_with,
    shortlist_of,
    told_of,
)


@converted
@dataclass(frozen=True)
class SelectSettings:
    """Which images are chosen, and how many."""

    method: str = DEFAULT_METHOD
    """How the pool is ranked: layout_and_diversity, both, similar_among_diverse, holds_class, random; layout,
    similarity, ratio, typicality, cosine, nearest, rows, sphere, pooled_sphere, diversity, objects, classes,
    class_entropy_bits, covered_area, yield_area or another numeric column; 0.7*layout + 0.3*diversity (mean of ranks);
    pareto(layout, diversity) (fronts). METHOD+images chooses of the best ranked those that cover the most (any of
    --coverage)."""
    budget: Budget = default("10%")
    """How many images to choose: a number (500), or a share of the images that can be ranked (10%)."""
    seed: int = 0
    """Seed of methods random and holds_class; no effect on the other methods."""
    name: str = ""
    """Name of the selection. Default: METHOD-BUDGET."""
    diversity_weight: float = DIVERSITY_WEIGHT
    """Weight of the diversity rank, 0 to 1; similarity has the rest. Only for layout_and_diversity and both."""
    quotas: Quotas = default(())
    """CLASS=NUMBER: the older spelling of at_least, but asks for no more images than the candidates have."""
    datasets: Texts = default(())
    """Choose only from these data sets of the pool. Default: all."""
    duplicate_cosine: float = 0.0
    """Drop near-duplicates: from the best ranked down, each image with cosine >= this to one that stays, and images
    that near-duplicate a target image. 0 = off, 0.95 = same photo re-encoded or re-cropped. In large pools they are
    looked for only as far down as the choice goes."""
    review: str = ""
    """Name of a review saved in the explorer: its rejected images are left out, its pinned ones always chosen."""
    where: Texts = younger(())
    """Choose only images that pass these tests of columns: width_px >= 1280, dataset in kitti, camvid, path ~ night,
    joined by and. Null never passes."""
    columns: OptionalPath = younger(None)
    """Table of your own (.csv or .parquet with image_id), whose columns can be used like those of the run: in where and
    wishes, and as a method."""
    at_least: WishTexts = younger(())
    """CLASS=AMOUNT: at least this many images (20) or this share of the selection (10%) with the class; objects:CLASS
    counts its objects. COLUMN:VALUE=AMOUNT is of images with a value, such as dataset:kitti=30%, VALUE * of each. With
    a ? at the end: as far as it goes."""
    at_most: WishTexts = younger(())
    """As at_least, at most: sequence:*=20, folder:*=50, dataset:kitti=200."""
    share: WishTexts = younger(())
    """CLASS=SHARE or COLUMN:VALUE=SHARE: exactly this share: dataset:kitti=30%, dataset:*=uniform, class:*=target (as
    in the target)."""
    coverage: Literal["auto"] | Coverage = younger("auto")
    """Choose from the shortlist those that differ most and together cover it: by their vectors (images; cheaper:
    clusters), class by class (by_class), with the shares that looks have in the target (modes), or by what their boxes
    hold (objects: cuts them out, which takes as long as to embed as many images). auto: as the method's name says, else
    off."""
    shortlist: str = younger("auto")
    """Coverage: how many of the best ranked to choose from: a multiple of the budget (5x), a number (2000) or a share
    of the candidates (20%). auto: 5x, but no more than are as near as the target's own images are to each other."""
    keep: Texts = younger(())
    """Lists of images that are always chosen and count towards budget and quotas: names of selections, or files
    (.txt with an id per line, .csv or .parquet with column image_id or the first, a COCO .json), or a test of a
    column."""
    exclude: Texts = younger(())
    """Lists of images that are never chosen, such as those used already: as for `keep`."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: a value out of range, a weight that the method does not have, or a name that is no file name.
        """
        method, coverage = parted(self.method)
        if coverage and self.method != DEFAULT_METHOD and self.coverage not in ("auto", coverage):
            raise SettingsError(f"method = {self.method}, coverage = {self.coverage}: expected one coverage.")
        object.__setattr__(self, "method", method)
        if self.coverage == "auto":
            object.__setattr__(self, "coverage", coverage or "off")
        shortlist_count(self.shortlist, 1, 1)
        if not 0 <= self.diversity_weight <= 1:
            raise SettingsError(f"diversity_weight = {self.diversity_weight}: expected 0 to 1.")
        combination_of(self.method)
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
        method = re.sub(r"[^\w.+-]+", "-", self.method.replace(" ", "")).strip("-")
        return self.name or f"{method}{coverage}-{self.budget.replace('%', 'pct')}{seed}"


def choose(
    candidates: Candidates, settings: SelectSettings, marks: pl.DataFrame, compare_all: bool = False
) -> Selection:
    """The selection that the settings make: the ranking, what each step leaves of it, and the choice.

    Args:
        candidates: With the lists of the settings (`lists_in`).
        marks: image_id and mark, from `marks_of`.
        compare_all: Look for near-duplicates among all candidates, not only as far down as the choice goes: for
            whoever asks again with another budget. What is chosen is the same.

    Raises:
        SettingsError: an unknown method, data set or class, fewer candidates than the budget, or images both kept and
            excluded.
        DataError: a pinned image is not in the pool.
    """
    asked: Mapping[Kind, Sequence[str]] = {
        "at_least": settings.at_least,
        "at_most": settings.at_most,
        "share": settings.share,
    }
    wishes = all_wishes(asked, settings.quotas, candidates.facts)
    lists = {text: found.image_ids for text, found in candidates.lists.items()}
    line = _filtered(candidates.scores, candidates.images, candidates.facts, lists, settings, marks)
    line = line.without(named(candidates.guarded or (), "near-duplicate of an image of the guard"), "guard")
    apart = Apart.of(line, candidates.near, None if compare_all else enough_of(settings, line.height, candidates.alike))
    count = budget_count(settings.budget, apart.line.height)
    if settings.coverage != "off":
        apart = apart.reordered(_covered(apart.line, settings, count, candidates))
    by, always = "rank" if settings.coverage == "off" else "coverage", always_chosen(settings.keep, lists, marks)
    asked_for = Wishes(count, candidates.facts, wishes, always, by, candidates.target_share)
    return chosen_apart(apart, asked_for)


def _covered(line: Line, settings: SelectSettings, count: int, candidates: Candidates) -> pl.DataFrame:
    """The order of the candidates, those in front that together cover the most."""
    shortlist = shortlist_of(settings, count, line.order.height, candidates.alike)
    if settings.coverage == "objects":
        looks = candidates.objects([*line.order.head(shortlist)["image_id"], *line.always])
        return covered_by_objects(line.order, count, shortlist, looks, line.always)
    assert candidates.looks is not None, "candidates without coverage"
    return covered(line.order, settings.coverage, count, shortlist, candidates.looks, candidates.counts, line.always)


def _filtered(
    scores: pl.DataFrame,
    images: pl.DataFrame,
    facts: Facts,
    lists: Mapping[str, Sequence[str]],
    settings: SelectSettings,
    marks: pl.DataFrame,
) -> Line:
    """The ranking without all that is not wanted; it still contains near-duplicates."""
    always = always_chosen(settings.keep, lists, marks)
    refuse_unknown(always["pinned"], images["image_id"], "pinned", "Review the selection again in `thresher explore`.")
    found = ranking(scores, settings.method, settings.seed, settings.diversity_weight)
    if found.order.is_empty():
        raise SettingsError(f"method '{settings.method}': no image has this score.{remedy(settings.method, scores)}")
    line = ranked(found, why_unranked(settings.method), {*always["pinned"], *always["kept"]})
    line = line.without(named(marked(marks, "rejected"), f"rejected in review {settings.review}"), "rejected")
    if settings.datasets:
        line = line.without(of_other_datasets(images, settings.datasets), "datasets")
    if settings.where:
        line = line.without(facts.failing(line.order, parsed_conditions(settings.where)), "where")
    for text in settings.exclude:
        line = line.without(excluded(text, lists[text], line.always), "exclude")
    return line


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
        return _planned(opened, settings)
    read: dict[str, Input] = {
        "scores": run.scores_path,
        "images": run.images,
        "boxes": run.boxes,
        "taxonomy": run.taxonomy,
    }
    read |= {"tags": run.tags} if run.tags.is_file() else {}
    read |= {f"list {text}": list_path(opened, text) for text in lists_in(settings) if not is_test(text)}
    before = counted_before(opened, settings)
    read |= {f"chosen before: {each}": run.selection_path(each) for each in before}
    if run.facts.is_file() and any(name in text for name in tables.IMAGE_FACTS for text in texts_of(settings)):
        read["facts"] = run.facts
    if settings.columns is not None:
        read["columns"] = settings.columns
    if settings.review:
        read["review"] = run.review(settings.review)
    read |= opened.guard_inputs
    if settings.duplicate_cosine or settings.coverage != "off":
        read["pooled"] = run.pooled
    if settings.coverage == "objects":
        read |= {"embedded": run.embedded, "masks": run.masks}

    # What was chosen, and perhaps labelled, stays so however the pool has grown since: it may be outdated.
    lists = [f"select:{text}" for text in lists_in(settings) if run.selection_path(text).is_file()]
    outdated = [each.partition(":")[2] for each in outdated_of(run, lists)]

    def work() -> tuple[dict[str, Any], int]:
        candidates = candidates_for(opened, settings, before)
        made = choose(candidates, settings, review_marks(run, settings.review))
        taken = with_reasons(made.chosen, candidates.scores, candidates.counts, candidates.frequencies)
        checked = tables.checked(taken, tables.SELECTION, f"selection {name}", key="image_id")
        gone = _no_longer_chosen(run.selection_path(name), checked)
        tables.write(checked, run.selection_path(name))
        told = {"name": name, "method": settings.method} | told_of(made, candidates, settings)
        told |= {"no_longer_chosen": gone} if gone else {}
        told |= {"outdated_lists_as_they_stand": outdated} if outdated else {}
        return told | ({"chosen_before": list(before)} if before else {}), 0

    return perform(run, f"select:{name}", settings, read, [run.selection_path(name)], work)


def _no_longer_chosen(path: Path, chosen: pl.DataFrame) -> int:
    """How many images of the selection that is replaced are not in the new one, so that a run that grows says it."""
    if not path.is_file():
        return 0
    try:
        before = tables.read(path, tables.some(tables.SELECTION, "image_id"))
    except DataError:  # a damaged selection is made anew
        return 0
    return before.join(chosen, on="image_id", how="anti").height


def _planned(opened: OpenedRun, settings: SelectSettings) -> StageResult:
    """What a selection would take; nothing is compared and nothing cut out."""
    scores = scores_with(opened, settings.columns)
    facts = facts_of(opened, scores, counted_before(opened, settings))
    lists = {text: read_list(opened, text, facts).image_ids for text in lists_in(settings)}
    marks = review_marks(opened.run, settings.review)
    line = _filtered(scores, opened.pool, facts, lists, settings, marks)
    count = budget_count(settings.budget, line.height)
    told = {"name": settings.selection_name, "candidates": line.height}
    return StageResult("select", "planned", told | planned_selection(opened, settings, line.order, count))


def texts_of(settings: SelectSettings) -> tuple[str, ...]:
    """Everything in the settings that can name a column."""
    wishes = (*settings.at_least, *settings.at_most, *settings.share)
    return (*settings.where, *settings.keep, *settings.exclude, *wishes)


def lists_in(settings: SelectSettings) -> tuple[str, ...]:
    """The lists of `keep` and `exclude`, each once."""
    return tuple(dict.fromkeys((*settings.keep, *settings.exclude)))


def candidates_for(opened: OpenedRun, settings: SelectSettings, before: Sequence[str] | None = None) -> Candidates:
    """Everything that `choose` needs for these settings.

    Args:
        before: From `counted_before`; by default worked out here.

    Raises:
        DataError: a stage has not run, or a list cannot be read.
        SettingsError: as `candidates_of`.
    """
    return candidates_of(
        opened,
        settings.duplicate_cosine,
        settings.coverage,
        lists_in(settings),
        settings.columns,
        counted_before(opened, settings) if before is None else before,
    )


def counted_before(opened: OpenedRun, settings: SelectSettings) -> tuple[str, ...]:
    """The selections of which column chosen_before counts the images; none where no setting names it.

    Those that there were when this selection was first made with these settings, so that later ones do not change it.
    """
    if not any("chosen_before" in text for text in texts_of(settings)):
        return ()
    name = settings.selection_name
    last = opened.run.recorded().get(f"select:{name}", {})
    if last.get("settings") == as_json(settings):
        return tuple(
            each for each in last.get("summary", {}).get("chosen_before", ()) if each in opened.selection_names
        )
    return tuple(each for each in opened.selection_names if each != name)
