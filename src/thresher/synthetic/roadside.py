"""What stands beside a road: trees, hedges, fences, poles, lamps, signs and traffic lights."""

from __future__ import annotations

import math

import numpy as np

from thresher.synthetic.camera import Camera, Pose
from thresher.synthetic.canvas import Canvas, Point, rectangle
from thresher.synthetic.palette import LEAF_COLOURS, Colour, picked, shaded, varied

_METAL: tuple[Colour, ...] = ((96, 98, 100), (120, 122, 122), (66, 70, 70), (150, 152, 150))


def draw_tree(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, height_m: float | None = None, ground_m: float = 0.0
) -> None:
    """Draw a leafy tree, a fir or a bare tree as one thing."""
    canvas.set_depth(pose.z)
    canvas.set_surface("leaves")
    height = height_m or rng.uniform(3.5, 10.0)
    foot = pose.camera.at(pose.x, ground_m, pose.z)
    unit = pose.camera.scale(pose.z) * height
    leaf = varied(rng, picked(rng, LEAF_COLOURS))
    bark = varied(rng, (84, 66, 52))
    with canvas.thing("Tree"):
        canvas.limb(foot, (foot[0], foot[1] - 0.55 * unit), max(0.05 * unit, 1.5), bark, "vegetation")
        kind = rng.random()
        if kind < 0.16:
            _fir(canvas, rng, foot, unit, leaf)
        elif kind < 0.24:
            _bare(canvas, rng, foot, unit, bark)
        else:
            _crown(canvas, rng, (foot[0], foot[1] - 0.66 * unit), (rng.uniform(0.22, 0.36) * unit, 0.33 * unit), leaf)


def _crown(canvas: Canvas, rng: np.random.Generator, centre: Point, radii: Point, leaf: Colour) -> None:
    # Dark blobs first and lower, light ones last and higher: the sun comes from above.
    blobs = 6 if radii[1] < 6 else 12 if radii[1] < 16 else 26
    turns, reaches = rng.uniform(0, 2 * math.pi, blobs).tolist(), np.sqrt(rng.uniform(0, 1, blobs)).tolist()
    for step, (turn, reach) in enumerate(zip(turns, reaches, strict=True)):
        rise = (step / blobs - 0.5) * 0.5
        x, y = (
            centre[0] + 0.75 * radii[0] * reach * math.cos(turn),
            centre[1] + radii[1] * (0.7 * reach * math.sin(turn) - rise),
        )
        size = (0.42 - 0.2 * step / blobs) * (0.8 + 0.4 * reach)
        canvas.ellipse(
            (x, y), (radii[0] * size, radii[1] * size), shaded(leaf, 0.6 + 0.65 * step / blobs), "vegetation"
        )


def _fir(canvas: Canvas, rng: np.random.Generator, foot: Point, unit: float, leaf: Colour) -> None:
    wide = rng.uniform(0.16, 0.24) * unit
    for tier in range(5):
        low, high, half = 0.15 + 0.16 * tier, 0.42 + 0.16 * tier, wide * (1 - 0.17 * tier)
        points = [
            (foot[0] - half, foot[1] - low * unit),
            (foot[0], foot[1] - high * unit),
            (foot[0] + half, foot[1] - low * unit),
        ]
        canvas.polygon(points, shaded(leaf, 0.62 + 0.08 * tier), "vegetation")
        canvas.detail([points[0], points[1], (foot[0], foot[1] - low * unit)], shaded(leaf, 0.8 + 0.08 * tier))


def _bare(canvas: Canvas, rng: np.random.Generator, foot: Point, unit: float, bark: Colour) -> None:
    for branch in range(9):
        start = (foot[0], foot[1] - (0.3 + 0.045 * branch) * unit)
        side = 1 if branch % 2 else -1
        end = (start[0] + side * rng.uniform(0.1, 0.3) * unit, start[1] - rng.uniform(0.12, 0.3) * unit)
        canvas.limb(start, end, 0.016 * unit, bark, "vegetation")
        twig = (end[0] + rng.uniform(-0.1, 0.1) * unit, end[1] - 0.1 * unit)
        canvas.limb(end, twig, 0.01 * unit, shaded(bark, 1.1), "vegetation")


