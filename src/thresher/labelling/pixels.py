"""What a teacher network and the boxes of an image say about its pixels: the rules, on arrays.

A teacher is a network trained on masks alone. Everywhere `classes` are numbered as in the tree; the number of classes
itself is void, which is no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from thresher.data.taxonomy import VOID
from thresher.segmentation.tree import ClassTree

#: Least probability at which a pixel is labelled.
SURE = 0.8
#: The surest pixels of a box that are labelled, and the share beyond which pixels are not of its class; both as shares
#: of the part of such boxes that is object on the target's masks (`fill_rates`). Source: after Song et al. 2019,
#: "Box-driven class-wise region masking and filling rate guided loss", CVPR; the values are ours.
INNER, OUTER = 0.8, 1.3
#: A network that is shown a box says "object" above the first, "not object" below the second (ours).
IS, IS_NOT = 0.7, 0.3


@dataclass(frozen=True)
class ImageBoxes:
    """The boxes of one image, and what it says of the classes that have none."""

    corners: Float32[np.ndarray, "boxes 4"]
    """x0, y0, x1, y1 as shares of the image's sides, 0..1."""
    nodes: Int64[np.ndarray, " boxes"]
    """The node of each box, as the tree numbers them: a class, a group or void."""
    exhaustive: Bool[np.ndarray, " classes"]
    """For each class, whether the image has none of it outside boxes. False for what nobody draws boxes around."""


def opened_classes(tree: ClassTree) -> Bool[np.ndarray, "nodes classes"]:
    """For each node the classes that a box of it may hold: the class itself, a group's children, none for void."""
    opened = np.zeros((len(tree.nodes), len(tree.classes)), np.bool_)
    for place, name in enumerate(tree.nodes):
        if name != VOID:
            opened[place, list(tree.classes_of_boxed(name)) if name in _names(tree) else []] = True
    return opened


def _names(tree: ClassTree) -> set[str]:
    return {*tree.classes, *(group.name for group in tree.groups)}


def kin(tree: ClassTree) -> Bool[np.ndarray, "nodes classes"]:
    """For each node the classes that look like it: its whole group, or the class itself where it has no group."""
    alike = opened_classes(tree)
    for place, name in enumerate(tree.nodes):
        group = tree.group_of(name)
        if group is not None:
            alike[place] = alike[tree.nodes.index(group.name)]
    return alike


