"""How good each route's labels are on held-out masks of the target, class by class, and which is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64, UInt8

from thresher import tables
from thresher.labelling.label_tables import LABEL_ROUTES
from thresher.labelling.routes import NONE
from thresher.segmentation.tree import ClassTree

#: How often the held-out images are drawn with replacement, for intervals.
_DRAWS = 1000
#: Stuff is not labelled if it takes more than this share of another class's labelled pixels: whoever learnt from such
#: labels would unlearn that class (ours; on CamVid stuff labelled by a teacher lost the poles).
_MOST_TAKEN = 0.5

#: For each held-out image how many pixels of a class (row) got which label (column; the last is none).
Counts = Int64[np.ndarray, "images classes classes_plus_1"]


def label_counts(
    truth: UInt8[np.ndarray, "h w"], labels: UInt8[np.ndarray, "h w"], classes: int
) -> Int64[np.ndarray, "classes classes_plus_1"]:
    """How many pixels of each true class got which label. Pixels whose truth is void do not count.

    >>> label_counts(np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 2, 0, 0]], np.uint8), 2).tolist()
    [[1, 0, 1], [1, 0, 0]]
    """
    known = truth < classes
    pairs = truth[known].astype(np.int64) * (classes + 1) + np.minimum(labels[known], classes)
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def class_ious(counts: Int64[np.ndarray, "*draws classes classes_plus_1"]) -> Float64[np.ndarray, "*draws classes"]:
    """IoU of each class, 0..1, with a pixel of the class that has no label as a miss; NaN where the truth has none."""
    right = np.diagonal(counts[..., :-1], axis1=-2, axis2=-1)
    true, labelled = counts.sum(-1), counts[..., :-1].sum(-2)
    with np.errstate(invalid="ignore"):
        return np.where(true > 0, right / np.maximum(true + labelled - right, 1), np.nan)


def _precisions(counts: Int64[np.ndarray, "classes classes_plus_1"]) -> Float64[np.ndarray, " classes"]:
    labelled = counts[:, :-1].sum(0)
    right = np.diagonal(counts[:, :-1])
    return np.where(labelled > 0, right / np.maximum(labelled, 1), np.nan)


def route_table(
    counts: Mapping[str, Counts],
    objects: Int64[np.ndarray, " classes"],
    tree: ClassTree,
    boxed: Bool[np.ndarray, " classes"],
    seed: int = 0,
) -> pl.DataFrame:
    """Table LABEL_ROUTES, with nothing chosen yet.

    Args:
        counts: For each route.
        objects: How many boxes of each class there are.
        boxed: The classes that boxes are drawn around, over which the mean is taken.
    """
    rows: list[dict[str, object]] = []
    for route, of_images in counts.items():
        total = of_images.sum(0)
        ious, precisions, there = class_ious(total), _precisions(total), (of_images.sum(2) > 0).sum(0)
        drawn = _drawn(of_images, seed)
        of_classes = [
            (name, ious[n], drawn[:, n], precisions[n], there[n], objects[n]) for n, name in enumerate(tree.classes)
        ]
        mean = (None, _mean(ious[boxed]), _means(drawn[:, boxed]), _mean(precisions[boxed]), len(of_images))
        for name, iou, spread, precision, images, count in [(*mean, objects[boxed].sum()), *of_classes]:
            low, high = _interval(spread)
            numbers = {"iou": _number(iou), "low": low, "high": high, "precision": _number(precision)}
            counted = {"images": int(images), "objects": int(count), "chosen": False}
            rows.append({"route": route, "class": name, **numbers, **counted})
    return tables.from_rows(rows, LABEL_ROUTES)


def _drawn(counts: Counts, seed: int) -> Float64[np.ndarray, "draws classes"]:
    """IoU of each class over images drawn with replacement."""
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _DRAWS)
    right = np.diagonal(counts[:, :, :-1], axis1=1, axis2=2)
    true, labelled = counts.sum(2), counts[:, :, :-1].sum(1)
    hit, either = times @ right, times @ (true + labelled - right)
    return np.where(times @ true > 0, hit / np.maximum(either, 1), np.nan)


def _interval(spread: Float64[np.ndarray, " draws"]) -> tuple[float | None, float | None]:
    known = spread[~np.isnan(spread)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _means(values: Float64[np.ndarray, "draws classes"]) -> Float64[np.ndarray, " draws"]:
    known = ~np.isnan(values)
    return np.where(known.any(1), np.nansum(values, 1) / np.maximum(known.sum(1), 1), np.nan)


def _mean(values: Float64[np.ndarray, " classes"]) -> float:
    return float(_means(values[None])[0])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def chosen_routes(
    table: pl.DataFrame, routes: Sequence[str], tree: ClassTree, boxed: Bool[np.ndarray, " classes"]
) -> dict[str, str]:
    """For each class the route with the highest IoU on held-out masks, the first of equals.

    Of a class that the masks do not have: the route with the highest mean IoU over its group's classes; if they have
    none of these, over all classes that boxes are drawn around (of stuff: over stuff).

    Args:
        table: LABEL_ROUTES.
        routes: Those to choose from, in order.
    """
    known = table.drop_nulls(["class", "iou"])
    iou = {(route, name): value for route, name, value in known.select("route", "class", "iou").iter_rows()}

    def best(names: Sequence[str]) -> str | None:
        means = {}
        for route in routes:
            values = [iou[route, name] for name in names if (route, name) in iou]
            if values:
                means[route] = sum(values) / len(values)
        return max(means, key=means.__getitem__) if means else None

    chosen = {}
    for number, name in enumerate(tree.classes):
        group = tree.group_of(name)
        alike = [each for other, each in enumerate(tree.classes) if boxed[other] == boxed[number]]
        kin = group.outputs[:-1] if group else ()
        chosen[name] = best([name]) or best(kin) or best(alike) or routes[0]
    return chosen


def earned_stuff(
    counts: Mapping[str, Counts],
    route_of: Mapping[str, str],
    tree: ClassTree,
    boxed: Bool[np.ndarray, " classes"],
    least_precision: float,
) -> dict[str, str]:
    """The routes of `route_of`, `NONE` for stuff that has not earned it on held-out masks.

    Stuff earns its labels if at least `least_precision` of them are right and it takes no more than half of the
    labelled pixels of any other class: a small error of the wall is the end of the pole before it (our choice).
    """
    earned = dict(route_of)
    for number, name in enumerate(tree.classes):
        if boxed[number] or route_of[name] == NONE:
            continue
        total = counts[route_of[name]].sum(0)
        labelled = total[:, :-1].sum(1)
        taken = total[:, number] / np.maximum(labelled, 1)
        taken[number] = 0
        precise = total[number, number] >= least_precision * max(int(total[:, number].sum()), 1)
        if not precise or (taken > _MOST_TAKEN).any():
            earned[name] = NONE
    return earned


def with_choice(table: pl.DataFrame, route_of: Mapping[str, str]) -> pl.DataFrame:
    """Table LABEL_ROUTES with `chosen` set."""
    wanted = pl.DataFrame(
        {"class": list(route_of), "route": list(route_of.values())}, {"class": pl.String, "route": pl.String}
    )
    marked = table.join(
        wanted.with_columns(mark=pl.lit(True)), on=["class", "route"], how="left", maintain_order="left"
    )
    return marked.with_columns(chosen=pl.col("mark").fill_null(False)).select(list(LABEL_ROUTES))
