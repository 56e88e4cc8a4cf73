"""Light and air: what the sky looks like, and what light, rain, fog and the camera do to a painted picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFilter

from thresher.synthetic.canvas import Canvas, rectangle
from thresher.synthetic.palette import SURFACES, Colour, mixed, shaded, varied

_ROUND = [(math.cos(turn / 6 * math.pi), math.sin(turn / 6 * math.pi)) for turn in range(12)]
#: The width of an even spread whose standard deviation is 1.
_EVEN = 12**0.5
#: Roughness by the byte that the canvas keeps: 16 surfaces, each in 16 stages of fading into the haze.
_GRAIN = np.zeros((256, 2), dtype=np.float32)
_GRAIN.reshape(16, 16, 2)[:, : len(SURFACES)] = (
    np.array(list(SURFACES.values())) * (1 - np.arange(16) / 16)[:, None, None]
)


@dataclass(frozen=True)
class Weather:
    """How a scene is lit. `light` multiplies each colour channel; `noise` is a standard deviation in grey levels."""

    name: str
    light: tuple[float, float, float]
    sky_top: Colour
    sky_low: Colour
    clouds: float
    haze_per_m: float
    saturation: float = 1.0
    sun: float = 0.0
    rain: float = 0.0
    lamps: bool = False
    blur_px: float = 0.0
    noise: float = 3.0


def drawn_weather(rng: np.random.Generator, name: str) -> Weather:
    """One instance of a kind of weather: two foggy days differ."""
    kind = WEATHERS[name]
    gain = rng.uniform(0.88, 1.2)
    warmth = rng.uniform(-0.06, 0.06)
    light = (kind.light[0] * gain * (1 + warmth), kind.light[1] * gain, kind.light[2] * gain * (1 - warmth))
    return Weather(
        name,
        light,
        varied(rng, kind.sky_top, 24),
        varied(rng, kind.sky_low, 16),
        clouds=float(np.clip(kind.clouds + rng.uniform(-0.3, 0.3), 0, 1)),
        haze_per_m=kind.haze_per_m * rng.uniform(0.6, 1.5),
        saturation=kind.saturation * rng.uniform(0.8, 1.15),
        sun=kind.sun * (1.0 if rng.random() < 0.75 else 0.0),
        rain=kind.rain * rng.uniform(0.5, 1.3),
        lamps=kind.lamps,
        blur_px=min(0.75, kind.blur_px + max(0.0, rng.normal(0.1, 0.3))),
        noise=kind.noise * rng.uniform(0.6, 1.6),
    )


WEATHERS = {
    "day": Weather("day", (1.06, 1.04, 0.99), (74, 128, 196), (190, 214, 234), 0.4, 0.0015, 1.08, sun=1.0),
    "overcast": Weather("overcast", (0.92, 0.95, 0.99), (168, 174, 182), (206, 208, 210), 0.8, 0.004, 0.72),
    "dusk": Weather("dusk", (0.72, 0.58, 0.56), (76, 84, 140), (250, 176, 120), 0.5, 0.003, 1.05, lamps=True, noise=5),
    "rain": Weather(
        "rain", (0.7, 0.75, 0.8), (128, 136, 146), (172, 178, 184), 0.9, 0.009, 0.62, rain=1.0, blur_px=0.35
    ),
    "fog": Weather("fog", (0.96, 0.97, 1.0), (200, 203, 206), (206, 208, 210), 0.0, 0.03, 0.55, blur_px=0.2),
    "night": Weather("night", (0.3, 0.31, 0.4), (20, 26, 58), (60, 60, 84), 0.3, 0.002, 0.85, lamps=True, noise=8),
}
#: How often each weather comes by day; night comes as often as the settings say.
DAY_WEATHERS = {"day": 0.4, "overcast": 0.22, "dusk": 0.12, "rain": 0.14, "fog": 0.12}


def draw_sky(canvas: Canvas, rng: np.random.Generator, weather: Weather, horizon_px: float) -> None:
    """Fill the canvas above the horizon with a gradient and clouds; also sets the air that haze mixes in."""
    canvas.air, canvas.haze_per_m = mixed(weather.sky_low, (200, 204, 208), 0.3), weather.haze_per_m
    canvas.set_depth(0)
    canvas.set_surface("smooth")
    width, bands = canvas.width_px, 14
    canvas.claim(rectangle(-1, -1, width + 1, horizon_px + 1), "sky")
    for band in range(bands):
        colour = mixed(weather.sky_top, weather.sky_low, (band / (bands - 1)) ** 0.8)
        top = horizon_px * band / bands
        canvas.detail(rectangle(-1, top - 1, width + 1, horizon_px + 1), colour)
    for _ in range(round(weather.clouds * 9)):
        x, y = rng.uniform(0, width), horizon_px * rng.uniform(0.05, 0.8)
        reach = rng.uniform(0.08, 0.22) * width
        bright = rng.uniform(0.2, 0.75)
        for turn in rng.uniform(-1, 1, 9).tolist():
            radius = reach * (1 - abs(turn)) * 0.5 + 1
            middle = (x + turn * reach, y - radius * 0.15)
            outline = [(middle[0] + radius * cosine, middle[1] + 0.45 * radius * sine) for cosine, sine in _ROUND]
            canvas.shade(outline, 0.16 * bright, shaded((246, 246, 248), 0.8 + 0.2 * bright))


def photographed(
    canvas: Canvas, rng: np.random.Generator, weather: Weather, horizon_px: float | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The canvas as a camera would see it: surfaces get their grain, then light, lamps, rain, blur and noise."""
    rgb = canvas.colours().astype(np.float32)
    labels, surfaces, _ = canvas.numbers()
    rgb += _grain(rng, surfaces)[:, :, None]  # in place from here on: the arrays are the cost
    if weather.rain > 0 and horizon_px is not None:
        rgb = _mirrored(rgb, labels == 0, horizon_px)
    rgb *= np.array(weather.light, dtype=np.float32) * _falloff(rng, canvas, weather)
    grey = (rgb @ np.full(3, (1 - weather.saturation) / 3, dtype=np.float32))[:, :, None]
    rgb *= weather.saturation
    rgb += grey
    glow = canvas.glow()
    if glow is not None:
        halo = Image.fromarray(glow).filter(ImageFilter.GaussianBlur(max(2.0, canvas.height_px / 28)))
        strength = 0.9 if weather.name == "night" else 0.45
        rgb += strength * glow + 1.3 * strength * np.asarray(halo, dtype=np.float32)
    if weather.rain > 0:
        rgb += _rain(rng, canvas.width_px, canvas.height_px, weather.rain)[:, :, None]
    if weather.blur_px > 0.15:
        image = Image.fromarray(np.clip(rgb, 0, 255, out=rgb).astype(np.uint8))
        rgb = np.asarray(image.filter(ImageFilter.GaussianBlur(weather.blur_px)), dtype=np.float32)
    noise = rng.random(rgb.shape, dtype=np.float32)
    noise -= 0.5
    noise *= _EVEN * weather.noise
    rgb = rgb + noise
    return np.clip(rgb, 0, 255, out=rgb).astype(np.uint8)


