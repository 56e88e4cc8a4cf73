"""The routes from boxes to pixel labels in plain sight, and labels put together from a route for each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from thresher.labelling.pixels import SURE, ImageBoxes, confident, fill, gate, shown, window
from thresher.segmentation.tree import ClassTree

if TYPE_CHECKING:
    from thresher.segmentation.box_shown import BoxShown
    from thresher.segmentation.prompted import Prompted

#: Of a class that gets no labels.
NONE = ""


@dataclass(frozen=True)
class Rules:
    """What the routes need beside an image."""

    tree: ClassTree
    rates: Float64[np.ndarray, " nodes"]
    """How much of a box is object (`fill_rates`)."""
    sure: float = SURE
    """Least probability at which a pixel is labelled."""
    shown: BoxShown | Prompted | None = None
    """The network that is shown boxes, for the route of that name."""


@dataclass(frozen=True)
class Seen:
    """What is known of an image, at the size at which the teacher saw it."""

    probabilities: Float32[np.ndarray, "classes h w"]
    boxes: ImageBoxes
    pixels: UInt8[np.ndarray, "image_h image_w 3"]
    """The image at its own size."""


def _unlabelled(seen: Seen, rules: Rules) -> np.ndarray:
    return confident(seen.probabilities, rules.sure)


def _gate(seen: Seen, rules: Rules) -> np.ndarray:
    return gate(seen.probabilities, seen.boxes, rules.tree, rules.sure)


def _fill(seen: Seen, rules: Rules) -> np.ndarray:
    return fill(seen.probabilities, seen.boxes, rules.tree, rules.rates, rules.sure)


def _shown(seen: Seen, rules: Rules) -> np.ndarray:
    if rules.shown is None:
        raise ValueError("the route 'shown' needs a network that is shown boxes")
    size, boxes = seen.probabilities.shape[1:], seen.boxes
    places = [window(corners, (size[0], size[1])) for corners in boxes.corners]
    masks = rules.shown.in_boxes(seen.pixels, boxes.corners, boxes.nodes, places, size)
    return shown(seen.probabilities, masks, seen.boxes, rules.tree, rules.sure)


#: From what is seen of an image to its labels: classes as the tree numbers them, their number where there is none. In
#: the order in which the first is taken of those that are equally good.
ROUTES: dict[str, Callable[[Seen, Rules], np.ndarray]] = {
    "gate": _gate,
    "fill": _fill,
    "shown": _shown,
    "unlabelled": _unlabelled,
}


def by_classes(
    seen: Seen, rules: Rules, route_of: Mapping[str, str], boxed: Bool[np.ndarray, " classes"]
) -> UInt8[np.ndarray, "h w"]:
    """Labels in which each class comes from its own route.

    Where two routes give a pixel to different classes, one that boxes are drawn around goes before stuff; of two such
    the pixel gets none.

    Args:
        route_of: For each class a route, or `NONE`: it gets no labels.
        boxed: The classes that boxes are drawn around.
    """
    classes, void = rules.tree.classes, rules.tree.void
    routes = dict.fromkeys(route_of[name] for name in classes if route_of[name] != NONE)
    found = {route: ROUTES[route](seen, rules) for route in routes}
    height, width = seen.probabilities.shape[1:]
    labels = np.full((height, width), void, np.uint8)
    if len(found) == 1:
        (labels,) = found.values()
        dropped = [number for number, name in enumerate(classes) if route_of[name] == NONE]
        return np.where(np.isin(labels, dropped), void, labels).astype(np.uint8) if dropped else labels
    for things in (False, True):
        claimed = np.zeros((height, width), np.uint8)
        given = np.full((height, width), void, np.uint8)
        for number in np.flatnonzero(boxed == things):
            route = route_of[classes[number]]
            if route != NONE:
                mine = found[route] == number
                given[mine] = number
                claimed += mine
        labels = np.where(claimed > 0, np.where(claimed == 1, given, void), labels).astype(np.uint8)
    return labels
