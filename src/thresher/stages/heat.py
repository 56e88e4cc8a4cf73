"""Heat maps on demand: what each slice of an image adds to the score that ranked it, on one colour scale per run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from thresher.data.images import rgb_image
from thresher.density.fitted_scorers import load_fitted_scorers
from thresher.density.local_layout import local_layout
from thresher.density.mixture import load_mixture, log_density
from thresher.density.slice_block import SliceBlock
from thresher.drawings.heat_map import HeatScale, heat_map, heat_scale
from thresher.errors import DataError
from thresher.features.shards import has_grid, slices_of
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.selection.methods import combination_of

#: Number of target images that set the colour scale if insight has not run.
_SCALE_IMAGES, _SEED = 200, 0


#: Error for runs that have one vector per image instead of grids.
NO_GRID = (
    "heat maps need a grid of vectors per image; this run has one vector per image (embed --vectors). "
    "Embed with the backbone, or with grids of vectors."
)


#: The scores that can be shown part by part.
Shown = Literal["layout", "similarity"]
_Values = list[Float[np.ndarray, "_h _w"]]


def shown_by(method: str) -> Shown:
    """The score whose heat map says why a method ranks an image where it does; layout where it ranks by neither.

    >>> shown_by("layout_and_diversity"), shown_by("both"), shown_by("0.7*similarity + 0.3*layout")
    ('layout', 'similarity', 'similarity')
    """
    if method == "similar_among_diverse":
        return "similarity"
    combined = combination_of(method)
    weights = combined.weights if combined else {method: 1.0}
    return "similarity" if weights.get("similarity", 0.0) > weights.get("layout", 0.0) else "layout"


class HeatMaps:
    """Heat maps of single images by one score, on the scale of the target's images; keeps what it needs in memory.

    By similarity a slice's value is its log p, whose mean is the image's score; by layout it is how near the slice is
    to what is looked for in its place (`local_layout`).
    """

    def __init__(self, opened: OpenedRun, by: Shown = "layout") -> None:
        """Read what `fit` has learnt. A run that was fitted before there was a layout is shown by similarity.

        Raises:
            DataError: fit has not run, the target has no images, or the run has one vector per image and no grids.
        """
        if opened.has_vectors and not has_grid(opened.pooled):
            raise DataError(NO_GRID)
        self._run = opened.run
        self.by: Shown = by if self._run.evidence.is_file() else "similarity"
        """The score that is shown."""
        self._values = _by_layout(self._run) if self.by == "layout" else _by_similarity(self._run)
        known = _held_out_scale(self._run) if self.by == "similarity" else None
        self.scale: HeatScale = known or _target_scale(opened, self._values, self.by)
        """The values at both ends of the colours: log p in nats, or parts of the layout score."""

    def heat(self, image_id: str, path: Path) -> Image.Image:
        """The image beside its heat map.

        Raises:
            DataError: it has no slices, or its pixels cannot be read.
        """
        values = self.parts({image_id})[image_id]
        mean = float(values.mean())
        title = f"layout about {mean:.2f}" if self.by == "layout" else f"similarity {mean:.1f} nats per slice"
        return heat_map(rgb_image(path), values, self.scale, title, image_id)

    def parts(self, image_ids: set[str]) -> dict[str, Float[np.ndarray, "h w"]]:
        """What each slice adds to the score, by image id; images without slices are left out.

        Raises:
            DataError: none of the images has slices.
        """
        block = slices_of(self._run.slices, image_ids)
        return dict(zip(block.image_ids, self._values(block), strict=True))


def _by_layout(run: Run) -> Callable[[SliceBlock], _Values]:
    fitted = load_fitted_scorers(run.evidence, load_mixture(run.mixture), np.zeros((0, 1)))
    return lambda block: local_layout(fitted, block)


def _by_similarity(run: Run) -> Callable[[SliceBlock], _Values]:
    mixture = load_mixture(run.mixture)

    def values(block: SliceBlock) -> _Values:
        parts = np.split(log_density(mixture, block.slices), block.starts[1:-1])
        return [part.reshape(grid) for part, grid in zip(parts, block.grids, strict=True)]

    return values


def mixture_fits(run: Run, image_ids: set[str]) -> bool:
    """Whether the mixture has the dimension of the images' slices; not if embed ran again since fit."""
    if not image_ids or not run.mixture.is_file():
        return False
    width = slices_of(run.slices, {min(image_ids)}).slices.shape[1]
    return bool(width == load_mixture(run.mixture).means.shape[1])


def _held_out_scale(run: Run) -> HeatScale | None:
    """The scale that insight measured on the target's held-out slices, if it has run."""
    path = run.insight / "summary.json"
    if not path.is_file():
        return None
    return HeatScale(*json.loads(path.read_text("utf-8"))["heat_scale_nats"])


def _target_scale(opened: OpenedRun, values: Callable[[SliceBlock], _Values], by: Shown) -> HeatScale:
    """The scale of images that it was fitted to, which are a little nearer than held-out ones."""
    ids = opened.target["image_id"].sort()
    drawn = ids.gather(np.sort(np.random.default_rng(_SEED).permutation(len(ids))[:_SCALE_IMAGES]))
    if not len(drawn):
        raise DataError(f"{opened.run.folder}: the target has no images. Run `thresher index` with another --target.")
    found = values(slices_of(opened.run.slices, set(drawn)))
    scale = heat_scale(np.concatenate([each.ravel() for each in found]))
    return scale if by == "similarity" else dataclasses.replace(scale, words="nearness in layout", digits=2)
