"""What a pool is full of besides streets: rooms, lone objects, lone cars, patterns and landscapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from thresher.synthetic.animals import draw_bird, draw_four_legged
from thresher.synthetic.buildings import wall_picture
from thresher.synthetic.camera import Camera, Pose
from thresher.synthetic.canvas import Canvas, Point, Scene, rectangle
from thresher.synthetic.indoor import FURNITURE, draw_room
from thresher.synthetic.palette import (
    BUS_COLOURS,
    CLOTH_COLOURS,
    GRASS_COLOURS,
    LEAF_COLOURS,
    SURFACES,
    WALL_COLOURS,
    Colour,
    mixed,
    picked,
    shaded,
    varied,
)
from thresher.synthetic.people import draw_person
from thresher.synthetic.roadside import draw_bush, draw_tree
from thresher.synthetic.vehicles import draw_vehicle
from thresher.synthetic.weather import (
    DAY_WEATHERS,
    Weather,
    draw_sky,
    drawn_weather,
    photographed,
)

_TINTS = WALL_COLOURS + BUS_COLOURS + CLOTH_COLOURS


#: The kinds of decoys.
KINDS = ("indoor", "object", "car_object", "texture", "nature")


def decoy(rng: np.random.Generator, kind: str, width_px: int, height_px: int) -> Scene:
    """A picture that is no street: `kind` is one of `KINDS`. Pixels of no Cityscapes class are 255."""
    outdoors = kind == "nature"
    weather = drawn_weather(rng, str(rng.choice(list(DAY_WEATHERS), p=list(DAY_WEATHERS.values()))))
    if not outdoors:
        weather = _lighting(rng)
    canvas = Canvas(width_px, height_px, varied(rng, picked(rng, _TINTS), 20))
    if outdoors:
        _landscape(canvas, rng, weather)
    else:
        _PAINTERS[kind](canvas, rng)
    labels, _, instances = canvas.numbers()
    rgb = photographed(canvas, rng, weather)
    return Scene(rgb, labels, instances, canvas.boxes(), kind, weather.name if outdoors else None)


def _lighting(rng: np.random.Generator) -> Weather:
    # Rooms and studios are as often bright or dim as streets are: brightness must not give a decoy away.
    gain, warmth = rng.uniform(0.6, 1.3), rng.uniform(-0.1, 0.16)
    light = (gain * (1 + warmth), gain, gain * (1 - warmth))
    return Weather(
        "indoor",
        light,
        (0, 0, 0),
        (0, 0, 0),
        0,
        0,
        saturation=rng.uniform(0.35, 0.95),
        blur_px=min(0.75, max(0.0, rng.normal(0.15, 0.3))),
        noise=rng.uniform(2, 6),
    )


def _plain_ground(canvas: Canvas, rng: np.random.Generator) -> tuple[Camera, Colour]:
    """Fill the canvas with a plain backdrop over plain ground, and return a camera that fits it."""
    width, height = canvas.width_px, canvas.height_px
    camera = Camera(
        (width * height) ** 0.5 * 1.2,
        width * rng.uniform(0.4, 0.6),
        height * rng.uniform(0.2, 0.45),
        rng.uniform(1.1, 1.8),
    )
    backdrop, ground = varied(rng, picked(rng, _TINTS), 24), varied(rng, picked(rng, _TINTS + GRASS_COLOURS), 24)
    if rng.random() < 0.4:  # a studio: backdrop and ground run into each other
        ground = mixed(backdrop, ground, 0.15)
    canvas.set_surface(picked(rng, ("plaster", "smooth", "stone", "asphalt", "grass")))
    for band in range(32):
        top = height * band / 32
        share = min(1.0, top / max(camera.horizon_px, 1))
        colour = (
            shaded(backdrop, 0.85 + 0.25 * share)
            if top < camera.horizon_px
            else shaded(ground, 0.75 + 0.35 * top / height)
        )
        canvas.polygon(rectangle(-1, top - 1, width + 1, height + 1), colour)
    return camera, ground


def _lone_car(canvas: Canvas, rng: np.random.Generator) -> None:
    camera, _ = _plain_ground(canvas, rng)
    z = rng.uniform(5.5, 9.0) * max(1.0, 1.3 * canvas.height_px / canvas.width_px)
    yaw = rng.uniform(-math.pi, math.pi)
    draw_vehicle(canvas, rng, Pose(camera, rng.uniform(-0.5, 0.5), z, yaw), "car")


def _lone_object(canvas: Canvas, rng: np.random.Generator) -> None:
    camera, _ = _plain_ground(canvas, rng)
    if rng.random() < 0.35:
        room_below = 0.9 * canvas.height_px - camera.horizon_px
        z = camera.focal_px * camera.height_m / room_below * rng.uniform(1.0, 1.3)
        pose = Pose(camera, rng.uniform(-0.3, 0.3), max(z, 1.9), rng.uniform(-math.pi, math.pi))
        picked(rng, FURNITURE)(canvas, rng, pose)
        return
    middle = (canvas.width_px * rng.uniform(0.35, 0.65), canvas.height_px * rng.uniform(0.7, 0.85))
    unit = min(canvas.width_px, canvas.height_px) * rng.uniform(0.35, 0.62)
    _shade_under(canvas, middle, unit)
    chance = rng.random()
    if chance < 0.4:
        name, coat = picked(rng, (("Dog", (150, 110, 70)), ("Cat", (96, 92, 90)), ("Sheep", (210, 206, 196))))
        draw_four_legged(canvas, rng, middle, unit * 0.8, name, varied(rng, coat, 30))
        return
    canvas.set_surface("smooth")
    _VESSELS[int(rng.random() * len(_VESSELS))](canvas, rng, middle, unit)


def _shade_under(canvas: Canvas, foot: Point, unit: float) -> None:
    for grown in (0.5, 0.42, 0.34):
        outline = [
            (foot[0] + 0.1 * unit + grown * unit * math.cos(t), foot[1] + 0.12 * unit * math.sin(t)) for t in _TURNS
        ]
        canvas.shade(outline, 0.16)


_TURNS = [2 * math.pi * turn / 16 for turn in range(16)]


def _mug(canvas: Canvas, rng: np.random.Generator, foot: Point, unit: float) -> None:
    colour = varied(rng, picked(rng, BUS_COLOURS), 20)
    x, y = foot
    with canvas.thing("Mug"):
        canvas.ellipse((x + 0.34 * unit, y - 0.4 * unit), (0.2 * unit, 0.24 * unit), shaded(colour, 0.8))
        canvas.dot((x + 0.34 * unit, y - 0.4 * unit), (0.11 * unit, 0.15 * unit), (90, 88, 86))
        canvas.polygon(rectangle(x - 0.34 * unit, y - 0.8 * unit, x + 0.34 * unit, y - 0.03 * unit), colour)
        canvas.ellipse((x, y - 0.04 * unit), (0.34 * unit, 0.08 * unit), colour)
        canvas.ellipse((x, y - 0.8 * unit), (0.34 * unit, 0.1 * unit), shaded(colour, 1.2))
        canvas.dot((x, y - 0.79 * unit), (0.28 * unit, 0.07 * unit), (60, 40, 30))
        canvas.shade(rectangle(x - 0.26 * unit, y - 0.7 * unit, x - 0.18 * unit, y - 0.1 * unit), 0.3, (250, 250, 250))


def _ball(canvas: Canvas, rng: np.random.Generator, foot: Point, unit: float) -> None:
    colour, other = varied(rng, picked(rng, BUS_COLOURS), 20), varied(rng, picked(rng, CLOTH_COLOURS), 20)
    middle = (foot[0], foot[1] - 0.42 * unit)
    with canvas.thing(picked(rng, ("Ball", "Apple"))):
        canvas.ellipse(middle, (0.45 * unit, 0.45 * unit), shaded(colour, 0.75))
        for step in range(5):
            radius = (0.42 - 0.07 * step) * unit
            canvas.dot(
                (middle[0] - 0.03 * step * unit, middle[1] - 0.03 * step * unit),
                (radius, radius),
                shaded(colour, 0.85 + 0.1 * step),
            )
        canvas.stroke(
            [(middle[0] - 0.4 * unit, middle[1]), middle, (middle[0] + 0.3 * unit, middle[1] - 0.3 * unit)],
            0.03 * unit,
            other,
        )


def _vase(canvas: Canvas, rng: np.random.Generator, foot: Point, unit: float) -> None:
    colour, leaf = varied(rng, picked(rng, _TINTS), 20), varied(rng, picked(rng, LEAF_COLOURS))
    x, y = foot
    with canvas.thing("Flower"):
        for turn in rng.uniform(0.5, 2.6, 6).tolist():
            tip = (x + 0.5 * unit * math.cos(turn), y - (0.6 + 0.4 * math.sin(turn)) * unit)
            canvas.limb((x, y - 0.5 * unit), tip, 0.025 * unit, leaf)
            _blossom(canvas, tip, 0.12 * unit, varied(rng, picked(rng, BUS_COLOURS), 30))
    with canvas.thing("Vase"):
        shape = ((0.16, 0.0), (0.3, 0.2), (0.26, 0.4), (0.12, 0.55), (0.16, 0.62))
        right = [(x + u * unit, y - v * unit) for u, v in shape]
        canvas.polygon(right + [(2 * x - px, py) for px, py in reversed(right)], colour)
        canvas.shade(
            [(x - 0.2 * unit, y - 0.1 * unit), (x - 0.1 * unit, y - 0.1 * unit), (x - 0.12 * unit, y - 0.4 * unit)],
            0.3,
            (250, 250, 250),
        )


def _blossom(canvas: Canvas, middle: Point, radius: float, colour: Colour) -> None:
    for petal in range(6):
        turn = petal * math.pi / 3
        spot = (middle[0] + 0.6 * radius * math.cos(turn), middle[1] + 0.6 * radius * math.sin(turn))
        canvas.ellipse(spot, (0.5 * radius, 0.5 * radius), shaded(colour, 0.85 + 0.05 * petal))
    canvas.ellipse(middle, (0.35 * radius, 0.35 * radius), (226, 190, 60))


_VESSELS: tuple[Callable[[Canvas, np.random.Generator, Point, float], None], ...] = (_mug, _ball, _vase)


def _pattern(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cover the canvas with a repeated pattern: a flat wall, stripes, tiles, blobs or blossoms."""
    width, height = canvas.width_px, canvas.height_px
    canvas.set_surface(picked(rng, tuple(SURFACES)))
    colours = [varied(rng, picked(rng, _TINTS), 30) for _ in range(3)]
    whole = rectangle(-1, -1, width + 1, height + 1)
    canvas.polygon(whole, colours[0])
    kind = rng.random()
    if kind < 0.25:
        wall, _ = wall_picture(rng, rng.uniform(8, 20), rng.uniform(6, 14), 9, colours[0], False, False)
        with canvas.thing(picked(rng, ("Building", "House"))):
            canvas.picture(whole, wall, None)
    elif kind < 0.5:
        step, slant = rng.uniform(5, 26), rng.uniform(-1.2, 1.2) * height
        for number in range(int(3 * width / step)):
            x = -width + number * step
            stripe = [
                (x, -1.0),
                (x + step * 0.5, -1.0),
                (x + step * 0.5 + slant, height + 1.0),
                (x + slant, height + 1.0),
            ]
            canvas.detail(stripe, varied(rng, colours[1 + number % 2], 8))
    elif kind < 0.75:
        _tiles(canvas, rng, colours)
    else:
        _scattered(canvas, rng, colours)


