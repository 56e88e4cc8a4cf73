"""Bicycles and motorcycles, with and without somebody on them."""

from __future__ import annotations

import math

import numpy as np

from thresher.synthetic.camera import Pose
from thresher.synthetic.canvas import Canvas
from thresher.synthetic.palette import (
    BUS_COLOURS,
    CAR_COLOURS,
    CLOTH_COLOURS,
    SKIN_COLOURS,
    TROUSER_COLOURS,
    Colour,
    picked,
    shaded,
    varied,
)


def draw_two_wheeler(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, label: str, riders: bool = False, name: str = "Person"
) -> None:
    """Draw a bicycle or motorcycle, and with `riders` somebody on it, who is a thing of its own named `name`."""
    canvas.set_depth(pose.z)
    canvas.set_surface("paint")
    foot = [pose.at(u, w, 0) for u, w in ((-0.9, -0.2), (0.9, -0.2), (0.9, 0.25), (-0.9, 0.25))]
    canvas.shade(foot, 0.4)
    colour = varied(rng, picked(rng, CAR_COLOURS + BUS_COLOURS))
    with canvas.thing("Bicycle" if label == "bicycle" else "Motorcycle"):
        (_bicycle if label == "bicycle" else _motorcycle)(canvas, pose, colour)
    if riders:
        _rider(canvas, rng, pose, name)


def _bicycle(canvas: Canvas, pose: Pose, colour: Colour) -> None:
    scale = pose.camera.scale(pose.z)
    tube = max(0.6, 0.055 * scale)
    for forward in (-0.52, 0.52):
        rim = pose.disc(forward, 0, 0.34, 0.34)
        canvas.claim(rim, "bicycle")
        canvas.limb(
            pose.at(forward, 0, 0.02), pose.at(forward, 0, 0.68), max(1.0, 0.05 * scale), (30, 30, 32), "bicycle"
        )
        canvas.stroke([*rim, rim[0]], max(0.7, 0.05 * scale), (26, 26, 28))
        if scale > 12:
            for turn in (0.4, 1.45, 2.5):
                reach = (0.32 * math.cos(turn), 0.32 * math.sin(turn))
                spoke = [
                    pose.at(forward - reach[0], 0, 0.34 - reach[1]),
                    pose.at(forward + reach[0], 0, 0.34 + reach[1]),
                ]
                canvas.stroke(spoke, 0.3, (130, 130, 134))
    joints = {
        "rear": (-0.52, 0.34),
        "crank": (-0.05, 0.3),
        "seat": (-0.2, 0.86),
        "head": (0.36, 0.84),
        "front": (0.52, 0.34),
    }
    pixels = {key: pose.at(u, 0, v) for key, (u, v) in joints.items()}
    for start, end in (
        ("rear", "crank"),
        ("crank", "seat"),
        ("crank", "head"),
        ("seat", "head"),
        ("head", "front"),
        ("rear", "seat"),
    ):
        canvas.limb(pixels[start], pixels[end], tube, colour, "bicycle")
    canvas.limb(pose.at(-0.32, 0, 0.92), pose.at(-0.08, 0, 0.92), tube * 1.8, (30, 28, 26), "bicycle")
    canvas.limb(pose.at(0.36, -0.27, 1.0), pose.at(0.36, 0.27, 1.0), tube, (40, 40, 42), "bicycle")
    canvas.limb(pixels["head"], pose.at(0.34, 0, 1.0), tube, (40, 40, 42), "bicycle")


