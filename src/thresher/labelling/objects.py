"""The objects of a label map: which of its pixels belong to which box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from thresher.labelling.pixels import opened_classes, window
from thresher.segmentation.tree import ClassTree


@dataclass(frozen=True)
class LabelledObject:
    """The pixels of one box's object."""

    number: int
    """The box's place among those given."""
    name: str
    """The class that most of its pixels have: of a group's box one of its children."""
    top: int
    left: int
    mask: Bool[np.ndarray, "h w"]
    """In the rectangle around it, whose upper left pixel is (`left`, `top`)."""


def labelled_objects(
    labels: UInt8[np.ndarray, "h w"], corners: Float32[np.ndarray, "boxes 4"], names: Sequence[str], tree: ClassTree
) -> list[LabelledObject]:
    """The object of each box that has a pixel of its class, in the order of the boxes.

    A pixel in several boxes of its class belongs to the smallest: the rule by which boxes are filled.

    Args:
        labels: Classes as the tree numbers them; their number is void.
        corners: x0, y0, x1, y1 as shares of the image's sides.
        names: Each box's class or group.
    """
    opened = opened_classes(tree)
    owner = np.full(labels.shape, -1, np.int32)
    places = [window(each, (labels.shape[0], labels.shape[1])) for each in corners]
    of_box = [np.append(opened[tree.nodes.index(name)], False) for name in names]
    for number in sorted(range(len(places)), key=lambda n: -owner[places[n]].size):
        owner[places[number]][of_box[number][labels[places[number]]]] = number
    found = []
    for number, place in enumerate(places):
        mine = owner[place] == number
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        if not len(rows):
            continue
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        kind = int(np.bincount(labels[place][mine]).argmax())
        top, left = place[0].start + int(rows[0]), place[1].start + int(columns[0])
        found.append(LabelledObject(number, tree.classes[kind], top, left, mine[part]))
    return found