def _tiles(canvas: Canvas, rng: np.random.Generator, colours: list[Colour]) -> None:
    step, offset = rng.uniform(7, 28), rng.random() < 0.5
    for row in range(int(canvas.height_px / step) + 1):
        for column in range(-1, int(canvas.width_px / step) + 1):
            x, y = (column + 0.5 * (offset and row % 2)) * step, row * step
            colour = varied(rng, colours[1 + (row + column) % 2], 10)
            canvas.detail(rectangle(x + 0.5, y + 0.5, x + step - 0.7, y + step - 0.7), colour)


def _scattered(canvas: Canvas, rng: np.random.Generator, colours: list[Colour]) -> None:
    flowers = rng.random() < 0.5
    size = rng.uniform(4, 16)
    spots = rng.random((int(canvas.width_px * canvas.height_px / (size * size * 5)), 2)) * (
        canvas.width_px,
        canvas.height_px,
    )
    for number, (x, y) in enumerate(spots.tolist()):
        if not flowers:
            canvas.dot(
                (x, y),
                (size * rng.uniform(0.4, 1.2), size * rng.uniform(0.4, 1.2)),
                varied(rng, picked(rng, colours), 20),
            )
        elif number < 30:
            with canvas.thing("Flower"):
                _blossom(canvas, (x, y), size * 1.5, varied(rng, colours[1], 16))
        else:
            canvas.limb(
                (x, y), (x + rng.normal(0, size), y + rng.normal(0, size)), 1.5, varied(rng, picked(rng, LEAF_COLOURS))
            )


