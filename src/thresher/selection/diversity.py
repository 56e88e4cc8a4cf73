"""Scores from the boxes of an image: number of objects of interest, their classes, and the area they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int64

from thresher.selection.areas import union_areas

#: A crowd box says "more than five, touching" in Open Images (arXiv 1811.00982 §3.3), so it counts as that many (ours).
GROUP_COUNTS_AS = 5
_CORNERS = ("x0", "y0", "x1", "y1")


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


def with_tags(counts: pl.DataFrame, tags: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """The counts with images that are marked to show a class: of its boxes and marks the larger number counts.

    Args:
        counts: From `boxed_counts`.
        tags: Table TAGS. What is said to be absent adds nothing, but its image counts as labelled.

    >>> counts = pl.DataFrame({"image_id": ["a"], "bus": [2]}, {"image_id": pl.String, "bus": pl.Int32})
    >>> tags = pl.DataFrame({"image_id": ["a", "b"], "class": ["bus", "bus"], "objects": [1, 3]})
    >>> with_tags(counts, tags, ["bus"]).rows()
    [('a', 2), ('b', 3)]
    """
    each = [pl.col("objects").filter(pl.col("class") == name).max().fill_null(0).alias(name) for name in classes]
    both = pl.concat([counts, tags.group_by("image_id").agg(*each)], how="vertical_relaxed")
    return both.group_by("image_id").agg(pl.col(list(classes)).max()).sort("image_id")


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
    counts: pl.DataFrame, areas: pl.DataFrame | None, labelled: pl.DataFrame, weights: Mapping[str, float]
) -> pl.DataFrame:
    """Diversity and related scores of each labelled image, from its boxes.

    div(x) = Σ_c w_c · log2(1 + n_c(x)), concave in n_c so that a new class is worth more than one more car (ours).

    Args:
        counts: From `class_counts`.
        areas: From `covered_areas`; None if they are not wanted.
        labelled: One column `image_id`: every image to score; one without objects of interest scores 0.
        weights: Weight of each class that occurs.

    Returns:
        image_id, objects, classes, class_entropy_bits (0 where one class or none), covered_area (share of the picture
        under at least one box, 0..1; null without `areas`), diversity (0 or more; higher is richer).

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
    if areas is None:
        per_image = per_image.with_columns(covered_area=pl.lit(None, pl.Float64))
    elif areas["image_id"].equals(counts["image_id"]):  # from one pass, so that they need not be looked up
        per_image = pl.concat([per_image, areas.lazy().drop("image_id")], how="horizontal")
    else:
        per_image = per_image.join(areas.lazy(), on="image_id", how="full", coalesce=True)
    return (
        labelled.lazy()
        .select("image_id")
        .join(per_image, on="image_id", how="left")
        .select(
            "image_id",
            pl.col("objects", "classes").fill_null(0),
            pl.col("class_entropy_bits", "diversity").fill_null(0.0),
            pl.col("covered_area") if areas is None else pl.col("covered_area").fill_null(0.0),
        )
        .collect(engine="streaming")
    )


def covered_areas(counted: pl.LazyFrame) -> pl.DataFrame:
    """The exact share of each image under at least one box (image_id, covered_area), 0..1.

    All boxes are in memory at once. Quickest where those of an image stand together, as index leaves them.

    Args:
        counted: Any boxes, such as `counted_boxes` gives. One without all four corners covers nothing.
    """
    return _areas(_ByImage.of(counted.select("image_id", *_CORNERS).collect(engine="streaming")))


def counts_and_areas(boxes: pl.LazyFrame, classes: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`class_counts`, and `covered_areas` of the boxes that count, in one pass, for which these are all in memory.

    Args:
        boxes: Table BOXES, of which image_id, class, the corners and three flags are read.
    """
    number = pl.col("class").cast(pl.Enum(list(classes)), strict=False).to_physical()
    counted = counted_boxes(boxes, classes).select("image_id", "count", number.alias("class"), *_CORNERS)
    grouped = _ByImage.of(counted.collect(engine="streaming"))
    counts = np.zeros((len(classes), grouped.images.len()), np.int32)
    owner = np.repeat(np.arange(grouped.images.len()), np.diff(grouped.starts))
    np.add.at(counts, (grouped.boxes["class"].to_numpy(), owner), grouped.boxes["count"].to_numpy())
    columns = dict(zip(classes, counts, strict=True))
    return pl.DataFrame({"image_id": grouped.images, **columns}), _areas(grouped)


@dataclass(frozen=True)
class _ByImage:
    """Boxes, those of an image together: image i owns rows `starts[i]` to `starts[i + 1]`."""

    images: pl.Series
    starts: Int64[np.ndarray, " images_plus_1"]
    boxes: pl.DataFrame

    @classmethod
    def of(cls, boxes: pl.DataFrame) -> _ByImage:
        firsts = _first_rows(boxes["image_id"])
        images = boxes["image_id"].gather(firsts)
        # Sorted ids are different ones if neighbours are, which spares looking each of them up.
        if not images.is_sorted() and images.n_unique() < images.len():
            return cls.of(boxes.sort("image_id"))
        return cls(images, np.append(firsts.to_numpy(), boxes.height).astype(np.int64), boxes)


def _first_rows(image_ids: pl.Series) -> pl.Series:
    """The rows whose id is another than that of the row above."""
    return image_ids.ne_missing(image_ids.shift(1)).arg_true()


def _areas(grouped: _ByImage) -> pl.DataFrame:
    areas = union_areas(grouped.starts, *(grouped.boxes[name].rechunk().to_numpy() for name in _CORNERS))
    return pl.DataFrame({"image_id": grouped.images, "covered_area": areas})