def draw_bush(canvas: Canvas, rng: np.random.Generator, pose: Pose, wide_m: float, high_m: float) -> None:
    """Draw a bush or a clump of leaves that stands for no thing."""
    canvas.set_depth(pose.z)
    canvas.set_surface("leaves")
    scale = pose.camera.scale(pose.z)
    foot = pose.camera.at(pose.x, high_m * 0.45, pose.z)
    leaf = varied(rng, picked(rng, LEAF_COLOURS))
    base = pose.camera.at(pose.x, high_m * 0.25, pose.z)
    canvas.ellipse(base, (wide_m * scale * 0.5, high_m * scale * 0.27), shaded(leaf, 0.55), "vegetation")
    _crown(canvas, rng, foot, (wide_m * scale * 0.5, high_m * scale * 0.55), leaf)


def draw_hedge(canvas: Canvas, rng: np.random.Generator, camera: Camera, x: float, near: float, far: float) -> None:
    """Draw a cut hedge along the road."""
    canvas.set_depth((near + far) / 2)
    canvas.set_surface("leaves")
    high, leaf = rng.uniform(0.9, 2.0), varied(rng, picked(rng, LEAF_COLOURS))
    outer = x + math.copysign(0.8, x)
    front = [camera.at(x, 0, near), camera.at(x, 0, far), camera.at(x, high, far), camera.at(x, high, near)]
    top = [camera.at(x, high, near), camera.at(x, high, far), camera.at(outer, high, far), camera.at(outer, high, near)]
    end = [camera.at(x, 0, near), camera.at(outer, 0, near), camera.at(outer, high, near), camera.at(x, high, near)]
    canvas.polygon(top, shaded(leaf, 1.2), "vegetation")
    canvas.polygon(front, leaf, "vegetation")
    canvas.polygon(end, shaded(leaf, 0.75), "vegetation")


def draw_fence(canvas: Canvas, rng: np.random.Generator, camera: Camera, x: float, near: float, far: float) -> None:
    """Draw a fence or guard rail along the road; what lies between its bars belongs to it, as in Cityscapes."""
    canvas.set_depth((near + far) / 2)
    canvas.set_surface("paint")
    high = rng.uniform(0.8, 1.5)
    colour = varied(rng, picked(rng, ((70, 74, 76), (150, 152, 154), (116, 84, 56), (206, 204, 198), (40, 60, 48))), 10)
    solid = rng.random() < 0.35
    low = 0.0 if solid else 0.12
    panel = [camera.at(x, low, near), camera.at(x, low, far), camera.at(x, high, far), camera.at(x, high, near)]
    if solid:
        canvas.polygon(panel, shaded(colour, 0.85), "fence")
    else:
        canvas.claim(panel, "fence")
    for share in (0.25, 0.6, 0.95):
        y = share * high
        canvas.limb(
            camera.at(x, y, near),
            camera.at(x, y, far),
            max(0.7, 0.07 * camera.scale((near + far) / 2)),
            colour,
            "fence",
        )
    gap = rng.uniform(0.35, 0.9)
    z = near
    while z < far:
        width = max(0.5, 0.09 * camera.scale(z))
        canvas.limb(camera.at(x, 0, z), camera.at(x, high * 1.04, z), width, colour, "fence")
        z += gap * max(1.0, z / 9)


def draw_pole(canvas: Canvas, rng: np.random.Generator, pose: Pose, lamp: bool) -> None:
    """Draw a plain pole, or a street lamp that leans over the road (then it is a thing)."""
    canvas.set_depth(pose.z)
    canvas.set_surface("paint")
    colour = varied(rng, picked(rng, _METAL), 10)
    high, scale = rng.uniform(5.0, 8.0), pose.camera.scale(pose.z)
    foot, top = pose.camera.at(pose.x, 0, pose.z), pose.camera.at(pose.x, high, pose.z)
    if not lamp:
        canvas.limb(foot, top, 0.16 * scale, colour, "pole")
        return
    with canvas.thing("Street light"):
        canvas.limb(foot, top, 0.15 * scale, colour, "pole")
        reach = -math.copysign(rng.uniform(0.8, 2.0), pose.x)
        tip = pose.camera.at(pose.x + reach, high + 0.2, pose.z)
        canvas.limb(top, tip, 0.1 * scale, colour, "pole")
        head = rectangle(tip[0] - 0.35 * scale, tip[1] - 0.06 * scale, tip[0] + 0.35 * scale, tip[1] + 0.16 * scale)
        canvas.polygon(head, shaded(colour, 0.9), "pole")
        canvas.lamp(rectangle(head[0][0], tip[1] + 0.06 * scale, head[1][0], tip[1] + 0.2 * scale), (255, 226, 160))


