"""Rooms with furniture: scenes with the straight lines and vanishing point of a street, but nothing of a street."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from thresher.synthetic.camera import Camera, Pose, faces_camera
from thresher.synthetic.canvas import Canvas, Point, rectangle
from thresher.synthetic.palette import (
    BUS_COLOURS,
    CLOTH_COLOURS,
    LEAF_COLOURS,
    WALL_COLOURS,
    Colour,
    mixed,
    picked,
    shaded,
    varied,
)
from thresher.synthetic.people import draw_person
from thresher.synthetic.vehicles import draw_vehicle

_WOOD: tuple[Colour, ...] = (
    (132, 92, 58),
    (168, 124, 82),
    (92, 62, 44),
    (196, 164, 120),
    (210, 206, 200),
    (60, 58, 58),
)


@dataclass(frozen=True)
class Room:
    """A box of air in metres: from `left` to `right`, as deep and high as told."""

    left: float
    right: float
    depth: float
    height: float


def draw_room(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the canvas with a furnished room; sometimes the room itself is a thing seen from inside."""
    width, height = canvas.width_px, canvas.height_px
    side = rng.uniform(2.0, 5.0)
    room = Room(-side * rng.uniform(0.6, 1.4), side, rng.uniform(4.5, 9.0), rng.uniform(2.4, 3.4))
    camera = Camera(
        focal_px=rng.uniform(0.8, 1.2) * (width * height) ** 0.5 * 1.1,
        centre_px=width * rng.uniform(0.3, 0.7),
        horizon_px=height * rng.uniform(0.3, 0.52),
        height_m=rng.uniform(1.2, 1.8),
    )
    if rng.random() < 0.25:
        with canvas.thing("Building", inside=True):
            _shell(canvas, rng, camera, room)
    else:
        _shell(canvas, rng, camera, room)
    _wall_things(canvas, rng, camera, room)
    places = [
        (rng.uniform(room.left + 0.6, room.right - 0.6), z)
        for z in rng.uniform(2.4, room.depth - 0.5, rng.integers(3, 12))
    ]
    for x, z in sorted(places, key=lambda place: -place[1]):
        pose = Pose(
            camera, x, float(z), rng.uniform(-math.pi, math.pi) if rng.random() < 0.5 else picked(rng, (0.0, 1.57))
        )
        picked(rng, FURNITURE)(canvas, rng, pose)
    if rng.random() < 0.25:
        draw_person(
            canvas,
            rng,
            Pose(camera, rng.uniform(room.left, room.right) * 0.6, rng.uniform(2.6, 5)),
            picked(rng, ("Man", "Woman")),
        )


def _shell(canvas: Canvas, rng: np.random.Generator, camera: Camera, room: Room) -> None:
    width, height = canvas.width_px, canvas.height_px
    wall, floor = varied(rng, picked(rng, WALL_COLOURS), 16), varied(rng, picked(rng, _WOOD), 14)
    ceiling = varied(rng, (216, 212, 206), 14)
    canvas.set_surface("plaster")
    canvas.polygon(rectangle(-1, -1, width + 1, height + 1), ceiling)
    canvas.polygon(camera.ribbon(room.left, room.right, 1.0, room.depth), floor)
    for x, light in ((room.left, 0.86), (room.right, 0.94)):
        face = [
            camera.at(x, 0, 1),
            camera.at(x, 0, room.depth),
            camera.at(x, room.height, room.depth),
            camera.at(x, room.height, 1),
        ]
        canvas.polygon(face, shaded(wall, light))
    back = [
        camera.at(x, y, room.depth)
        for x, y in ((room.left, room.height), (room.right, room.height), (room.right, 0), (room.left, 0))
    ]
    canvas.polygon(back, wall)
    _floor_lines(canvas, rng, camera, room, floor)
    for band in range(8):  # stripes of wallpaper
        x = room.left + (room.right - room.left) * (band + 0.5) / 8
        stripe = [camera.at(x, 0, room.depth), camera.at(x, room.height, room.depth)]
        canvas.stroke(stripe, 0.06 * camera.scale(room.depth), varied(rng, wall, 12))
    skirting = [camera.at(room.left, 0.1, room.depth), camera.at(room.right, 0.1, room.depth)]
    canvas.stroke(skirting, 0.12 * camera.scale(room.depth), shaded(ceiling, 0.9))


