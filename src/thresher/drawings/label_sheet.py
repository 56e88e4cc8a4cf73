"""Images beside their label maps, as one picture: what boxes became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from thresher.data.images import rgb_image
from thresher.drawings.frame import framed_pixels
from thresher.errors import DataError

_CELL_W, _CELL_H, _CAPTION_H, _GAP, _TITLE_H, _COLUMNS = 200, 140, 34, 8, 40, 3
_PAPER, _INK, _FAINT, _MISSING, _BOX = (250, 250, 248), (24, 24, 27), (105, 105, 112), (228, 228, 231), (255, 214, 10)


@dataclass(frozen=True)
class LabelledPicture:
    """One image of the sheet: its path, its boxes, its label map in colours, and two lines of caption."""

    path: Path
    boxes: Sequence[tuple[float, float, float, float]]
    """x0, y0, x1, y1 as shares of the image's sides."""
    colours: UInt8[np.ndarray, "h w 3"]
    caption: str
    detail: str


def label_sheet(groups: Sequence[tuple[str, Sequence[LabelledPicture]]]) -> Image.Image:
    """Under each heading its pictures, three in a row: the image with its boxes, and its labels."""
    groups = [(title, pictures) for title, pictures in groups if pictures]
    high, pair = _CELL_H + _CAPTION_H + _GAP, 2 * _CELL_W + 2 * _GAP
    rows = [-(-len(pictures) // _COLUMNS) for _, pictures in groups]
    height = sum(_TITLE_H + count * high for count in rows) + _GAP
    sheet = Image.new("RGB", (_COLUMNS * pair + _GAP, height), _PAPER)
    draw, top = ImageDraw.Draw(sheet), 0
    for (title, pictures), count in zip(groups, rows, strict=True):
        draw.text((_GAP, top + 10), title, _INK, ImageFont.load_default(18))
        for number, picture in enumerate(pictures):
            row, column = divmod(number, _COLUMNS)
            _draw(sheet, draw, picture, _GAP + column * pair, top + _TITLE_H + row * high)
        top += _TITLE_H + count * high
    return sheet


def _draw(sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: LabelledPicture, x: int, y: int) -> None:
    font = ImageFont.load_default(12)
    height, width = picture.colours.shape[:2]
    scale = min(_CELL_W / width, _CELL_H / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    try:
        image = rgb_image(picture.path).resize(size, Image.Resampling.BILINEAR)
        lines = ImageDraw.Draw(image)
        for x0, y0, x1, y1 in picture.boxes:
            edges = (x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1])
            lines.rectangle(framed_pixels(edges), outline=_BOX, width=2)
        sheet.paste(image, (x, y))
    except DataError as error:
        draw.rectangle((x, y, x + size[0] - 1, y + size[1] - 1), fill=_MISSING)
        draw.text((x + 6, y + 6), _fitted(draw, str(error), font), _INK, font)
    labels = Image.fromarray(picture.colours).resize(size, Image.Resampling.NEAREST)
    sheet.paste(labels, (x + _CELL_W + _GAP // 2, y))
    draw.text((x, y + _CELL_H + 2), _fitted(draw, picture.caption, font), _INK, font)
    draw.text((x, y + _CELL_H + 17), _fitted(draw, picture.detail, font), _FAINT, font)


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    shown = text
    while shown and draw.textlength(shown, font=font) > 2 * _CELL_W:
        shown = shown[:-1]
    return shown if shown == text else f"{shown[:-1]}…"
