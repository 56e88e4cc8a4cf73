"""Heat map of an image: how like the target each slice is, drawn over the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_PAPER, _INK, _FAINT = (255, 255, 255), (24, 24, 27), (105, 105, 112)
_GAP, _TITLE_H, _LEGEND_H, _SIDE = 12, 58, 56, 420
#: Dark to light, even in brightness, so that it reads in grey too: violet is unlike the target, yellow is like it.
_RAMP = np.array([(38, 12, 74), (120, 28, 109), (204, 65, 77), (246, 140, 44), (250, 226, 110)], np.float64)
#: How much of the colour covers the picture's grey.
_COVER = 0.62


@dataclass(frozen=True)
class HeatScale:
    """The values at the dark and the light end of the colours; values beyond have the end's colour."""

    low: float
    high: float
    words: str = "log p of a slice (nats)"
    """What the values are."""
    digits: int = 0
    """Decimals shown."""

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends as text.

        >>> HeatScale(-40.2, 3.14159).ends, HeatScale(0.4791, 0.8372, digits=2).ends
        (('-40', '3'), ('0.48', '0.84'))
        """
        return f"{self.low:.{self.digits}f}", f"{self.high:.{self.digits}f}"


def heat_scale(target: Float[np.ndarray, " n"]) -> HeatScale:
    """The 1 % and 99 % quantiles of the target's slices: one scale for every picture of a run."""
    low, high = np.quantile(target, [0.01, 0.99])
    return HeatScale(float(low), float(high))


def heat_colours(values: Float[np.ndarray, "*shape"], scale: HeatScale) -> UInt8[np.ndarray, "*shape 3"]:
    """The colour of each value."""
    span = max(scale.high - scale.low, np.finfo(float).tiny)
    place = np.clip((np.asarray(values, np.float64) - scale.low) / span, 0, 1) * (len(_RAMP) - 1)
    channels = [np.interp(place, np.arange(len(_RAMP)), channel) for channel in _RAMP.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def heat_map(
    picture: Image.Image, values: Float[np.ndarray, "h w"], scale: HeatScale, title: str, detail: str
) -> Image.Image:
    """The picture, and beside it the same in grey with each cell in the colour of its slice's value.

    Cells are drawn as they are, not smoothed: the network saw no finer. Each saw more than its own square, though.

    Args:
        values: Log p or another number of each slice, row by row from the top left; higher is nearer the target.
        title: Bold line above the picture; `detail` is the faint line below it.
    """
    shown = _shown_size(picture)
    plain = picture.resize(shown, Image.Resampling.LANCZOS)
    cells = Image.fromarray(heat_colours(values, scale)).resize(shown, Image.Resampling.NEAREST)
    # Grey kept to the middle tones: colours beneath stay apart on black asphalt and white sky.
    grey = plain.convert("L").point([round(64 + level * 0.6) for level in range(256)]).convert("RGB")
    width = 2 * shown[0] + 3 * _GAP
    sheet = Image.new("RGB", (width, _TITLE_H + shown[1] + _LEGEND_H + _GAP), _PAPER)
    sheet.paste(plain, (_GAP, _TITLE_H))
    sheet.paste(Image.blend(grey, cells, _COVER), (2 * _GAP + shown[0], _TITLE_H))
    draw = ImageDraw.Draw(sheet)
    for y, text, size, ink in ((8, title, 17, _INK), (33, detail, 12, _FAINT)):
        draw.text(
            (_GAP, y), _fitted(draw, text, ImageFont.load_default(size), width), ink, ImageFont.load_default(size)
        )
    _draw_legend(sheet, scale, _TITLE_H + shown[1] + 8)
    return sheet


def _shown_size(picture: Image.Image) -> tuple[int, int]:
    """The longer side at `_SIDE` pixels, the shorter one no less than a quarter of it."""
    factor = _SIDE / max(picture.size)
    width, height = (max(_SIDE // 4, round(side * factor)) for side in picture.size)
    return width, height


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> str:
    shown = text
    while shown and draw.textlength(shown, font=font) > width - 2 * _GAP:
        shown = shown[:-1]
    return shown if shown == text else f"{shown[:-1]}…"


def _draw_legend(sheet: Image.Image, scale: HeatScale, y: int) -> None:
    """A bar of the colours with both ends and the middle in nats, in the colours as they look over mid-grey."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    left, right = _GAP, sheet.width - _GAP
    values = np.linspace(scale.low, scale.high, right - left)[None, :]
    bar = Image.fromarray(heat_colours(values, scale)).resize((right - left, 14), Image.Resampling.NEAREST)
    grey = Image.new("RGB", bar.size, (140, 140, 140))
    sheet.paste(Image.blend(grey, bar, _COVER), (left, y))
    low, high = scale.ends
    words = f"{low} or less: unlike the target", f"like the target: {high} or more"
    draw.text((left, y + 18), words[0], _INK, font)
    draw.text((right, y + 18), words[1], _INK, font, anchor="ra")
    middle = scale.words
    if draw.textlength("   ".join((*words, middle)), font=font) < right - left:
        draw.text(((left + right) // 2, y + 18), middle, _FAINT, font, anchor="ma")
