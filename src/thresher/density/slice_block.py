"""Slices and pooled vectors of some images: the contents of a shard, and the input of scorers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64


@dataclass(frozen=True)
class SliceBlock:
    """Slices of some images as PCA coordinates, row after row; image i owns rows `starts[i]` to `starts[i + 1]`."""

    slices: Float[np.ndarray, "n d"]
    starts: Int64[np.ndarray, " images_plus_1"]
    grids: Int64[np.ndarray, "images 2"]
    """Height and width of each image's grid of slices."""
    pooled: Float[np.ndarray, "images c"]
    """The mean of each image's unit slices before projection."""
    image_ids: Sequence[str] = ()
    """May be left out where only numbers are wanted."""