def _floor_lines(canvas: Canvas, rng: np.random.Generator, camera: Camera, room: Room, floor: Colour) -> None:
    step, tiles = rng.uniform(0.2, 0.7), rng.random() < 0.5
    x = room.left
    while x < room.right:
        if not tiles:
            canvas.detail(camera.ribbon(x, x + step, 1, room.depth), varied(rng, floor, 8))
        canvas.stroke([camera.at(x, 0, 1), camera.at(x, 0, room.depth)], 0.5, shaded(floor, 0.75))
        x += step
    if tiles:
        for z in np.arange(1.0, room.depth, step).tolist():
            canvas.stroke([camera.at(room.left, 0, z), camera.at(room.right, 0, z)], 0.5, shaded(floor, 0.78))
    if rng.random() < 0.5:
        rug = camera.ribbon(room.left * 0.5, room.right * 0.5, 2.0, room.depth * 0.8)
        canvas.polygon(rug, varied(rng, picked(rng, CLOTH_COLOURS), 20))


def _wall_things(canvas: Canvas, rng: np.random.Generator, camera: Camera, room: Room) -> None:
    """Hang windows, pictures (some of a car: depictions) and televisions on the back wall."""
    z, unit = room.depth - 0.01, camera.scale(room.depth)
    x = room.left + rng.uniform(0.2, 0.8)
    while x < room.right - 1.0:
        wide, high = rng.uniform(0.7, 1.6), rng.uniform(0.6, 1.2)
        left, top = camera.at(x, 1.1 + high, z)
        panel = rectangle(left, top, left + wide * unit, top + high * unit)
        kind = rng.random()
        canvas.set_surface("smooth")
        if kind < 0.3:
            with canvas.thing("Window"):
                canvas.polygon(panel, (236, 234, 228))
                for half in (0, 1):
                    x0 = left + (0.06 + 0.47 * half) * wide * unit
                    x1 = x0 + 0.41 * wide * unit
                    inner = rectangle(x0, top + 0.06 * unit, x1, top + (high - 0.06) * unit)
                    canvas.detail(inner, varied(rng, (176, 206, 236), 20))
        elif kind < 0.75:
            with canvas.thing("Picture frame"):
                canvas.polygon(panel, varied(rng, picked(rng, _WOOD), 14))
                inner = rectangle(
                    left + 0.07 * unit, top + 0.07 * unit, left + (wide - 0.07) * unit, top + (high - 0.07) * unit
                )
                canvas.detail(inner, varied(rng, (190, 190, 176), 40))
            if rng.random() < 0.5:
                _painted_car(canvas, rng, (left + wide * unit / 2, top + high * unit * 0.62), wide * unit)
        else:
            with canvas.thing("Television"):
                canvas.polygon(panel, (22, 22, 24))
                canvas.detail(
                    rectangle(left + 1, top + 1, left + wide * unit - 1, top + high * unit - 1),
                    varied(rng, (70, 90, 130), 40),
                )
        x += wide + rng.uniform(0.3, 1.5)


def _painted_car(canvas: Canvas, rng: np.random.Generator, middle: Point, wide_px: float) -> None:
    # A camera of its own, so far off that the car fills most of the frame.
    scale = wide_px * 0.72 / 4.6
    camera = Camera(focal_px=scale * 30, centre_px=middle[0], horizon_px=middle[1], height_m=0.7)
    draw_vehicle(canvas, rng, Pose(camera, 0, 30, math.pi / 2 * picked(rng, (-1, 1))), "car", depiction=True)