def _grain(rng: np.random.Generator, surfaces: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    height, width = surfaces.shape
    fine = rng.random((height, width), dtype=np.float32) - 0.5
    patches = rng.random((height // 4 + 1, width // 4 + 1), dtype=np.float32) - 0.5
    coarse = np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.BILINEAR))
    rough = _GRAIN[surfaces]
    return np.asarray(_EVEN * (rough[:, :, 0] * fine + 1.6 * rough[:, :, 1] * coarse), dtype=np.float32)


def _mirrored(rgb: Float32[np.ndarray, "h w 3"], road: np.ndarray, horizon_px: float) -> Float32[np.ndarray, "h w 3"]:
    # A wet road shows what stands beyond it, upside down.
    rows = np.clip((2 * horizon_px - np.arange(len(rgb))).astype(int), 0, len(rgb) - 1)
    return np.where(road[:, :, None], 0.66 * rgb + 0.3 * rgb[rows], rgb).astype(np.float32)


def _falloff(rng: np.random.Generator, canvas: Canvas, weather: Weather) -> Float32[np.ndarray, "h w 1"]:
    # A lens lets less light through at its corners; at night our own headlights brighten the ground ahead.
    x = np.linspace(-1, 1, canvas.width_px, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, canvas.height_px, dtype=np.float32)[:, None]
    fall = 1 - rng.uniform(0.0, 0.2) * (x * x + y * y) + rng.uniform(-0.06, 0.06) * x
    if weather.name == "night":
        fall = fall + rng.uniform(0.8, 1.8) * np.exp(-3.0 * x * x - 5.0 * (y - 0.55) ** 2)
    return np.asarray(fall, dtype=np.float32)[:, :, None]


def _rain(rng: np.random.Generator, width: int, height: int, strength: float) -> Float32[np.ndarray, "h w"]:
    sheet = Image.new("L", (width, height))
    draw = ImageDraw.Draw(sheet)
    slant = rng.uniform(-0.3, 0.3)
    for x, y, length in (rng.random((int(width * height * strength / 260), 3)) * (width, height, height / 12)).tolist():
        draw.line((x, y, x + slant * length, y + length + 2), fill=int(14 + 1.5 * length))
    return np.asarray(sheet, dtype=np.float32)