def _landscape(canvas: Canvas, rng: np.random.Generator, weather: Weather) -> None:
    """Mountains, water or meadow, trees, animals, now and then people."""
    width, height = canvas.width_px, canvas.height_px
    camera = Camera((width * height) ** 0.5 * 1.2, width / 2, height * rng.uniform(0.3, 0.62), rng.uniform(1.5, 4.0))
    draw_sky(canvas, rng, weather, camera.horizon_px)
    for ridge in range(rng.integers(1, 4)):
        canvas.set_depth(120 - 30 * ridge)
        _ridge(canvas, rng, camera.horizon_px, (0.5 - 0.13 * ridge) * camera.horizon_px, ridge)
    canvas.set_depth(30)
    meadow = rng.random() < 0.6
    canvas.set_surface("grass" if meadow else "water")
    ground = varied(rng, picked(rng, GRASS_COLOURS) if meadow else (70, 110, 134), 16)
    for band in range(8):
        top = camera.horizon_px + (height - camera.horizon_px) * (band / 8) ** 1.5
        canvas.polygon(
            rectangle(-1, top, width + 1, height + 1), shaded(ground, 1.1 - 0.04 * band), "terrain" if meadow else None
        )
    for _ in range(30):
        z = rng.uniform(3, 25)
        x, y = camera.at(rng.uniform(-1, 1) * z, 0, z)
        canvas.stroke([(x, y), (x + 20 / z, y - (8 / z if meadow else 0))], 0.5, varied(rng, ground, 26))
    if not meadow:  # a strip of shore to stand on
        canvas.set_surface("grass")
        shore = height - rng.uniform(0.1, 0.3) * height
        slope = rng.uniform(-12, 12)
        beach = [(-1, shore), (width + 1, shore + slope), (width + 1, height + 1), (-1, height + 1)]
        canvas.polygon(beach, varied(rng, (150, 136, 100), 16), "terrain")
    _inhabitants(canvas, rng, camera, meadow)


