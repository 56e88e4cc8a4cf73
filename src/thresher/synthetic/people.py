"""People on foot, alone and in crowds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from thresher.synthetic.camera import Pose
from thresher.synthetic.canvas import Canvas, Point
from thresher.synthetic.palette import (
    CLOTH_COLOURS,
    HAIR_COLOURS,
    SKIN_COLOURS,
    TROUSER_COLOURS,
    Colour,
    picked,
    shaded,
    varied,
)

_At = Callable[[float, float], Point]


def draw_person(
    canvas: Canvas,
    rng: np.random.Generator,
    pose: Pose,
    name: str = "Person",
    umbrella: bool = False,
    ground_m: float = 0.0,
) -> None:
    """Draw somebody standing or walking, as one thing; girls and boys are small."""
    canvas.set_depth(pose.z)
    _foot_shadow(canvas, pose, ground_m)
    with canvas.thing(name):
        _figure(canvas, rng, pose, name, umbrella, ground_m)


def draw_crowd(canvas: Canvas, rng: np.random.Generator, pose: Pose, people: int, ground_m: float = 0.0) -> None:
    """Draw people too close together to tell apart, as one thing that is a group."""
    canvas.set_depth(pose.z)
    with canvas.thing("Person", group=True):
        for depth in sorted(rng.uniform(-0.8, 0.8, people).tolist(), reverse=True):
            place = Pose(pose.camera, pose.x + rng.uniform(-0.28, 0.28) * people, pose.z + depth)
            _figure(canvas, rng, place, picked(rng, ("Man", "Woman", "Boy")), False, ground_m)


def _foot_shadow(canvas: Canvas, pose: Pose, ground_m: float) -> None:
    turns = [math.pi * turn / 5 for turn in range(10)]
    outline = [pose.camera.at(pose.x + 0.4 * math.cos(t), ground_m, pose.z + 0.3 * math.sin(t)) for t in turns]
    canvas.shade(outline, 0.4)


def _figure(canvas: Canvas, rng: np.random.Generator, pose: Pose, name: str, umbrella: bool, ground_m: float) -> None:
    foot = pose.camera.at(pose.x, ground_m, pose.z)
    size = rng.uniform(1.1, 1.45) if name in ("Boy", "Girl") else rng.uniform(1.58, 1.9)
    unit = pose.camera.scale(pose.z) * size  # pixels per body height
    turned = 1 if rng.random() < 0.5 else -1

    def at(across: float, up: float) -> Point:
        return foot[0] + turned * across * unit, foot[1] - up * unit

    coat, trousers = varied(rng, picked(rng, CLOTH_COLOURS)), varied(rng, picked(rng, TROUSER_COLOURS))
    skin, hair = varied(rng, picked(rng, SKIN_COLOURS), 8), varied(rng, picked(rng, HAIR_COLOURS), 8)
    canvas.set_surface("cloth")
    dress = name in ("Woman", "Girl") and rng.random() < 0.45
    _legs(canvas, rng, at, unit, skin if dress else trousers)
    swing = rng.uniform(-0.1, 0.1)
    canvas.limb(at(-0.1, 0.8), at(-0.13 + swing, 0.48), 0.07 * unit, shaded(coat, 0.8), "person")
    hem = 0.34 if dress else rng.uniform(0.4, 0.5)
    flare = 0.15 if dress else 0.105
    torso = [at(-0.13, 0.8), at(-0.06, 0.845), at(0.06, 0.845), at(0.13, 0.8), at(flare, hem), at(-flare, hem)]
    canvas.polygon(torso, coat, "person")
    canvas.detail([at(0.02, 0.83), at(0.12, 0.8), at(flare, hem), at(0.03, hem)], shaded(coat, 0.86))
    canvas.limb(at(0.12, 0.8), at(0.14 - swing, 0.49), 0.07 * unit, shaded(coat, 0.92), "person")
    canvas.dot(at(0.14 - swing, 0.47), (0.03 * unit, 0.03 * unit), skin)
    _head(canvas, at, unit, skin, hair, name in ("Woman", "Girl"))
    if rng.random() < 0.25:
        canvas.polygon([at(-0.2, 0.76), at(-0.1, 0.78), at(-0.09, 0.52), at(-0.2, 0.53)], (50, 44, 40), "person")
    if umbrella:
        canvas.stroke([at(0.12, 0.6), at(0.06, 1.12)], max(0.6, 0.015 * unit), (50, 50, 52))
        top = [at(0.06 + 0.34 * math.cos(t), 1.05 + 0.2 * math.sin(t)) for t in np.linspace(0, math.pi, 9).tolist()]
        canvas.polygon(top, varied(rng, picked(rng, CLOTH_COLOURS)), "person")


def _legs(canvas: Canvas, rng: np.random.Generator, at: _At, unit: float, colour: Colour) -> None:
    stride = rng.uniform(0.02, 0.14)
    for side, tint in ((-1, 0.8), (1, 1.0)):
        hip, knee, ankle = (
            at(side * 0.045, 0.5),
            at(side * (0.04 + stride * 0.5), 0.27),
            at(side * (0.04 + stride), 0.03),
        )
        canvas.limb(hip, knee, 0.095 * unit, shaded(colour, tint), "person")
        canvas.limb(knee, ankle, 0.075 * unit, shaded(colour, tint), "person")
        toe = at(side * (0.04 + stride) + 0.07, 0.015)
        canvas.limb((ankle[0], toe[1]), toe, 0.045 * unit, (34, 30, 28), "person")


def _head(canvas: Canvas, at: _At, unit: float, skin: Colour, hair: Colour, long_hair: bool) -> None:
    if long_hair:
        canvas.ellipse(at(-0.015, 0.9), (0.07 * unit, 0.085 * unit), hair, "person")
    canvas.limb(at(0, 0.82), at(0, 0.88), 0.06 * unit, shaded(skin, 0.85), "person")
    canvas.ellipse(at(0, 0.925), (0.058 * unit, 0.075 * unit), hair, "person")
    canvas.dot(at(0.014, 0.91), (0.048 * unit, 0.056 * unit), skin)
