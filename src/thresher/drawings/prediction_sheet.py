"""Predictions on one image, side by side with the image and its labels, with one colour legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _EDGE = (255, 255, 255), (24, 24, 27), (105, 105, 112)
_GAP, _WIDTH, _CAPTION_H, _LINE_H, _SQUARE = 10, 230, 40, 20, 13
#: A picture that would be higher is drawn narrower.
_HIGHEST = 3 * _WIDTH


@dataclass(frozen=True)
class Panel:
    """One picture, and up to two lines to set above it."""

    lines: Sequence[str]
    pixels: UInt8[np.ndarray, "h w 3"]


def prediction_sheet(panels: Sequence[Panel], legend: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """The panels in a row, and below them the name of each colour.

    Label maps are scaled without mixing their colours, so that every pixel shows a class.
    """
    sizes = [_drawn_size(panel.pixels) for panel in panels]
    high = max(height for _, height in sizes)
    width = len(panels) * (_WIDTH + _GAP) + _GAP
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    rows = _legend_rows([name for name, _ in legend], width, small)
    sheet = Image.new("RGB", (width, _CAPTION_H + high + _GAP + _LINE_H * len(rows) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, panel in enumerate(panels):
        left = _GAP + number * (_WIDTH + _GAP)
        for line, text in enumerate(panel.lines[:2]):
            draw.text((left, 4 + line * 17), _fitted(draw, text, (font, small)[line]), _INK, (font, small)[line])
        kind = Image.Resampling.BICUBIC if number == 0 else Image.Resampling.NEAREST
        sheet.paste(Image.fromarray(panel.pixels).resize(sizes[number], kind), (left, _CAPTION_H))
    colours = dict(legend)
    for line, row in enumerate(rows):
        top = _CAPTION_H + high + _GAP + line * _LINE_H
        for name, left in row:
            draw.rectangle((left, top, left + _SQUARE, top + _SQUARE), colours[name], _EDGE)
            draw.text((left + _SQUARE + 5, top - 1), name, _INK, small)
    return sheet


def _drawn_size(pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[int, int]:
    """Width and height at which a picture is drawn, in its own proportions but for at least one pixel each way."""
    height, width = pixels.shape[:2]
    scale = min(_WIDTH / width, _HIGHEST / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    shown = text
    while shown and draw.textlength(shown, font=font) > _WIDTH:
        shown = shown[:-1]
    return shown if shown == text else f"{shown[:-1]}…"


def _legend_rows(
    names: Sequence[str], width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[list[tuple[str, int]]]:
    """The names in lines no wider than the sheet, each with where it begins."""
    rows: list[list[tuple[str, int]]] = [[]]
    left = _GAP
    for name in names:
        wide = round(font.getlength(name)) + _SQUARE + 22
        if rows[-1] and left + wide > width:
            rows.append([])
            left = _GAP
        rows[-1].append((name, left))
        left += wide
    return rows
