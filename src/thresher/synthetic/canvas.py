"""A sheet that is painted from far to near and knows, for each pixel, its colour, class and thing.

Colours are drawn at twice the size and averaged at the end, so that edges are as soft as in a photo. Classes and things
are drawn at the final size, with hard edges. Coordinates are pixels of the final size: (0, 0) is the top left corner.
Pillow fills every pixel that a shape touches, so shapes are half a pixel larger all round than they are told to be.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, UInt8, UInt16
from PIL import Image, ImageDraw

from thresher.synthetic.palette import SURFACE_NUMBERS, TRAIN_IDS, VOID, Colour, mixed

Point = tuple[float, float]

#: A thing of which fewer pixels can be seen gets no box: no annotator would find it.
LEAST_PIXELS = 6
#: A thing with less than this share of its pixels in view counts as occluded.
OCCLUDED_BELOW = 0.85


@dataclass(frozen=True)
class Box:
    """One thing: the extent of its visible pixels, as shares of the image (0..1, origin at the top left)."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float
    instance: int
    occluded: bool = False
    truncated: bool = False
    group: bool = False
    depiction: bool = False
    inside: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture with all that is known about it. `labels` are Cityscapes trainIds, 255 where nothing fits."""

    rgb: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    instances: UInt16[np.ndarray, "h w"]
    boxes: tuple[Box, ...]
    kind: str
    weather: str | None


@dataclass
class _Thing:
    label: str
    group: bool
    depiction: bool
    inside: bool
    drawn_pixels: int = 0
    extent: list[float] = field(default_factory=lambda: [math.inf, math.inf, -math.inf, -math.inf])


class Canvas:
    """The sheet. `air` and `haze_per_m` say how strokes pale with distance."""

    def __init__(self, width_px: int, height_px: int, ground: Colour = (128, 128, 128), glows: bool = False) -> None:
        """An empty sheet of no class; `glows` keeps a map of lamps for the night."""
        self.width_px, self.height_px = width_px, height_px
        self.air: Colour = (200, 205, 210)
        self.haze_per_m = 0.0
        self._clear = 1.0
        self._surface = SURFACE_NUMBERS["smooth"]
        self._things: list[_Thing] = []
        self._thing_number = 0
        self._rgb = Image.new("RGB", (2 * width_px, 2 * height_px), ground)
        self._draw = ImageDraw.Draw(self._rgb)
        self._shades = ImageDraw.Draw(self._rgb, "RGBA")
        self._ids = Image.new("I", (width_px, height_px), VOID)
        self._draw_ids = ImageDraw.Draw(self._ids)
        self._glow = Image.new("RGB", (width_px, height_px)) if glows else None
        self._draw_glow = ImageDraw.Draw(self._glow) if self._glow else None

    @property
    def glows(self) -> bool:
        """Whether lamps shine."""
        return self._glow is not None

    def set_depth(self, metres: float) -> None:
        """How far away the next strokes are; haze pales them accordingly."""
        self._clear = math.exp(-self.haze_per_m * max(metres, 0.0))

    def set_surface(self, name: str) -> None:
        """What the next strokes are made of: a key of `palette.SURFACES`."""
        self._surface = SURFACE_NUMBERS[name]

    @contextlib.contextmanager
    def thing(
        self, label: str, *, group: bool = False, depiction: bool = False, inside: bool = False
    ) -> Iterator[None]:
        """All strokes in the block belong to one thing, which gets a box. Things do not nest: the inner one wins."""
        outer = self._thing_number
        thing = _Thing(label, group, depiction, inside)
        self._things.append(thing)
        self._thing_number = len(self._things)
        try:
            yield
        finally:
            thing.drawn_pixels = self._pixels_of(self._thing_number, thing.extent)
            self._thing_number = outer

    def polygon(self, points: Sequence[Point], colour: Colour, label: str | None = None) -> None:
        """Fill a polygon; the pixels become `label`'s (None: of no class)."""
        self.claim(points, label)
        self.detail(points, colour)

    def claim(self, points: Sequence[Point], label: str | None) -> None:
        """Give pixels to the class and the current thing without painting them, like the air between spokes."""
        self._draw_ids.polygon(list(points), fill=self._number(label))
        self._extend(points)

    def detail(self, points: Sequence[Point], colour: Colour) -> None:
        """Paint a polygon without changing what its pixels are."""
        self._draw.polygon(_doubled(points), fill=self._seen(colour))
        if self._draw_glow is not None:
            self._draw_glow.polygon(list(points), fill=(0, 0, 0))

    def ellipse(self, centre: Point, radii: Point, colour: Colour, label: str | None = None) -> None:
        """Fill an upright ellipse; the pixels become `label`'s."""
        x0, y0, x1, y1 = centre[0] - radii[0], centre[1] - radii[1], centre[0] + radii[0], centre[1] + radii[1]
        self._draw_ids.ellipse((x0, y0, x1, y1), fill=self._number(label))
        self._extend(((x0, y0), (x1, y1)))
        self.dot(centre, radii, colour)

    def dot(self, centre: Point, radii: Point, colour: Colour) -> None:
        """Paint an upright ellipse without changing what its pixels are."""
        x0, y0, x1, y1 = centre[0] - radii[0], centre[1] - radii[1], centre[0] + radii[0], centre[1] + radii[1]
        self._draw.ellipse((2 * x0, 2 * y0, 2 * x1, 2 * y1), fill=self._seen(colour))
        if self._draw_glow is not None:
            self._draw_glow.ellipse((x0, y0, x1, y1), fill=(0, 0, 0))

    def limb(self, start: Point, end: Point, width_px: float, colour: Colour, label: str | None = None) -> None:
        """A straight bar with a width, at least a pixel wide so that far poles do not vanish."""
        self.polygon(bar(start, end, max(width_px, 1.0)), colour, label)

    def stroke(self, points: Sequence[Point], width_px: float, colour: Colour) -> None:
        """Paint a line without changing what its pixels are."""
        self._draw.line(_doubled(points), fill=self._seen(colour), width=max(1, round(2 * width_px)))

    def shade(self, points: Sequence[Point], strength: float, colour: Colour = (8, 8, 16)) -> None:
        """Mix a colour into what lies under a polygon: shadows (dark), reflections (light). Strength 0..1."""
        self._shades.polygon(_doubled(points), fill=(*colour, int(255 * strength * self._clear)))

    def lamp(self, points: Sequence[Point], colour: Colour) -> None:
        """Paint a polygon that shines by itself when it is dark."""
        self.detail(points, colour)
        if self._draw_glow is not None:
            self._draw_glow.polygon(list(points), fill=colour)

    def picture(
        self, corners: Sequence[Point], image: Image.Image, label: str | None, glow: Image.Image | None = None
    ) -> None:
        """Paste an image in perspective: its corners (from the top left, clockwise) land on the four points."""
        self.claim(corners, label)
        if self._clear < 0.98:
            image = Image.blend(Image.new("RGB", image.size, self.air), image, self._clear)
        _paste_warped(self._rgb, _doubled(corners), image)
        if self._glow is not None:
            dark = glow or Image.new("RGB", (2, 2))
            _paste_warped(self._glow, corners, dark)

    def shows(self, points: Sequence[Point]) -> bool:
        """Whether anything within these points could be in view."""
        xs, ys = zip(*points, strict=True)
        return bool(max(xs) > 0 and min(xs) < self.width_px and max(ys) > 0 and min(ys) < self.height_px)

    def veil(self, colour: Colour, mask: Image.Image) -> None:
        """Mix a colour into everything so far; the mask (mode L, any size) says how much, 255 being fully."""
        large = mask.resize(self._rgb.size, Image.Resampling.NEAREST)
        self._rgb.paste(colour, (0, 0, *self._rgb.size), large)

    def colours(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture at its final size."""
        return np.array(self._rgb.reduce(2))

    def glow(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The lamps alone on black, or None by day."""
        return None if self._glow is None else np.array(self._glow)

    def numbers(self) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"], UInt16[np.ndarray, "h w"]]:
        """For each pixel: class (trainId), surface (low 4 bits: number, high 4: fading), thing (0: none)."""
        ids: Int32[np.ndarray, "h w"] = np.asarray(self._ids)
        return (ids & 255).astype(np.uint8), (ids >> 8 & 255).astype(np.uint8), (ids >> 16).astype(np.uint16)

    def boxes(self) -> tuple[Box, ...]:
        """One box per thing of which enough can be seen, in the order they were painted."""
        instances = self.numbers()[2]
        found = []
        for number, (x0, y0, x1, y1, pixels) in visible_extents(instances).items():
            thing = self._things[number - 1]
            if pixels < LEAST_PIXELS or min(x1 - x0, y1 - y0) < 2:
                continue
            left, top, right, bottom = thing.extent
            found.append(
                Box(
                    thing.label,
                    x0 / self.width_px,
                    y0 / self.height_px,
                    x1 / self.width_px,
                    y1 / self.height_px,
                    number,
                    occluded=pixels < OCCLUDED_BELOW * thing.drawn_pixels,
                    truncated=left < -0.5 or top < -0.5 or right > self.width_px + 0.5 or bottom > self.height_px + 0.5,
                    group=thing.group,
                    depiction=thing.depiction,
                    inside=thing.inside,
                )
            )
        return tuple(found)

    def _seen(self, colour: Colour) -> Colour:
        return colour if self._clear > 0.98 else mixed(self.air, colour, self._clear)

    def _number(self, label: str | None) -> int:
        train_id = VOID if label is None else TRAIN_IDS[label]
        # What is far off in haze has lost its grain as well as its colour: four bits say how much of it.
        faded = min(15, int(16 * (1 - self._clear)))
        return self._thing_number << 16 | (faded << 4 | self._surface) << 8 | train_id

    def _extend(self, points: Sequence[Point]) -> None:
        if self._thing_number:
            extent = self._things[self._thing_number - 1].extent
            xs, ys = zip(*points, strict=True)
            extent[:] = min(extent[0], *xs), min(extent[1], *ys), max(extent[2], *xs), max(extent[3], *ys)

    def _pixels_of(self, number: int, extent: list[float]) -> int:
        if extent[0] == math.inf:  # nothing was painted
            return 0
        left, top = max(0, math.floor(extent[0]) - 1), max(0, math.floor(extent[1]) - 1)
        right, bottom = min(self.width_px, math.floor(extent[2]) + 2), min(self.height_px, math.floor(extent[3]) + 2)
        if right <= left or bottom <= top:
            return 0
        ids = np.frombuffer(self._ids.crop((left, top, right, bottom)).tobytes(), np.int32)
        return int(np.count_nonzero(ids >> 16 == number))


def visible_extents(instances: UInt16[np.ndarray, "h w"]) -> dict[int, tuple[int, int, int, int, int]]:
    """For each thing in the map: x0, y0, x1, y1 of its pixels (ends exclusive) and how many there are."""
    rows, columns = np.nonzero(instances)
    if not rows.size:
        return {}
    numbers = instances[rows, columns]
    order = np.argsort(numbers, kind="stable")
    present, starts, counts = np.unique(numbers[order], return_index=True, return_counts=True)
    rows, columns = rows[order], columns[order]
    ends = (
        np.minimum.reduceat(columns, starts),
        np.minimum.reduceat(rows, starts),
        np.maximum.reduceat(columns, starts) + 1,
        np.maximum.reduceat(rows, starts) + 1,
    )
    table = np.stack([present.astype(np.int64), *ends, counts], axis=1)
    return {row[0]: (row[1], row[2], row[3], row[4], row[5]) for row in table.tolist()}


def bar(start: Point, end: Point, width: float) -> list[Point]:
    """The four corners of a straight bar."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(along_x, along_y) or 1.0
    off_x, off_y = -along_y / length * width / 2, along_x / length * width / 2
    return [
        (start[0] + off_x, start[1] + off_y),
        (end[0] + off_x, end[1] + off_y),
        (end[0] - off_x, end[1] - off_y),
        (start[0] - off_x, start[1] - off_y),
    ]


def mean(first: Point, second: Point) -> Point:
    """The point half-way."""
    return (first[0] + second[0]) / 2, (first[1] + second[1]) / 2


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """The four corners of an upright rectangle, from the top left, clockwise."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _doubled(points: Sequence[Point]) -> list[Point]:
    return [(2 * x, 2 * y) for x, y in points]


def _paste_warped(sheet: Image.Image, corners: Sequence[Point], image: Image.Image) -> None:
    left, top = max(0, math.floor(min(x for x, _ in corners))), max(0, math.floor(min(y for _, y in corners)))
    right = min(sheet.width, math.ceil(max(x for x, _ in corners)) + 1)
    bottom = min(sheet.height, math.ceil(max(y for _, y in corners)) + 1)
    if right <= left or bottom <= top:
        return
    local = [(x - left, y - top) for x, y in corners]
    coefficients = _perspective(local, image.width, image.height)
    if coefficients is None:
        return
    size = (right - left, bottom - top)
    rim = image.getpixel((0, 0))  # the mask reaches half a pixel beyond the image; black would show as an outline
    warped = image.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.NEAREST, fillcolor=rim)
    mask = Image.new("1", size)
    ImageDraw.Draw(mask).polygon(local, fill=1)
    sheet.paste(warped, (left, top), mask)


def _perspective(corners: Sequence[Point], width: int, height: int) -> tuple[float, ...] | None:
    # The eight numbers of the plane-to-plane map that takes each corner to the image's own; Pillow maps backwards.
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (width, 0), (width, height), (0, height)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    try:
        return tuple(np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float)).tolist())
    except np.linalg.LinAlgError:  # seen edge on: nothing to paint
        return None
