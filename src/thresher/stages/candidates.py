"""The input of `select`, read once from a run and independent of most of its settings; and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.data.image_lists import Matched, read_columns
from thresher.data.label_maps import class_pixels
from thresher.density.fitted_scorers import alike_share_of
from thresher.density.scorers import SCORERS
from thresher.errors import DataError, SettingsError, quoted
from thresher.features.object_vectors import cropping, object_looks
from thresher.run.lists import read_list
from thresher.run.opened import OpenedRun
from thresher.run.perform import untracked
from thresher.selection.audit import Side, audit_rows, chosen_side
from thresher.selection.audit_words import audit_warnings
from thresher.selection.choose import Selection, no_target
from thresher.selection.compared import Compared
from thresher.selection.coverage import Looks, enough_apart, shortlist_count
from thresher.selection.diversity import ClassFrequencies
from thresher.selection.facts import Facts
from thresher.selection.methods import MEAN_RANKS, combination_of
from thresher.selection.object_cover import ObjectLooks, no_crops
from thresher.selection.redundancy import EXACT_ROWS, Near, like_any
from thresher.selection.wishes import Wish
from thresher.stages.plan import select_plan, timed_images
from thresher.workers.settings import EngineSettings

#: A dry run times images out of so many.
_TIMED_IMAGES = 32


@dataclass(frozen=True)
class Candidates:
    """Everything `select` needs to choose.

    Depends only on `duplicate_cosine`, the lists, and on whether there is a coverage, so it can be cached across other
    settings.
    """

    scores: pl.DataFrame
    """Table SCORES."""
    images: pl.DataFrame
    """The pool's rows of table INDEXED_IMAGES."""
    counts: pl.DataFrame
    """Objects per class of each image (`class_counts`)."""
    frequencies: ClassFrequencies
    classes: tuple[str, ...]
    """The classes of interest."""
    near: Near | None = None
    """What near-duplicates are found from; None if they are not dropped."""
    guarded: frozenset[str] | None = None
    """Ids of the pool's images that nearly are one of the guard's; None without a guard."""
    looks: Looks | None = None
    """Pooled vectors of pool and target; None without coverage."""
    objects: Callable[[Sequence[str]], ObjectLooks] = no_crops
    """Vectors of the objects of these images and of the target's; cuts out what is not kept in the run yet."""
    alike: float | None = None
    """Share of the pool that is as near to the target as its own images are to each other; None if not known, or
    without coverage."""
    lists: Mapping[str, Matched] = field(default_factory=dict)
    """The images that each list of `keep` and `exclude` names, by the list as written."""
    facts: Facts = field(default_factory=lambda: Facts(()))
    """All columns that `where`, lists and wishes can name."""
    target_share: Callable[[Wish], Mapping[str, float]] = no_target
    """For shares as in the target."""


def candidates_of(
    opened: OpenedRun,
    duplicate_cosine: float = 0.0,
    coverage: str = "off",
    lists: Iterable[str] = (),
    columns: Path | None = None,
    before: Sequence[str] = (),
) -> Candidates:
    """Everything `select` needs to choose.

    Args:
        lists: Those of settings `keep` and `exclude`.
        columns: A table of the user's own with image_id, whose columns are added to the scores.
        before: Names of the selections of which column `chosen_before` counts the images.

    Raises:
        DataError: score has not run, a list cannot be read, or, if near-duplicates are dropped or with coverage, embed
            has not run.
        SettingsError: no selection has the name of a list.
    """
    scores = scores_with(opened, columns)
    facts = facts_of(opened, scores, before)
    return Candidates(
        scores,
        opened.pool,
        opened.counts,
        opened.frequencies,
        opened.classes,
        near_of(opened, duplicate_cosine) if duplicate_cosine else None,
        opened.guarded if opened.guard.height else None,
        None if coverage == "off" else looks_of(opened),
        partial(object_looks, opened),
        None if coverage == "off" else alike_of(opened),
        {text: read_list(opened, text, facts) for text in lists},
        facts,
        lambda wish: target_share(opened, wish),
    )


def facts_of(opened: OpenedRun, scores: pl.DataFrame, before: Sequence[str] = ()) -> Facts:
    """All columns that can be named of the pool's images.

    Args:
        scores: From `scores_with`.
        before: Names of the selections of which column chosen_before counts the images.
    """
    further = {"chosen_before": lambda: chosen_before(opened, before)}
    further |= {name: partial(image_fact, opened, name) for name in tables.IMAGE_FACTS if name != "image_id"}
    return Facts((opened.pool, scores), opened.classes, lambda: opened.counts, further)


