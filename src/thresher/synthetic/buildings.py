"""Houses along a street: walls with windows, painted flat and then seen in perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from thresher.synthetic.camera import Camera
from thresher.synthetic.canvas import Canvas, Point
from thresher.synthetic.palette import (
    BUS_COLOURS,
    WALL_COLOURS,
    Colour,
    mixed,
    picked,
    shaded,
    varied,
)

_ROOF_COLOURS: tuple[Colour, ...] = ((120, 66, 52), (92, 58, 50), (70, 72, 78), (104, 96, 90), (140, 84, 60))
_LIT_WINDOW: Colour = (236, 196, 120)


@dataclass(frozen=True)
class Plot:
    """Where a building stands: its wall along the road from depth `near` to `far`, on one side (−1 left, 1 right).

    `free_end` says whether its wall towards the camera can be seen, rather than its neighbour's leaning on it.
    """

    side: int
    wall_m: float
    near_m: float
    far_m: float
    height_m: float
    deep_m: float = 9.0
    free_end: bool = True


def draw_building(canvas: Canvas, rng: np.random.Generator, camera: Camera, plot: Plot, gabled: bool) -> None:
    """Draw one building as a thing: the wall along the road, the wall towards the camera, and its roof."""
    canvas.set_depth((plot.near_m + plot.far_m) / 2)
    canvas.set_surface("plaster" if rng.random() < 0.6 else "stone")
    wall = varied(rng, picked(rng, WALL_COLOURS), 16)
    roof = varied(rng, picked(rng, _ROOF_COLOURS))
    detail = min(9.0, max(2.5, 1.6 * camera.scale((plot.near_m + plot.far_m) / 2)))
    shops = not gabled and rng.random() < 0.5
    near, far, height = plot.near_m, plot.far_m, plot.height_m
    outer = plot.wall_m + plot.side * plot.deep_m
    with canvas.thing("Building"):
        corners = _corners(camera, plot.wall_m, outer, near, near, height, plot.side)
        if plot.free_end and near < 60 and canvas.shows(corners):
            end, end_glow = wall_picture(rng, plot.deep_m, height, detail, shaded(wall, 0.86), False, canvas.glows)
            canvas.picture(corners, end, "building", end_glow)
        else:
            canvas.polygon(corners, shaded(wall, 0.8), "building")
        face = _corners(camera, plot.wall_m, plot.wall_m, far, near, height, plot.side)
        if not canvas.shows(face):
            return
        front, front_glow = wall_picture(rng, far - near, height, detail, wall, shops, canvas.glows)
        canvas.picture(face, front, "building", front_glow)
        _roof(canvas, rng, camera, plot, roof, gabled)


def draw_wall(canvas: Canvas, rng: np.random.Generator, camera: Camera, x: float, near: float, far: float) -> None:
    """Draw a free-standing wall of stones along the road."""
    canvas.set_depth((near + far) / 2)
    canvas.set_surface("stone")
    colour, high = varied(rng, picked(rng, WALL_COLOURS), 14), rng.uniform(1.2, 2.8)
    width, height = max(8, int((far - near) * 8)), int(high * 8)
    image = Image.new("RGB", (width, height), colour)
    _masonry(ImageDraw.Draw(image), rng, width, height, colour)
    _roughen(image, rng)
    canvas.picture(_corners(camera, x, x, far, near, high, 1 if x > 0 else -1), image, "wall")


def _corners(
    camera: Camera, first_x: float, second_x: float, first_z: float, second_z: float, height: float, side: int
) -> list[Point]:
    # Clockwise from the top left as seen; on the left side of the street, left and right change places.
    first, second = (first_x, first_z), (second_x, second_z)
    left, right = (first, second) if side > 0 else (second, first)
    return [
        camera.at(left[0], height, left[1]),
        camera.at(right[0], height, right[1]),
        camera.at(right[0], 0, right[1]),
        camera.at(left[0], 0, left[1]),
    ]


def _roof(canvas: Canvas, rng: np.random.Generator, camera: Camera, plot: Plot, colour: Colour, gabled: bool) -> None:
    rise = rng.uniform(2.0, 4.0) if gabled else rng.uniform(0.4, 1.6)
    near, far, height = plot.near_m, plot.far_m, plot.height_m
    overhang = plot.wall_m - plot.side * 0.35
    ridge = plot.wall_m + plot.side * (plot.deep_m / 2 if gabled else 1.5)
    if gabled:
        outer = plot.wall_m + plot.side * plot.deep_m
        gable = [
            camera.at(plot.wall_m, height, near),
            camera.at(ridge, height + rise, near),
            camera.at(outer, height, near),
        ]
        canvas.polygon(gable, shaded(colour, 0.75), "building")
    slope = [
        camera.at(overhang, height, near),
        camera.at(overhang, height, far),
        camera.at(ridge, height + rise, far),
        camera.at(ridge, height + rise, near),
    ]
    canvas.polygon(slope, colour, "building")
    for row in range(1, 4):
        share = row / 4
        x, y = overhang + (ridge - overhang) * share, height + rise * share
        canvas.stroke([camera.at(x, y, near), camera.at(x, y, far)], 0.5, shaded(colour, 0.8))
    if rng.random() < 0.5:
        z = rng.uniform(near, far)
        foot, top = camera.at(ridge, height + rise - 0.4, z), camera.at(ridge, height + rise + 1.2, z)
        canvas.limb(foot, top, 0.9 * camera.scale(z), shaded(colour, 0.7), "building")


def wall_picture(
    rng: np.random.Generator,
    length_m: float,
    height_m: float,
    texels_per_m: float,
    colour: Colour,
    shops: bool,
    lit: bool,
) -> tuple[Image.Image, Image.Image | None]:
    """A wall seen straight on, and where `lit`, its bright windows alone on black."""
    width, height = max(8, int(length_m * texels_per_m)), max(8, int(height_m * texels_per_m))
    image = Image.new("RGB", (width, height), colour)
    glow = Image.new("RGB", (width, height)) if lit else None
    draw = ImageDraw.Draw(image)
    _masonry(draw, rng, width, height, colour)
    storeys, bays = max(1, round(height_m / rng.uniform(2.8, 3.6))), max(1, round(length_m / rng.uniform(2.0, 3.4)))
    storey_px, bay_px = height / storeys, width / bays
    window_px = (max(1, int(rng.uniform(0.4, 0.7) * bay_px)), max(1, int(rng.uniform(0.45, 0.68) * storey_px)))
    trim = mixed(colour, picked(rng, ((240, 236, 226), (60, 56, 54), (150, 120, 96))), 0.7)
    shutters = varied(rng, (80, 96, 84), 40) if rng.random() < 0.25 else None
    panes = [_window(rng, window_px, trim, shutters, lit and number % 3 == 0) for number in range(6)]
    for storey in range(storeys):
        top = storey * storey_px
        if storey == storeys - 1 and shops:
            _shop_fronts(draw, glow, rng, (width, height, top, storey_px), trim)
            continue
        draw.line((0, top, width, top), fill=shaded(colour, 0.78), width=max(1, int(0.12 * texels_per_m)))
        for bay in range(bays):
            pane, shine = picked(rng, panes)
            corner = (int((bay + 0.5) * bay_px - pane.width / 2), int(top + 0.55 * storey_px - pane.height / 2))
            image.paste(pane, corner)
            if glow is not None and shine is not None:
                glow.paste(shine, corner)
    _roughen(image, rng)
    return image, glow


def _masonry(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int, colour: Colour) -> None:
    kind = rng.random()
    if kind < 0.3:  # plain plaster with stains
        for _ in range(4):
            x = rng.uniform(0, width)
            draw.rectangle((x, 0, x + rng.uniform(2, 0.2 * width + 3), height), fill=varied(rng, colour, 9))
        return
    course, dark = (3, 0.84) if kind < 0.75 else (6, 0.88)
    for row, y in enumerate(range(0, height, course)):
        draw.line((0, y, width, y), fill=shaded(colour, dark))
        if course == 6:
            for x in range(row % 2 * 4, width, 9):
                draw.line((x, y, x, y + course), fill=shaded(colour, dark))


def _window(
    rng: np.random.Generator, size: tuple[int, int], trim: Colour, shutters: Colour | None, lit: bool
) -> tuple[Image.Image, Image.Image | None]:
    """One window with its frame, and if it is lit, the same shining on black; drawn once, pasted many times."""
    wide, high = size
    side = max(1, wide // 3) if shutters and wide > 5 else 0
    glass = varied(rng, _LIT_WINDOW if lit else (66, 80, 94), 30)
    image = Image.new("RGB", (wide + 2 * side, high), trim)
    draw = ImageDraw.Draw(image)
    if side and shutters:
        draw.rectangle((0, 0, image.width, high), fill=shutters)
    x0, x1 = side, side + wide - 1
    shine = None
    if lit:
        shine = Image.new("RGB", image.size)
        ImageDraw.Draw(shine).rectangle((x0, 0, x1, high), fill=glass)
    if wide < 5 or high < 5:  # far away
        draw.rectangle((x0, 0, x1, high), fill=glass)
        return image, shine
    draw.rectangle((x0, 0, x1, high), fill=trim)
    draw.rectangle((x0 + 1, 1, x1 - 1, high - 2), fill=glass)
    draw.polygon([(x0 + 1, 1), (x1 - 1, 1), (x0 + 1, high - 2)], fill=shaded(glass, 1.25))
    draw.line(((x0 + x1) // 2, 0, (x0 + x1) // 2, high), fill=trim)
    if rng.random() < 0.4:
        blind = 1 + (high - 2) * rng.uniform(0.2, 0.8)
        draw.rectangle((x0 + 1, 1, x1 - 1, blind), fill=varied(rng, (206, 200, 188), 20))
    draw.line((x0, high - 1, x1, high - 1), fill=shaded(trim, 0.7))
    return image, shine


def _shop_fronts(
    draw: ImageDraw.ImageDraw,
    glow: Image.Image | None,
    rng: np.random.Generator,
    place: tuple[int, int, float, float],
    trim: Colour,
) -> None:
    width, height, top, storey_px = place
    shops = max(1, int(width / (storey_px * 1.8)))
    for shop in range(shops):
        x0, x1 = shop * width / shops, (shop + 1) * width / shops - 1
        sign = varied(rng, picked(rng, BUS_COLOURS + WALL_COLOURS), 20)
        pane = (x0 + 2, top + 0.34 * storey_px, max(x0 + 3, x1 - 0.25 * (x1 - x0)), height - 0.1 * storey_px)
        draw.rectangle((x0, top, x1, height), fill=shaded(trim, 0.8))
        draw.rectangle(pane, fill=varied(rng, (72, 78, 84), 26))
        for _ in range(3):  # goods behind the glass
            x = rng.uniform(pane[0], pane[2])
            goods = (x, rng.uniform(pane[1] + 1, pane[3] - 1), x + 0.18 * storey_px, pane[3])
            draw.rectangle(goods, fill=varied(rng, picked(rng, BUS_COLOURS), 30))
        draw.rectangle((pane[2] + 1, top + 0.34 * storey_px, x1 - 1, height), fill=varied(rng, (70, 52, 40), 20))
        draw.rectangle((x0 + 1, top + 0.06 * storey_px, x1 - 1, top + 0.3 * storey_px), fill=sign)
        for letter in range(int((x1 - x0) / 4)):  # stands for writing
            at = x0 + 4 + letter * 3
            if at < x1 - 4 and rng.random() < 0.8:
                draw.line((at, top + 0.12 * storey_px, at, top + 0.24 * storey_px), fill=shaded(sign, 2.0))
        if glow is not None and rng.random() < 0.6:
            ImageDraw.Draw(glow).rectangle(pane, fill=varied(rng, (220, 200, 160), 20))


def _roughen(image: Image.Image, rng: np.random.Generator) -> None:
    # Streaks of dirt, coarse enough to outlive the picture's downscaling.
    width, height = image.size
    stains = rng.integers(0, 60, (max(2, height // 5), max(2, width // 5)), dtype=np.uint8)
    mask = Image.fromarray(stains).resize(image.size, Image.Resampling.BILINEAR)
    image.paste((40, 36, 34), (0, 0, width, height), mask)
