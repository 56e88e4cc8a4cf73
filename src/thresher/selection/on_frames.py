"""Diversity and selection on your own tables: no run, no files."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from thresher.errors import DataError, SettingsError
from thresher.frames import Table, as_table
from thresher.selection.choose import Wishes, chosen_from, refuse_unknown
from thresher.selection.conditions import parsed_conditions
from thresher.selection.diversity import (
    boxed_counts,
    class_frequencies,
    counts_and_areas,
    diversity_scores,
    with_objects,
)
from thresher.selection.facts import Facts
from thresher.selection.filters import Line, named
from thresher.selection.methods import budget_count, weighted_ranks
from thresher.selection.wishes import Kind, all_wishes
from thresher.selection.written import BUDGET, QUOTAS, WISHES
from thresher.settings import as_type, items_of

_CORNERS = ("x0", "y0", "x1", "y1")
_FLAGS = ("is_group", "is_depiction", "is_inside")


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
    table = _boxes(boxes)
    wanted = _names(classes) if classes is not None else table["class"].drop_nulls().unique().sort().to_list()
    _check_weights(weights, wanted)
    every = table["image_id"].unique() if image_ids is None else pl.Series("image_id", _names(image_ids), pl.String)
    labelled = pl.DataFrame({"image_id": every.unique().sort()})
    counts, areas = counts_and_areas(table.lazy(), wanted)
    counts = counts.join(labelled, on="image_id", how="semi", maintain_order="left")
    found = class_frequencies(counts, labelled.height, weights).weights
    has_corners = not table.drop_nulls(_CORNERS).is_empty()
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
        pinned: Ids that are always chosen; they count for all wishes.
        excluded: Ids that are never chosen.

    Returns:
        A row per chosen image, rank 1 first: image_id, rank, score (minus the mean rank, so −1 is first by all scores;
        null for pinned images without scores), why (its rank by each score, and its rare classes).

    Raises:
        SettingsError: fewer images than the budget, or wishes that cannot all be met: says which, and by how much.
        DataError: arrays and ids of different lengths, repeated ids, or pinned ids without a row.

    >>> near, rich = np.array([0.9, 0.8, 0.1]), np.array([1.0, 3.0, 2.0])
    >>> choose({"near": near, "rich": rich}, 2, ids=["a", "b", "c"]).select("image_id", "rank").rows()
    [('b', 1), ('a', 2)]
    """
    table, names = _scores(scores, ids)
    worth = _worth(weights, names)
    pinned, excluded = _names(pinned), _names(excluded)
    for asked, what in ((pinned, "pinned"), (excluded, "excluded")):
        refuse_unknown(asked, table["image_id"], what, "Leave them out, or give their scores.")
    if both := sorted(set(pinned) & set(excluded)):
        raise SettingsError(f"'{both[0]}' is both pinned and excluded.")
    counts = _counts(boxes, table)
    facts = Facts(_known(table, columns), tuple(counts.drop("image_id").columns), lambda: counts)
    given: dict[Kind, Any] = {"at_least": at_least, "at_most": at_most, "share": share}
    texts = {kind: as_type(each, WISHES, kind) for kind, each in given.items()}
    wishes = all_wishes(texts, _quotas(quotas, boxes), facts)
    used = [name for name in names if worth[name]]
    values = weighted_ranks({name: table[name] for name in used}, worth)
    order = _ranked(table.select("image_id", values.alias("score")))
    line = Line(order, always=frozenset(pinned)).without(named(excluded, "excluded"), "exclude")
    if tests := parsed_conditions(_names(where)):
        line = line.without(facts.failing(line.order, tests), "where")
    count = budget_count(as_type(budget, BUDGET, "budget"), line.height)
    made = chosen_from(line, Wishes(count, facts, wishes, {"pinned": pinned}))
    for name, (there, asked_for) in made.unmet.items():
        warnings.warn(f"only {there:.4g} of {asked_for:.4g} for '{name}' can be chosen.", stacklevel=2)
    return Table.of(_with_why(made.chosen, table, names, counts))


