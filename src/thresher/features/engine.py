"""Running the backbone over many images with local threads, shard by shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from thresher.data.images import network_input, rgb_image
from thresher.errors import DataError
from thresher.features.backbone import Backbone
from thresher.features.projection import Projection, unit_length
from thresher.features.shards import ImageFeatures


@dataclass(frozen=True)
class UnitSlices:
    """The slices of one image at unit length, before any projection."""

    grid_h: int
    grid_w: int
    width_px: int
    height_px: int
    slices: Float32[np.ndarray, "s c"]


def unit_slices(path: Path, backbone: Backbone, short_side: int) -> UnitSlices:
    """One image through the network.

    Raises:
        DataError: the image cannot be read.
    """
    image = rgb_image(path)
    features = backbone.features(network_input(image, short_side, multiple=32))
    grid_h, grid_w, channels = features.shape
    return UnitSlices(grid_h, grid_w, image.width, image.height, unit_length(features.reshape(-1, channels)))


def projected_features(image_id: str, unit: UnitSlices, projection: Projection) -> ImageFeatures:
    """What is kept of an image: projected slices, and the mean of the unprojected ones."""
    return ImageFeatures(
        image_id,
        unit.grid_h,
        unit.grid_w,
        unit.width_px,
        unit.height_px,
        projection.projected(unit.slices).astype(np.float16),
        unit.slices.mean(axis=0).astype(np.float16),
    )


def each_image(
    images: Sequence[tuple[str, str]], backbone: Backbone, short_side: int, threads: int
) -> Iterable[tuple[str, str, UnitSlices | DataError]]:
    """(image id, path, its slices or why not) for each (image id, path), in their order."""

    def one(image: tuple[str, str]) -> tuple[str, str, UnitSlices | DataError]:
        image_id, path = image
        try:
            return image_id, path, unit_slices(Path(path), backbone, short_side)
        except DataError as error:
            return image_id, path, error

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(one, images)
