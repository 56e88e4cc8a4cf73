"""Who uses the street: moving and parked vehicles, two-wheelers, people on foot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from thresher.synthetic.camera import Camera, Pose
from thresher.synthetic.canvas import Canvas
from thresher.synthetic.palette import picked
from thresher.synthetic.people import draw_crowd, draw_person
from thresher.synthetic.road import Road
from thresher.synthetic.two_wheelers import draw_two_wheeler
from thresher.synthetic.vehicles import LENGTHS_M, draw_vehicle

#: What a vehicle is, before `abundance`; the rest are cars. Source: made up, but in the order of real streets.
LARGE_SHARES = {"truck": 0.10, "bus": 0.11, "train": 0.01}
#: Mean number per image of what is not in a lane, before `abundance`.
MEAN_COUNTS = {"person": 4.0, "rider": 0.75, "bicycle": 0.8, "motorcycle": 0.5}
WALKERS = ("Man", "Man", "Woman", "Woman", "Person", "Person", "Person", "Boy", "Girl")

#: What is drawn later in order of depth: how far away it is, and the drawing itself.
Later = list[tuple[float, Callable[[], None]]]


def add_traffic(
    later: Later,
    canvas: Canvas,
    rng: np.random.Generator,
    camera: Camera,
    road: Road,
    abundance: Mapping[str, float],
    umbrellas: bool,
) -> None:
    """Add the drawings of all traffic to `later`, each with its depth."""
    _add_moving(later, canvas, rng, camera, road, abundance)
    for side in (-1, 1):
        if road.parking[side > 0]:
            _add_parked(later, canvas, rng, camera, road, side, abundance)
    if road.junction is not None and rng.random() < 0.6 * abundance.get("car", 1.0):
        pose = Pose(
            camera, rng.uniform(-9, 9), road.junction + rng.uniform(-1.5, 1.8), picked(rng, (-1, 1)) * math.pi / 2
        )
        later.append((pose.z, partial(draw_vehicle, canvas, rng, pose, _vehicle_kind(rng, abundance))))
    _add_two_wheelers(later, canvas, rng, camera, road, abundance)
    _add_people(later, canvas, rng, camera, road, abundance, umbrellas)


def _vehicle_kind(rng: np.random.Generator, abundance: Mapping[str, float]) -> str:
    chance = rng.random()
    for kind, share in LARGE_SHARES.items():
        chance -= share * abundance.get(kind, 1.0)
        if chance < 0:
            return kind
    return "car"


def _add_moving(
    later: Later, canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, abundance: Mapping[str, float]
) -> None:
    density = rng.uniform(0.2, 1.4) * abundance.get("car", 1.0)
    for lane in range(-road.lanes_left, road.lanes_right):
        x = road.middle + (lane + 0.5) * road.lane
        oncoming = lane < 0
        own = abs(x) < road.lane / 2
        z = rng.uniform(9 if own else 5, 40) / max(density, 0.05)
        while z < 60:
            kind = _vehicle_kind(rng, abundance)
            half = LENGTHS_M[kind] / 2
            place = z + half
            yaw = (math.pi if oncoming else 0.0) + rng.normal(0, 0.03)
            pose = Pose(camera, x + rng.normal(0, 0.2), place, yaw)
            later.append((place, partial(draw_vehicle, canvas, rng, pose, kind)))
            z = place + half + rng.uniform(3, 40) / max(density, 0.05)


def _add_parked(
    later: Later,
    canvas: Canvas,
    rng: np.random.Generator,
    camera: Camera,
    road: Road,
    side: int,
    abundance: Mapping[str, float],
) -> None:
    x, fill = road.edge(side) - side * 1.15, rng.uniform(0.3, 1.0) * abundance.get("car", 1.0)
    facing = math.pi if side < 0 and rng.random() < 0.8 else 0.0
    z = rng.uniform(2.5, 6)
    while z < 60:
        if road.junction is not None and abs(z + 2.5 - road.junction) < 8:
            z = road.junction + 6
        if rng.random() < fill:
            kind = "truck" if rng.random() < 0.05 * abundance.get("truck", 1.0) else "car"
            half = LENGTHS_M[kind] / 2
            pose = Pose(camera, x + rng.normal(0, 0.08), z + half, facing + rng.normal(0, 0.02))
            later.append((pose.z, partial(draw_vehicle, canvas, rng, pose, kind)))
            z += 2 * half + rng.uniform(0.5, 1.6)
        else:
            z += 5.5


def _add_two_wheelers(
    later: Later, canvas: Canvas, rng: np.random.Generator, camera: Camera, road: Road, abundance: Mapping[str, float]
) -> None:
    counts = {kind: _count(rng, kind, abundance) for kind in ("rider", "bicycle", "motorcycle")}
    cycles = 0.65 * abundance.get("bicycle", 1.0)
    engines = 0.35 * abundance.get("motorcycle", 1.0)
    for _ in range(counts["rider"]):
        kind = "bicycle" if rng.random() * (cycles + engines) < cycles else "motorcycle"
        side = picked(rng, (-1, 1, 1))
        x = road.edge(side) - side * (road.parking[side > 0] + rng.uniform(0.6, 1.6))
        yaw = (0.0 if side > 0 else math.pi) + rng.normal(0, 0.25)
        if road.junction is not None and rng.random() < 0.4:
            x, yaw = rng.uniform(-5, 5), picked(rng, (-1, 1)) * math.pi / 2 + rng.normal(0, 0.2)
        pose = Pose(camera, x, rng.uniform(5, 24), yaw)
        name = picked(rng, ("Man", "Woman", "Person"))
        later.append((pose.z, partial(draw_two_wheeler, canvas, rng, pose, kind, True, name)))
    for kind in ("bicycle", "motorcycle"):
        for _ in range(counts[kind]):
            side = picked(rng, (-1, 1))
            x = road.edge(side) + side * rng.uniform(0.3, max(0.4, road.pavement[side > 0] - 0.6))
            pose = Pose(camera, x, rng.uniform(5, 24), rng.uniform(-math.pi, math.pi))
            later.append((pose.z, partial(draw_two_wheeler, canvas, rng, pose, kind)))


def _add_people(
    later: Later,
    canvas: Canvas,
    rng: np.random.Generator,
    camera: Camera,
    road: Road,
    abundance: Mapping[str, float],
    umbrellas: bool,
) -> None:
    for _ in range(_count(rng, "person", abundance)):
        side, z = picked(rng, (-1, 1)), float(rng.triangular(5, 12, 45))
        x = road.edge(side) + side * rng.uniform(0.3, road.pavement[side > 0])
        if road.junction is not None and rng.random() < 0.35:
            x, z = rng.uniform(road.edge(-1), road.edge(1)), road.junction - rng.uniform(4, 6.5)
        umbrella = umbrellas and rng.random() < 0.4
        later.append((z, partial(draw_person, canvas, rng, Pose(camera, x, z), picked(rng, WALKERS), umbrella)))
    if rng.random() < 0.12 * abundance.get("person", 1.0):
        side, z = picked(rng, (-1, 1)), rng.uniform(10, 30)
        x = road.edge(side) + side * road.pavement[side > 0] * 0.5
        later.append((z, partial(draw_crowd, canvas, rng, Pose(camera, x, z), int(rng.integers(5, 9)))))


def _count(rng: np.random.Generator, kind: str, abundance: Mapping[str, float]) -> int:
    # Streets differ: half of the mean is fixed, half is the street's own.
    mean = MEAN_COUNTS[kind] * abundance.get(kind, 1.0)
    return int(rng.poisson(mean * rng.uniform(0.3, 1.7)))