def window(corners: Float32[np.ndarray, " 4"], size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns whose pixel centres a box covers; at least one of each if the box lies in the image.

    >>> window(np.array([0, 0.5, 0.5, 1], np.float32), (4, 4))
    (slice(2, 4, None), slice(0, 2, None))
    """
    height, width = size
    parts = []
    for low, high, length in ((corners[1], corners[3], height), (corners[0], corners[2], width)):
        first, behind = (int(np.ceil(float(end) * length - 0.5)) for end in (low, high))
        if first == behind:
            first = min(int((float(low) + float(high)) / 2 * length), length - 1)
            behind = first + 1
        parts.append(slice(max(first, 0), max(min(behind, length), 0)))
    return parts[0], parts[1]


def confident(probabilities: Float32[np.ndarray, "classes h w"], sure: float = SURE) -> UInt8[np.ndarray, "h w"]:
    """The likeliest class where its probability is at least `sure`, else void: self-training, which needs no boxes."""
    best = probabilities.argmax(0)
    surest = np.take_along_axis(probabilities, best[None], 0)[0]
    labels: UInt8[np.ndarray, "h w"] = np.where(surest >= sure, best, len(probabilities)).astype(np.uint8)
    return labels


def gate(
    probabilities: Float32[np.ndarray, "classes h w"], boxes: ImageBoxes, tree: ClassTree, sure: float = SURE
) -> UInt8[np.ndarray, "h w"]:
    """The likeliest of the classes that the boxes allow at each pixel, where it is sure enough, else void.

    p̃ ∝ p · [class allowed]; allowed are the classes that have a box over the pixel, and everywhere those of which the
    image does not promise all boxes. Where nothing is allowed, and in boxes of void, pixels stay without label.

    Source: ours (METHOD §5b); it pushes no box to be filled.

    >>> from thresher.data.taxonomy import load_taxonomy
    >>> from thresher.segmentation.tree import class_tree
    >>> tree = class_tree(load_taxonomy("camvid"))
    >>> car, road = tree.classes.index("Car"), tree.classes.index("Road")
    >>> p = np.zeros((len(tree.classes), 1, 2), np.float32)
    >>> p[car], p[road] = 0.9, 0.1
    >>> promised = np.zeros(len(tree.classes), bool)
    >>> promised[car] = True
    >>> box = ImageBoxes(np.array([[0, 0, 0.5, 1]], np.float32), np.array([tree.nodes.index("Car")]), promised)
    >>> [tree.classes[n] for n in gate(p, box, tree)[0]]
    ['Car', 'Road']
    """
    size = probabilities.shape[1:]
    places = [window(corners, (size[0], size[1])) for corners in boxes.corners]
    everywhere = [np.ones(probabilities[0][place].shape, np.bool_) for place in places]
    return _gated(probabilities, _allowed(boxes, tree, places, everywhere, size), boxes, tree, places, sure)


def fill(
    probabilities: Float32[np.ndarray, "classes h w"],
    boxes: ImageBoxes,
    tree: ClassTree,
    rates: Float64[np.ndarray, " nodes"],
    sure: float = SURE,
) -> UInt8[np.ndarray, "h w"]:
    """As `gate`, but each box gets as many pixels as boxes of its class hold on the target's masks.

    Pixels of a box are ranked by the teacher's belief in the class's group: what it is not sure of is the kind, and
    that the box tells. The surest `INNER` · rate of them get the box's class (of a group's box, the likeliest child if
    it is sure); those below `OUTER` · rate are not of it; those between get no label. The smaller of two boxes wins.

    Args:
        rates: `fill_rates`.

    Source: METHOD §5b, after Song et al. 2019.
    """
    size = probabilities.shape[1:]
    places = [window(corners, (size[0], size[1])) for corners in boxes.corners]
    alike = kin(tree)
    shares = []
    for node, place in zip(boxes.nodes, places, strict=True):
        belief = probabilities[alike[node]][:, place[0], place[1]].sum(0)
        ranks = np.empty(belief.size, np.int64)
        ranks[np.argsort(-belief, axis=None, kind="stable")] = np.arange(belief.size)
        shares.append(ranks.reshape(belief.shape) / max(belief.size, 1))
    near = [share < OUTER * rates[node] for node, share in zip(boxes.nodes, shares, strict=True)]
    core = [share < INNER * rates[node] for node, share in zip(boxes.nodes, shares, strict=True)]
    return _filled(probabilities, boxes, tree, near, core, sure)


def shown(
    probabilities: Float32[np.ndarray, "classes h w"],
    masks: Sequence[Float32[np.ndarray, "_ _"]],
    boxes: ImageBoxes,
    tree: ClassTree,
    sure: float = SURE,
) -> UInt8[np.ndarray, "h w"]:
    """As `gate`, but in each box a network that was shown the box says which pixels are the object.

    Those above `IS` get the box's class (of a group's box, the likeliest child if it is sure), those below `IS_NOT` are
    not of it, and those between get no label. The smaller of two boxes wins.

    Args:
        masks: For each box the probability, 0..1, that a pixel of its `window` is of its object.
    """
    near, core = [mask >= IS_NOT for mask in masks], [mask > IS for mask in masks]
    return _filled(probabilities, boxes, tree, near, core, sure)


def _filled(
    probabilities: Float32[np.ndarray, "classes h w"],
    boxes: ImageBoxes,
    tree: ClassTree,
    near: list[Bool[np.ndarray, "_ _"]],
    core: list[Bool[np.ndarray, "_ _"]],
    sure: float,
) -> UInt8[np.ndarray, "h w"]:
    """As `gate`, but in each box the pixels of its core get its class, and those only near it get no label."""
    size, opened = probabilities.shape[1:], opened_classes(tree)
    places = [window(corners, (size[0], size[1])) for corners in boxes.corners]
    labels = _gated(probabilities, _allowed(boxes, tree, places, near, size), boxes, tree, places, sure)
    for number in sorted(range(len(places)), key=lambda n: -near[n].size):
        node, place = boxes.nodes[number], places[number]
        if opened[node].any():
            there = labels[place]
            there[near[number]] = len(tree.classes)
            kinds = _kind(probabilities[:, place[0], place[1]], opened[node], sure)
            there[core[number]] = kinds[core[number]]
    return labels


def _kind(
    probabilities: Float32[np.ndarray, "classes h w"], opened: Bool[np.ndarray, " classes"], sure: float
) -> UInt8[np.ndarray, "h w"]:
    """The class of the pixels of an object that is one of the classes opened."""
    (numbers,) = np.nonzero(opened)
    among = probabilities[numbers]
    if len(numbers) == 1:
        return np.full(among.shape[1:], numbers[0], np.uint8)
    found = confident(among / np.maximum(among.sum(0), 1e-12), sure)
    kinds: UInt8[np.ndarray, "h w"] = np.append(numbers, len(opened)).astype(np.uint8)[found]
    return kinds


def _allowed(
    boxes: ImageBoxes,
    tree: ClassTree,
    places: list[tuple[slice, slice]],
    parts: list[Bool[np.ndarray, "_ _"]],
    size: tuple[int, ...],
) -> Bool[np.ndarray, "classes h w"]:
    """For each class the pixels where it may be: everywhere if it is not promised, else in these parts of its boxes."""
    opened = opened_classes(tree)
    allowed = np.broadcast_to(~boxes.exhaustive[:, None, None], (len(tree.classes), *size)).copy()
    for node, place, part in zip(boxes.nodes, places, parts, strict=True):
        for number in np.flatnonzero(opened[node]):
            allowed[number][place] |= part
    return allowed


def _gated(
    probabilities: Float32[np.ndarray, "classes h w"],
    allowed: Bool[np.ndarray, "classes h w"],
    boxes: ImageBoxes,
    tree: ClassTree,
    places: list[tuple[slice, slice]],
    sure: float,
) -> UInt8[np.ndarray, "h w"]:
    left = probabilities * allowed
    total = left.sum(0)
    labels = confident(left / np.maximum(total, 1e-12), sure)
    labels[total <= 0] = len(tree.classes)
    for node, place in zip(boxes.nodes, places, strict=True):
        if tree.nodes[node] == VOID:
            labels[place] = len(tree.classes)
    return labels