def _ridge(canvas: Canvas, rng: np.random.Generator, foot: float, high: float, number: int) -> None:
    canvas.set_surface("stone" if number == 0 else "leaves")
    base = picked(rng, ((110, 112, 120), (96, 104, 90), (130, 120, 110))) if number == 0 else picked(rng, LEAF_COLOURS)
    steps = 24
    rise = np.abs(np.cumsum(rng.normal(0, 0.25, steps + 1)) + 0.5)
    rise = (rise / max(rise.max(), 0.5) * high).tolist()
    crest = [(canvas.width_px * (step / steps * 1.04 - 0.02), foot - rise[step]) for step in range(steps + 1)]
    label = "terrain" if number == 0 else "vegetation"
    canvas.polygon([*crest, (canvas.width_px + 2.0, foot + 2), (-2.0, foot + 2)], varied(rng, base), label)
    for (x0, y0), (x1, y1) in itertools.pairwise(crest):
        canvas.shade([(x0, y0), (x1, y1), ((x0 + x1) / 2 + 4, foot)], rng.uniform(0, 0.2))


def _inhabitants(canvas: Canvas, rng: np.random.Generator, camera: Camera, meadow: bool) -> None:
    near = 4.0 if meadow else 3.0
    far = 45.0 if meadow else 12.0
    for z in sorted(rng.uniform(near, far, rng.integers(1, 24)).tolist(), reverse=True):
        pose = Pose(camera, rng.uniform(-0.5, 0.5) * z, z)
        chance = rng.random()
        if chance < 0.55 and z > 8:
            draw_tree(canvas, rng, pose)
        elif chance < 0.7:
            draw_bush(canvas, rng, pose, rng.uniform(1, 3), rng.uniform(0.6, 1.6))
        elif chance < 0.93:
            name, size, coat = picked(
                rng,
                (
                    ("Dog", 0.8, (140, 104, 70)),
                    ("Sheep", 1.1, (214, 210, 200)),
                    ("Horse", 2.0, (110, 72, 48)),
                    ("Cattle", 2.0, (90, 70, 60)),
                ),
            )
            canvas.set_depth(z)
            draw_four_legged(canvas, rng, camera.at(pose.x, 0, z), size * camera.scale(z), name, varied(rng, coat, 26))
        else:
            draw_person(canvas, rng, pose, picked(rng, ("Man", "Woman", "Person")))
    canvas.set_depth(20)
    for _ in range(rng.integers(0, 9)):
        spot = (rng.uniform(0, canvas.width_px), rng.uniform(0.1, 0.8) * camera.horizon_px)
        draw_bird(canvas, rng, spot, rng.uniform(6, 16))


_PAINTERS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "indoor": draw_room,
    "object": _lone_object,
    "car_object": _lone_car,
    "texture": _pattern,
}
