"""All scores of similarity to the target: pure functions of the fitted state and a block of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float16, Float32, Float64

from thresher.density import sphere as spherical
from thresher.density.layout import (
    LayoutQuery,
    QuerySettings,
    bands,
    bands_of_parts,
    dots,
    layout_query,
    layouts,
    layouts_of_parts,
    mean_direction,
    part_sums,
    uncentred,
)
from thresher.density.mixture import Mixture
from thresher.density.similarity import cosine_to_mean, mean_log_density, mean_of_slices
from thresher.density.slice_block import SliceBlock
from thresher.density.sphere import Sphere
from thresher.errors import DataError
from thresher.vectors import nearest_rows

#: Target images whose mean cosine is `nearest`.
NEIGHBOURS = 5


@dataclass(frozen=True)
class FittedScorers:
    """The fitted state of all scorers: what `fit` learns. All fields but `pool_mixture` describe the target."""

    mixture: Mixture
    pool_mixture: Mixture
    """Fitted to a sample of the pool's slices."""
    sphere: Sphere
    """Fitted to uncentred slices (`layout.uncentred`)."""
    pooled_sphere: Sphere
    pooled: Float[np.ndarray, "m c"]
    """Pooled vectors of the target's images."""
    origin: Float64[np.ndarray, " d_plus_1"]
    """`layout.origin_of` the projection."""
    rows_query: Float64[np.ndarray, " narrow"]
    """The mean direction of the target's `layout.bands`."""
    query: Float64[np.ndarray, " wide"]
    """Direction of `layout.layout_query` of target and pool."""
    held_out_nats: Float64[np.ndarray, " h"]
    """Similarity of target images under mixtures that were not fitted to them."""
    query_settings: QuerySettings
    alike_share: float = float("nan")
    """Share of the pool that is as near to the target as its own images are to each other, 0..1; nan if not known."""


@dataclass(frozen=True)
class ScorerInput:
    """Input of a scorer: fitted state and images; values that several scorers need are computed once, on demand."""

    fitted: FittedScorers
    images: SliceBlock

    @cached_property
    def similarity(self) -> Float64[np.ndarray, " images"]:
        """Mean log-density of each image's slices under the target's mixture, in nats per slice."""
        return mean_log_density(self.fitted.mixture, self.images.slices, self.images.starts)

    @cached_property
    def uncentred(self) -> Float32[np.ndarray, "n d_plus_1"]:
        """The slices as `layout.uncentred` moves them."""
        return uncentred(self.images.slices, self.fitted.origin)

    @cached_property
    def parts(self) -> Float32[np.ndarray, "images bands parts d_plus_1"]:
        """`layout.part_sums` of each image."""
        return part_sums(self.uncentred, self.images.starts, self.images.grids)


