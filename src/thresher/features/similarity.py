"""How near images are to a target, from arrays of one's own: no run, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from thresher.density import sphere as spherical
from thresher.density.em import CANDIDATES, MixtureSettings, choose_mixture, fit_mixture
from thresher.density.held_out import component_folds, held_out_similarity
from thresher.density.layout import (
    QuerySettings,
    bands,
    dots,
    layout_query,
    layouts,
    mean_direction,
    origin_of,
    uncentred,
)
from thresher.density.mixture import Mixture
from thresher.density.scorers import NEIGHBOURS, usualness
from thresher.density.similarity import cosine_to_mean, mean_log_density, mean_of_slices
from thresher.density.slice_block import SliceBlock
from thresher.errors import DataError, SettingsError
from thresher.features.projection import fit_projection
from thresher.vectors import nearest_rows, random_rows, unit_length

#: Defaults of `embed` and `fit`: axes kept, images that the PCA is fitted on, folds, components on the sphere.
_WIDTH, _PROJECTION_IMAGES, _FOLDS, _SLICE_DIRECTIONS, _POOLED_DIRECTIONS = 64, 512, 3, 32, 4


#: Minimum number of target slices per axis; of a small target fewer axes are kept (ours).
_SLICES_PER_AXIS = 10


def similarity(
    pool: Any, target: Any, method: str = "cosine", *, components: str | int = "auto", seed: int = 0
) -> Float64[np.ndarray, " n"]:
    """Similarity of each pool image to the target, by the functions of `thresher score`.

    Vectors are scaled to unit length first.

    Args:
        pool: n images as an array: one vector each (n, c), a set of slices each (n, s, c), or a grid of them
            (n, h, w, c). Anything that `numpy.asarray` takes, such as a tensor on the CPU.
        target: m images in the same form, with the same c.
        method: `cosine` to the target's mean; `nearest`: mean cosine to the five nearest target images; `similarity`
            (the paper's): mean log-density under a Gaussian mixture of the target; `ratio`: that minus the same under
            a mixture of the pool; `typicality`; `sphere` and `pooled_sphere`: von Mises–Fisher mixtures; `layout`
            (`thresher`'s default) and `rows` compare regions of the image and need grids.
        components: Number of components of the Gaussian mixtures, or "auto": chosen by held-out log-likelihood.
        seed: Seed of the samples and starts of the fits; no effect on `cosine` and `nearest`.

    Returns:
        One number per pool image; higher is nearer. cosine, nearest, rows and layout are in −1..1; similarity,
        ratio and sphere are nats per slice, pooled_sphere is nats, typicality is spreads of the target, at most 0.

    Raises:
        SettingsError: an unknown method, or one that needs another form of images.
        DataError: pool and target differ in form or dimension, have no image, or values are not finite.

    Source: arXiv 1907.07023 §III for `similarity`; for the others see `thresher.density.scorers`.

    >>> target = np.array([[1.0, 0.0], [0.9, 0.1]])
    >>> similarity([[2.0, 0.1], [0.0, 3.0], [1.0, 1.0]], target).round(2)
    array([1.  , 0.06, 0.75])
    """
    if seed < 0:
        raise SettingsError(f"seed = {seed}: expected 0 or more.")
    if method not in METHODS:
        raise SettingsError(f"method '{method}': unknown. Known: {', '.join(METHODS)}.")
    given, known = _images(pool, "pool"), _images(target, "target")
    if given.ndim != known.ndim or given.shape[-1] != known.shape[-1]:
        raise DataError(
            f"pool has shape {given.shape}, target {known.shape}: expected the same number of axes and channels."
        )
    if method in _NEED_GRIDS and given.ndim != 4:
        raise SettingsError(
            f"method '{method}' compares regions of the image, so needs grids of shape (n, h, w, c); got "
            f"{given.shape}. For vectors use method='cosine' or 'nearest'."
        )
    found: Float64[np.ndarray, " n"] = METHODS[method](_Pair(given, known, str(components), seed))
    return found.astype(np.float64)


def _array(values: Any, name: str) -> Float32[np.ndarray, ...]:
    """Arrays, tensors (also on a GPU or with gradients), nested lists, and columns of lists of Polars or pandas."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float()
    elif hasattr(values, "to_list"):
        values = [np.asarray(each) for each in values.to_list()]
    try:
        return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: not an array of numbers, or its images differ in shape ({error}).") from error


def _images(values: Any, name: str) -> Float32[np.ndarray, ...]:
    images = _array(values, name)
    if not 2 <= images.ndim <= 4 or not images.size:
        raise DataError(
            f"{name}: got an array of shape {images.shape}; expected (n, c) vectors, (n, s, c) slices or (n, h, w, c) "
            "grids."
        )
    wrong = ~np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if wrong.any():
        raise DataError(f"{name}: {int(wrong.sum())} images hold NaN or infinity (first: row {int(wrong.argmax())}).")
    return images


class _Pair:
    """Pool and target in the forms that the scorers need; each is computed once, on first use."""

    def __init__(self, pool: np.ndarray, target: np.ndarray, components: str, seed: int) -> None:
        self._pool, self._target = pool, target
        self.asked = MixtureSettings(components=components, seed=seed)
        self.query_settings = QuerySettings()

    @property
    def rng(self) -> np.random.Generator:
        """A new generator for each step, so that none depends on which other steps ran."""
        return np.random.default_rng(self.asked.seed)

    @cached_property
    def units(self) -> tuple[Float32[np.ndarray, ...], Float32[np.ndarray, ...]]:
        """Unit slices of pool and target, as images × slices × width."""
        pool, target = (
            unit_length(each.reshape(-1, each.shape[-1])).reshape(len(each), -1, each.shape[-1])
            for each in (self._pool, self._target)
        )
        return pool, target

    @property
    def pooled(self) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "m c"]]:
        """The mean of each image's unit slices."""
        pool, target = self.units
        return pool.mean(axis=1), target.mean(axis=1)

    @cached_property
    def blocks(self) -> tuple[SliceBlock, SliceBlock, Float64[np.ndarray, " d_plus_1"]]:
        """Pool and target as PCA coordinates, and the origin of the features in them."""
        pool, target = self.units
        sample = [random_rows(each, _PROJECTION_IMAGES, self.rng).reshape(-1, each.shape[2]) for each in (target, pool)]
        # A covariance of more directions than a tenth of the slices would fit their noise.
        width = max(1, min(_WIDTH, target.shape[0] * target.shape[1] // _SLICES_PER_AXIS))
        projection = fit_projection(sample[0], sample[1], width)
        found = []
        for each, pooled, form in zip((pool, target), self.pooled, (self._pool, self._target), strict=True):
            images, slices = each.shape[:2]
            grid = form.shape[1:3] if form.ndim == 4 else (slices, 1)
            found.append(
                SliceBlock(
                    projection.projected(each.reshape(-1, each.shape[2])),
                    np.arange(images + 1, dtype=np.int64) * slices,
                    np.tile(np.array(grid, np.int64), (images, 1)),
                    pooled,
                )
            )
        return found[0], found[1], origin_of(projection.mean, projection.axes)

    @cached_property
    def settings(self) -> MixtureSettings:
        """Those of the mixtures, with the K and the variance floor that held-out likelihood chooses."""
        if self.asked.components != "auto":
            return self.asked
        target, rng = self.blocks[1], self.rng
        folds = component_folds(target, _FOLDS, self.asked.max_slices, rng)
        enough = [each for each in CANDIDATES if each <= min(len(train) for train, _ in folds)] or [1]
        best = max(choose_mixture(folds, self.asked, rng, enough), key=lambda each: each.held_out)
        return replace(self.asked, components=str(best.components), variance_floor=best.variance_floor)

    @property
    def components(self) -> int:
        """K of the mixtures."""
        return int(self.settings.components)

    def mixture(self, block: SliceBlock) -> Mixture:
        """Fitted to a sample of the slices of some images.

        Raises:
            DataError: the target has too few slices for that many components.
        """
        slices_there, width = self.blocks[1].slices.shape
        if slices_there < self.components * (width + 1) + 1:
            raise DataError(
                f"target: {slices_there} slices of {width} numbers (after the PCA) are too few for a mixture of "
                f"{self.components} components. Give more images of the target, or use method='cosine' or 'nearest'."
            )
        slices = random_rows(block.slices, self.settings.max_slices, self.rng).astype(np.float32)
        return fit_mixture(slices, min(self.components, len(slices)), self.settings, self.rng).mixture

    @cached_property
    def similarity(self) -> Float64[np.ndarray, " n"]:
        """Mean log-density of each pool image's slices under the target's mixture."""
        pool, target, _ = self.blocks
        return mean_log_density(self.mixture(target), pool.slices, pool.starts)

    def uncentred(self, block: SliceBlock) -> Float32[np.ndarray, "n d_plus_1"]:
        """The slices as the features were before the PCA moved them."""
        return uncentred(block.slices, self.blocks[2])


def _nearest(pair: _Pair) -> Any:
    return nearest_rows(*pair.pooled, NEIGHBOURS)[1].mean(axis=1)


def _ratio(pair: _Pair) -> Any:
    pool = pair.blocks[0]
    return pair.similarity - mean_log_density(pair.mixture(pool), pool.slices, pool.starts)


def _typicality(pair: _Pair) -> Any:
    target = pair.blocks[1]
    if len(target.grids) < 2:
        return usualness(pair.similarity, np.empty(0))
    held_out = held_out_similarity(target.slices, target.starts, pair.components, pair.settings, pair.rng, _FOLDS)
    return usualness(pair.similarity, held_out.similarities)


def _sphere(pair: _Pair) -> Any:
    pool, target, _ = pair.blocks
    rows = random_rows(pair.uncentred(target), pair.settings.max_slices, pair.rng)
    sphere = spherical.fit_sphere(rows, max(1, min(_SLICE_DIRECTIONS, len(rows) // _SLICES_PER_AXIS)), pair.rng).sphere
    return mean_of_slices(spherical.log_density(sphere, pair.uncentred(pool)), pool.starts)


def _pooled_sphere(pair: _Pair) -> Any:
    pool, target = pair.pooled
    sphere = spherical.fit_sphere(
        target, max(1, min(_POOLED_DIRECTIONS, len(target) // _SLICES_PER_AXIS)), pair.rng
    ).sphere
    return spherical.log_density(sphere, pool)


def _rows(pair: _Pair) -> Any:
    pool, target = (bands(pair.uncentred(each), each.starts, each.grids) for each in pair.blocks[:2])
    return dots(pool, mean_direction(target))


def _layout(pair: _Pair) -> Any:
    share = pair.query_settings.pooled_share
    pool, target = (
        layouts(pair.uncentred(each), each.starts, each.grids, each.pooled, share) for each in pair.blocks[:2]
    )
    query = layout_query(target, pool, pair.query_settings, pair.blocks[1].pooled.shape[1])
    return dots(pool, query.direction)


#: Each takes a `_Pair` and gives one number per image of the pool.
METHODS: dict[str, Callable[[_Pair], Any]] = {
    "cosine": lambda pair: cosine_to_mean(*pair.pooled),
    "nearest": _nearest,
    "similarity": lambda pair: pair.similarity,
    "ratio": _ratio,
    "typicality": _typicality,
    "sphere": _sphere,
    "pooled_sphere": _pooled_sphere,
    "rows": _rows,
    "layout": _layout,
}
_NEED_GRIDS = ("rows", "layout")
