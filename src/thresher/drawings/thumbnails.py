"""Thumbnails as JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

#: Longest side in pixels: of a card's picture, shown at up to 240 on dense screens; of its neighbours; of a drawing.
LARGE, SMALL, WIDE = 320, 128, 1240
_QUALITY = 78


@dataclass(frozen=True)
class Shown:
    """Where the page finds a picture, and its size in pixels; no `source`, but a `reason`, where it cannot be read."""

    source: str
    width: int = 0
    height: int = 0
    reason: str = ""


def thumbnail(picture: Image.Image, side: int) -> Image.Image:
    """The picture with no side longer than `side` pixels."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    return small


def jpeg(picture: Image.Image) -> bytes:
    """The picture's bytes as JPEG."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()
