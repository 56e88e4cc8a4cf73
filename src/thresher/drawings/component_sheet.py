"""A picture of all components: a row per component with crops around its most typical slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from thresher.drawings.frame import framed_pixels

_CROP, _GAP, _LABEL_W, _TITLE_H, _CAPTION_H = 120, 8, 176, 66, 18
_PAPER, _INK, _FAINT, _MISSING, _MARK = (255, 255, 255), (24, 24, 27), (105, 105, 112), (228, 228, 231), (255, 214, 10)
#: Cells of context drawn on each side of the slice's own cell.
CONTEXT = 1


@dataclass(frozen=True)
class Crop:
    """A slice to draw: its surroundings, or the reason why they cannot be drawn; and a line to set beneath."""

    picture: Image.Image | str
    caption: str


@dataclass(frozen=True)
class ComponentRow:
    """One component: lines to set on the left, the first of them strong, and its crops, best first."""

    lines: Sequence[str]
    crops: Sequence[Crop]


def slice_crop(picture: Image.Image, grid: tuple[int, int], row: int, column: int, side: int = _CROP) -> Image.Image:
    """The cell of a slice framed in yellow, with one cell of context around it; beyond the image is grey.

    Args:
        grid: Rows and columns of slices that cover the picture.
    """
    rows, columns = grid
    wide, high = picture.width / columns, picture.height / rows
    span = 2 * CONTEXT + 1
    box = ((column - CONTEXT) * wide, (row - CONTEXT) * high)
    inside = (
        max(0.0, box[0]),
        max(0.0, box[1]),
        min(picture.width, box[0] + span * wide),
        min(picture.height, box[1] + span * high),
    )
    # Cells of most grids are nearly square; drawn to fit a square of `side`, in their own proportions.
    factor = side / (span * max(wide, high))
    crop = Image.new("RGB", (max(1, round(span * wide * factor)), max(1, round(span * high * factor))), _MISSING)
    left, top, right, bottom = (round((edge - corner) * factor) for edge, corner in zip(inside, box * 2, strict=True))
    size = (max(1, right - left), max(1, bottom - top))
    crop.paste(picture.resize(size, Image.Resampling.BILINEAR, box=inside), (left, top))
    wide, high = wide * factor, high * factor
    frame = (CONTEXT * wide, CONTEXT * high, (CONTEXT + 1) * wide, (CONTEXT + 1) * high)
    draw = ImageDraw.Draw(crop)
    # Yellow within black is visible on bright and dark images.
    draw.rectangle(framed_pixels(frame), outline=_INK, width=4)
    draw.rectangle(framed_pixels((frame[0] + 1, frame[1] + 1, frame[2] - 1, frame[3] - 1)), outline=_MARK, width=2)
    return crop


def component_sheet(rows: Sequence[ComponentRow], title: str, words: str) -> Image.Image:
    """The rows beneath each other, under a title and a line on how to read them."""
    columns = max((len(row.crops) for row in rows), default=1)
    width = _LABEL_W + max(columns, 5) * (_CROP + _GAP) + _GAP
    height = _CROP + _CAPTION_H + _GAP
    sheet = Image.new("RGB", (width, _TITLE_H + len(rows) * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, _INK, ImageFont.load_default(20))
    draw.text((_GAP, 38), words, _FAINT, ImageFont.load_default(13))
    for number, row in enumerate(rows):
        _draw_row(sheet, draw, row, _TITLE_H + number * height)
    return sheet


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: ComponentRow, y: int) -> None:
    small = ImageFont.load_default(12)
    for number, line in enumerate(row.lines):
        font = ImageFont.load_default(16) if number == 0 else small
        draw.text((_GAP, y + (4 if number == 0 else 12 + 18 * number)), line, _INK if number == 0 else _FAINT, font)
    for number, crop in enumerate(row.crops):
        x = _LABEL_W + number * (_CROP + _GAP)
        if isinstance(crop.picture, str):
            draw.rectangle((x, y, x + _CROP - 1, y + _CROP - 1), fill=_MISSING)
            draw.text((x + 6, y + 6), "cannot be read", _INK, small)
        else:
            sheet.paste(crop.picture, (x, y))
        draw.text((x, y + _CROP + 2), crop.caption, _FAINT, small)
