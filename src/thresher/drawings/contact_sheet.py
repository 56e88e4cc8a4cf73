"""A ranked gallery as one picture: the chosen images in reading order, each with its rank and score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from thresher.data.images import rgb_image
from thresher.errors import DataError
from thresher.files import replacing

_CELL_W, _CELL_H, _CAPTION_H, _GAP, _TITLE_H = 232, 150, 34, 8, 44
_PAPER, _INK, _FAINT, _MISSING = (250, 250, 248), (24, 24, 27), (105, 105, 112), (228, 228, 231)


@dataclass(frozen=True)
class Cell:
    """One image of the sheet: its path, and a bold and a faint line of caption."""

    path: Path
    caption: str
    detail: str


def contact_sheet(cells: Sequence[Cell], title: str, columns: int = 8) -> Image.Image:
    """The cells in rows of `columns`; an image that cannot be read leaves a grey field with the reason."""
    columns = max(1, min(columns, len(cells)))
    rows = -(-len(cells) // columns)
    width = columns * (_CELL_W + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _TITLE_H + rows * (_CELL_H + _CAPTION_H + _GAP) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 12), title, fill=_INK, font=ImageFont.load_default(20))
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        x, y = _GAP + column * (_CELL_W + _GAP), _TITLE_H + row * (_CELL_H + _CAPTION_H + _GAP)
        _draw_cell(sheet, draw, cell, x, y)
    return sheet


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    font = ImageFont.load_default(12)
    try:
        picture = ImageOps.fit(rgb_image(cell.path), (_CELL_W, _CELL_H), Image.Resampling.BILINEAR)
        sheet.paste(picture, (x, y))
    except DataError as error:
        draw.rectangle((x, y, x + _CELL_W - 1, y + _CELL_H - 1), fill=_MISSING)
        draw.text((x + 6, y + 6), _fitted(draw, str(error), font), fill=_INK, font=font)
    draw.text((x, y + _CELL_H + 2), _fitted(draw, cell.caption, font), fill=_INK, font=font)
    draw.text((x, y + _CELL_H + 17), _fitted(draw, cell.detail, font), fill=_FAINT, font=font)


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    shown = text
    while shown and draw.textlength(shown, font=font) > _CELL_W:
        shown = shown[:-1]
    return shown if shown == text else f"{shown[:-1]}…"


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write it as PNG."""
    with replacing(path) as file:
        sheet.save(file, format="PNG")