def scores_with(opened: OpenedRun, columns: Path | None) -> pl.DataFrame:
    """Table SCORES with the columns of a table of the user's own.

    Raises:
        DataError: score has not run, the file cannot be read, or names no image of the pool.
    """
    if columns is None:
        return opened.scores
    own = read_columns(columns)
    taken = [name for name in own.columns if name in (*opened.scores.columns, *opened.pool.columns)]
    if others := [name for name in taken if name != "image_id"]:
        raise DataError(f"{columns}: column '{others[0]}' is a column of the run already. Give it another name.")
    if opened.pool.join(own, on="image_id", how="semi").is_empty():
        raise DataError(f"{columns}: none of its image_ids is in the pool (first: {own['image_id'][0]}).")
    return opened.scores.join(own, on="image_id", how="left", maintain_order="left")


def image_fact(opened: OpenedRun, name: str) -> pl.DataFrame:
    """image_id and a column of table IMAGE_FACTS.

    Raises:
        DataError: embed has not worked it out of any image.
    """
    path = opened.run.facts
    found = tables.read_if_there(path, tables.some(tables.IMAGE_FACTS, "image_id", name))
    if found[name].count() == 0:
        raise DataError(
            f"{path}: {name} is not known of any image. If an older release embedded them, delete {opened.run.slices} "
            f"and run the same `thresher embed {quoted(opened.run.folder)} …` again: it embeds them anew. "
            "Vectors of your own come without it: give it by --columns."
        )
    return found


def chosen_before(opened: OpenedRun, names: Iterable[str]) -> pl.DataFrame:
    """image_id and in how many of these selections each image of the pool is."""
    frames = [tables.read(opened.run.selection_path(name), tables.some(tables.SELECTION, "image_id")) for name in names]
    counted = pl.concat([pl.DataFrame(schema={"image_id": pl.String}), *frames]).group_by("image_id").len()
    found = opened.pool.select("image_id").join(counted, on="image_id", how="left", maintain_order="left")
    return found.select("image_id", chosen_before=pl.col("len").fill_null(0).cast(pl.Int64))


def target_share(opened: OpenedRun, wish: Wish) -> dict[str, float]:
    """By class or value of a column, its share of the target's images, or of its objects, 0..1.

    Raises:
        SettingsError: the target has no such column, or neither boxes nor masks.
        DataError: no mask of it can be read, or none shows a class of interest.
    """
    target = opened.target
    if wish.column != "class":
        known = Facts((target,))
        if wish.objects or wish.column not in known.columns:
            raise SettingsError(
                f"{wish.text(wish.value)}: the target's share is known of classes and of {', '.join(known.columns)}."
            )
        values = known.of(target, [wish.column])[wish.column].drop_nulls().cast(pl.String)
        return {value: count / len(values) for value, count in values.value_counts().iter_rows()}
    counts, classes = opened.target_counts, opened.classes
    if counts.height:
        held = counts.select(pl.col(list(classes)).cast(pl.Float64))
        objects = {name: float(held[name].sum()) for name in classes}
        if wish.objects:
            return {name: number / max(1.0, sum(objects.values())) for name, number in objects.items()}
        return {name: float((held[name] > 0).sum()) / target.height for name in classes}
    masks = opened.masks.join(target, on="image_id", how="semi").sort("image_id")
    if wish.objects or masks.is_empty():
        raise SettingsError(f"{wish.text(wish.value)}: the target has no boxes to count. Give the share: 30%.")
    paths = [(Path(path), encoding) for path, encoding in masks.select("path", "encoding").iter_rows()]
    _, images, read = class_pixels(paths, opened.taxonomy)
    names = [each.name for each in opened.taxonomy.classes]
    shares = {name: int(number) / max(1, read) for name, number in zip(names, images, strict=True) if name in classes}
    if not any(shares.values()):
        shown = f"{read:,} of its {masks.height:,} masks can be read, and none of these shows a class of interest"
        raise DataError(
            f"{wish.text(wish.value)}: the target's share is not known: {shown} ({paths[0][0]}). Check them with "
            f"`thresher audit`, or give the share: 30%."
        )
    return shares


def looks_of(opened: OpenedRun) -> Looks:
    """Pooled vectors of pool and target.

    Raises:
        DataError: embed has not run.
    """
    return Looks(*opened.vectors(opened.pool), opened.vectors(opened.target)[1])


def alike_of(opened: OpenedRun) -> float | None:
    """Share of the pool that is as near to the target as its own images are to each other; None if not known."""
    return alike_share_of(opened.run.evidence) if opened.run.evidence.is_file() else None


def is_by_likeness(method: str) -> bool:
    """Whether the ranking by a method is one by likeness to the target, alone or beside diversity."""
    return method in SCORERS or method in MEAN_RANKS


