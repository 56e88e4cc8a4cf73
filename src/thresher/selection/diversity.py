"""What an image's boxes promise: how many objects of interest, of how many classes, over how much of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64

#: A crowd box says "more than five, touching" in Open Images (arXiv 1811.00982 §3.3), so it counts as that many (ours).
GROUP_COUNTS_AS = 5
#: Images worked on at once are bounded by this many cells of the union grid.
_MOST_CELLS = 20_000_000


@dataclass(frozen=True)
class ClassFrequencies:
    """How many pool images hold each class of interest, out of how many labelled ones, and what that makes it worth."""

    labelled_images: int
    document_frequency: Mapping[str, int]
    weights: Mapping[str, float]

    @property
    def rare(self) -> frozenset[str]:
        """The classes that weigh more than the average one."""
        return frozenset(name for name, weight in self.weights.items() if weight > 1)


def counted_boxes(boxes: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """The boxes that count as objects of interest, with how many objects each stands for (`count`).

    Depictions (a drawing of a car) and what lies inside a car or building do not count; a group box counts as
    `GROUP_COUNTS_AS`.
    """
    real = pl.col("is_depiction").ne_missing(True) & pl.col("is_inside").ne_missing(True)
    return boxes.filter(pl.col("class").is_in(list(classes)) & real).with_columns(
        count=pl.when(pl.col("is_group").eq_missing(True)).then(GROUP_COUNTS_AS).otherwise(1).cast(pl.Int64)
    )  # fmt: skip


def class_frequencies(
    counted: pl.DataFrame, labelled_images: int, class_scores: Mapping[str, float] | None = None
) -> ClassFrequencies:
    """The weight w_c of each class that occurs: log((1 + N) / (1 + df_c)), scaled to mean 1; rare classes weigh more.

    Args:
        counted: From `counted_boxes`.
        labelled_images: N, the pool images whose source labels boxes at all.
        class_scores: The user's own weights, taken as they are; classes it lacks weigh 0.

    Source: arXiv 1907.07023 §III-A asks for class scores; inverse document frequency is ours (Spärck Jones 1972).
    """
    frequency = counted.group_by("class").agg(pl.col("image_id").n_unique().alias("df")).sort("class")
    found = dict(zip(frequency["class"].to_list(), frequency["df"].to_list(), strict=True))
    if class_scores is not None:
        return ClassFrequencies(labelled_images, found, {name: class_scores.get(name, 0.0) for name in found})
    raw = {name: float(np.log((1 + labelled_images) / (1 + df))) for name, df in found.items()}
    mean = float(np.mean(list(raw.values()))) if raw else 0.0
    # Where every class is in every image none is rarer than another, and all weigh the same.
    weights = {name: value / mean if mean > 0 else 1.0 for name, value in raw.items()}
    return ClassFrequencies(labelled_images, found, weights)


def diversity_scores(counted: pl.DataFrame, labelled: pl.DataFrame, weights: Mapping[str, float]) -> pl.DataFrame:
    """What the boxes of each labelled image are worth.

    div(x) = Σ_c w_c · log2(1 + n_c(x)), concave in n_c so that a new class is worth more than one more car (ours).

    Args:
        counted: From `counted_boxes`.
        labelled: One column `image_id`: every image to score; one without objects of interest scores 0.

    Returns:
        image_id, objects, classes, class_entropy_bits (0 where one class or none), covered_area (share of the picture
        under at least one box, 0..1), diversity (0 or more; higher is richer).

    Source: arXiv 1907.07023 §III-A.
    """
    if counted.is_empty():
        nothing = [
            pl.lit(0).cast(pl.Int64).alias("objects"),
            pl.lit(0).cast(pl.Int64).alias("classes"),
            *(pl.lit(0.0).alias(name) for name in ("class_entropy_bits", "covered_area", "diversity")),
        ]
        return labelled.select("image_id", *nothing)
    weight = pl.col("class").replace_strict(dict(weights), default=0.0, return_dtype=pl.Float64)
    # Sorting first fixes the order of the floating-point sums, so that equal tables give equal bytes.
    per_class = counted.group_by("image_id", "class").agg(pl.col("count").sum().alias("n")).sort("image_id", "class")
    share = pl.col("n") / pl.col("n").sum()
    per_image = per_class.group_by("image_id", maintain_order=True).agg(
        pl.col("n").sum().cast(pl.Int64).alias("objects"),
        pl.len().cast(pl.Int64).alias("classes"),
        (-(share * share.log(2)).sum()).clip(lower_bound=0.0).alias("class_entropy_bits"),
        (weight * (1 + pl.col("n")).log(2)).sum().alias("diversity"),
    )
    scored = labelled.select("image_id").join(per_image, on="image_id", how="left")
    scored = scored.join(covered_areas(counted), on="image_id", how="left")
    return scored.select(
        "image_id", pl.col("objects", "classes").fill_null(0),
        pl.col("class_entropy_bits", "covered_area", "diversity").fill_null(0.0),
    )  # fmt: skip


def covered_areas(boxes: pl.DataFrame) -> pl.DataFrame:
    """The share of each image that lies under at least one box, exactly (image_id, covered_area), 0..1.

    Images with equally many boxes are done together: the corners cut the picture into a grid whose cells are either
    wholly covered or not at all.
    """
    lists = boxes.group_by("image_id", maintain_order=True).agg("x0", "y0", "x1", "y1", pl.len().alias("boxes"))
    parts = []
    for (number,), group in lists.group_by("boxes", maintain_order=True):
        most = max(1, _MOST_CELLS // (int(str(number)) * 2) ** 2)
        for part in group.iter_slices(most):
            corners = [np.stack(part[name].to_list()).astype(np.float64) for name in ("x0", "y0", "x1", "y1")]
            parts.append(pl.DataFrame({"image_id": part["image_id"], "covered_area": _union_area(*corners)}))
    return pl.concat(parts) if parts else pl.DataFrame(schema={"image_id": pl.String, "covered_area": pl.Float64})


def _union_area(
    x0: Float64[np.ndarray, "n m"],
    y0: Float64[np.ndarray, "n m"],
    x1: Float64[np.ndarray, "n m"],
    y1: Float64[np.ndarray, "n m"],
) -> Float64[np.ndarray, " n"]:
    xs, ys = np.sort(np.concatenate([x0, x1], axis=1)), np.sort(np.concatenate([y0, y1], axis=1))
    covered = np.zeros((len(x0), ys.shape[1] - 1, xs.shape[1] - 1), bool)
    for box in range(x0.shape[1]):
        columns = (xs[:, :-1] >= x0[:, box, None]) & (xs[:, 1:] <= x1[:, box, None])
        rows = (ys[:, :-1] >= y0[:, box, None]) & (ys[:, 1:] <= y1[:, box, None])
        covered |= rows[:, :, None] & columns[:, None, :]
    area: Float64[np.ndarray, " n"] = np.einsum("nyx,ny,nx->n", covered, np.diff(ys), np.diff(xs), optimize=True)
    return area
