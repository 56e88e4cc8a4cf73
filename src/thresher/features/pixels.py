"""From an image file to the network's input: decoded, upright, resized to a multiple of the stride."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from thresher.data.image_files import decoding
from thresher.data.images import jpeg_pixels, network_size, rgb_image
from thresher.data.sources import image_bytes

#: Stride of the networks: they halve their input five times.
STRIDE = 32
#: A JPEG decoded at 1/2, 1/4 or 1/8 of its size is at least this much larger than the resized image.
_FAST_MARGIN = 1.25
#: An object is cut out with so much of its box's longer side around it in all, and never smaller than so many pixels.
CROP_WIDER, CROP_LEAST_PX = 0.2, 32.0


@dataclass(frozen=True)
class Pixels:
    """An image as input of a network, and its original size (upright)."""

    image: UInt8[np.ndarray, "h w 3"]
    width_px: int
    height_px: int


def network_pixels(path: Path, short_side: int, fast: bool = False) -> Pixels:
    """The image resized so that its short side is `short_side` and both are multiples of 32.

    Args:
        fast: Decode a JPEG at a half, a quarter or an eighth of its size where that is still larger than needed. The
            filter that follows is the same; features differ by about 0.05 (decisions/0004).

    Raises:
        DataError: the image cannot be read.
    """
    with decoding(path):
        decoded = jpeg_pixels(image_bytes(path), round(short_side * _FAST_MARGIN) if fast else 0)
        if decoded is None:
            image = rgb_image(path)
            decoded = np.array(image), image.width, image.height
        pixels, width, height = decoded
        return Pixels(_resized(pixels, network_size(width, height, short_side, STRIDE)), width, height)


def object_crop(
    pixels: UInt8[np.ndarray, "h w 3"], box: Sequence[float], short_side: int
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """What a network is shown of an object: the square around its box, at the network's input size.

    The square's side is the longer side of the box and a fifth more, 32 pixels at least. It is moved into the picture
    where it reaches over the edge, and cut where the picture is shorter than the square.

    Args:
        box: x0, y0, x1, y1 as shares of the image's sides, 0..1.
        short_side: To which the crop's shorter side is resized; both are multiples of 32.
    """
    height, width = pixels.shape[:2]
    ends = np.asarray(box, np.float64) * [width, height, width, height]
    side = max(float((ends[2:] - ends[:2]).max()) * (1 + CROP_WIDER), CROP_LEAST_PX)
    (left, right), (top, bottom) = (
        _stretch(float(ends[at] + ends[at + 2]) / 2, side, whole) for at, whole in ((0, width), (1, height))
    )
    cut = np.ascontiguousarray(pixels[top:bottom, left:right])
    return _resized(cut, network_size(right - left, bottom - top, short_side, STRIDE))


def _stretch(middle: float, length: float, whole: int) -> tuple[int, int]:
    """Where a stretch around this middle begins and ends, moved to lie within 0..whole."""
    long = min(whole, round(length))
    start = min(max(0, round(middle - length / 2)), whole - long)
    return start, start + long


def _resized(pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """By an antialiased bilinear filter, Pillow's to one grey level, in a fifth of the time (decisions/0004)."""
    import torch

    width, height = size
    channels_first = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(channels_first, (height, width), mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
