"""Coverage by objects: of the best of a ranking, the images whose objects together cover the objects of their classes.

That the objects in an image's boxes say more of what it teaches than the image as a whole is the idea of arXiv
2412.10032 and 2404.09161; the objective, its weights and the turns are ours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Float32, Int64

from thresher.errors import SettingsError
from thresher.selection.facility import EXACT_COSINES, best_cosines, lazy_greedy
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

    def of_class(self, number: int) -> Objects:
        """Those of a class."""
        rows = self.classes == number
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
) -> Int64[np.ndarray, " chosen"]:
    """Images by turns of the classes, rarest first: each time the one that adds most to how well a class is covered.

    Of a class, images are taken by lazy greedy facility location: the objective is Σ_i w_i · max over taken objects o
    of cos(i, o)⁺, over the class's objects i in the target and in these images, which weigh half each. It reaches at
    least 1 − 1/e of the best choice of as many images of the class (`selection.facility`). An image that several
    classes ask for is taken once.

    By turns, since one objective over all classes takes most images from the class whose looks vary most: of 300 photos
    of animals 156 with a dog and 22 with a horse, and trains worse (docs/experiments/choice-of-the-default.md).

    Args:
        own: The objects of the images to choose from; `own.images` are their numbers.
        target: What the target holds; its `images` do not count. Objects of a class that no candidate holds are left
            out.
        images: How many images there are; those without objects are not taken. Default: up to the last with an object.
        count: How many to take at most.
        taken: Objects of images that are chosen in any case: what they cover needs no more cover.
        most_cosines: Images times objects of a class up to which every object is covered; beyond, an evenly spread part
            of them.

    Returns:
        The numbers of the images.

    >>> objects = Objects(np.array([[1, 0], [0, 1], [1, 0.1]]), np.array([0, 1, 0]), np.array([0, 0, 1]))
    >>> covering_by_objects(objects, count=2).tolist()
    [0, 1]
    """
    total = int(own.images.max(initial=-1)) + 1 if images is None else images
    target = no_objects(own.vectors.shape[1]) if target is None else target
    places, turns, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number in np.unique(own.classes).tolist():
        mine = own.of_class(number)
        holders, numbered = np.unique(mine.images, return_inverse=True)
        points, weight = _points(mine, target.of_class(number), max(1, most_cosines // len(holders)))
        best = np.zeros(len(points), np.float32)
        if taken is not None and len(others := taken.of_class(number).vectors):
            best = best_cosines(points, others)
        covers = _image_covers(mine.vectors, numbered.astype(np.int64), points)
        made = lazy_greedy(covers, weight, best, min(count, len(holders)))
        places.append(holders[made.rows[made.gains > 0]])
        turns.append(np.arange(len(places[-1])))
        sizes.append(np.full(len(places[-1]), len(holders)))
    place = np.concatenate(places)
    in_turn = place[np.lexsort((place, np.concatenate(sizes), np.concatenate(turns)))]
    found: Int64[np.ndarray, " chosen"] = in_turn[np.sort(np.unique(in_turn, return_index=True)[1])][
        : min(count, total)
    ]
    return found


def _points(own: Objects, target: Objects, most: int) -> tuple[Float32[np.ndarray, "m d"], Float32[np.ndarray, " m"]]:
    """What is to be covered of a class, and its weights: 1 in all."""
    step = max(1, -(-(len(own.classes) + len(target.classes)) // most))
    sides = [side.vectors[::step].astype(np.float32) for side in (target, own)]
    shares = (TARGET_SHARE, 1 - TARGET_SHARE) if len(sides[0]) else (0.0, 1.0)
    weights = [
        np.full(len(side), share / max(1, len(side)), np.float32) for side, share in zip(sides, shares, strict=True)
    ]
    return np.concatenate(sides), np.concatenate(weights)


def _image_covers(
    vectors: Float[np.ndarray, "n d"], images: Int64[np.ndarray, " n"], points: Float32[np.ndarray, "m d"]
) -> Float32[np.ndarray, "images m"]:
    """How well each image covers each point: the highest cosine of its objects. Each number is that of an image."""
    order = np.argsort(images, kind="stable")
    holders, firsts = np.unique(images[order], return_index=True)
    ends, unit = np.append(firsts[1:], len(order)), unit_length(points)
    found = np.empty((len(holders), len(points)), np.float32)
    for start in range(0, len(holders), _BLOCK):
        part = slice(start, start + _BLOCK)
        own = unit_length(vectors[order[firsts[part][0] : ends[part][-1]]])
        found[part] = np.maximum.reduceat(own @ unit.T, firsts[part] - firsts[part][0], axis=0)
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
    front = covering_by_objects(objects(held), target, head.height, count, objects(kept))
    behind = np.setdiff1d(np.arange(order.height), front)
    return order[np.concatenate([front, behind])].with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64))
