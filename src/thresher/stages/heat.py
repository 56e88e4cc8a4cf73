"""Which parts of an image look like the target, on demand: its slices, the run's mixture, one scale for all images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from thresher.data.images import rgb_image
from thresher.density.mixture import Mixture, load_mixture, log_density
from thresher.drawings.heat_map import HeatScale, heat_map, heat_scale
from thresher.errors import DataError
from thresher.features.shards import has_grid, slices_of
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun

#: The scale is of so many of the target's images, where insight has not measured it.
_SCALE_IMAGES, _SEED = 200, 0


#: Error for runs that have one vector per image instead of grids.
NO_GRID = (
    "heat maps need a grid of vectors per image; this run has one vector per image (embed --vectors). "
    "Embed with the backbone, or with grids of vectors."
)


class HeatMaps:
    """Heat maps on demand: the run's mixture, kept in memory, and log p of single images' slices."""

    def __init__(self, opened: OpenedRun) -> None:
        """Read the mixture.

        Raises:
            DataError: fit has not run, or the run has one vector per image and no grids.
        """
        if opened.has_vectors and not has_grid(opened.pooled):
            raise DataError(NO_GRID)
        self._run = opened.run
        self._mixture: Mixture = load_mixture(self._run.mixture)
        self.scale: HeatScale = _held_out_scale(self._run) or _fitted_scale(opened, self._mixture)
        """The log-densities between which colours tell images apart."""

    def heat(self, image_id: str, path: Path) -> Image.Image:
        """The image, and beside it log p of each of its slices.

        Raises:
            DataError: it has no slices, or its pixels cannot be read.
        """
        density = self.densities({image_id})[image_id]
        title = f"{density.mean():.1f} nats per slice"
        return heat_map(rgb_image(path), density, self.scale, title, image_id)

    def densities(self, image_ids: set[str]) -> dict[str, Float[np.ndarray, "h w"]]:
        """Log p of each slice, in nats, of those of the images that have slices.

        Raises:
            DataError: none of them has.
        """
        block = slices_of(self._run.slices, image_ids)
        values = log_density(self._mixture, block.slices)
        parts = np.split(values, block.starts[1:-1])
        return {name: part.reshape(grid) for name, part, grid in zip(block.image_ids, parts, block.grids, strict=True)}


def mixture_fits(run: Run, image_ids: set[str]) -> bool:
    """Whether the run has a mixture of slices as wide as those that these images have; embed may have run since fit."""
    if not image_ids or not run.mixture.is_file():
        return False
    width = slices_of(run.slices, {min(image_ids)}).slices.shape[1]
    return bool(width == load_mixture(run.mixture).means.shape[1])


def _held_out_scale(run: Run) -> HeatScale | None:
    """Insight's: of the target's held-out slices."""
    path = run.insight / "summary.json"
    if not path.is_file():
        return None
    return HeatScale(*json.loads(path.read_text("utf-8"))["heat_scale_nats"])


def _fitted_scale(opened: OpenedRun, mixture: Mixture) -> HeatScale:
    """Of target slices that the mixture was fitted to, which it finds a little likelier than others."""
    ids = opened.target["image_id"].sort()
    drawn = ids.gather(np.sort(np.random.default_rng(_SEED).permutation(len(ids))[:_SCALE_IMAGES]))
    if not len(drawn):
        raise DataError(f"{opened.run.folder}: the target has no images. Run `thresher index` with another --target.")
    return heat_scale(log_density(mixture, slices_of(opened.run.slices, set(drawn)).slices))