def draw_sign(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Draw a traffic sign on a pole: round, triangular, square, octagonal or a large direction board."""
    canvas.set_depth(pose.z)
    canvas.set_surface("paint")
    scale, high = pose.camera.scale(pose.z), rng.uniform(2.1, 3.0)
    foot, top = pose.camera.at(pose.x, 0, pose.z), pose.camera.at(pose.x, high, pose.z)
    canvas.limb(foot, top, 0.09 * scale, varied(rng, picked(rng, _METAL), 10), "pole")
    radius = rng.uniform(0.34, 0.5) * scale
    with canvas.thing("Traffic sign"):
        kind = rng.random()
        if kind < 0.35:
            canvas.ellipse(top, (radius, radius), (190, 30, 34), "traffic sign")
            canvas.dot(
                top, (0.74 * radius, 0.74 * radius), picked(rng, ((238, 238, 232), (190, 30, 34), (30, 70, 160)))
            )
            canvas.detail(
                rectangle(
                    top[0] - 0.45 * radius, top[1] - 0.12 * radius, top[0] + 0.45 * radius, top[1] + 0.14 * radius
                ),
                picked(rng, ((24, 24, 26), (240, 240, 236))),
            )
        elif kind < 0.6:
            canvas.polygon(_regular(top, radius * 1.15, 3, 0), (196, 34, 36), "traffic sign")
            canvas.detail(_regular(top, radius * 0.72, 3, 0), (240, 238, 228))
        elif kind < 0.75:
            canvas.polygon(_regular(top, radius, 8, math.pi / 8), (186, 28, 34), "traffic sign")
            canvas.detail(
                rectangle(top[0] - 0.6 * radius, top[1] - 0.16 * radius, top[0] + 0.6 * radius, top[1] + 0.16 * radius),
                (240, 238, 232),
            )
        else:
            wide = radius * (2.4 if kind > 0.9 else 0.9)
            board = rectangle(top[0] - wide, top[1] - radius, top[0] + wide, top[1] + radius)
            tint = picked(rng, ((34, 80, 164), (34, 110, 70), (228, 190, 44)))
            canvas.polygon(board, tint, "traffic sign")
            inner = rectangle(top[0] - 0.55 * wide, top[1] - 0.3 * radius, top[0] + 0.55 * wide, top[1] + 0.1 * radius)
            canvas.detail(inner, (240, 240, 236))


def _regular(centre: Point, radius: float, corners: int, turned: float) -> list[Point]:
    turns = [turned - math.pi / 2 + 2 * math.pi * corner / corners for corner in range(corners)]
    return [(centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)) for turn in turns]


def draw_traffic_light(canvas: Canvas, rng: np.random.Generator, pose: Pose, green: bool) -> None:
    """Draw a traffic light on a pole, or hung from an arm over the road."""
    canvas.set_depth(pose.z)
    canvas.set_surface("paint")
    scale = pose.camera.scale(pose.z)
    colour = varied(rng, picked(rng, _METAL), 10)
    overhead = rng.random() < 0.4
    high = 5.6 if overhead else rng.uniform(2.6, 3.4)
    foot, top = pose.camera.at(pose.x, 0, pose.z), pose.camera.at(pose.x, high, pose.z)
    canvas.limb(foot, top, 0.14 * scale, colour, "pole")
    heads = [top]
    if overhead:
        tip = pose.camera.at(pose.x - math.copysign(rng.uniform(2.5, 4.0), pose.x), high, pose.z)
        canvas.limb(top, tip, 0.1 * scale, colour, "pole")
        heads = [tip, pose.camera.at(pose.x, 2.9, pose.z)]
    for x, y in heads:
        with canvas.thing("Traffic light"):
            high_px, wide_px = 1.0 * scale, 0.19 * scale
            canvas.polygon(rectangle(x - wide_px, y - high_px, x + wide_px, y), (26, 28, 28), "traffic light")
            shining = 2 if green else 0
            for place, (on, off) in enumerate(
                (((240, 50, 40), (70, 26, 26)), ((240, 190, 50), (74, 60, 26)), ((60, 220, 130), (24, 62, 44)))
            ):
                radius = 0.125 * scale
                middle = (x, y - high_px * (0.83 - 0.33 * place))
                canvas.dot(middle, (radius, radius), on if place == shining else off)
                if place == shining:
                    canvas.lamp(_regular(middle, radius, 6, 0), on)
