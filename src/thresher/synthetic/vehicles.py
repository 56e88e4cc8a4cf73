"""Cars, buses, trucks and trams as extruded side views, seen from any side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thresher.synthetic.camera import Pose, faces_camera
from thresher.synthetic.canvas import Canvas, Point, bar, mean
from thresher.synthetic.palette import (
    BUS_COLOURS,
    CAR_COLOURS,
    Colour,
    mixed,
    picked,
    shaded,
    varied,
)

GLASS: Colour = (44, 54, 64)
RED_LAMP: Colour = (196, 28, 30)
WHITE_LAMP: Colour = (246, 240, 214)


@dataclass(frozen=True)
class Shape:
    """A side view to be extruded. Profile: (share of length from the rear −0.5 to the front 0.5, share of height, what
    the surface from this point to the next is), from the rear bumper over the roof to the front bumper. `window`:
    forward shares at its lower rear, upper rear, upper front, lower front, then its lower and upper height share.
    """

    length_m: float
    width_m: float
    height_m: float
    profile: tuple[tuple[float, float, str], ...]
    window: tuple[float, float, float, float, float, float] | None
    panes: int
    wheels: tuple[float, ...]
    wheel_m: float = 0.32
    taper: float = 0.16
    lamps: tuple[float, float] = (0.42, 0.56)
    offset_m: float = 0.0
    rear_lamps: bool = True
    front_lamps: bool = True

    def half_width_m(self, height_share: float) -> float:
        """Half the width at a height: cabins lean inwards above the belt line."""
        return self.width_m / 2 * (1 - self.taper * max(0.0, height_share - 0.6) / 0.4)


SALOON = Shape(
    4.6,
    1.8,
    1.45,
    (
        (-0.5, 0.2, "body"),
        (-0.5, 0.6, "top"),
        (-0.36, 0.66, "glass"),
        (-0.2, 1.0, "top"),
        (0.1, 1.0, "glass"),
        (0.26, 0.64, "top"),
        (0.48, 0.55, "body"),
        (0.5, 0.2, "under"),
    ),
    (-0.33, -0.19, 0.09, 0.23, 0.64, 0.93),
    2,
    (-0.31, 0.32),
)
HATCHBACK = Shape(
    4.0,
    1.75,
    1.5,
    (
        (-0.5, 0.2, "body"),
        (-0.5, 0.58, "glass"),
        (-0.42, 0.95, "top"),
        (-0.36, 1.0, "top"),
        (0.1, 1.0, "glass"),
        (0.28, 0.62, "top"),
        (0.48, 0.52, "body"),
        (0.5, 0.2, "under"),
    ),
    (-0.44, -0.37, 0.09, 0.24, 0.61, 0.93),
    2,
    (-0.3, 0.32),
)
ESTATE = replace(
    SALOON,
    profile=(
        (-0.5, 0.2, "body"),
        (-0.5, 0.6, "glass"),
        (-0.45, 0.95, "top"),
        (-0.4, 1.0, "top"),
        (0.1, 1.0, "glass"),
        (0.26, 0.64, "top"),
        (0.48, 0.55, "body"),
        (0.5, 0.2, "under"),
    ),
    window=(-0.45, -0.42, 0.09, 0.23, 0.64, 0.93),
    panes=3,
)
OFFROADER = replace(HATCHBACK, length_m=4.5, width_m=1.92, height_m=1.78, wheel_m=0.38, taper=0.1)
VAN = Shape(
    5.2,
    2.0,
    2.2,
    (
        (-0.5, 0.16, "body"),
        (-0.5, 0.55, "glass"),
        (-0.49, 0.88, "body"),
        (-0.48, 1.0, "top"),
        (0.22, 1.0, "glass"),
        (0.38, 0.58, "top"),
        (0.48, 0.46, "body"),
        (0.5, 0.16, "under"),
    ),
    (0.06, 0.06, 0.2, 0.33, 0.57, 0.92),
    1,
    (-0.32, 0.33),
    taper=0.08,
    lamps=(0.34, 0.46),
)
BUS = Shape(
    11.5,
    2.5,
    3.1,
    (
        (-0.5, 0.1, "body"),
        (-0.5, 0.5, "glass"),
        (-0.5, 0.86, "body"),
        (-0.49, 1.0, "top"),
        (0.48, 1.0, "body"),
        (0.495, 0.88, "glass"),
        (0.5, 0.36, "body"),
        (0.5, 0.1, "under"),
    ),
    (-0.47, -0.47, 0.47, 0.48, 0.44, 0.84),
    7,
    (-0.28, 0.33),
    0.5,
    0.03,
    (0.2, 0.27),
)
TRAM = replace(BUS, length_m=22.0, height_m=3.4, panes=12, wheels=(-0.4, -0.3, 0.3, 0.4), wheel_m=0.3)
CARGO = Shape(
    6.4,
    2.5,
    3.5,
    ((-0.5, 0.28, "body"), (-0.5, 1.0, "top"), (0.5, 1.0, "body"), (0.5, 0.28, "under")),
    None,
    0,
    (-0.36, -0.2),
    0.5,
    0.0,
    (0.3, 0.36),
    offset_m=-1.2,
    front_lamps=False,
)
CAB = Shape(
    2.2,
    2.45,
    2.8,
    ((-0.5, 0.2, "body"), (-0.5, 1.0, "top"), (0.3, 1.0, "glass"), (0.46, 0.52, "body"), (0.5, 0.16, "under")),
    (-0.1, -0.1, 0.26, 0.4, 0.54, 0.88),
    1,
    (0.05,),
    0.5,
    0.03,
    (0.22, 0.3),
    offset_m=3.2,
    rear_lamps=False,
)
FLATBED = replace(CARGO, height_m=1.7, profile=tuple((u, 0.45 if v < 0.5 else v, kind) for u, v, kind in CARGO.profile))

CAR_SHAPES = (SALOON, HATCHBACK, HATCHBACK, ESTATE, OFFROADER, OFFROADER, VAN)
LENGTHS_M = {"car": 4.6, "truck": 9.0, "bus": 11.5, "train": 22.0}


def draw_vehicle(canvas: Canvas, rng: np.random.Generator, pose: Pose, label: str, depiction: bool = False) -> None:
    """Draw a car, truck, bus or tram with its shadow, as one thing named as Open Images names it."""
    canvas.set_depth(pose.z)
    canvas.set_surface("paint")
    parts = _parts(rng, label)
    reach = LENGTHS_M[label] * 0.75
    if not canvas.shows([pose.at(u, w, v) for u in (-reach, reach) for w in (-1.6, 1.6) for v in (0, 4)]):
        return
    name = {"car": "Car", "truck": "Truck", "bus": "Bus", "train": "Train"}[label]
    for shape, _ in parts:
        _shadow(canvas, pose, shape)
    parts.sort(key=lambda part: -pose.world(part[0].offset_m, 0, 0)[2])
    with canvas.thing(name, depiction=depiction):
        for shape, colour in parts:
            _draw_shape(canvas, rng, pose, shape, colour, None if depiction else label)


def _parts(rng: np.random.Generator, label: str) -> list[tuple[Shape, Colour]]:
    size = rng.uniform(0.94, 1.07)
    if label == "car":
        shape = picked(rng, CAR_SHAPES)
        resized = replace(shape, length_m=shape.length_m * size, height_m=shape.height_m * rng.uniform(0.96, 1.06))
        return [(resized, varied(rng, picked(rng, CAR_COLOURS)))]
    if label == "truck":
        load = FLATBED if rng.random() < 0.2 else replace(CARGO, height_m=CARGO.height_m * rng.uniform(0.85, 1.1))
        cab = varied(rng, picked(rng, CAR_COLOURS + BUS_COLOURS))
        box = varied(
            rng, picked(rng, ((226, 226, 222), (190, 192, 190), (70, 90, 130), (150, 60, 50), (196, 180, 140)))
        )
        return [(load, box), (CAB, cab)]
    shape = BUS if label == "bus" else TRAM
    return [(replace(shape, length_m=shape.length_m * size), varied(rng, picked(rng, BUS_COLOURS)))]


def _shadow(canvas: Canvas, pose: Pose, shape: Shape) -> None:
    half, wide = shape.length_m / 2, shape.width_m / 2
    soft = pose.camera.scale(pose.z) > 8
    for grown, strength in ((1.12, 0.25), (1.0, 0.45)) if soft else ((1.05, 0.55),):
        corners = ((-half, -wide), (half, -wide), (half, wide), (-half, wide))
        canvas.shade([pose.at(shape.offset_m + u * grown, w * grown, 0) for u, w in corners], strength)


def _draw_shape(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, shape: Shape, colour: Colour, label: str | None
) -> None:
    at = _Placer(pose, shape)
    _underside(canvas, shape, at, label)
    tints = {"body": colour, "top": mixed(shaded(colour, 1.18), (210, 216, 222), 0.15), "under": (20, 20, 22)}
    tints["glass"] = varied(rng, GLASS, 10)
    faces = []
    close = pose.camera.scale(pose.z) * shape.height_m > 7  # pixels high; details of anything smaller are lost
    for (u, v, kind), (next_u, next_v, _) in zip(shape.profile, (*shape.profile[1:], shape.profile[0]), strict=True):
        wide, next_wide = shape.half_width_m(v), shape.half_width_m(next_v)
        points = [at(u, -wide, v), at(next_u, -next_wide, next_v), at(next_u, next_wide, next_v), at(u, wide, v)]
        if faces_camera(points):
            depth = pose.world(shape.offset_m + (u + next_u) / 2 * shape.length_m, 0, 0)[2]
            faces.append((depth, points, tints[kind], 0))
    for side in (-1, 1):
        points = [at(u, side * shape.half_width_m(v), v) for u, v, _ in shape.profile][::side]
        if faces_camera(points):
            depth = pose.world(shape.offset_m, side * shape.width_m / 2, 0)[2]
            faces.append((depth, points, shaded(colour, 0.82), side))
    for _, points, tint, side in sorted(faces, key=lambda face: -face[0]):
        canvas.polygon(points, tint, label)
        if side:
            _wheels(canvas, pose, shape, side, label)
            _side_windows(canvas, pose, shape, side, tints["glass"], colour, close)
        elif tint == tints["glass"] and close:
            # The sky mirrored in the upper corner of a pane.
            canvas.shade([points[1], points[2], mean(points[0], points[1])], 0.22, (214, 222, 230))
    if close:
        _end_details(canvas, rng, shape, at, colour)


class _Placer:
    """From shares of a shape to pixels."""

    def __init__(self, pose: Pose, shape: Shape) -> None:
        self.pose, self.shape = pose, shape

    def __call__(self, forward: float, side_m: float, up: float) -> Point:
        shape = self.shape
        return self.pose.at(shape.offset_m + forward * shape.length_m, side_m, up * shape.height_m)

    def panel(self, forward: float, side0: float, side1: float, up0: float, up1: float) -> list[Point]:
        half = self.shape.width_m / 2
        return [self(forward, side * half, up) for side, up in ((side0, up0), (side0, up1), (side1, up1), (side1, up0))]


def _underside(canvas: Canvas, shape: Shape, at: _Placer, label: str | None) -> None:
    low = shape.profile[0][1]
    for forward in (shape.wheels[0], shape.wheels[-1]):
        canvas.polygon(at.panel(forward, -0.9, 0.9, 0.12 * low, low * 1.3), (16, 16, 18), label)
        for side in (-0.8, 0.8):
            canvas.polygon(at.panel(forward, side - 0.14, side + 0.14, 0.0, low * 1.4), (24, 24, 26), label)


def _side_windows(
    canvas: Canvas, pose: Pose, shape: Shape, side: int, glass: Colour, colour: Colour, close: bool
) -> None:
    if shape.window is None:
        return
    at, scale = _Placer(pose, shape), pose.camera.scale(pose.z)
    low_rear, high_rear, high_front, low_front, low, high = shape.window
    inner_low, inner_high = side * shape.half_width_m(low), side * shape.half_width_m(high)
    outline = [
        at(low_rear, inner_low, low),
        at(high_rear, inner_high, high),
        at(high_front, inner_high, high),
        at(low_front, inner_low, low),
    ]
    canvas.detail(outline, glass)
    if close:
        canvas.shade([outline[1], outline[2], mean(outline[0], outline[1])], 0.2, (214, 222, 230))
    if canvas.glows and shape.panes > 4:
        canvas.lamp(outline, (150, 140, 96))
    for pane in range(1, shape.panes):
        share = pane / shape.panes
        foot = at(low_rear + (low_front - low_rear) * share, inner_low, low)
        head = at(high_rear + (high_front - high_rear) * share, inner_high, high)
        canvas.detail(bar(foot, head, max(0.4, 0.09 * scale)), shaded(colour, 0.7))


def _wheels(canvas: Canvas, pose: Pose, shape: Shape, side: int, label: str | None) -> None:
    half, radius = side * shape.width_m / 2, shape.wheel_m
    detailed = pose.camera.scale(pose.z) * radius > 2
    for forward in shape.wheels:
        centre = shape.offset_m + forward * shape.length_m
        if detailed:
            canvas.detail(pose.disc(centre, half, radius, radius * 1.18), (12, 12, 14))
        canvas.polygon(pose.disc(centre, half * 1.01, radius, radius, 14 if detailed else 7), (30, 30, 32), label)
        if detailed:
            canvas.detail(pose.disc(centre, half * 1.01, radius, radius * 0.58, 10), (150, 152, 156))
            canvas.detail(pose.disc(centre, half * 1.01, radius, radius * 0.2, 6), (84, 86, 90))
    if not detailed:
        return
    at = _Placer(pose, shape)
    canvas.shade([at(-0.48, half, 0.36), at(0.47, half, 0.36), at(0.47, half, 0.33), at(-0.48, half, 0.33)], 0.35)
    if shape.panes in (2, 3):
        for forward in (-0.16, 0.08):  # gaps of the doors
            canvas.stroke([at(forward, half, 0.28), at(forward, half, 0.6)], 0.4, (30, 30, 32))


def _end_details(canvas: Canvas, rng: np.random.Generator, shape: Shape, at: _Placer, colour: Colour) -> None:
    low, high = shape.lamps
    for forward, has_lamps, tint in ((-0.502, shape.rear_lamps, RED_LAMP), (0.502, shape.front_lamps, WHITE_LAMP)):
        whole = at.panel(forward, -1.0, 1.0, 0.2, 0.5)
        if faces_camera(whole) != (forward < 0):
            continue
        if abs(whole[2][0] - whole[0][0]) < 4:
            continue
        canvas.detail(at.panel(forward, -0.98, 0.98, 0.2, 0.32), mixed(colour, (40, 40, 42), 0.6))
        if forward > 0 and shape.front_lamps:
            canvas.detail(at.panel(forward, -0.5, 0.5, low - 0.06, high - 0.03), (26, 26, 28))
        canvas.detail(at.panel(forward, -0.27, 0.27, 0.29, 0.37), (232, 230, 220))
        if has_lamps:
            for side in (-1, 1):
                lamp = at.panel(forward, side * 0.62, side * 0.95, low, high)
                canvas.lamp(lamp, varied(rng, tint, 12))
        if not shape.rear_lamps or not shape.front_lamps:
            middle = at.panel(forward, -0.02, 0.02, 0.3, 0.98)
            canvas.detail(middle, shaded(colour, 0.75))
