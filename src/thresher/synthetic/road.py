"""The carriageway: asphalt, markings, kerbs, pavements and a crossing street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thresher.synthetic.camera import Camera
from thresher.synthetic.canvas import Canvas
from thresher.synthetic.palette import Colour, mixed, picked, shaded, varied
from thresher.synthetic.weather import Weather

_FAR_M = 160.0
_NEAR_M = 1.0


@dataclass(frozen=True)
class Road:
    """A street's cross-section in metres, the camera at x = 0; `middle` parts the two directions.

    `parking` and `pavement` are (left, right) widths; `junction` is the depth of a crossing street.
    """

    middle: float
    lane: float
    lanes_left: int
    lanes_right: int
    parking: tuple[float, float]
    pavement: tuple[float, float]
    junction: float | None

    def edge(self, side: int) -> float:
        """x of the kerb on the left (−1) or right (1)."""
        if side < 0:
            return self.middle - self.lanes_left * self.lane - self.parking[0] - 0.3
        return self.middle + self.lanes_right * self.lane + self.parking[1] + 0.3


def draw_road(canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, weather: Weather) -> None:
    """Draw the pavements, the carriageway with its wear and markings, and the crossing street."""
    left, right = road.edge(-1), road.edge(1)
    asphalt = varied(rng, picked(rng, ((92, 92, 94), (110, 108, 106), (76, 78, 82), (124, 120, 116))))
    paving = varied(rng, picked(rng, ((168, 162, 154), (150, 148, 146), (176, 156, 138), (136, 130, 126))))
    canvas.set_surface("stone")
    for side, edge, wide in ((-1, left, road.pavement[0]), (1, right, road.pavement[1])):
        outer = edge + side * wide
        canvas.polygon(camera.ribbon(min(edge, outer), max(edge, outer), _NEAR_M, _FAR_M), paving, "sidewalk")
        _paving_joints(canvas, camera, edge, outer, shaded(paving, 0.82))
    canvas.set_surface("asphalt")
    canvas.polygon(camera.ribbon(left, right, _NEAR_M, _FAR_M), asphalt, "road")
    if road.junction is not None:
        z = road.junction
        crossing = [
            camera.at(-90, 0, z - 3.6),
            camera.at(90, 0, z - 3.6),
            camera.at(90, 0, z + 3.6),
            camera.at(-90, 0, z + 3.6),
        ]
        canvas.polygon(crossing, asphalt, "road")
    _wear(canvas, rng, camera, road, asphalt)
    _markings(canvas, rng, camera, road, asphalt)
    for edge in (left, right):
        for near, far in _outside_junction(road, _NEAR_M, _FAR_M):
            canvas.detail(camera.ribbon(edge - 0.12, edge + 0.12, near, far), mixed(paving, (210, 208, 204), 0.5))
    if weather.sun:
        _house_shadow(canvas, rng, camera, road)


def _outside_junction(road: Road, near: float, far: float) -> list[tuple[float, float]]:
    if road.junction is None:
        return [(near, far)]
    return [(near, road.junction - 3.6), (road.junction + 3.6, far)]


def _paving_joints(canvas: Canvas, camera: Camera, edge: float, outer: float, colour: Colour) -> None:
    z = 3.0
    while z < 26:
        canvas.stroke([camera.at(edge, 0, z), camera.at(outer, 0, z)], 0.5, colour)
        z *= 1.22
    middle = (edge + outer) / 2
    canvas.stroke(camera.ribbon(middle, middle, _NEAR_M, 50)[: 11 if camera.bend_per_m else 2], 0.5, colour)


def _wear(canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, asphalt: Colour) -> None:
    for lane in range(-road.lanes_left, road.lanes_right):
        centre = road.middle + (lane + 0.5) * road.lane
        for track in (-0.8, 0.8):
            strip = camera.ribbon(centre + track - 0.3, centre + track + 0.3, _NEAR_M, 90)
            canvas.shade(strip, rng.uniform(0.04, 0.16), picked(rng, ((20, 20, 22), (200, 200, 200))))
    for _ in range(rng.integers(1, 5)):  # patches of newer asphalt
        x, z = rng.uniform(road.edge(-1), road.edge(1) - 1.5), rng.uniform(3, 30)
        patch = camera.ribbon(x, min(x + rng.uniform(0.6, 2.5), road.edge(1)), z, z + rng.uniform(1, 8))
        canvas.detail(patch, varied(rng, asphalt, 16))
    for _ in range(2):  # manholes
        x, z = rng.uniform(road.edge(-1) + 0.5, road.edge(1) - 0.5), rng.uniform(4, 20)
        middle, scale = camera.at(x, 0, z), camera.scale(z)
        canvas.dot(middle, (0.35 * scale, 0.35 * scale * camera.height_m / z), shaded(asphalt, 0.6))
    x, z = rng.uniform(road.edge(-1), road.edge(1)), 2.5
    crack = []
    while z < 30:  # one long crack
        crack.append(camera.at(x, 0, z))
        x, z = x + rng.normal(0, 0.12), z * 1.2
    canvas.stroke(crack, 0.4, shaded(asphalt, 0.7))


def _markings(canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, asphalt: Colour) -> None:
    paint = mixed(picked(rng, ((236, 236, 232), (236, 236, 232), (228, 190, 80))), asphalt, rng.uniform(0.05, 0.45))
    dash, gap = rng.uniform(2, 4), rng.uniform(2, 6)
    start = rng.uniform(0, 4)
    for line in range(-road.lanes_left + 1, road.lanes_right):
        x = road.middle + line * road.lane
        solid = line == 0 and road.lanes_left > 0 and rng.random() < 0.3
        for near, far in _outside_junction(road, 2.0, 70.0):
            if solid:
                canvas.detail(camera.ribbon(x - 0.08, x + 0.08, near, far), paint)
                continue
            z = near + start
            while z < far:
                canvas.detail(camera.ribbon(x - 0.08, x + 0.08, z, min(z + dash, far)), paint)
                z += dash + gap
    for side in (-1, 1):
        x = road.edge(side) - side * (road.parking[side > 0] + 0.25)
        if rng.random() < 0.5:
            for near, far in _outside_junction(road, _NEAR_M, 90.0):
                canvas.detail(camera.ribbon(x - 0.06, x + 0.06, near, far), paint)
    if road.junction is not None:
        _junction_markings(canvas, rng, camera, road, paint)
    elif rng.random() < 0.25:
        _arrow(canvas, rng, camera, road, paint)


def _junction_markings(canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, paint: Colour) -> None:
    z = (road.junction or 20.0) - 3.8
    if rng.random() < 0.65:
        x = road.edge(-1) + 0.4
        while x < road.edge(1) - 0.6:
            stripe = [
                camera.at(x, 0, z - 3),
                camera.at(x + 0.5, 0, z - 3),
                camera.at(x + 0.5, 0, z),
                camera.at(x, 0, z),
            ]
            canvas.detail(stripe, paint)
            x += 1.0
    stop = camera.ribbon(road.middle, road.edge(1) - road.parking[1], z - 4.2, z - 3.8)
    canvas.detail(stop, paint)


def _arrow(canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, paint: Colour) -> None:
    x, z = road.middle + road.lane * 0.5, rng.uniform(7, 14)
    shaft = camera.ribbon(x - 0.1, x + 0.1, z, z + 3)
    canvas.detail(shaft, paint)
    canvas.detail([camera.at(x - 0.45, 0, z + 3), camera.at(x + 0.45, 0, z + 3), camera.at(x, 0, z + 5)], paint)


def _house_shadow(canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road) -> None:
    side = 1 if rng.random() < 0.5 else -1
    edge = road.edge(side)
    outer = edge + side * 6
    reach = edge - side * rng.uniform(0.0, 0.7) * (road.edge(1) - road.edge(-1))
    for near, far in _outside_junction(road, _NEAR_M, 100.0):
        canvas.shade(camera.ribbon(min(reach, outer), max(reach, outer), near, far), rng.uniform(0.2, 0.42))
