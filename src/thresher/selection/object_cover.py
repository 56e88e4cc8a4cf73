"""Coverage by objects: of the best of a ranking, the images whose objects together cover the objects of their classes.

The idea that the objects in an image's boxes say more of what it teaches than the image as a whole is that of arXiv
2412.10032 and 2404.09161; the objective and its weights are ours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Float32, Int64

from thresher.errors import SettingsError
from thresher.selection.facility import EXACT_COSINES, Covering, best_cosines, lazy_greedy
from thresher.vectors import unit_length

#: Share of the target's objects in what is to be covered of a class; those of the shortlist have the rest (ours).
TARGET_SHARE = 0.5
#: Images whose objects are compared at once.
_BLOCK = 4_096


@dataclass(frozen=True)
class Objects:
    """Objects of images: a row for each."""

    vectors: Float[np.ndarray, "n d"]
    """Of any length; cosines count."""
    classes: Int64[np.ndarray, " n"]
    """The number of each object's class: only objects of one class cover each other."""
    images: Int64[np.ndarray, " n"]
    """The number of the image that it is in, from 0."""

    def among(self, rows: np.ndarray) -> Objects:
        """Some of the objects."""
        return Objects(self.vectors[rows], self.classes[rows], self.images[rows])


def no_objects(width: int) -> Objects:
    """None, of vectors of this width."""
    return Objects(np.zeros((0, width), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))