def _is_weight(value: Any) -> bool:
    return isinstance(value, numbers.Real) and 0 <= float(value) < math.inf


def _worth(weights: Mapping[str, int | float] | None, names: list[str]) -> dict[str, float]:
    """What each score weighs."""
    worth = dict.fromkeys(names, 1.0) if weights is None else {name: weights.get(name, 0) for name in names}
    valid = all(map(_is_weight, worth.values()))
    if not valid or not any(worth.values()) or set(weights or ()) - set(names):
        raise SettingsError(f"weights = {dict(weights or {})}: expected 0 or more for each of {', '.join(names)}.")
    return {name: float(each) for name, each in worth.items()}


def _names(written: Any) -> list[str]:
    """One text, or a list of texts or numbers, as texts; one text is never read letter by letter."""
    return [str(each) for each in items_of(written)]


def _check_weights(weights: Mapping[str, int | float] | None, classes: list[str]) -> None:
    for name, weight in (weights or {}).items():
        if name not in classes or not _is_weight(weight):
            raise SettingsError(
                f"weights: '{name}' = {weight!r}: expected a class ({', '.join(classes)}) and a number, 0 or more."
            )


def _boxes(boxes: Any) -> pl.DataFrame:
    table = as_table(boxes, "boxes")
    for name in ("image_id", "class"):
        if name not in table.columns:
            raise DataError(f"boxes: column '{name}' is missing. Found {', '.join(table.columns)}.")
    absent = [
        pl.lit(None, pl.Boolean if name in _FLAGS else pl.Float32).alias(name)
        for name in (*_FLAGS, *_CORNERS)
        if name not in table.columns
    ]
    try:
        table = table.with_columns(absent).select(
            pl.col("image_id", "class").cast(pl.String),
            *(_flag(name, table.schema.get(name)) for name in _FLAGS),
            pl.col(_CORNERS).cast(pl.Float32).fill_nan(None),
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"boxes: {', '.join(_FLAGS)} are true, false or null, corners are numbers ({error})."
        ) from error
    _check_corners(table)
    if table["image_id"].null_count():
        raise DataError(f"boxes: {table['image_id'].null_count()} boxes have no image_id.")
    return table


def _flag(name: str, kind: Any) -> pl.Expr:
    """A flag as true, false or null; as numbers, Open Images writes 1, 0 and -1 for unknown."""
    column = pl.col(name)
    if kind is not None and kind.is_numeric():
        column = pl.when(column >= 0).then(column != 0)
    return column.cast(pl.Boolean).alias(name)


def _check_corners(table: pl.DataFrame) -> None:
    """Refuse corners in pixels, or the wrong way round."""
    inside = pl.all_horizontal(pl.col(name).is_between(-0.01, 1.01) for name in _CORNERS)
    wrong = table.drop_nulls(_CORNERS).filter(~inside | (pl.col("x0") > pl.col("x1")) | (pl.col("y0") > pl.col("y1")))
    if wrong.height:
        raise DataError(
            f"boxes: {wrong.height} boxes have corners outside 0..1 or x0 > x1 or y0 > y1 (first: image "
            f"{wrong['image_id'][0]}). Corners are shares of the picture: divide pixels by its width and height."
        )


def _scores(scores: Any, ids: Sequence[str | int] | None) -> tuple[pl.DataFrame, list[str]]:
    """image_id and a Float64 column per score, sorted by id; and the scores' names."""
    if isinstance(scores, Mapping):
        table = _joined(scores, ids)
    else:
        table = as_table(scores, "scores")
        if "image_id" not in table.columns:
            raise DataError(f"scores: column 'image_id' is missing. Found {', '.join(table.columns)}.")
    # A column without any number, such as a similarity that `score` was not asked for, ranks nothing.
    names = [
        name
        for name, kind in table.schema.items()
        if name != "image_id" and kind.is_numeric() and table[name].null_count() < table.height
    ]
    if not names:
        raise DataError("scores: no column holds numbers.")
    table = table.select(pl.col("image_id").cast(pl.String), pl.col(names).cast(pl.Float64).fill_nan(None))
    repeated = table.filter(pl.col("image_id").is_duplicated() | pl.col("image_id").is_null())
    if repeated.height:
        raise DataError(f"scores: {repeated.height} ids are null or repeated (first: {repeated['image_id'][0]}).")
    return table.sort("image_id"), names


