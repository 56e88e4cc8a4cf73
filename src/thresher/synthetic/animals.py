"""Animals, seen from the side."""

from __future__ import annotations

import math

import numpy as np

from thresher.synthetic.canvas import Canvas, Point
from thresher.synthetic.palette import Colour, picked, shaded, varied


def draw_four_legged(
    canvas: Canvas, rng: np.random.Generator, foot: Point, long_px: float, name: str, coat: Colour
) -> None:
    """Draw a dog, cat, sheep, horse or cow of this length as a thing that stands on `foot`."""
    turned = 1 if rng.random() < 0.5 else -1
    leg = {"Horse": 0.55, "Cattle": 0.4}.get(name, 0.32)
    neck = {"Horse": 0.42, "Cattle": 0.14, "Sheep": 0.12}.get(name, 0.22)

    def at(across: float, up: float) -> Point:
        return foot[0] + turned * across * long_px, foot[1] - up * long_px

    canvas.set_surface("leaves" if name == "Sheep" else "fur")
    dark = shaded(coat, 0.45) if name == "Sheep" else shaded(coat, 0.8)
    with canvas.thing(name):
        for across, tint in ((-0.3, 0.75), (0.26, 0.75), (-0.36, 1.0), (0.34, 1.0)):
            step = rng.uniform(-0.05, 0.05)
            canvas.limb(at(across, leg + 0.12), at(across + step, 0.0), 0.09 * long_px, shaded(dark, tint))
        canvas.limb(at(-0.42, leg + 0.22), at(-0.56, leg + 0.02), 0.05 * long_px, dark)
        for across, radius in ((-0.28, 0.19), (-0.1, 0.19), (0.08, 0.18), (0.26, 0.2)):
            canvas.ellipse(at(across, leg + 0.17), (0.2 * long_px, radius * long_px), coat)
        head = at(0.5, leg + 0.2 + neck)
        canvas.limb(at(0.3, leg + 0.2), head, 0.2 * long_px, coat)
        canvas.ellipse(head, (0.13 * long_px, 0.11 * long_px), dark)
        canvas.limb(head, at(0.68, leg + 0.13 + neck), 0.12 * long_px, dark)
        canvas.polygon([at(0.42, leg + 0.27 + neck), at(0.4, leg + 0.42 + neck), at(0.5, leg + 0.3 + neck)], dark)
        canvas.dot(at(0.55, leg + 0.24 + neck), (0.02 * long_px, 0.02 * long_px), (16, 14, 14))
        if name == "Cattle":
            canvas.dot(at(-0.15, leg + 0.2), (0.12 * long_px, 0.08 * long_px), (226, 222, 214))


def draw_bird(canvas: Canvas, rng: np.random.Generator, middle: Point, wide_px: float) -> None:
    """Draw a bird in flight as a thing."""
    canvas.set_surface("fur")
    colour = varied(rng, picked(rng, ((40, 40, 44), (200, 200, 204), (110, 90, 70))))
    beat = rng.uniform(-0.35, 0.35)
    with canvas.thing("Bird"):
        for side in (-1, 1):
            tip = (middle[0] + side * 0.5 * wide_px, middle[1] - wide_px * math.sin(beat + 0.3))
            root = [
                (middle[0], middle[1] - 0.06 * wide_px),
                tip,
                (middle[0] + side * 0.1 * wide_px, middle[1] + 0.1 * wide_px),
            ]
            canvas.polygon(root, shaded(colour, 0.9))
        canvas.ellipse(middle, (0.09 * wide_px, 0.16 * wide_px), colour)
