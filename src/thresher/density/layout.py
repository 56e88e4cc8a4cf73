"""Layout of an image: a direction for the middle and the sides of each band of rows; and the query to compare with."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float16, Float32, Float64, Int64

from thresher.density.held_out import contiguous_folds
from thresher.errors import DataError, SettingsError
from thresher.settings import converted
from thresher.vectors import unit_length

#: Rows of a 224-pixel short side at stride 32: landscape images keep their rows, taller ones are pooled to as many.
BANDS = 7
#: Each band's middle third and its two sides.
_PARTS = 2
BLOCK_IMAGES = 4096
#: Runs of neighbouring images of the target; each is compared with the others.
_FOLDS = 3


@converted
@dataclass(frozen=True)
class QuerySettings:
    """How the layout query is refined on the pool.

    The defaults were chosen by AUC on eight pairs of target and pool (benchmarks/choosing.py); nearby values do as
    well. Four more pairs were not used in the search, but were seen before its last step (docs/results.md).
    """

    pooled_share: float = 0.3
    """Weight of the whole image in the layout, 0 to 1; its 14 regions share the rest."""
    towards_top: float = 3.0
    """Weight of the mean of the nearest pool images in the query; the target's mean has weight 1. 0 = off."""
    from_bottom: float = 1.0
    """Weight with which the mean of the farther half of the pool is subtracted from the query. 0 = off."""
    top_of_target: float = 1.0
    """Number of nearest pool images, as a share of the number of target images, 0 to 1."""
    top_of_pool: float = 0.075
    """Upper limit on the number of nearest pool images, as a share of the pool, 0 to 1."""
    as_near_as: float = 0.05
    """Pool images count as nearest only if they are as near as this share of the target's own unseen images is at
    most, 0 to 1. 0 = as near as the farthest of them."""
    whole_of_target: float = 1.0
    """Weight with which the target's mean over whole images is added to the finished query. 0 = off."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        for name in ("pooled_share", "top_of_target", "top_of_pool", "as_near_as"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected a share, 0 to 1.")
        for name in ("towards_top", "from_bottom", "whole_of_target"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 0 or more.")


def origin_of(mean: Float[np.ndarray, " c"], axes: Float[np.ndarray, "d c"]) -> Float64[np.ndarray, " d_plus_1"]:
    """The mean of the features in PCA coordinates; adding it undoes the centring, as the cosine needs.

    The last number is the length of the part of the mean outside the kept axes.
    """
    inside = axes.astype(np.float64) @ mean
    outside = mean - inside @ axes
    return np.append(inside, np.linalg.norm(outside))


def uncentred(
    slices: Float[np.ndarray, "n d"], origin: Float64[np.ndarray, " d_plus_1"]
) -> Float32[np.ndarray, "n d_plus_1"]:
    """PCA coordinates without centring, so that cosines are those of the features (within the kept axes).

    Raises:
        DataError: `origin` belongs to another width.
    """
    if len(origin) != slices.shape[1] + 1:
        raise DataError(f"layout: slices have {slices.shape[1]} features; the origin is for {len(origin) - 1}.")
    moved = np.empty((len(slices), len(origin)), np.float32)
    moved[:, :-1] = slices + origin[:-1].astype(np.float32)
    moved[:, -1] = origin[-1]
    return moved


def layouts(
    slices: Float[np.ndarray, "n d"],
    starts: Int64[np.ndarray, " images_plus_1"],
    grids: Int64[np.ndarray, "images 2"],
    pooled: Float[np.ndarray, "images c"],
    pooled_share: float = 0.3,
) -> Float16[np.ndarray, "images wide"]:
    """Each image as one unit vector: the directions of its bands' middles and sides, and of the whole, side by side.

    The dot product of two of them is (1 − share) × the mean cosine of their 14 parts + share × the cosine of the
    wholes: a pyramid of two levels. A mirrored picture has the same vector.

    Args:
        slices: Before any centring (see `uncentred`); image i owns rows `starts[i]` to `starts[i + 1]`.
        grids: Height and width of each image's grid of slices.
        pooled: The mean of each image's slices before projection, as `pooled.parquet` holds it.

    Raises:
        DataError: a grid has another number of slices than its image.

    Source: the pyramid, Lazebnik, Schmid & Ponce 2006; its parts are ours: streets are layered from road to sky,
    open ahead and lined on both sides, and left and right may be exchanged.
    """
    return layouts_of_parts(part_sums(slices, starts, grids), pooled, pooled_share)


def layouts_of_parts(
    sums: Float32[np.ndarray, "images bands parts d"], pooled: Float[np.ndarray, "images c"], pooled_share: float
) -> Float16[np.ndarray, "images wide"]:
    """`layouts` from the `part_sums` of the same images."""
    parts = np.sqrt((1 - pooled_share) / (BANDS * _PARTS)) * _unit_parts(sums)
    return np.concatenate([parts, np.sqrt(pooled_share) * unit_length(pooled)], axis=1).astype(np.float16)


def bands(
    slices: Float[np.ndarray, "n d"],
    starts: Int64[np.ndarray, " images_plus_1"],
    grids: Int64[np.ndarray, "images 2"],
) -> Float16[np.ndarray, "images narrow"]:
    """Each image as one unit vector: the directions of its seven bands of rows, over their whole width.

    Raises:
        DataError: a grid has another number of slices than its image.
    """
    return bands_of_parts(part_sums(slices, starts, grids))


def bands_of_parts(sums: Float32[np.ndarray, "images bands parts d"]) -> Float16[np.ndarray, "images narrow"]:
    """`bands` from the `part_sums` of the same images: a band is its middle and its sides together."""
    unit = _unit_parts(sums.sum(axis=2, keepdims=True))
    return np.asarray(np.sqrt(1 / BANDS) * unit, np.float16)


def _unit_parts(sums: Float32[np.ndarray, "images bands parts d"]) -> Float32[np.ndarray, "images wide"]:
    images, *parts, d = sums.shape
    unit: Float32[np.ndarray, "images wide"] = unit_length(sums.reshape(-1, d)).reshape(images, math.prod(parts) * d)
    return unit


def middle_and_sides(width: int) -> Float64[np.ndarray, "2 width"]:
    """How much of each of `width` columns is in the middle third of an image, and how much in the outer two.

    >>> middle_and_sides(width=6)
    array([[0., 0., 1., 1., 0., 0.],
           [1., 1., 0., 0., 1., 1.]])
    """
    left = np.arange(width)
    middle = np.clip(np.minimum(left + 1, 2 * width / 3) - np.maximum(left, width / 3), 0, 1)
    return np.stack([middle, 1 - middle])


def part_sums(
    slices: Float[np.ndarray, "n d"],
    starts: Int64[np.ndarray, " images_plus_1"],
    grids: Int64[np.ndarray, "images 2"],
) -> Float32[np.ndarray, "images bands parts d"]:
    """The sum of the slices in each band's middle and in its sides, a slice on a border shared out.

    Band b of an h-row grid takes rows ⌊b h / 7⌋ to ⌈(b + 1) h / 7⌉, so none is ever empty, and portrait, landscape
    and panorama are compared by relative height.

    Raises:
        DataError: a grid has another number of slices than its image.
    """
    if (np.diff(starts) != grids.prod(axis=1)).any() or (grids < 1).any():
        raise DataError("layout: a grid's height × width differs from its number of slices. Embed those images again.")
    found = np.empty((len(grids), BANDS, _PARTS, slices.shape[1]), np.float32)
    for height, width in np.unique(grids, axis=0):
        weights = middle_and_sides(int(width)).astype(np.float32)
        members = np.flatnonzero((grids == (height, width)).all(axis=1))
        for first in range(0, len(members), BLOCK_IMAGES):
            some = members[first : first + BLOCK_IMAGES]
            taken = slices[starts[some][:, None] + np.arange(height * width)].astype(np.float32)
            rows = weights @ taken.reshape(len(some), height, width, -1)
            for band in range(BANDS):
                inside = rows[:, band * height // BANDS : -(-(band + 1) * height // BANDS)]
                found[some, band] = inside.sum(axis=1)
    return found


def dots(vectors: Float[np.ndarray, "n c"], query: Float64[np.ndarray, " query_c"]) -> Float64[np.ndarray, " n"]:
    """The dot product of each vector with the query, a block at a time.

    Raises:
        DataError: the query has another dimension.
    """
    if vectors.shape[1] != len(query):
        raise DataError(
            f"layout: vectors have {vectors.shape[1]} dimensions, the query {len(query)}. Run `thresher fit RUN` again."
        )
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), BLOCK_IMAGES):
        # Each by itself: a product of matrix and vector rounds a row in ways that depend on its neighbours.
        found[start : start + BLOCK_IMAGES] = np.einsum(
            "nc,c->n", vectors[start : start + BLOCK_IMAGES].astype(float), query
        )
    return found


def mean_direction(vectors: Float[np.ndarray, "n c"]) -> Float64[np.ndarray, " c"]:
    """The unit vector along the mean of the vectors; zero if that is zero."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(vectors), BLOCK_IMAGES):
        total += vectors[start : start + BLOCK_IMAGES].astype(np.float32).sum(axis=0)
    length = np.linalg.norm(total)
    mean: Float64[np.ndarray, " c"] = total / (length or 1.0)
    return mean


