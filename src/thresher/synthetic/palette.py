"""Colours, surfaces and class numbers that all drawings share, and small random choices among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Colour = tuple[int, int, int]
Option = TypeVar("Option")

VOID = 255
#: Source: cityscapesScripts labels.py, column trainId; 255 is what training ignores.
TRAIN_IDS = {
    "road": 0,
    "sidewalk": 1,
    "building": 2,
    "wall": 3,
    "fence": 4,
    "pole": 5,
    "traffic light": 6,
    "traffic sign": 7,
    "vegetation": 8,
    "terrain": 9,
    "sky": 10,
    "person": 11,
    "rider": 12,
    "car": 13,
    "truck": 14,
    "bus": 15,
    "train": 16,
    "motorcycle": 17,
    "bicycle": 18,
}

#: How rough a surface looks: spread of brightness from pixel to pixel, and from patch to patch (0..255 grey levels).
SURFACES: dict[str, tuple[float, float]] = {
    "smooth": (1.5, 1.0),
    "paint": (2.0, 3.0),
    "cloth": (4.0, 5.0),
    "plaster": (4.0, 6.0),
    "stone": (6.0, 4.0),
    "asphalt": (5.0, 2.5),
    "grass": (13.0, 11.0),
    "leaves": (17.0, 20.0),
    "fur": (9.0, 9.0),
    "water": (5.0, 9.0),
}
SURFACE_NUMBERS = {name: number for number, name in enumerate(SURFACES)}

WALL_COLOURS: tuple[Colour, ...] = (
    (196, 178, 150),
    (176, 98, 74),
    (150, 84, 66),
    (214, 204, 188),
    (186, 160, 118),
    (140, 138, 136),
    (168, 176, 182),
    (204, 164, 128),
    (120, 112, 104),
    (190, 140, 130),
    (160, 170, 150),
    (222, 206, 160),
    (96, 92, 96),
    (178, 150, 150),
)
CAR_COLOURS: tuple[Colour, ...] = (
    (28, 30, 34),
    (54, 58, 64),
    (120, 124, 128),
    (182, 186, 188),
    (224, 226, 226),
    (236, 236, 232),
    (150, 30, 34),
    (34, 58, 110),
    (60, 96, 140),
    (44, 78, 60),
    (150, 130, 96),
    (92, 44, 40),
    (200, 150, 40),
    (96, 110, 122),
)
BUS_COLOURS: tuple[Colour, ...] = (
    (200, 40, 44),
    (232, 186, 40),
    (40, 96, 160),
    (60, 140, 84),
    (226, 226, 220),
    (214, 110, 40),
)
CLOTH_COLOURS: tuple[Colour, ...] = (
    (36, 38, 46),
    (60, 66, 84),
    (120, 36, 40),
    (44, 80, 130),
    (150, 146, 138),
    (206, 202, 194),
    (70, 92, 66),
    (196, 130, 60),
    (110, 76, 110),
    (86, 70, 56),
    (200, 70, 80),
    (60, 130, 140),
)
TROUSER_COLOURS: tuple[Colour, ...] = ((34, 36, 44), (48, 60, 92), (80, 84, 90), (96, 82, 64), (140, 130, 112))
SKIN_COLOURS: tuple[Colour, ...] = ((238, 198, 170), (216, 168, 134), (176, 124, 92), (128, 86, 62), (88, 60, 46))
HAIR_COLOURS: tuple[Colour, ...] = ((30, 24, 22), (70, 48, 32), (120, 88, 50), (190, 160, 104), (150, 148, 146))
LEAF_COLOURS: tuple[Colour, ...] = (
    (62, 96, 44),
    (84, 116, 52),
    (48, 80, 48),
    (104, 122, 56),
    (72, 92, 60),
    (138, 116, 48),
    (150, 92, 44),
)
GRASS_COLOURS: tuple[Colour, ...] = ((96, 126, 62), (118, 132, 70), (84, 110, 60), (150, 140, 88))


def picked(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the options, all equally likely (numpy's own `choice` would turn tuples into arrays)."""
    return options[int(rng.random() * len(options))]


def varied(rng: np.random.Generator, colour: Colour, spread: float = 12.0) -> Colour:
    """The colour, shifted at random by about `spread` grey levels: mostly in brightness, a little in hue."""
    light, *hue = rng.random(4).tolist()
    base, third = spread * (2 * light - 1) - spread / 3, spread * 2 / 3
    return _clipped(
        colour[0] + base + third * hue[0], colour[1] + base + third * hue[1], colour[2] + base + third * hue[2]
    )


def shaded(colour: Colour, factor: float) -> Colour:
    """The colour, darker (factor below 1) or lighter."""
    return _clipped(colour[0] * factor, colour[1] * factor, colour[2] * factor)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """The way from the first colour (share 0) to the second (share 1)."""
    keep = 1.0 - share
    return (
        int(first[0] * keep + second[0] * share),
        int(first[1] * keep + second[1] * share),
        int(first[2] * keep + second[2] * share),
    )


def _clipped(red: float, green: float, blue: float) -> Colour:
    if 0 <= red < 256 and 0 <= green < 256 and 0 <= blue < 256:  # nearly always; this function is called very often
        return int(red), int(green), int(blue)
    return min(255, max(0, int(red))), min(255, max(0, int(green))), min(255, max(0, int(blue)))
