"""What a page is made of: sections, and in them facts, tables, galleries, charts; data only, drawn by `page`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from thresher.drawings.charts import Spec
from thresher.drawings.heat_map import HeatScale
from thresher.reasons.answer import Point


@dataclass(frozen=True)
class Number:
    """A number in a table: its `value`, the `text` shown, and the `column` that it comes from."""

    value: float
    text: str
    column: str = ""


#: Content of a cell, or of a fact; None for null.
Cell = str | Number | None


def number(value: float | None, digits: int = 0, column: str = "") -> Number | None:
    """A number with thousands parted by commas; None stays None.

    >>> number(1234.56, 1).text, number(None)
    ('1,234.6', None)
    """
    return None if value is None else Number(value, f"{value:,.{digits}f}", column)


def percent(share: float | None, digits: int = 1, column: str = "") -> Number | None:
    """A share of 0..1 as per cent.

    >>> percent(0.1234).text
    '12.3 %'
    """
    return None if share is None else Number(share, f"{100 * share:.{digits}f} %", column)


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    kind: ClassVar[str] = "words"
    text: str


@dataclass(frozen=True)
class Missing:
    """What is not there, and the command line that makes it."""

    kind: ClassVar[str] = "missing"
    text: str
    command: str = ""


@dataclass(frozen=True)
class Facts:
    """Names with what they are."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, Cell | Sequence[Cell]]]


@dataclass(frozen=True)
class Code:
    """Command lines to copy."""

    kind: ClassVar[str] = "code"
    caption: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table; the first column heads its row. `name` tells tables of a page apart; a folded one opens on demand."""

    kind: ClassVar[str] = "grid"
    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


@dataclass(frozen=True)
class Outline:
    """A box in shares of the picture, its class, and the number of that class's colour."""

    x0: float
    y0: float
    x1: float
    y1: float
    name: str
    colour: int


@dataclass(frozen=True)
class Picture:
    """An image to show: its id, alternative text, and the boxes to draw over it."""

    image_id: str
    alt: str
    outlines: Sequence[Outline] = ()


@dataclass(frozen=True)
class Heat:
    """How much the parts of a picture look like the target, to be laid over it on demand."""

    rows: int
    columns: int
    levels: str
    """A byte for each part, row by row, in base64: 0 is the scale's low end or less, 255 its high end or more."""
    scale: HeatScale


def heat(values: Float[np.ndarray, "h w"], scale: HeatScale) -> Heat:
    """The values of the parts as levels between the ends of the scale.

    >>> shown = heat(np.array([[0.0, 5.0, 20.0]]), HeatScale(0.0, 10.0))
    >>> list(base64.b64decode(shown.levels))
    [0, 128, 255]
    """
    span = max(scale.high - scale.low, 1e-9)
    levels = np.round(255 * np.clip((values - scale.low) / span, 0, 1)).astype(np.uint8)
    rows, columns = levels.shape
    return Heat(rows, columns, base64.b64encode(levels.tobytes()).decode(), scale)


@dataclass(frozen=True)
class Card:
    """A picture of a gallery: its caption, and the nearest target images."""

    picture: Picture
    title: Cell
    dataset: str
    places: Sequence[tuple[str, Number]]
    """By what, and its place in the pool by it, 1 is the best."""
    of: int
    """How many images have a place."""
    numbers: Sequence[tuple[str, Number]]
    """Of each score its name and its value."""
    rare_classes: Sequence[str] = ()
    nearest: Sequence[Picture] = ()
    heat: Heat | None = None
    note: str = ""
    """Why it was left out, for one near the edge."""


@dataclass(frozen=True)
class Gallery:
    """Cards in reading order; beyond the first dozen they open on demand."""

    kind: ClassVar[str] = "gallery"
    name: str
    title: str
    text: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Strip:
    """A row of small pictures with captions, under a heading."""

    words: str
    pictures: Sequence[tuple[Picture, str]]


@dataclass(frozen=True)
class Strips:
    """Rows of small pictures."""

    kind: ClassVar[str] = "strips"
    title: str
    text: str
    strips: Sequence[Strip]


@dataclass(frozen=True)
class Drawing:
    """A picture that an earlier stage drew: a file's name within the run."""

    kind: ClassVar[str] = "drawing"
    file: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Drawings:
    """Drawings under one heading, opened on demand."""

    kind: ClassVar[str] = "drawings"
    caption: str
    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Chart:
    """A chart, in one or more variants to choose between.

    `points` are columns of equal length, which the page puts into the spec's data set of the name points: a third of
    the weight of rows. A chart with `brush` names the two columns that its brush spans; images in it are shown below.
    """

    kind: ClassVar[str] = "chart"
    name: str
    alt: str
    variants: Mapping[str, Spec]
    choice: str = ""
    points: Mapping[str, Sequence[object]] = field(default_factory=dict)
    brush: tuple[str, str] | None = None
    spread: tuple[str, str, int] | None = None
    """Two columns of the points, and the cells a side of a grid over them: one image of each set in a cell is shown,
    where the pointer is over its dot."""
    renderer: str = "svg"


@dataclass(frozen=True)
class Answer:
    """What one selection is, to be read in a minute."""

    name: str
    headline: str
    method: str
    pictures: Sequence[tuple[Picture, str]]
    points: Sequence[Point]
    next: Sequence[tuple[str, str]]
    """What can be done next, and its command line."""


@dataclass(frozen=True)
class Answers:
    """The answers of several selections, the one that the page is about first; shared: how many images two hold."""

    kind: ClassVar[str] = "answers"
    answers: Sequence[Answer]
    shared: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


Block = Answers | Words | Missing | Facts | Code | Grid | Gallery | Strips | Drawing | Drawings | Chart


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading."""

    name: str
    title: str
    blocks: Sequence[Block]