def draw_cuboid(
    canvas: Canvas,
    pose: Pose,
    middle: tuple[float, float],
    size: tuple[float, float, float],
    low: float,
    colour: Colour,
) -> None:
    """Draw a box of no class: its middle (forward, side), its size (forward, side, up) and the height it starts at."""
    u0, u1 = middle[0] - size[0] / 2, middle[0] + size[0] / 2
    w0, w1 = middle[1] - size[1] / 2, middle[1] + size[1] / 2
    high = low + size[2]
    faces = (
        ([(u0, w0, low), (u0, w0, high), (u0, w1, high), (u0, w1, low)], 0.9),
        ([(u1, w1, low), (u1, w1, high), (u1, w0, high), (u1, w0, low)], 0.9),
        ([(u0, w1, low), (u0, w1, high), (u1, w1, high), (u1, w1, low)], 0.74),
        ([(u1, w0, low), (u1, w0, high), (u0, w0, high), (u0, w0, low)], 0.74),
        ([(u0, w0, high), (u1, w0, high), (u1, w1, high), (u0, w1, high)], 1.12),
    )
    for corners, light in faces:
        outline = [pose.at(*corner) for corner in corners]
        if faces_camera(outline):
            canvas.polygon(outline, shaded(colour, light))


def _foot_shade(canvas: Canvas, pose: Pose, long: float, wide: float) -> None:
    canvas.set_depth(pose.z)
    corners = ((-long, -wide), (long, -wide), (long, wide), (-long, wide))
    canvas.shade([pose.at(u * 0.58, w * 0.58, 0) for u, w in corners], 0.35)


def _legs(canvas: Canvas, pose: Pose, long: float, wide: float, high: float, colour: Colour) -> None:
    legs = [(pose.at(u, w, 0), pose.at(u, w, high)) for u in (-long, long) for w in (-wide, wide)]
    for foot, top in sorted(legs, key=lambda leg: leg[0][1]):
        canvas.limb(foot, top, 0.06 * pose.camera.scale(pose.z), shaded(colour, 0.7))