def _joined(scores: Mapping[str, Any], ids: Sequence[str | int] | None) -> pl.DataFrame:
    if not scores:
        raise DataError("scores: none given. Give {'name': numbers}.")
    parts = []
    for name, values in scores.items():
        if isinstance(values, pl.DataFrame | pl.LazyFrame) or (hasattr(values, "columns") and hasattr(values, "iloc")):
            parts.append(_one_column(name, as_table(values, f"scores '{name}'")))
            continue
        column = _column(name, values)
        named = [str(number) for number in range(len(column))] if ids is None else [str(each) for each in ids]
        if len(named) != len(column) or (ids is None and parts and parts[0].height != len(column)):
            raise DataError(f"scores '{name}': {len(column)} numbers for {len(named if ids else parts[0])} ids.")
        parts.append(pl.DataFrame({"image_id": named, name: column}))
    table = parts[0]
    for each in parts[1:]:
        table = table.join(each, on="image_id", how="full", coalesce=True)
    return table


def _column(name: str, values: Any) -> np.ndarray:
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"scores '{name}': not numbers ({error}).") from error
    if column.ndim != 1:
        raise DataError(f"scores '{name}': an array of shape {column.shape}; expected one number per image, (n,).")
    return column


def _one_column(name: str, table: pl.DataFrame) -> pl.DataFrame:
    numeric = [each for each, kind in table.schema.items() if each != "image_id" and kind.is_numeric()]
    column = name if name in numeric else numeric[0] if len(numeric) == 1 else None
    if "image_id" not in table.columns or column is None:
        raise DataError(f"scores '{name}': expected columns image_id and '{name}'. Found {', '.join(table.columns)}.")
    return table.select(pl.col("image_id").cast(pl.String), pl.col(column).alias(name))


def _ranked(scored: pl.DataFrame) -> pl.DataFrame:
    order = scored.drop_nulls("score").sort("score", "image_id", descending=[True, False])
    return order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64)).select(
        "image_id", "rank", "score"
    )


def _counts(boxes: Any, images: pl.DataFrame) -> pl.DataFrame:
    """Objects per class of the images that hold any; no rows and no classes without boxes."""
    if boxes is None:
        return pl.DataFrame(schema={"image_id": pl.String})
    table = _boxes(boxes)
    if table.height and not table["image_id"].is_in(images["image_id"].implode()).any():
        raise DataError(
            f"boxes: none of their images has a score (first: {table['image_id'][0]}). Are the ids the same?"
        )
    classes = table["class"].drop_nulls().unique().sort().to_list()
    return with_objects(boxed_counts(table.lazy(), classes)).join(images, on="image_id", how="semi")


def _quotas(quotas: Mapping[str, int] | None, boxes: Any) -> tuple[str, ...]:
    if quotas and boxes is None:
        raise SettingsError("quotas need boxes, which show the classes in each image. Give boxes = TABLE.")
    found: tuple[str, ...] = as_type(quotas or {}, QUOTAS, "quotas")
    return found


def _known(scores: pl.DataFrame, columns: Any) -> tuple[pl.DataFrame, ...]:
    """The tables whose columns tests and wishes can name."""
    if columns is None:
        return (scores,)
    own = as_table(columns, "columns")
    if "image_id" not in own.columns:
        raise DataError(f"columns: column 'image_id' is missing. Found {', '.join(own.columns)}.")
    own = own.with_columns(pl.col("image_id").cast(pl.String))
    if own["image_id"].is_duplicated().any():
        raise DataError("columns: column 'image_id' holds an id twice. Keep one row per image.")
    return scores, own


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