def covering_by_objects(
    own: Objects,
    target: Objects | None = None,
    images: int | None = None,
    count: int = 1,
    taken: Objects | None = None,
    most_cosines: int = EXACT_COSINES,
) -> Covering:
    """Images taken one by one, each the one whose objects add most to how well all objects are covered.

    The objective is Σ_c 1/n_c Σ_i w_i · max over taken objects o of class c of cos(i, o)⁺, over the objects i of class
    c of the target and of these images, which weigh half each. All classes weigh the same, so that an object of a rare
    class is worth more than one of a frequent class. What an image adds is the sum over its objects, of which those
    that cover the same count once; so the greedy choice reaches at least 1 − 1/e of the best one of its size
    (`selection.facility`).

    Args:
        own: The objects of the images to choose from; `own.images` are their numbers.
        target: What the target holds; its `images` do not count. Objects of a class that no candidate holds are left
            out.
        images: How many images there are; those without objects add nothing. Default: up to the last with an object.
        count: How many to take.
        taken: Objects of images that are chosen in any case: what they cover needs no more cover.
        most_cosines: Images times objects up to which every object is covered; beyond, of each class an evenly spread
            part of them.

    Returns:
        The numbers of the images, and what each adds: 1 is a class that is wholly covered.

    >>> objects = Objects(np.array([[1, 0], [0, 1], [1, 0.1]]), np.array([0, 1, 0]), np.array([0, 0, 1]))
    >>> covering_by_objects(objects, count=2).rows.tolist()
    [0, 1]
    """
    total = int(own.images.max(initial=-1)) + 1 if images is None else images
    target = no_objects(own.vectors.shape[1]) if target is None else target
    known, weight = _points(own, target, max(1, most_cosines // max(1, total)))
    covers = _image_covers(own, known, total)
    best = np.zeros(len(known.classes), np.float32)
    if taken is not None and len(taken.classes):
        for number in np.unique(known.classes):
            ours, theirs = known.classes == number, taken.classes == number
            if theirs.any():
                best[ours] = best_cosines(known.vectors[ours], taken.vectors[theirs])
    return lazy_greedy(covers, weight, best, min(count, total))


def _points(own: Objects, target: Objects, most: int) -> tuple[Objects, Float32[np.ndarray, " m"]]:
    """What is to be covered, class by class, and its weights: in all 1 for each class."""
    classes = np.unique(own.classes)
    asked = len(own.classes) + int(np.isin(target.classes, classes).sum())
    step = max(1, -(-asked // most))
    parts, weights = [], []
    for number in classes:
        sides = [side.among(np.flatnonzero(side.classes == number)[::step]) for side in (target, own)]
        shares = (TARGET_SHARE, 1 - TARGET_SHARE) if len(sides[0].classes) else (0.0, 1.0)
        for side, share in zip(sides, shares, strict=True):
            parts.append(side)
            weights.append(np.full(len(side.classes), share / max(1, len(side.classes)), np.float32))
    known = Objects(
        np.concatenate([own.vectors[:0], *(part.vectors for part in parts)]).astype(np.float32),
        np.concatenate([own.classes[:0], *(part.classes for part in parts)]),
        np.concatenate([own.images[:0], *(part.images for part in parts)]),
    )
    return known, np.concatenate([np.zeros(0, np.float32), *weights])


def _image_covers(own: Objects, known: Objects, images: int) -> Float32[np.ndarray, "images m"]:
    """How well each image covers each point: the highest cosine of its objects of the point's class, 0 at least."""
    found = np.zeros((images, len(known.classes)), np.float32)
    points = unit_length(known.vectors)
    for number in np.unique(own.classes):
        rows = np.flatnonzero(own.classes == number)
        rows = rows[np.argsort(own.images[rows], kind="stable")]
        columns = np.flatnonzero(known.classes == number)  # one after the other
        holders, firsts = np.unique(own.images[rows], return_index=True)
        ends = np.append(firsts[1:], len(rows))
        for start in range(0, len(holders), _BLOCK):
            part = slice(start, start + _BLOCK)
            unit = unit_length(own.vectors[rows[firsts[part][0] : ends[part][-1]]])
            highest = np.maximum.reduceat(unit @ points[columns].T, firsts[part] - firsts[part][0], axis=0)
            found[holders[part], columns[0] : columns[-1] + 1] = np.maximum(highest, 0)
    return found


@dataclass(frozen=True)
class ObjectLooks:
    """Vectors of the objects of some images and of the target's."""

    pool: pl.DataFrame
    """image_id, class and row: of the pool's objects, where in `vectors` each is."""
    target: pl.DataFrame
    """class and row: of the target's objects."""
    vectors: Float[np.ndarray, "n d"]


def no_crops(ids: Collection[str]) -> ObjectLooks:
    """For who has no run to cut objects out of.

    Raises:
        SettingsError: always.
    """
    raise SettingsError("coverage = objects: needs the images of a run. Use by_class, or `thresher select`.")


def covered_by_objects(
    order: pl.DataFrame, count: int, shortlist: int, looks: ObjectLooks, taken: Collection[str] = ()
) -> pl.DataFrame:
    """The order with those of its first `shortlist` images in front whose objects cover the most, `count` at most.

    Images without an object add nothing and keep their order behind.

    Args:
        order: Candidates, best first: image_id, rank, score.
        looks: At least of the shortlist and of what is taken.
        taken: Ids that are chosen in any case.

    Returns:
        The same rows; `rank` counts the new order.

    Raises:
        SettingsError: no image of the shortlist has an object.
    """
    head = order.head(shortlist).select("image_id").with_row_index("image")
    held = looks.pool.join(head, on="image_id").sort("row")
    if held.is_empty():
        raise SettingsError(
            "coverage = objects: none of the images to choose from has a box of a class of interest. Use images."
        )
    names = pl.concat([looks.pool["class"], looks.target["class"]]).unique().sort().to_list()
    kept = looks.pool.filter(pl.col("image_id").is_in(list(taken))).with_columns(image=pl.lit(0))

    def objects(frame: pl.DataFrame) -> Objects:
        numbers = frame["class"].replace_strict(names, list(range(len(names))), return_dtype=pl.Int64)
        images = frame["image"].to_numpy().astype(np.int64)
        return Objects(looks.vectors[frame["row"].to_numpy()], numbers.to_numpy().astype(np.int64), images)

    target = objects(looks.target.with_columns(image=pl.lit(0)))
    made = covering_by_objects(objects(held), target, head.height, count, objects(kept))
    front = made.rows[made.gains > 0]
    behind = np.setdiff1d(np.arange(order.height), front)
    return order[np.concatenate([front, behind])].with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64))