@dataclass(frozen=True)
class LayoutQuery:
    """What `layout_query` finds."""

    direction: Float64[np.ndarray, " c"]
    """The unit direction along which pool images resemble the target."""
    alike: int
    """How many of these pool images are as near as the target's own unseen images; it is refined on them, or on the
    nearest of them."""


def layout_query(
    target: Float[np.ndarray, "m c"], pool: Float[np.ndarray, "n pool_c"], settings: QuerySettings, whole: int = 0
) -> LayoutQuery:
    """The unit direction along which pool images resemble the target: the default way to score.

    It starts as the target's mean, orders the pool by it, then moves once towards the mean of the pool's nearest
    images and away from that of the farther half. No label is used. The nearest images separate
    traits of the scene from those of the target's camera; the farther half shows what all photographs share.
    A pool image counts as nearest only if it is about as near as the target's own images are to the mean of the others.
    Where there is none, the query stays the target's mean. At last it moves back towards the target's mean over whole
    images, which is what the cosine compares with: it misses no target by much.

    Args:
        target: Layouts (`layouts`) of the target's images, in the order of recording, so that frames of a drive are
            neighbours.
        pool: Layouts of the pool, or of a random sample of it; 100,000 images are enough.
        whole: How many of the last dimensions hold the whole image.

    Raises:
        DataError: no target image, or target and pool layouts of different dimensions.

    Fails where the pool holds images that are near but not alike (the query moves towards them), and where most of the
    pool is alike (the far half is then like the target too): set `towards_top` and `from_bottom` to 0.

    Source: Rocchio 1971, relevance feedback; taken without a person's judgement, Manning et al. 2008, §9.1.6. The bound
    on the nearest and the step back are ours (docs/experiments/ranking-narrow-targets.md).
    """
    if not len(target):
        raise DataError("layout: the target has no images. Run `thresher index RUN --target FORMAT:ROOT`.")
    if target.shape[1] != pool.shape[1]:
        raise DataError(f"layout: target vectors have {target.shape[1]} dimensions, pool vectors {pool.shape[1]}.")
    query = mean_direction(target)
    near = dots(pool, query)
    most = min(settings.top_of_target * len(target), settings.top_of_pool * len(pool))
    alike = int((near >= np.quantile(_unseen_nearness(target), settings.as_near_as)).sum())
    nearest = min(max(1, int(most)), alike)
    if nearest:
        order = np.argsort(-near, kind="stable")
        query = query + settings.towards_top * mean_direction(pool[order[:nearest]])
        query = query - settings.from_bottom * mean_direction(pool[order[(len(order) + 1) // 2 :]])
    if whole and settings.whole_of_target:
        query[-whole:] += settings.whole_of_target * np.linalg.norm(query) * mean_direction(target[:, -whole:])
    return LayoutQuery(query / (np.linalg.norm(query) or 1.0), alike)


def _unseen_nearness(target: Float[np.ndarray, "m c"]) -> Float64[np.ndarray, " m"]:
    """How near each image is to the mean of those of the other thirds; of a lone image, 1."""
    if len(target) < 2:
        return np.ones(len(target))
    near = np.empty(len(target))
    for first, last in itertools.pairwise(contiguous_folds(len(target), _FOLDS)):
        near[first:last] = dots(target[first:last], mean_direction(np.delete(target, slice(first, last), axis=0)))
    return near
