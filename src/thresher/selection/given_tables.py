"""Tables of one's own as `diversity` and `choose` take them: checked, with the errors in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from thresher.errors import DataError, SettingsError
from thresher.frames import as_table
from thresher.selection.coverage import Looks
from thresher.selection.diversity import boxed_counts, with_objects
from thresher.selection.object_cover import ObjectLooks
from thresher.settings import items_of

#: Columns of a box's corners.
CORNERS = ("x0", "y0", "x1", "y1")
_FLAGS = ("is_group", "is_depiction", "is_inside")


def names_of(written: Any) -> list[str]:
    """One text, or a list of texts or numbers, as texts; one text is never read letter by letter."""
    return [str(each) for each in items_of(written)]


def boxes_of(boxes: Any) -> pl.DataFrame:
    """Boxes with image_id, class, flags and corners, null where the table does not have them.

    Raises:
        DataError: a column is missing or holds something else, corners are no shares, or a box has no image.
    """
    table = as_table(boxes, "boxes")
    for name in ("image_id", "class"):
        if name not in table.columns:
            raise DataError(f"boxes: column '{name}' is missing. Found {', '.join(table.columns)}.")
    absent = [
        pl.lit(None, pl.Boolean if name in _FLAGS else pl.Float32).alias(name)
        for name in (*_FLAGS, *CORNERS)
        if name not in table.columns
    ]
    try:
        table = table.with_columns(absent).select(
            pl.col("image_id", "class").cast(pl.String),
            *(_flag(name, table.schema.get(name)) for name in _FLAGS),
            pl.col(CORNERS).cast(pl.Float32).fill_nan(None),
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
    inside = pl.all_horizontal(pl.col(name).is_between(-0.01, 1.01) for name in CORNERS)
    wrong = table.drop_nulls(CORNERS).filter(~inside | (pl.col("x0") > pl.col("x1")) | (pl.col("y0") > pl.col("y1")))
    if wrong.height:
        raise DataError(
            f"boxes: {wrong.height} boxes have corners outside 0..1 or x0 > x1 or y0 > y1 (first: image "
            f"{wrong['image_id'][0]}). Corners are shares of the picture: divide pixels by its width and height."
        )


def scores_of(scores: Any, ids: Sequence[str | int] | None) -> tuple[pl.DataFrame, list[str]]:
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


def counts_of(boxes: Any, images: pl.DataFrame) -> pl.DataFrame:
    """Objects per class of the images that hold any; no rows and no classes without boxes."""
    if boxes is None:
        return pl.DataFrame(schema={"image_id": pl.String})
    table = boxes_of(boxes)
    if table.height and not table["image_id"].is_in(images["image_id"].implode()).any():
        raise DataError(
            f"boxes: none of their images has a score (first: {table['image_id'][0]}). Are the ids the same?"
        )
    classes = table["class"].drop_nulls().unique().sort().to_list()
    return with_objects(boxed_counts(table.lazy(), classes)).join(images, on="image_id", how="semi")


def known_columns(scores: pl.DataFrame, columns: Any) -> tuple[pl.DataFrame, ...]:
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


def looks_given(
    vectors: Any, target: Any, known: pl.DataFrame, scores: Any, ids: Sequence[str | int] | None
) -> Looks | None:
    """The vectors of the images, by id, and those of the target; None if there are none.

    Args:
        known: image_id of all images that have a score.
        scores: As given: rows of an array of vectors are in its order, unless `ids` has another.

    Raises:
        DataError: no vectors of numbers, of other images, or of another length than the target's.
    """
    if vectors is None:
        return None
    if hasattr(vectors, "columns"):
        named, values = _vectors_of(as_table(vectors, "vectors"))
    else:
        values, named = _matrix(vectors, "vectors"), _order_of(scores, ids, known)
    own = np.zeros((0, values.shape[1]), np.float32) if target is None else _matrix(target, "target")
    if len(named) != len(values):
        raise DataError(f"vectors: {len(values)} for {len(named)} images. Give one per image, in the order of the ids.")
    if own.shape[1] != values.shape[1]:
        raise DataError(f"target: vectors of {own.shape[1]} numbers, those of the images have {values.shape[1]}.")
    if not known["image_id"].is_in(named).any():
        raise DataError(
            f"vectors: none of them is of an image with a score (first: {named[0] if named else 'none'}; scores: "
            f"{known['image_id'][0]}). Are the ids the same?"
        )
    by_id = pl.DataFrame({"image_id": named}).with_row_index("row").sort("image_id")
    return Looks(by_id.select("image_id"), values[by_id["row"].to_numpy()], own)


def objects_given(objects: Any) -> ObjectLooks:
    """The objects of the images, and those of the target, which have no image_id.

    Raises:
        SettingsError: there are none.
        DataError: other columns than image_id, class and one of lists, or no vectors of numbers.
    """
    if objects is None:
        raise SettingsError("coverage = objects: needs a vector of each object. Give objects = TABLE.")
    table = as_table(objects, "objects")
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List | pl.Array)]
    if not {"image_id", "class"} <= set(table.columns) or len(lists) != 1:
        raise DataError(f"objects: expected image_id, class and one column of lists. Found {', '.join(table.columns)}.")
    named = table.select(pl.col("image_id").cast(pl.String), pl.col("class").cast(pl.String)).with_row_index("row")
    if named["class"].null_count():
        raise DataError("objects: column 'class' is null in some rows. Leave these rows out.")
    vectors = _matrix(table[lists[0]].to_list(), "objects")
    own = pl.col("image_id").is_not_null()
    return ObjectLooks(named.filter(own), named.filter(~own).select("class", "row"), vectors)


def _order_of(scores: Any, ids: Sequence[str | int] | None, known: pl.DataFrame) -> list[str]:
    if ids is not None:
        return [str(each) for each in ids]
    if not isinstance(scores, Mapping):
        return as_table(scores, "scores")["image_id"].cast(pl.String).to_list()
    if any(hasattr(each, "columns") for each in scores.values()):
        raise DataError("vectors: an array, but the scores are tables. Give a table with image_id, or give ids.")
    return [str(number) for number in range(known.height)]


def _vectors_of(table: pl.DataFrame) -> tuple[list[str], np.ndarray]:
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List | pl.Array)]
    if "image_id" not in table.columns or len(lists) != 1:
        raise DataError(f"vectors: expected image_id and one column of lists. Found {', '.join(table.columns)}.")
    named = table["image_id"].cast(pl.String)
    if named.is_duplicated().any() or named.null_count():
        raise DataError("vectors: column 'image_id' holds an id twice, or none. Keep one row per image.")
    return named.to_list(), _matrix(table[lists[0]].to_list(), "vectors")


def _matrix(values: Any, what: str) -> np.ndarray:
    try:
        found = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: not an array of numbers ({error}).") from error
    if found.ndim != 2 or not np.isfinite(found).all():
        raise DataError(f"{what}: an array of shape {found.shape}; expected finite numbers, a row per image (n, c).")
    return found
