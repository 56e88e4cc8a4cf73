"""The selection: images taken, in order, with reasons; the last taken, the first left out, and a random sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from thresher.report.blocks import (
    Block,
    Card,
    Cell,
    Gallery,
    Grid,
    Heat,
    Missing,
    Number,
    Outline,
    Picture,
    Section,
    Words,
    number,
    percent,
)
from thresher.stages.heat import shown_by

#: How many cards each gallery has.
FIRST, EDGE, DRAWN = 48, 12, 12
#: Boxes drawn over one picture, the largest first: a crowd of hundreds would hide it.
_MOST_OUTLINES = 60


@dataclass(frozen=True)
class ReportedSelection:
    """A selection, the images left out and a random sample; columns of SELECTION, dataset and the scores.

    `left_out` holds the best ranked images that were not taken, with `edge`, what decided against each, in place of a
    rank; None if the ranking is no longer known.
    """

    name: str
    settings: Mapping[str, Any]
    taken: pl.DataFrame
    left_out: pl.DataFrame | None
    drawn: pl.DataFrame
    scored: int
    """Images of the pool that have scores."""


@dataclass(frozen=True)
class Look:
    """What is needed to show an image: boxes with a class by image, the colour number of each class, and heat."""

    boxes: Mapping[str, Sequence[Mapping[str, Any]]]
    colours: Mapping[str, int]
    heat: Mapping[str, Heat] = field(default_factory=dict)
    """Of the images that have slices."""

    def picture(self, image_id: str, dataset: str = "") -> Picture:
        """The image with its boxes and alternative text."""
        own = self.boxes.get(image_id, ())
        held: dict[str, int] = {}
        for box in own:
            held[box["class"]] = held.get(box["class"], 0) + 1
        boxed = ", ".join(f"{count} {name}" for name, count in sorted(held.items(), key=lambda each: -each[1]))
        largest = sorted(own, key=lambda box: -(box["x1"] - box["x0"]) * (box["y1"] - box["y0"]))[:_MOST_OUTLINES]
        outlines = [
            Outline(box["x0"], box["y0"], box["x1"], box["y1"], box["class"], self.colours[box["class"]])
            for box in largest
        ]
        of = f" of {dataset}" if dataset else ""
        return Picture(image_id, f"Image {image_id}{of}; {f'boxes: {boxed}' if boxed else 'no boxes'}", outlines)


def chosen_section(choice: ReportedSelection, pool: pl.DataFrame, look: Look) -> Section:
    """The section of one selection.

    Args:
        pool: image_id and dataset of the pool's images.
    """
    taken = choice.taken.sort("rank")
    count = taken.height
    covered = choice.settings.get("coverage", "off") != "off"
    order = "In the order in which coverage took them." if covered else "Best first."
    blocks: list[Block] = [
        _by_dataset(taken, pool),
        Words(
            "Looks: how near the layout of an image is to the target. Objects: how many of interest, of how many and "
            f"how rare classes. Place 1 of {choice.scored:,} is the best."
        ),
        _gallery("first", f"The first {min(FIRST, count)} of {count:,}", order, taken.head(FIRST), choice, look),
    ]
    if count > FIRST:
        last = taken.tail(min(EDGE, count - FIRST))
        blocks.append(
            _gallery(
                "last",
                f"The last {last.height} taken",
                "Compare these with the first images left out.",
                last,
                choice,
                look,
            )
        )
    if choice.left_out is None:
        blocks.append(
            Missing(
                "Scores or selection have changed since, so the first images left out are unknown.",
                f"thresher select RUN --name {choice.name}",
            )
        )
    elif choice.left_out.height:
        words = "The best ranked of the images left out, and what decided against each."
        blocks.append(
            _gallery("left-out", f"The first {choice.left_out.height} left out", words, choice.left_out, choice, look)
        )
    if choice.drawn.height:
        blocks.append(
            _gallery(
                "drawn",
                f"{choice.drawn.height} images of the pool, drawn at random",
                "The baseline that the selection should beat.",
                choice.drawn,
                choice,
                look,
            )
        )
    return Section("selection", f"The selection {choice.name}", blocks)


def _by_dataset(taken: pl.DataFrame, pool: pl.DataFrame) -> Grid:
    sets = (
        pool.group_by("dataset")
        .agg(pool=pl.len())
        .join(taken.group_by("dataset").agg(taken=pl.len()), on="dataset", how="left")
        .with_columns(pl.col("taken").fill_null(0))
        .sort(["taken", "dataset"], descending=[True, False])
    )
    rows: list[list[Cell]] = [
        [
            row["dataset"],
            number(row["pool"], column="pool"),
            number(row["taken"], column="taken"),
            percent(row["taken"] / row["pool"], column="share"),
        ]
        for row in sets.iter_rows(named=True)
    ]
    return Grid("taken", "Taken from each data set", ["data set", "in the pool", "taken", "share taken"], rows)


def _gallery(name: str, title: str, text: str, rows: pl.DataFrame, choice: ReportedSelection, look: Look) -> Gallery:
    return Gallery(name, title, text, [_card(row, choice, look) for row in rows.iter_rows(named=True)])


#: Of each number of a card: its name, its column and digits.
_NUMBERS = (
    ("score", "score", 3),
    ("layout", "layout", 3),
    ("similarity", "similarity", 1),
    ("diversity", "diversity", 2),
)
#: By what an image has a place in the pool, and where `why` has it.
_PLACES = {"looks": "layout_rank", "similarity": "similarity_rank", "objects": "diversity_rank"}


def places_of(why: Mapping[str, Any], method: str) -> list[tuple[str, Number]]:
    """By what an image has a place in the pool, and which: by looks, or similarity where that ranks, and by objects.

    >>> [(by, place.text) for by, place in places_of({"layout_rank": 3, "diversity_rank": 1017}, "layout")]
    [('looks', '3'), ('objects', '1,017')]
    """
    wanted = ["similarity" if shown_by(method) == "similarity" else "looks", "objects"]
    found = [(name, number(why.get(_PLACES[name]), column=_PLACES[name])) for name in wanted]
    return [(name, place) for name, place in found if place is not None]


def _card(row: Mapping[str, Any], choice: ReportedSelection, look: Look) -> Card:
    why = row["why"] or {}
    numbers = [
        (words, value)
        for words, column, digits in _NUMBERS
        if (value := number(row.get(column), digits, column)) is not None
    ]
    rank = row.get("rank")
    title: Cell = None if rank is None else Number(rank, f"{rank:,}", "rank")
    nearest = [look.picture(image_id) for image_id in why.get("nearest_ids") or ()]
    return Card(
        look.picture(row["image_id"], row["dataset"]),
        title,
        row["dataset"],
        places_of(why, str(choice.settings.get("method", ""))),
        choice.scored,
        numbers,
        why.get("rare_classes") or (),
        nearest,
        look.heat.get(row["image_id"]),
        row.get("edge") or "",
    )