def similarity(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """The paper's similarity: mean log-density of an image's slices under the target's Gaussian mixture.

    Returns:
        Nats per slice, any sign; higher is nearer the target.

    Fails on plain pictures (a wall, a sky), which are likelier than any street, and on street photographs that no
    car took: it models the target's camera as well as its scene.

    Source: arXiv 1907.07023 §III-B.
    """
    return given.similarity


def ratio(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """How much likelier the slices are under the target's mixture than under the pool's.

    Returns:
        Nats per slice; above 0 nearer the target than the pool, higher is nearer.

    Fails where the pool holds many images like the target: their own mode in the pool's mixture takes their score.

    Source: Xie et al. 2023 (DSIR, arXiv 2302.03169), there for text.
    """
    pool = mean_log_density(given.fitted.pool_mixture, given.images.slices, given.images.starts)
    gained: Float64[np.ndarray, " images"] = given.similarity - pool
    return gained


def typicality(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """How typical the similarity is for the target: −|similarity − median| in spreads of its held-out images.

    Returns:
        Spreads from the median, at most 0; higher is nearer. A spread is half the target's interquartile range.

    Raises:
        DataError: no held-out image.

    Fails as `similarity` does, except that plain pictures no longer score highest; needs held-out target images.

    Source: Nalisnick et al. 2019 (arXiv 1906.02994); median and half the interquartile range are ours.
    """
    return usualness(given.similarity, given.fitted.held_out_nats)


def usualness(
    similarity: Float64[np.ndarray, " images"], held_out: Float64[np.ndarray, " h"]
) -> Float64[np.ndarray, " images"]:
    """`typicality` from similarities and those of the target's own held-out images.

    Raises:
        DataError: no held-out image.
    """
    if not len(held_out):
        raise DataError("typicality: the target has too few images to hold any out. It needs 2 or more.")
    low, middle, high = np.quantile(held_out, (0.25, 0.5, 0.75))
    spread = max(float(high - low) / 2, np.finfo(np.float64).tiny)
    usual: Float64[np.ndarray, " images"] = -np.abs(similarity - middle) / spread
    return usual


def cosine(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """Cosine of the pooled vector to the target's mean direction: a baseline.

    Returns:
        −1..1, higher is nearer.

    Fails to separate a street seen from a car from one seen from a pavement: it compares content, not layout.
    """
    return cosine_to_mean(given.images.pooled, given.fitted.pooled)


def nearest(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """Mean cosine of the pooled vector to the five nearest target images.

    Returns:
        −1..1, higher is nearer.

    Fails where an outlier of the target raises the pool's outliers to the top; covers rare modes best.
    """
    cosines = nearest_rows(given.images.pooled, given.fitted.pooled, NEIGHBOURS)[1]
    mean: Float64[np.ndarray, " images"] = cosines.mean(axis=1)
    return mean


def rows(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """Mean cosine of seven bands of rows to the target's mean of each band: layout without learning from the pool.

    Returns:
        −1..1, higher is nearer.

    Fails on streets seen from above, from the side, or in a tight crop. Source: ours (shared measurements).
    """
    return dots(bands_of_parts(given.parts), given.fitted.rows_query)


def sphere(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """Mean log-density of an image's slices under the target's von Mises–Fisher mixture.

    Returns:
        Nats per slice, higher is nearer.

    Fails less on plain pictures than `similarity` does, otherwise alike. Source: Banerjee et al. 2005.
    """
    return mean_of_slices(spherical.log_density(given.fitted.sphere, given.uncentred), given.images.starts)


def pooled_sphere(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """Log-density of the pooled vector under a von Mises–Fisher mixture of the target's; one component is the cosine.

    Returns:
        Nats, higher is nearer.

    Fails with few target images: each component needs tens of them. Source: Banerjee et al. 2005.
    """
    return spherical.log_density(given.fitted.pooled_sphere, given.images.pooled)


def layout(given: ScorerInput) -> Float64[np.ndarray, " images"]:
    """Nearness in layout to a query that was refined on the pool: the default.

    Returns:
        Dot product with the query, −1..1, higher is nearer; comparable within one target and pool only.

    Fails as documented in `layout.layout_query`, and like `rows` on streets seen from above or the side.

    Source: see `layout.layout_query`.
    """
    share = given.fitted.query_settings.pooled_share
    return dots(layouts_of_parts(given.parts, given.images.pooled, share), given.fitted.query)


Scorer = Callable[[ScorerInput], Float64[np.ndarray, " images"]]


@dataclass(frozen=True)
class Score:
    """A number per image, higher is better; its name is that of its column in scores.parquet and method of `select`."""

    name: str
    unit: str
    """Empty for plain numbers such as cosines."""
    needs: tuple[str, ...]
    """Its input: slices, grid (slices with positions), pooled, boxes, network."""
    function: Callable[..., Any]
    words: str = ""
    """Description, if its function computes several scores."""


#: Similarities to the target; each function works on one block of images.
SIMILARITIES = (
    Score("layout", "", ("grid", "pooled"), layout),
    Score("similarity", "nats per slice", ("slices",), similarity),
    Score("ratio", "nats per slice", ("slices",), ratio),
    Score("typicality", "spreads", ("slices",), typicality),
    Score("cosine", "", ("pooled",), cosine),
    Score("nearest", "", ("pooled",), nearest),
    Score("rows", "", ("grid",), rows),
    Score("sphere", "nats per slice", ("slices",), sphere),
    Score("pooled_sphere", "nats", ("pooled",), pooled_sphere),
)
SCORERS: dict[str, Scorer] = {score.name: score.function for score in SIMILARITIES}


def queries(
    target: SliceBlock,
    pool_layouts: Float[np.ndarray, "n wide"],
    origin: Float64[np.ndarray, " d_plus_1"],
    settings: QuerySettings,
) -> tuple[Float64[np.ndarray, " narrow"], LayoutQuery]:
    """`rows_query` of the evidence and the layout query, from the target's images and the pool's layouts.

    Args:
        pool_layouts: `layouts_of` the pool's images with the settings' share of the whole.
    """
    ours = layouts_of(target, origin, settings.pooled_share)
    query = layout_query(ours, pool_layouts, settings, target.pooled.shape[1])
    return mean_direction(_bands_of(target, origin)), query


def layouts_of(
    images: SliceBlock, origin: Float64[np.ndarray, " d_plus_1"], pooled_share: float
) -> Float16[np.ndarray, "images wide"]:
    """`layout.layouts` of images whose slices are PCA coordinates."""
    return layouts(uncentred(images.slices, origin), images.starts, images.grids, images.pooled, pooled_share)


def _bands_of(images: SliceBlock, origin: Float64[np.ndarray, " d_plus_1"]) -> Float16[np.ndarray, "images wide"]:
    return bands(uncentred(images.slices, origin), images.starts, images.grids)