def remedy(method: str, scores: pl.DataFrame) -> str:
    """What to do where a method can rank no image, to stand behind the error's first sentence; may be empty."""
    combination = combination_of(method)
    names = list(combination.weights) if combination else [method]
    if "diversity" in names and scores["diversity"].null_count() == scores.height:
        other = next((name for name in names if name != "diversity"), "layout")
        return f" The pool has no boxes, which diversity counts: use --method {other}+images."
    if "yield_area" in names:
        return " Run `thresher score RUN --network TRAINING` first."
    asked = [name for name in names if name in (*SCORERS, "covered_area")]
    return f" Run `thresher score RUN --scores {','.join(asked)}` first." if asked else ""


def shortlist_of(settings: Any, count: int, candidates: int, alike: float | None) -> int:
    """How many of the best coverage looks at; what is alike counts where the ranking is one by likeness.

    Args:
        settings: `SelectSettings`.
        alike: From `alike_of`.
    """
    return shortlist_count(settings.shortlist, count, candidates, alike if is_by_likeness(settings.method) else None)


def enough_of(settings: Any, candidates: int, alike: float | None) -> int | None:
    """How many images that are no near-duplicates suffice to choose from; arguments as of `shortlist_of`."""
    alike = alike if is_by_likeness(settings.method) else None
    return enough_apart(settings.budget, settings.coverage, settings.shortlist, candidates, alike)


def near_of(opened: OpenedRun, cosine: float) -> Near:
    """What near-duplicates among the pool's images, and of the target's, are found from.

    Raises:
        DataError: embed has not run.
    """
    ids, vectors = opened.vectors(opened.pool)
    return Near(ids, vectors, cosine, like_any(vectors, opened.vectors(opened.target)[1], cosine))


def planned_selection(opened: OpenedRun, settings: Any, order: pl.DataFrame, count: int) -> dict[str, Any]:
    """What choosing so many of these candidates would take; with coverage of objects also how many are to be cut out.

    A few images are timed for these.

    Args:
        settings: `SelectSettings`.
        order: The candidates, best first.
    """
    run, shortlist = opened.run, 0
    if settings.coverage != "off":
        shortlist = shortlist_of(settings, count, order.height, alike_of(opened))
    first = pl.scan_parquet(run.pooled).select("vector").head(1).collect() if opened.has_vectors else pl.DataFrame()
    width = len(first["vector"][0]) if first.height else 0
    duplicates = 0
    if settings.duplicate_cosine:
        enough = enough_of(settings, order.height, alike_of(opened))
        duplicates = order.height if enough is None else min(order.height, max(enough, EXACT_ROWS))
    sides = opened.target.height, opened.guard.height
    compared = Compared.by(width, order.height, *sides, shortlist, duplicates)
    plan = select_plan(run, opened.scores.height, count, compared)
    if settings.coverage != "objects":
        return plan.summary(run)
    work = cropping(opened, order.head(shortlist)["image_id"].to_list())
    if work.crops:
        images = work.missing["path"].gather_every(max(1, work.missing.height // _TIMED_IMAGES)).to_list()
        timed = timed_images(images, work.settings, EngineSettings(), untracked)
        taken = timed.started + work.crops * timed.seconds / timed.workers
        plan = replace(plan, seconds=(plan.seconds or 0) + taken)
    return plan.summary(run) | {"objects": work.objects, "to_cut_out": work.crops}


def told_of(made: Selection, candidates: Candidates, settings: Any) -> dict[str, Any]:
    """The summary of a selection made with these `SelectSettings`."""
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
        told["coverage"], told["shortlist"] = (
            settings.coverage,
            shortlist_of(settings, made.chosen.height, made.candidates.height, candidates.alike),
        )
    if settings.keep:
        told["kept"] = made.decided.filter(decision="kept").height
    for text, found in candidates.lists.items():
        if found.unknown:
            some = f"{len(found.unknown)} of {len(found.unknown) + len(found.image_ids)} (first: {found.unknown[0]})"
            told[f"not_in_the_pool: {text}"] = some
    steps = (
        ("excluded", "exclude", settings.exclude),
        ("near_duplicates_left_out", "near-duplicate", settings.duplicate_cosine),
        ("left_out_by_guard", "guard", candidates.guarded is not None),
        ("left_out_by_where", "where", settings.where),
    )
    told |= {name: made.removed_by(step) for name, step, asked in steps if asked}
    if made.compared is not None:
        told["near_duplicates_looked_for_among"] = made.compared
    if made.unmet:
        told["wishes_not_met"] = {each: f"{there:.4g} of {asked:.4g}" for each, (there, asked) in made.unmet.items()}
    if not made.exact:
        told["note"] = "the wishes are met; another selection that meets them may have better ranks"
    return told
