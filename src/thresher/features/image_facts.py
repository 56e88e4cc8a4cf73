"""Facts of an image by which to filter: how sharp, bright and rich in contrast it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

#: Red, green and blue in luma. Source: ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ImageFacts:
    """Of the image as the network sees it (short side `short_side`, 224 by default), in luma."""

    sharpness: float
    """Variance of the Laplacian, in grey levels (0..255) squared; higher is sharper. Depends on the size looked at."""
    brightness: float
    """Mean, 0..1."""
    contrast: float
    """Standard deviation, 0..0.5."""


def image_facts(pixels: UInt8[np.ndarray, "h w 3"]) -> ImageFacts:
    """Sharpness, brightness and contrast of an image.

    The Laplacian is that of the four neighbours, inside the image's border.

    Source: sharpness: Pech-Pacheco et al. 2000, doi 10.1109/ICPR.2000.903548.

    >>> image_facts(np.full((4, 4, 3), 51, np.uint8))
    ImageFacts(sharpness=0.0, brightness=0.2, contrast=0.0)
    """
    luma = pixels.astype(np.float32) @ _LUMA
    inside = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    sharpness = float(np.var(around - 4 * inside)) if inside.size else 0.0
    numbers = (sharpness, float(luma.mean()) / 255, float(luma.std()) / 255)
    return ImageFacts(*(round(float(np.float32(each)), 6) for each in numbers))
