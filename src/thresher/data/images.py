"""Decoding of image files to upright 8-bit RGB."""

from __future__ import annotations

import importlib
import importlib.util
import io
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from thresher.data.image_files import opened_image, quiet
from thresher.data.sources import image_bytes, opened, size_bytes
from thresher.errors import DataError

#: Larger images are refused: a 30,000 × 30,000 PNG of one colour is a few kilobytes on disk and 2.7 GB in memory.
MAX_PIXELS = 200_000_000
#: A strip of 20:1 would become an input of 20 × 224 pixels; longer ones are squeezed to this.
MAX_ASPECT = 4.0

_ORIENTATION, _UPRIGHT = 0x0112, (0, 1)

#: Pillow's decoders report damage in all of these ways.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header alone.

    Raises:
        DataError: the file is missing or no image.
    """
    try:
        with opened(path) as file, quiet(), opened_image(file) as image:
            return image.size
    except _DAMAGE as error:
        raise DataError(f"{path}: {_reason(path, error)}") from error


def rgb_image(path: Path) -> Image.Image:
    """The image as 8-bit RGB, upright (EXIF rotation applied), the first frame of an animation.

    16-bit greys keep their upper 8 bits; transparency is laid on black, as most decoders do when they drop it.

    Raises:
        DataError: missing, empty, truncated, no image, or larger than `MAX_PIXELS`.
    """
    try:
        with quiet(), opened(path) as file, opened_image(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width} × {image.height} pixels; the limit is {MAX_PIXELS:,}")
            image.load()
            return _as_rgb(ImageOps.exif_transpose(image))
    except _DAMAGE as error:
        raise DataError(f"{path}: {_reason(path, error)}") from error


def rgb_pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """As `rgb_image`, as an array; most JPEGs by libjpeg-turbo, twice as fast as Pillow and without blocking threads.

    Raises:
        DataError: as `rgb_image`.
    """
    decoded = jpeg_pixels(image_bytes(path))
    return np.array(rgb_image(path)) if decoded is None else decoded[0]


def jpeg_pixels(content: bytes, least_px: int = 0) -> tuple[UInt8[np.ndarray, "h w 3"], int, int] | None:
    """The pixels of an upright RGB or grey JPEG and its full width and height; None for all else, or if damaged.

    Args:
        least_px: Decode at a half, a quarter or an eighth where both sides stay as long as this; 0: at full size.
    """
    turbo = _turbo()
    if turbo is None:
        return None
    try:
        with quiet():
            header = opened_image(io.BytesIO(content), formats=["JPEG"])
            usual = header.mode in ("RGB", "L") and header.getexif().get(_ORIENTATION, 1) in _UPRIGHT
        if not usual or header.width * header.height > MAX_PIXELS:
            return None
        pixels = turbo.decode_jpeg(content, "RGB", min_height=least_px, min_width=least_px)
    # On any error Pillow's decoder tries again, and gives the reason.
    except _DAMAGE:
        return None
    return pixels, header.width, header.height


@cache
def _turbo() -> ModuleType | None:
    """The decoder of libjpeg-turbo; None where the optional part `embed` is not installed, and Pillow decodes all."""
    return importlib.import_module("simplejpeg") if importlib.util.find_spec("simplejpeg") else None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        grey = np.asarray(image, np.int64)
        return Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def _reason(path: Path, error: Exception) -> str:
    if size_bytes(path) == 0:
        return "the file is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "not a readable image (unknown format)"  # Pillow's message contains a memory address
    return f"not a readable image ({str(error).removesuffix('.') or type(error).__name__})"


def network_size(width_px: int, height_px: int, short_side: int, multiple: int) -> tuple[int, int]:
    """Width and height to resize to: the short side as asked, the long side to the nearest multiple that keeps shape.

    >>> network_size(480, 360, short_side=224, multiple=32), network_size(100, 2000, short_side=224, multiple=32)
    ((288, 224), (224, 896))
    """
    aspect = min(max(width_px, height_px) / min(width_px, height_px), MAX_ASPECT)
    long_side = max(multiple, round(short_side * aspect / multiple) * multiple)
    return (long_side, short_side) if width_px >= height_px else (short_side, long_side)
