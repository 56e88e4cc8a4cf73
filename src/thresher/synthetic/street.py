"""Made-up streets as seen from a car: a perspective road, what lines it, and the traffic on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from thresher.synthetic.buildings import Plot, draw_building, draw_wall
from thresher.synthetic.camera import Camera, Pose
from thresher.synthetic.canvas import Canvas, Scene, rectangle
from thresher.synthetic.palette import (
    GRASS_COLOURS,
    LEAF_COLOURS,
    WALL_COLOURS,
    mixed,
    picked,
    varied,
)
from thresher.synthetic.road import Road, draw_road
from thresher.synthetic.roadside import (
    draw_bush,
    draw_fence,
    draw_hedge,
    draw_pole,
    draw_sign,
    draw_traffic_light,
    draw_tree,
)
from thresher.synthetic.traffic import Later, add_traffic
from thresher.synthetic.weather import (
    DAY_WEATHERS,
    Weather,
    draw_sky,
    drawn_weather,
    photographed,
)


@dataclass(frozen=True)
class Setting:
    """What kind of street it is. Shares are 0..1: of the roadside that is built up, gabled, green, fenced."""

    built: float
    gabled: float
    trees: float
    green: float
    barrier: float
    height_m: tuple[float, float]


SETTINGS = {
    "city": Setting(0.96, 0.05, 0.25, 0.1, 0.05, (9, 24)),
    "avenue": Setting(0.85, 0.1, 1.0, 0.35, 0.15, (8, 18)),
    "suburb": Setting(0.6, 0.85, 0.6, 0.8, 0.6, (4.5, 7)),
    "outskirts": Setting(0.25, 0.5, 0.7, 1.0, 0.6, (5, 10)),
}


def street_scene(
    rng: np.random.Generator,
    width_px: int,
    height_px: int,
    *,
    weather: str | None = None,
    abundance: Mapping[str, float] | None = None,
) -> Scene:
    """A street with the class of every pixel and the box of every thing.

    Args:
        weather: A key of `weather.WEATHERS`; None draws one of those of the day.
        abundance: How often things of a class come, relative to usual (0: never): any of car, truck, bus, train,
            motorcycle, bicycle, rider, person.
    """
    name = weather or str(rng.choice(list(DAY_WEATHERS), p=list(DAY_WEATHERS.values())))
    sky = drawn_weather(rng, name)
    camera = _camera(rng, width_px, height_px)
    canvas = Canvas(width_px, height_px, glows=sky.lamps)
    setting = SETTINGS[picked(rng, ("city", "city", "avenue", "suburb", "outskirts"))]
    road = _road(rng)
    draw_sky(canvas, rng, sky, camera.horizon_px)
    _draw_ground(canvas, rng, camera, sky, setting, road)
    later: Later = []
    for side in (-1, 1):
        _add_frontage(later, canvas, rng, camera, road, setting, side)
        _add_furniture(later, canvas, rng, camera, road, setting, side)
    add_traffic(later, canvas, rng, camera, road, abundance or {}, umbrellas=sky.rain > 0)
    for _, draw in sorted(later, key=lambda entry: -entry[0]):
        draw()
    labels, _, instances = canvas.numbers()
    rgb = photographed(canvas, rng, sky, camera.horizon_px)
    return Scene(rgb, labels, instances, canvas.boxes(), "street", name)


def _camera(rng: np.random.Generator, width_px: int, height_px: int) -> Camera:
    return Camera(
        focal_px=rng.uniform(0.75, 1.2) * (width_px * height_px) ** 0.5 * 1.3,
        centre_px=width_px * rng.uniform(0.36, 0.64),
        horizon_px=height_px * rng.uniform(0.34, 0.54),
        height_m=rng.uniform(1.25, 2.3),
        bend_per_m=rng.normal(0, 0.0012) if rng.random() < 0.5 else 0.0,
    )


def _road(rng: np.random.Generator) -> Road:
    lanes_left, lanes_right = picked(rng, ((1, 1), (1, 1), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)))
    lane = rng.uniform(2.8, 3.6)
    own = -(lane / 2 + (lanes_right - 1) * lane * (rng.random() < 0.4)) + rng.uniform(-0.4, 0.4)
    parking = (2.2 * (rng.random() < 0.6), 2.2 * (rng.random() < 0.65))
    return Road(
        middle=own,
        lane=lane,
        lanes_left=lanes_left,
        lanes_right=lanes_right,
        parking=parking,
        pavement=(rng.uniform(1.6, 4.5), rng.uniform(1.6, 4.5)),
        junction=rng.uniform(12, 34) if rng.random() < 0.45 else None,
    )


def _draw_ground(
    canvas: Canvas, rng: np.random.Generator, camera: Camera, sky: Weather, setting: Setting, road: Road
) -> None:
    width, height, horizon = canvas.width_px, canvas.height_px, camera.horizon_px
    below = rectangle(-1, horizon, width + 1, height + 1)
    green = rng.random() < setting.green
    canvas.set_surface("grass" if green else "stone")
    if green:
        canvas.polygon(below, varied(rng, picked(rng, GRASS_COLOURS)), "terrain")
    else:
        canvas.polygon(below, varied(rng, (150, 146, 140)), "sidewalk")
    draw_road(canvas, rng, camera, road, sky)
    # Haze over the ground grows towards the horizon: a row's depth follows from its height in the picture.
    rows = np.maximum(np.arange(height) - horizon, 0.5)
    haze = 1 - np.exp(-sky.haze_per_m * camera.focal_px * camera.height_m / rows)
    haze[: int(horizon)] = 0
    canvas.veil(canvas.air, Image.fromarray((255 * haze[:, None]).astype(np.uint8)))
    _draw_backdrop(canvas, rng, camera, setting)


def _draw_backdrop(canvas: Canvas, rng: np.random.Generator, camera: Camera, setting: Setting) -> None:
    # Houses and woods far off, so that a street does not end in empty sky.
    far = 120.0
    canvas.set_depth(far * 0.8)
    scale, x = camera.scale(far), -10.0
    while x < canvas.width_px:
        wide, high = rng.uniform(5, 16) * scale, rng.uniform(0.5, 1.0) * setting.height_m[1] * scale
        foot = camera.horizon_px + camera.height_m * scale + 1
        if rng.random() < setting.built * 0.8:
            canvas.set_surface("plaster")
            colour = mixed(varied(rng, picked(rng, WALL_COLOURS)), (120, 124, 130), 0.5)
            canvas.polygon(rectangle(x, foot - high, x + wide, foot), colour, "building")
            for row in range(3):
                y = foot - high * (0.85 - 0.25 * row)
                canvas.stroke([(x + 0.15 * wide, y), (x + 0.85 * wide, y)], 0.5, mixed(colour, (60, 64, 70), 0.5))
        else:
            canvas.set_surface("leaves")
            colour = mixed(varied(rng, picked(rng, LEAF_COLOURS)), (96, 110, 104), 0.4)
            canvas.ellipse((x + wide / 2, foot - high * 0.25), (wide * 0.7, high * 0.45), colour, "vegetation")
            canvas.polygon(rectangle(x, foot - high * 0.25, x + wide, foot), colour, "vegetation")
        x += wide * rng.uniform(0.6, 1.0)


def _add_frontage(
    later: Later, canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, setting: Setting, side: int
) -> None:
    """Line one side with houses, and its gaps with trees, bushes, hedges, fences and walls."""
    edge = road.edge(side) + side * road.pavement[side > 0]
    garden = rng.uniform(2, 7) if setting.gabled > 0.4 else 0.0
    z, neighbour_m = rng.uniform(1.0, 4.0), 0.0
    while z < 80:
        length = rng.uniform(7, 18) * (1 if z < 40 else 2.0)
        far = z + length
        if road.junction is not None and z < road.junction + 4 and far > road.junction - 4:
            z, neighbour_m = road.junction + 4.5, 0.0
            continue
        if rng.random() < setting.built:
            height = rng.uniform(*setting.height_m)
            out, deep, free = garden + rng.uniform(0, 0.6), rng.uniform(7, 11), neighbour_m < 0.6 * height
            plot = Plot(side, edge + side * out, z, far - 0.05, height, deep, free)
            later.append((far, _drawing(draw_building, canvas, rng, camera, plot, rng.random() < setting.gabled)))
            gap = rng.uniform(1, 6) if setting.gabled > 0.4 else 0.0
            z, neighbour_m = far + gap, 0.0 if gap else height
        else:
            _add_greenery(later, canvas, rng, camera, edge, (z, far), side)
            z, neighbour_m = far, 0.0
    if rng.random() < setting.barrier:
        _add_barrier(later, canvas, rng, camera, edge + side * 0.15, road.junction)


def _add_greenery(
    later: Later,
    canvas: Canvas,
    rng: np.random.Generator,
    camera: Camera,
    edge: float,
    span: tuple[float, float],
    side: int,
) -> None:
    for _ in range(3):
        z, out = rng.uniform(*span), rng.uniform(1.5, 9)
        pose = Pose(camera, edge + side * out, z)
        if rng.random() < 0.5:
            later.append((z, _drawing(draw_tree, canvas, rng, pose)))
        else:
            later.append((z, _drawing(draw_bush, canvas, rng, pose, rng.uniform(2, 5), rng.uniform(1, 3))))


def _add_barrier(
    later: Later, canvas: Canvas, rng: np.random.Generator, camera: Camera, x: float, junction: float | None
) -> None:
    kind = picked(rng, (draw_fence, draw_hedge, draw_wall, draw_fence))
    z = rng.uniform(1.5, 8)
    while z < 60:
        far = min(z + rng.uniform(6, 16), 60.0)
        if junction is None or far < junction - 4 or z > junction + 4:
            later.append((far - 0.2, _drawing(kind, canvas, rng, camera, x, z, far)))
        z = far


def _add_furniture(
    later: Later, canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, setting: Setting, side: int
) -> None:
    """Put trees, poles, lamps, signs and traffic lights along the kerb of one side."""
    kerb = road.edge(side) + side * rng.uniform(0.4, 0.8)
    if rng.random() < setting.trees:
        step = rng.uniform(7, 14)
        for z in np.arange(rng.uniform(5, 16), 55, step).tolist():
            later.append((z, _drawing(draw_tree, canvas, rng, Pose(camera, kerb + side * 0.3, z), rng.uniform(4, 8))))
    step, lamps = rng.uniform(14, 30), rng.random() < 0.75
    for z in np.arange(rng.uniform(6, 22), 60, step).tolist():
        later.append((z, _drawing(draw_pole, canvas, rng, Pose(camera, kerb, z), lamps)))
    for _ in range(int(rng.poisson(1.1))):
        z = rng.uniform(6, 40)
        later.append((z, _drawing(draw_sign, canvas, rng, Pose(camera, kerb, z))))
    if road.junction is not None and rng.random() < 0.7:
        z = road.junction - rng.uniform(3, 5)
        later.append((z, _drawing(draw_traffic_light, canvas, rng, Pose(camera, kerb, z), rng.random() < 0.5)))


def _drawing(function: Callable[..., None], *arguments: object) -> Callable[[], None]:
    return lambda: function(*arguments)