def _motorcycle(canvas: Canvas, pose: Pose, colour: Colour) -> None:
    scale = pose.camera.scale(pose.z)
    for forward in (-0.62, 0.62):
        canvas.limb(pose.at(forward, 0, 0.0), pose.at(forward, 0, 0.62), 0.17 * scale, (24, 24, 26), "motorcycle")
        canvas.polygon(pose.disc(forward, 0, 0.32, 0.32), (28, 28, 30), "motorcycle")
        canvas.detail(pose.disc(forward, 0, 0.32, 0.17, 8), (140, 142, 146))
    engine = [
        pose.at(u, 0, v) for u, v in ((-0.6, 0.4), (-0.7, 0.8), (0.3, 0.85), (0.45, 0.4), (0.1, 0.2), (-0.3, 0.2))
    ]
    canvas.polygon(engine, (58, 58, 62), "motorcycle")
    canvas.limb(pose.at(-0.3, 0, 0.35), pose.at(-0.3, 0, 0.8), 0.34 * scale, shaded(colour, 0.7), "motorcycle")
    tank = [pose.at(u, 0, v) for u, v in ((-0.1, 0.74), (0.0, 1.0), (0.35, 1.02), (0.46, 0.72))]
    canvas.polygon(tank, colour, "motorcycle")
    seat = [pose.at(u, 0, v) for u, v in ((-0.8, 0.82), (-0.8, 0.94), (-0.05, 0.86), (-0.05, 0.76))]
    canvas.polygon(seat, (26, 24, 24), "motorcycle")
    fork = max(1.0, 0.09 * scale)
    canvas.limb(pose.at(0.62, 0, 0.32), pose.at(0.4, 0, 1.08), fork, (150, 152, 156), "motorcycle")
    canvas.limb(pose.at(0.4, -0.34, 1.1), pose.at(0.4, 0.34, 1.1), fork, (34, 34, 36), "motorcycle")
    canvas.limb(pose.at(0.46, -0.12, 0.95), pose.at(0.46, 0.12, 0.95), 0.2 * scale, shaded(colour, 1.1), "motorcycle")
    pipe = [pose.at(-0.75, 0.12, 0.34), pose.at(0.0, 0.12, 0.28)]
    canvas.stroke(pipe, max(0.6, 0.08 * scale), (176, 178, 180))


def _rider(canvas: Canvas, rng: np.random.Generator, pose: Pose, name: str) -> None:
    scale = pose.camera.scale(pose.z)
    coat, trousers = varied(rng, picked(rng, CLOTH_COLOURS)), varied(rng, picked(rng, TROUSER_COLOURS))
    skin = varied(rng, picked(rng, SKIN_COLOURS), 8)
    lean = rng.uniform(0.05, 0.3)
    neck, hip = (-0.15 + lean, 1.48), (-0.22, 0.95)
    canvas.set_surface("cloth")
    with canvas.thing(name):
        for side, knee_up, foot_up in ((-0.14, 0.72, 0.38), (0.14, 0.6, 0.2)):
            knee, foot = pose.at(0.12, side, knee_up), pose.at(-0.02, side, foot_up)
            canvas.limb(pose.at(hip[0], side * 0.7, hip[1]), knee, 0.17 * scale, trousers, "rider")
            canvas.limb(knee, foot, 0.13 * scale, trousers, "rider")
            heel, toe = pose.at(-0.06, side, foot_up - 0.02), pose.at(0.1, side, foot_up - 0.03)
            canvas.limb(heel, toe, 0.09 * scale, (30, 28, 28), "rider")
        shoulders = [pose.at(neck[0], side, neck[1]) for side in (-0.2, 0.2)]
        hips = [pose.at(hip[0], side, hip[1]) for side in (0.15, -0.15)]
        canvas.limb(pose.at(hip[0], 0, hip[1] - 0.05), pose.at(neck[0], 0, neck[1] + 0.02), 0.28 * scale, coat, "rider")
        canvas.polygon([*shoulders, *hips], coat, "rider")
        for side in (-0.2, 0.2):
            shoulder = pose.at(neck[0], side, neck[1] - 0.06)
            canvas.limb(shoulder, pose.at(0.34, side * 1.1, 1.05), 0.1 * scale, shaded(coat, 0.85), "rider")
        head = pose.at(neck[0] + 0.06, 0, neck[1] + 0.19)
        canvas.ellipse(head, (0.12 * scale, 0.14 * scale), skin, "rider")
        helmet = varied(rng, picked(rng, CLOTH_COLOURS), 20)
        canvas.dot((head[0], head[1] - 0.05 * scale), (0.125 * scale, 0.1 * scale), helmet)