def draw_chair(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a chair as a thing."""
    _foot_shade(canvas, pose, 0.5, 0.5)
    canvas.set_surface("cloth")
    colour = varied(rng, picked(rng, _WOOD + CLOTH_COLOURS), 16)
    seat, back = (
        ((0.0, 0.0), (0.45, 0.45, 0.06), 0.44, colour),
        ((-0.2, 0.0), (0.05, 0.45, 0.5), 0.48, shaded(colour, 0.9)),
    )
    with canvas.thing("Chair"):
        _legs(canvas, pose, 0.2, 0.2, 0.46, colour)
        for part in (seat, back) if math.cos(pose.yaw) > 0 else (back, seat):
            draw_cuboid(canvas, pose, *part)


def draw_table(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a table as a thing, now and then with mugs and books on it."""
    long, wide, high = rng.uniform(0.9, 1.8), rng.uniform(0.6, 1.0), rng.uniform(0.45, 0.78)
    _foot_shade(canvas, pose, long, wide)
    canvas.set_surface("paint")
    colour = varied(rng, picked(rng, _WOOD), 16)
    with canvas.thing("Table"):
        _legs(canvas, pose, long * 0.45, wide * 0.45, high, colour)
        draw_cuboid(canvas, pose, (0, 0), (long, wide, 0.05), high - 0.05, colour)
    for _ in range(rng.integers(0, 7)):
        spot = (rng.uniform(-0.35, 0.35) * long, rng.uniform(-0.3, 0.3) * wide)
        with canvas.thing(picked(rng, ("Mug", "Book"))):
            size = (rng.uniform(0.08, 0.25), rng.uniform(0.08, 0.2), rng.uniform(0.04, 0.14))
            draw_cuboid(canvas, pose, spot, size, high, varied(rng, picked(rng, BUS_COLOURS), 20))


def draw_couch(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a couch as a thing."""
    wide = rng.uniform(1.2, 2.2)
    _foot_shade(canvas, pose, 1.0, wide)
    canvas.set_surface("cloth")
    colour = varied(rng, picked(rng, CLOTH_COLOURS), 20)
    seat, back = (
        ((0.05, 0.0), (0.8, wide, 0.42), 0.06, colour),
        ((-0.4, 0.0), (0.22, wide, 0.8), 0.06, shaded(colour, 0.92)),
    )
    with canvas.thing("Couch"):
        for part in (seat, back) if math.cos(pose.yaw) > 0 else (back, seat):
            draw_cuboid(canvas, pose, *part)
        for side in (-1, 1):
            draw_cuboid(canvas, pose, (0.0, side * wide / 2), (0.9, 0.18, 0.58), 0.06, shaded(colour, 1.06))


def draw_bed(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a bed as a thing."""
    _foot_shade(canvas, pose, 2.0, 1.5)
    canvas.set_surface("cloth")
    with canvas.thing("Bed"):
        draw_cuboid(canvas, pose, (0, 0), (2.0, 1.5, 0.3), 0.0, varied(rng, picked(rng, _WOOD)))
        draw_cuboid(canvas, pose, (0, 0), (1.96, 1.46, 0.22), 0.3, varied(rng, (210, 206, 204), 30))
        draw_cuboid(canvas, pose, (0.7, 0), (0.4, 1.2, 0.12), 0.52, varied(rng, (230, 226, 222), 20))


def draw_bookcase(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a bookcase as a thing, with its books facing the camera."""
    straight = Pose(pose.camera, pose.x, pose.z, 0.0)
    _foot_shade(canvas, straight, 0.5, 1.2)
    canvas.set_surface("paint")
    high, wide, wood = rng.uniform(1.2, 2.2), rng.uniform(0.8, 1.5), varied(rng, picked(rng, _WOOD))
    with canvas.thing("Bookcase"):
        draw_cuboid(canvas, straight, (0, 0), (0.35, wide, high), 0.0, wood)
        for shelf in range(int(high / 0.4)):
            side, low = -wide / 2 + 0.05, 0.08 + 0.4 * shelf
            while side < wide / 2 - 0.1:
                thick, tall = rng.uniform(0.04, 0.09), rng.uniform(0.2, 0.32)
                spine = [
                    straight.at(-0.18, w, v)
                    for w, v in ((side, low), (side, low + tall), (side + thick, low + tall), (side + thick, low))
                ]
                cover = varied(rng, picked(rng, BUS_COLOURS + CLOTH_COLOURS), 20)
                if rng.random() < 0.25:  # a book that somebody might draw a box around
                    with canvas.thing("Book"):
                        canvas.polygon(spine, cover)
                else:
                    canvas.detail(spine, cover)
                side += thick


def draw_lamp(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a floor lamp as a thing."""
    canvas.set_depth(pose.z)
    canvas.set_surface("smooth")
    scale, high = pose.camera.scale(pose.z), rng.uniform(1.2, 1.7)
    foot, top = pose.at(0, 0, 0), pose.at(0, 0, high)
    with canvas.thing("Lamp"):
        canvas.limb(foot, top, 0.04 * scale, (70, 66, 62))
        canvas.ellipse(foot, (0.15 * scale, 0.04 * scale), (60, 56, 52))
        shade_shape = [
            (top[0] - 0.14 * scale, top[1] - 0.3 * scale),
            (top[0] + 0.14 * scale, top[1] - 0.3 * scale),
            (top[0] + 0.25 * scale, top[1]),
            (top[0] - 0.25 * scale, top[1]),
        ]
        canvas.polygon(shade_shape, varied(rng, (240, 220, 170), 14))


def draw_houseplant(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a plant in a pot as a thing."""
    _foot_shade(canvas, pose, 0.4, 0.4)
    canvas.set_surface("leaves")
    leaf, scale = varied(rng, picked(rng, LEAF_COLOURS)), pose.camera.scale(pose.z)
    with canvas.thing("Houseplant"):
        for turn in rng.uniform(0.2, 2.9, 9).tolist():
            base, reach = pose.at(0, 0, 0.35), rng.uniform(0.4, 0.9) * scale
            tip = (base[0] + reach * math.cos(turn), base[1] - reach * math.sin(turn))
            canvas.limb(base, tip, 0.09 * scale, varied(rng, leaf, 16))
        draw_cuboid(
            canvas,
            pose,
            (0, 0),
            (0.26, 0.26, 0.34),
            0.0,
            mixed(varied(rng, (170, 96, 66)), (200, 190, 180), rng.uniform(0, 0.6)),
        )


FURNITURE: tuple[Callable[[Canvas, np.random.Generator, Pose], None], ...] = (
    draw_chair,
    draw_chair,
    draw_chair,
    draw_table,
    draw_table,
    draw_couch,
    draw_bed,
    draw_bookcase,
    draw_lamp,
    draw_houseplant,
)
