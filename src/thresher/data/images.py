"""Decoding of image files to upright 8-bit RGB."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from thresher.data.faults import FAULTS
from thresher.data.image_files import decoding, opened_image, orientation, quiet
from thresher.data.sources import image_bytes, opened, size_bytes
from thresher.errors import DataError

#: Larger images are refused: a 30,000 × 30,000 PNG of one colour is a few kilobytes on disk and 2.7 GB in memory.
MAX_PIXELS = 200_000_000
#: A strip of 20:1 would become an input of 20 × 224 pixels; longer ones are squeezed to this.
MAX_ASPECT = 4.0

#: What turns an image of an EXIF orientation upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Cameras deliver 8, 12 or 16 bits, whatever the file could hold.
_BITS = (8, 12, 16)
#: Colours of 12 bits in 16 have upper bytes below this.
_DEEP_AND_DARK = 16


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header alone.

    Raises:
        DataError: the file is missing or no image.
    """
    with _some_bytes(path), decoding(path), opened(path) as file, opened_image(file) as image:
        return image.size


def rgb_image(path: Path) -> Image.Image:
    """The image as 8-bit RGB, upright (EXIF orientation applied), the first frame of an animation.

    Deeper greys are taken as 8, 12 or 16 bits, whichever is the least that holds their largest value, and keep their
    upper 8; greys in floating point are shares of white if none is above 1, else as whole numbers. Colours of 16 bits
    keep their upper 8. Transparency is laid on black, as most decoders do when they drop it.

    Raises:
        DataError: missing, empty, truncated, no image, or larger than `MAX_PIXELS`; greys above 16 bits, or none above
            0 and some below; or colours in 16 bits of which at most 12 are used, which would be black.
    """
    with _some_bytes(path), decoding(path), opened(path) as file, opened_image(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{path}: {image.width} × {image.height} pixels; the limit is {MAX_PIXELS:,}")
        is_deep = _is_deep(image)
        image.load()
        if is_deep and 0 < int(np.asarray(image.convert("RGB")).max()) < _DEEP_AND_DARK:
            raise DataError(f"{path}: colours in 16 bits of which at most 12 are used. Save them as 8 bits, or all 16.")
        turn = _TURNS.get(orientation(image))
        return _as_rgb(image if turn is None else image.transpose(turn))


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
            usual = header.mode in ("RGB", "L") and orientation(header) == 1
        if not usual or header.width * header.height > MAX_PIXELS:
            return None
        pixels = turbo.decode_jpeg(content, "RGB", min_height=least_px, min_width=least_px)
    except FAULTS:  # Pillow's decoder tries again, and gives the reason
        return None
    return pixels, header.width, header.height


@cache
def _turbo() -> ModuleType | None:
    """The decoder of libjpeg-turbo; None where the optional part `embed` is not installed, and Pillow decodes all."""
    return importlib.import_module("simplejpeg") if importlib.util.find_spec("simplejpeg") else None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_grey(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether colours are stored in 16 bits, of which Pillow keeps the upper 8."""
    return any(";16" in str(tile[3]) for tile in image.tile) and image.mode in ("RGB", "RGBA")


def _grey(values: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Greys of more than 8 bits, or in floating point, as 0..255; what is below 0 or not a number is black.

    Raises:
        ValueError: above 16 bits, or none above 0 and some below.
    """
    numbers = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else values
    low, high = float(numbers.min(initial=0)), float(numbers.max(initial=0))
    if high >= 1 << _BITS[-1] or (high <= 0 and low < 0):
        raise ValueError(f"greys from {low:g} to {high:g}; expected 0 to 65,535, or shares of white")
    if values.dtype.kind == "f" and high <= 1:
        return np.asarray((numbers * 255.0).clip(0, 255), np.uint8)
    bits = next(each for each in _BITS if high < 1 << each)
    grey: UInt8[np.ndarray, "h w"] = (numbers.clip(0).astype(np.int64) >> (bits - 8)).astype(np.uint8)
    return grey


@contextlib.contextmanager
def _some_bytes(path: Path) -> Iterator[None]:
    """Say of an empty file that it is empty, not what a decoder makes of it."""
    try:
        yield
    except DataError as error:
        if size_bytes(path) == 0:
            raise DataError(f"{path}: the file is empty (0 bytes)") from error
        raise


def network_size(width_px: int, height_px: int, short_side: int, multiple: int) -> tuple[int, int]:
    """Width and height to resize to: the short side as asked, the long side to the nearest multiple that keeps shape.

    >>> network_size(480, 360, short_side=224, multiple=32), network_size(100, 2000, short_side=224, multiple=32)
    ((288, 224), (224, 896))
    """
    aspect = min(max(width_px, height_px) / min(width_px, height_px), MAX_ASPECT)
    long_side = max(multiple, round(short_side * aspect / multiple) * multiple)
    return (long_side, short_side) if width_px >= height_px else (short_side, long_side)
