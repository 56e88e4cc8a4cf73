"""Scores from the boxes of an image: number of objects of interest, their classes, and the area they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float32, Float64, Int64

#: A crowd box says "more than five, touching" in Open Images (arXiv 1811.00982 §3.3), so it counts as that many (ours).
GROUP_COUNTS_AS = 5
#: Images worked on at once are bounded by this many cells of the union grid.
_MOST_CELLS = 2_000_000


@dataclass(frozen=True)
class ClassFrequencies:
    """Number of labelled pool images, how many of them contain each class of interest, and the weight of each class."""

    labelled_images: int
    document_frequency: Mapping[str, int]
    weights: Mapping[str, float]

    @property
    def rare(self) -> frozenset[str]:
        """Classes with a weight above 1, the mean."""
        return frozenset(name for name, weight in self.weights.items() if weight > 1)


def shows_a_real_object() -> pl.Expr:
    """Whether a box is neither a depiction (a drawing of a car) nor inside a car or building."""
    return pl.col("is_depiction").ne_missing(True) & pl.col("is_inside").ne_missing(True)


def counted_boxes(boxes: pl.LazyFrame, classes: Sequence[str]) -> pl.LazyFrame:
    """The boxes that count as objects of interest, with the number of objects in each (`count`).

    Depictions (a drawing of a car) and objects inside a car or building do not count; a group box counts as
    `GROUP_COUNTS_AS`.
    """
    return _counting(boxes, classes).filter(pl.col("count") > 0)


def _counting(boxes: pl.LazyFrame, classes: Sequence[str]) -> pl.LazyFrame:
    """All boxes, with the number of objects of interest in each; 0 for those that do not count."""
    counts = pl.col("class").is_in(list(classes)).fill_null(False) & shows_a_real_object()
    number = pl.when(pl.col("is_group").eq_missing(True)).then(GROUP_COUNTS_AS).otherwise(1)
    return boxes.with_columns(count=pl.when(counts).then(number).otherwise(0).cast(pl.Int32))


def boxed_counts(boxes: pl.LazyFrame, classes: Sequence[str]) -> pl.DataFrame:
    """How many objects of each class every image with a box holds: image_id, and one column for each class of interest.

    One pass over the boxes, in which nothing but this table is kept: a row per image, not per box.

    Args:
        boxes: Table BOXES, of which only image_id, class and three flags are read.
    """
    counted = _counting(boxes, classes)
    if not classes:
        return boxes.select(pl.col("image_id").unique()).collect(engine="streaming")
    each = [pl.when(pl.col("class") == name).then(pl.col("count")).otherwise(0).alias(name) for name in classes]
    return (
        counted.select("image_id", *each)
        .group_by("image_id")
        .agg(pl.col(list(classes)).sum())
        .collect(engine="streaming")
    )


def with_objects(counts: pl.DataFrame) -> pl.DataFrame:
    """The rows of `boxed_counts` that hold an object of interest."""
    classes = counts.drop("image_id").columns
    return counts.filter(pl.any_horizontal(pl.col(classes) > 0)) if classes else counts.clear()


def class_counts(boxes: pl.LazyFrame, classes: Sequence[str]) -> pl.DataFrame:
    """As `boxed_counts`, of the images alone that hold an object of interest."""
    return with_objects(boxed_counts(boxes, classes))


def box_frequencies(boxes: pl.LazyFrame, classes: Sequence[str]) -> pl.DataFrame:
    """How many boxes that count there are of each class, and on how many images (class, boxes, images).

    A group box is one box here. Classes without a box are not in it.

    Args:
        boxes: Table BOXES, of the images in question.
    """
    counted = counted_boxes(boxes, classes).group_by("class")
    return counted.agg(boxes=pl.len().cast(pl.Int64), images=pl.col("image_id").n_unique().cast(pl.Int64)).collect(
        engine="streaming"
    )


def class_frequencies(
    counts: pl.DataFrame, labelled_images: int, class_scores: Mapping[str, float] | None = None
) -> ClassFrequencies:
    """The weight w_c of each class that occurs: log((1 + N) / (1 + df_c)), scaled to mean 1; rare classes weigh more.

    Args:
        counts: From `class_counts`.
        labelled_images: N, the number of pool images whose source has box labels.
        class_scores: Weights to use instead; classes that are not given have weight 0.

    Source: arXiv 1907.07023 §III-A asks for class scores; inverse document frequency is ours (Spärck Jones 1972).
    """
    if counts.width == 1:  # no class of interest
        return ClassFrequencies(labelled_images, {}, {})
    frequency = counts.select((pl.col(sorted(counts.drop("image_id").columns)) > 0).sum())
    found = {name: df for name, df in frequency.row(0, named=True).items() if df}
    if class_scores is not None:
        return ClassFrequencies(labelled_images, found, {name: class_scores.get(name, 0.0) for name in found})
    raw = {name: float(np.log((1 + labelled_images) / (1 + df))) for name, df in found.items()}
    mean = float(np.mean(list(raw.values()))) if raw else 0.0
    # Where every class is in every image none is rarer than another, and all weigh the same.
    weights = {name: value / mean if mean > 0 else 1.0 for name, value in raw.items()}
    return ClassFrequencies(labelled_images, found, weights)


def diversity_scores(
    counts: pl.DataFrame, areas: pl.DataFrame, labelled: pl.DataFrame, weights: Mapping[str, float]
) -> pl.DataFrame:
    """Diversity and related scores of each labelled image, from its boxes.

    div(x) = Σ_c w_c · log2(1 + n_c(x)), concave in n_c so that a new class is worth more than one more car (ours).

    Args:
        counts: From `class_counts`.
        areas: From `covered_areas`.
        labelled: One column `image_id`: every image to score; one without objects of interest scores 0.
        weights: Weight of each class that occurs.

    Returns:
        image_id, objects, classes, class_entropy_bits (0 where one class or none), covered_area (share of the picture
        under at least one box, 0..1), diversity (0 or more; higher is richer).

    Source: arXiv 1907.07023 §III-A.
    """
    # One order of the classes fixes that of the floating-point sums, so that equal tables give equal bytes.
    names = sorted(weights)
    objects = pl.sum_horizontal(*names, pl.lit(0, pl.Int64))
    # Absent classes have a share of 0, whose logarithm is undefined.
    information = [pl.col(name) / objects * (pl.col(name).clip(1) / objects).log(2) for name in names]
    richness = [weights[name] * (1 + pl.col(name)).log(2) for name in names]
    per_image = counts.lazy().select(
        "image_id",
        objects.alias("objects"),
        pl.sum_horizontal(*(pl.col(name) > 0 for name in names), pl.lit(0, pl.Int64)).cast(pl.Int64).alias("classes"),
        (-pl.sum_horizontal(*information, pl.lit(0.0))).clip(lower_bound=0.0).alias("class_entropy_bits"),
        pl.sum_horizontal(*richness, pl.lit(0.0)).alias("diversity"),
    )
    scored = labelled.lazy().select("image_id").join(per_image, on="image_id", how="left")
    return (
        scored.join(areas.lazy(), on="image_id", how="left")
        .select(
            "image_id",
            pl.col("objects", "classes").fill_null(0),
            pl.col("class_entropy_bits", "covered_area", "diversity").fill_null(0.0),
        )
        .collect(engine="streaming")
    )


def covered_areas(counted: pl.LazyFrame) -> pl.DataFrame:
    """The exact share of each image under at least one box (image_id, covered_area), 0..1.

    Images with equally many boxes are done together: the corners cut the picture into a grid whose cells are either
    wholly covered or not at all.

    Args:
        counted: Any boxes, such as `counted_boxes` gives.
    """
    corners = ["x0", "y0", "x1", "y1"]
    lists = counted.group_by("image_id").agg(*corners, pl.len().alias("boxes")).collect(engine="streaming")
    parts = []
    for (number,), group in lists.group_by("boxes"):
        boxes = int(str(number))
        for part in group.iter_slices(max(1, _MOST_CELLS // (boxes * 2) ** 2)):
            sides = [part[name].explode().to_numpy().reshape(-1, boxes) for name in corners]
            parts.append(part.select("image_id", covered_area=pl.Series(_union_area(*sides))))
    return pl.concat(parts) if parts else pl.DataFrame(schema={"image_id": pl.String, "covered_area": pl.Float64})


def _union_area(
    x0: Float32[np.ndarray, "n m"],
    y0: Float32[np.ndarray, "n m"],
    x1: Float32[np.ndarray, "n m"],
    y1: Float32[np.ndarray, "n m"],
) -> Float64[np.ndarray, " n"]:
    """The area under m boxes for each of n images.

    Each side has a line of its own in the grid, even where two coincide (the cells between are then of no width). Four
    marks per box at the lines' crossings, summed from the top left, give the number of boxes over each cell.
    """
    (xs, left, right), (ys, top, bottom) = _lines(x0, x1), _lines(y0, y1)
    over = np.zeros((len(x0), ys.shape[1], xs.shape[1]), np.int16)
    image = np.arange(len(x0))[:, None]
    over[image, top, left] = over[image, bottom, right] = 1
    over[image, top, right] = over[image, bottom, left] = -1
    covered = over.cumsum(axis=1, dtype=np.int16).cumsum(axis=2, dtype=np.int16)[:, :-1, :-1] > 0
    widths = np.einsum("nyx,nx->ny", covered, np.diff(xs))
    area: Float64[np.ndarray, " n"] = np.einsum("ny,ny->n", widths, np.diff(ys))
    return area


def _lines(
    start: Float32[np.ndarray, "n m"], end: Float32[np.ndarray, "n m"]
) -> tuple[Float64[np.ndarray, "n two_m"], Int64[np.ndarray, "n m"], Int64[np.ndarray, "n m"]]:
    """The sorted coordinates of all sides, and at which place in that order each box starts and ends."""
    sides = np.concatenate([start, end], axis=1).astype(np.float64)
    order = np.argsort(sides, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(sides.shape[1])[None], axis=1)
    return np.take_along_axis(sides, order, axis=1), places[:, : start.shape[1]], places[:, start.shape[1] :]
