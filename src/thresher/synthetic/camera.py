"""Where points of the world land in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from thresher.synthetic.canvas import Point

NEAREST_M = 0.9


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera above a flat world. x to the right, y up, z ahead, in metres; the road bends with z².

    `centre_px` and `horizon_px` are where the vanishing point of a straight road lies.
    """

    focal_px: float
    centre_px: float
    horizon_px: float
    height_m: float
    bend_per_m: float = 0.0

    def at(self, x: float, y: float, z: float) -> Point:
        """The pixel where a point lands; points nearer than `NEAREST_M` are pushed out to there."""
        z = max(z, NEAREST_M)
        scale = self.focal_px / z
        return self.centre_px + scale * (x + self.bend_per_m * z * z), self.horizon_px + scale * (self.height_m - y)

    def scale(self, z: float) -> float:
        """Pixels per metre at this depth."""
        return self.focal_px / max(z, NEAREST_M)

    def ribbon(self, left: float, right: float, near: float, far: float, height: float = 0.0) -> list[Point]:
        """The outline of a level strip along the road between two depths."""
        steps = 10 if self.bend_per_m and far > near * 1.5 else 1
        depths = [near * (far / near) ** (step / steps) for step in range(steps + 1)]
        return [self.at(left, height, z) for z in depths] + [self.at(right, height, z) for z in reversed(depths)]


@dataclass(frozen=True)
class Pose:
    """Where a thing stands and which way it faces: yaw 0 looks away from the camera, π/2 to the right."""

    camera: Camera
    x: float
    z: float
    yaw: float = 0.0

    def at(self, forward: float, side: float, up: float) -> Point:
        """The pixel of a point given in the thing's own metres: ahead of its middle, to its right, above ground."""
        return self.camera.at(*self.world(forward, side, up))

    def world(self, forward: float, side: float, up: float) -> tuple[float, float, float]:
        """The same point in the world."""
        sine, cosine = self._turn
        return self.x + forward * sine + side * cosine, up, self.z + forward * cosine - side * sine

    @cached_property
    def _turn(self) -> tuple[float, float]:
        return math.sin(self.yaw), math.cos(self.yaw)

    def disc(self, forward: float, side: float, up: float, radius: float, corners: int = 12) -> list[Point]:
        """The outline of an upright disc facing sideways: a wheel."""
        turns = [2 * math.pi * corner / corners for corner in range(corners)]
        return [self.at(forward + radius * math.cos(turn), side, up + radius * math.sin(turn)) for turn in turns]


def faces_camera(outline: Sequence[Point]) -> bool:
    """Whether the outline runs clockwise as seen in the picture (y down)."""
    area = 0.0
    for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], outline[0]], strict=True):
        area += x0 * y1 - x1 * y0
    return area > 0
