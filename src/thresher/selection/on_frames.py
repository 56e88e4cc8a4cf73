"""Diversity and selection on your own tables: no run, no files."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from thresher.errors import SettingsError
from thresher.frames import Table
from thresher.selection.choose import Wishes, chosen_apart, refuse_unknown
from thresher.selection.conditions import parsed_conditions
from thresher.selection.coverage import Coverage, Looks, covered, enough_apart, shortlist_count
from thresher.selection.diversity import (
    class_frequencies,
    counts_and_areas,
    diversity_scores,
)
from thresher.selection.facts import Facts
from thresher.selection.filters import Apart, Line, named
from thresher.selection.given_tables import (
    CORNERS,
    boxes_of,
    counts_of,
    known_columns,
    looks_given,
    names_of,
    objects_given,
    scores_of,
)
from thresher.selection.methods import budget_count, weighted_ranks
from thresher.selection.object_cover import covered_by_objects
from thresher.selection.redundancy import Near, like_any
from thresher.selection.wishes import Kind, all_wishes
from thresher.selection.written import BUDGET, QUOTAS, WISHES
from thresher.settings import as_type


def diversity(
    boxes: Any,
    classes: str | Iterable[str] | None = None,
    weights: Mapping[str, int | float] | None = None,
    *,
    image_ids: Iterable[str | int] | None = None,
) -> Table:
    """Diversity of each image from its boxes: higher for many objects, of many and of rare classes.

    div(x) = Σ_c w_c · log2(1 + n_c(x)), as in `thresher score`.

    Args:
        boxes: A table (Polars, pandas, Arrow, or a mapping of columns) with a row per box: `image_id`, `class`, and
            optionally x0, y0, x1, y1 (shares of the image, 0..1) and the flags is_group (a crowd counts as five
            objects), is_depiction and is_inside (do not count). Missing flags are unknown.
        classes: Classes of interest. Default: all that occur.
        weights: Weight of each class. Default: log((1 + N) / (1 + df)), scaled to mean 1: higher for rare classes.
        image_ids: Ids of all images, including those without boxes, which score 0. Default: images with a box.

    Returns:
        A row per image, in the order of the ids: image_id, diversity (0 or more, higher is richer), objects, classes,
        class_entropy_bits, covered_area (share of the image under boxes; null without corners).

    Raises:
        DataError: a column is missing, or a box has no image.

    Source: arXiv 1907.07023 §III-A; log2 and the weights are ours (`thresher.selection.diversity`).

    >>> boxes = {"image_id": ["a", "a", "b"], "class": ["car", "bus", "car"]}
    >>> diversity(boxes, weights={"car": 1.0, "bus": 2.0}).select("image_id", "diversity", "objects").rows()
    [('a', 3.0, 2), ('b', 1.0, 1)]
    """
    table = boxes_of(boxes)
    wanted = names_of(classes) if classes is not None else table["class"].drop_nulls().unique().sort().to_list()
    _check_weights(weights, wanted)
    every = table["image_id"].unique() if image_ids is None else pl.Series("image_id", names_of(image_ids), pl.String)
    labelled = pl.DataFrame({"image_id": every.unique().sort()})
    counts, areas = counts_and_areas(table.lazy(), wanted)
    counts = counts.join(labelled, on="image_id", how="semi", maintain_order="left")
    found = class_frequencies(counts, labelled.height, weights).weights
    has_corners = not table.drop_nulls(CORNERS).is_empty()
    scores = diversity_scores(counts, areas, labelled, found).sort("image_id")
    area = pl.col("covered_area") if has_corners else pl.lit(None, pl.Float64).alias("covered_area")
    return Table.of(scores.select("image_id", "diversity", "objects", "classes", "class_entropy_bits", area))


def choose(
    scores: Any,
    budget: str | int | float,
    *,
    ids: Sequence[str | int] | None = None,
    weights: Mapping[str, int | float] | None = None,
    boxes: Any = None,
    quotas: Mapping[str, int] | None = None,
    columns: Any = None,
    where: str | Iterable[str] = (),
    at_least: Mapping[str, int | str] | str | Iterable[str] = (),
    at_most: Mapping[str, int | str] | str | Iterable[str] = (),
    share: Mapping[str, int | str] | str | Iterable[str] = (),
    vectors: Any = None,
    target: Any = None,
    objects: Any = None,
    coverage: Coverage = "off",
    shortlist: str | int = "5x",
    duplicate_cosine: float = 0.0,
    pinned: str | int | Iterable[str | int] = (),
    excluded: str | int | Iterable[str | int] = (),
) -> Table:
    """Choose images by one or more scores, with the reasons for each.

    Several scores are combined by the weighted mean of their ranks, since their units differ. Ties break by image id,
    so equal input gives equal output.

    Args:
        scores: {"near": …, "rich": …}: each an array or series with one number per image, higher first, or a table
            (image_id and one more column); or one table with image_id and a column per score. Images with a null or NaN
            score are chosen only if pinned.
        budget: How many images to choose: a number (500), or a share of the candidates ("10%" or 0.1).
        ids: Image ids in the order of the arrays. Default: "0", "1", ….
        weights: Weight of each score, 0 or more. Default: equal weights.
        boxes: As for `diversity`; needed for wishes on classes, and adds the rare classes of each image to `why`.
        quotas: {"bus": 20}: the older spelling of at_least, but asks for no more images than there are.
        columns: A table with image_id and columns that where, at_least, at_most and share can name, as they can scores.
        where: Tests that an image must pass: "width_px >= 1280 and dataset in kitti, camvid". Null never passes.
        at_least: {"bus": 20}: at least 20 images with this class; "objects:bus": objects; "dataset:kitti": images with
            this value in a column, "dataset:*" with each. "30%" is a share of the budget; with a ? at the end, as
            "20?", as far as it goes.
        at_most: Likewise: {"sequence:*": 20}; folder and sequence are read from the ids.
        share: {"dataset:*": "uniform", "bus": "30%"}: exactly this share of the images.
        vectors: A vector of each image, for coverage and duplicate_cosine: an array (n, c) in the order of the ids or
            of the table's rows, or a table with image_id and a column of lists, where images without a vector come last
            and are like no other. Of any length; cosines count.
        target: Vectors of the images of your own domain, an array (m, c): half of what coverage covers.
        objects: For coverage objects: a table with image_id, class and a column of lists, a vector of each object.
            Rows without image_id are objects of your own domain.
        coverage: Of the shortlist, take those that together cover the most: images, clusters, by_class (needs boxes),
            modes (needs target) or objects (needs objects), as in `thresher select --coverage`.
        shortlist: How many of the best to cover with: a multiple of the budget ("5x"), a number or a share ("20%").
        duplicate_cosine: From the best down, leave out what has at least this cosine with an image that stays, or with
            one of the target. 0 = off, 0.95 = same photo re-encoded or re-cropped.
        pinned: Ids that are always chosen; they count for all wishes.
        excluded: Ids that are never chosen.

    Returns:
        A row per chosen image, rank 1 first: image_id, rank, score (minus the mean rank, so −1 is first by all scores;
        null for pinned images without scores), why (its rank by each score, and its rare classes). With coverage, rank
        is the order in which images add the most.

    Raises:
        SettingsError: fewer images than the budget, or wishes that cannot all be met: says which, and by how much.
        DataError: arrays and ids of different lengths, repeated ids, or pinned ids without a row.

    >>> near, rich = [0.9, 0.8, 0.1], [1.0, 3.0, 2.0]
    >>> choose({"near": near, "rich": rich}, 2, ids=["a", "b", "c"]).select("image_id", "rank").rows()
    [('b', 1), ('a', 2)]
    >>> twins = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    >>> choose({"near": near}, 2, ids=["a", "b", "c"], vectors=twins, coverage="images")["image_id"].to_list()
    ['b', 'c']
    """
    table, names = scores_of(scores, ids)
    worth = _worth(weights, names)
    pinned, excluded = names_of(pinned), names_of(excluded)
    for asked, what in ((pinned, "pinned"), (excluded, "excluded")):
        refuse_unknown(asked, table["image_id"], what, "Leave them out, or give their scores.")
    if both := sorted(set(pinned) & set(excluded)):
        raise SettingsError(f"'{both[0]}' is both pinned and excluded.")
    counts = counts_of(boxes, table)
    facts = Facts(known_columns(table, columns), tuple(counts.drop("image_id").columns), lambda: counts)
    given: dict[Kind, Any] = {"at_least": at_least, "at_most": at_most, "share": share}
    texts = {kind: as_type(each, WISHES, kind) for kind, each in given.items()}
    wishes = all_wishes(texts, _quotas(quotas, boxes), facts)
    used = [name for name in names if worth[name]]
    values = weighted_ranks({name: table[name] for name in used}, worth)
    order = _ranked(table.select("image_id", values.alias("score")))
    line = Line(order, always=frozenset(pinned)).without(named(excluded, "excluded"), "exclude")
    if tests := parsed_conditions(names_of(where)):
        line = line.without(facts.failing(line.order, tests), "where")
    looks = looks_given(vectors, target, table, scores, ids)
    amount = as_type(budget, BUDGET, "budget")
    apart, by = _spread(line, looks, counts, objects, (amount, coverage, str(shortlist), duplicate_cosine))
    count = budget_count(amount, apart.line.height)
    made = chosen_apart(apart, Wishes(count, facts, wishes, {"pinned": pinned}, by))
    for name, (there, asked_for) in made.unmet.items():
        warnings.warn(f"only {there:.4g} of {asked_for:.4g} for '{name}' can be chosen.", stacklevel=2)
    return Table.of(_with_why(made.chosen, table, names, counts))


def _spread(
    line: Line,
    looks: Looks | None,
    counts: pl.DataFrame,
    objects: Any,
    asked: tuple[str, Coverage, str, float],
) -> tuple[Apart, str]:
    """The line without near-duplicates, in the order of the coverage; and what it is now ordered by."""
    budget, coverage, shortlist, cosine = asked
    if coverage == "off" and not cosine:
        return Apart.of(line, None), "rank"
    if looks is None and (coverage != "objects" or cosine):
        raise SettingsError("coverage and duplicate_cosine need a vector of each image. Give vectors = ARRAY.")
    if looks is not None and coverage == "modes" and not len(looks.target):
        raise SettingsError("coverage = modes: needs the vectors of your own images. Give target = ARRAY.")
    if not 0 <= cosine <= 1:
        raise SettingsError(f"duplicate_cosine = {cosine}: expected 0 (off) to 1, such as 0.95.")
    near = None
    if looks is not None and cosine:
        near = Near(looks.ids, looks.pool, cosine, like_any(looks.pool, looks.target, cosine))
    apart = Apart.of(line, near, enough_apart(budget, coverage, shortlist, line.height))
    if coverage == "off":
        return apart, "rank"
    order, always = apart.line.order, apart.line.always
    count = budget_count(budget, apart.line.height)
    few = shortlist_count(shortlist, count, order.height)
    if looks is None or coverage == "objects":
        order = covered_by_objects(order, count, few, objects_given(objects), always)
    else:
        order = covered(order, coverage, count, few, looks, counts, always)
    return apart.reordered(order), "coverage"


def _is_weight(value: Any) -> bool:
    return isinstance(value, numbers.Real) and 0 <= float(value) < math.inf


def _worth(weights: Mapping[str, int | float] | None, names: list[str]) -> dict[str, float]:
    """What each score weighs."""
    worth = dict.fromkeys(names, 1.0) if weights is None else {name: weights.get(name, 0) for name in names}
    valid = all(map(_is_weight, worth.values()))
    if not valid or not any(worth.values()) or set(weights or ()) - set(names):
        raise SettingsError(f"weights = {dict(weights or {})}: expected 0 or more for each of {', '.join(names)}.")
    return {name: float(each) for name, each in worth.items()}


def _check_weights(weights: Mapping[str, int | float] | None, classes: list[str]) -> None:
    for name, weight in (weights or {}).items():
        if name not in classes or not _is_weight(weight):
            raise SettingsError(
                f"weights: '{name}' = {weight!r}: expected a class ({', '.join(classes)}) and a number, 0 or more."
            )


def _ranked(scored: pl.DataFrame) -> pl.DataFrame:
    order = scored.drop_nulls("score").sort("score", "image_id", descending=[True, False])
    return order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64)).select(
        "image_id", "rank", "score"
    )


def _quotas(quotas: Mapping[str, int] | None, boxes: Any) -> tuple[str, ...]:
    if quotas and boxes is None:
        raise SettingsError("quotas need boxes, which show the classes in each image. Give boxes = TABLE.")
    found: tuple[str, ...] = as_type(quotas or {}, QUOTAS, "quotas")
    return found


def _with_why(chosen: pl.DataFrame, scores: pl.DataFrame, names: list[str], counts: pl.DataFrame) -> pl.DataFrame:
    """The chosen with their rank by each score, and the rare classes that they bring."""
    ranks = [pl.col(name).rank("min", descending=True).cast(pl.Int64).alias(f"{name}_rank") for name in names]
    rare = sorted(class_frequencies(counts, scores.height).rare) if counts.width > 1 else []
    brought = [pl.when(pl.col(name) > 0).then(pl.lit(name)) for name in rare]
    found = pl.concat_list(brought).list.drop_nulls() if brought else pl.lit([], pl.List(pl.String))
    known = chosen.join(scores.select("image_id", *ranks), on="image_id", how="left").join(
        counts.select("image_id", found.alias("rare_classes")), on="image_id", how="left"
    )
    fields = [f"{name}_rank" for name in names] + (["rare_classes"] if counts.width > 1 else [])
    return known.sort("rank").select("image_id", "rank", "score", why=pl.struct(fields))
