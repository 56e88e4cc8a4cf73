"""Heat maps on demand: log p of each slice of an image under the target's mixture, on one colour scale per run."""

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

#: Number of target images that set the colour scale if insight has not run.
_SCALE_IMAGES, _SEED = 200, 0


#: Error for runs that have one vector per image instead of grids.
NO_GRID = (
    "heat maps need a grid of vectors per image; this run has one vector per image (embed --vectors). "
    "Embed with the backbone, or with grids of vectors."
)


class HeatMaps:
    """Heat maps of single images; keeps the run's mixture in memory."""

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
        """Range of log-densities of the colour scale, in nats."""

    def heat(self, image_id: str, path: Path) -> Image.Image:
        """The image beside its heat map: log p of each slice.

        Raises:
            DataError: it has no slices, or its pixels cannot be read.
        """
        density = self.densities({image_id})[image_id]
        title = f"{density.mean():.1f} nats per slice"
        return heat_map(rgb_image(path), density, self.scale, title, image_id)

    def densities(self, image_ids: set[str]) -> dict[str, Float[np.ndarray, "h w"]]:
        """Log p of each slice, in nats, by image id; images without slices are left out.

        Raises:
            DataError: none of the images has slices.
        """
        block = slices_of(self._run.slices, image_ids)
        values = log_density(self._mixture, block.slices)
        parts = np.split(values, block.starts[1:-1])
        return {name: part.reshape(grid) for name, part, grid in zip(block.image_ids, parts, block.grids, strict=True)}


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


def _fitted_scale(opened: OpenedRun, mixture: Mixture) -> HeatScale:
    """The scale of slices that the mixture was fitted to, which are a little likelier than held-out ones."""
    ids = opened.target["image_id"].sort()
    drawn = ids.gather(np.sort(np.random.default_rng(_SEED).permutation(len(ids))[:_SCALE_IMAGES]))
    if not len(drawn):
        raise DataError(f"{opened.run.folder}: the target has no images. Run `thresher index` with another --target.")
    return heat_scale(log_density(mixture, slices_of(opened.run.slices, set(drawn)).slices))
