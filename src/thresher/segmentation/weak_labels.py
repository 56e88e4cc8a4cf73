"""Boxes as targets of pixels: at each pixel, the share of each class among the boxes that cover it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch.nn import functional

from thresher.segmentation.tree import ABSENT, UNSAID


def box_shares(
    corners: Float[torch.Tensor, "boxes 4"],
    outputs: Int64[torch.Tensor, " boxes"],
    count: int,
    size: tuple[int, int],
    others_are_void: bool = False,
) -> Float32[torch.Tensor, "count h w"]:
    """The targets that the boxes of one image give one classifier: a pixel in two cars and a bus is 2/3 car, 1/3 bus.

    A pixel lies in a box if its centre does. A box too thin for any centre covers the pixels of its middle line, and
    one without area covers none; parts outside the image are ignored. A box of a crowd counts once, like any other:
    shares are probabilities of classes, not numbers of objects (our choice).

    Args:
        corners: x0, y0, x1, y1 in pixels; edges of pixels lie on whole numbers.
        outputs: Each box's output in the classifier (not void), or `ABSENT`, or `UNSAID`.
        count: Number of outputs of the classifier, the last of which is void.
        size: Height and width in pixels.
        others_are_void: Count boxes outside the classifier too, as void: a car and two persons are car 1/3, void 2/3
            (as in the code of arXiv 1903.03462). By default they are ignored.

    Returns:
        Shares, 0..1, that sum to 1 at each pixel, with void 1 where no box is. Where the only boxes are `UNSAID` all
        are 0, which is no label: "Vehicle" does not say which class, and does not speak for void either (our choice).

    Source: arXiv 1903.03462 §III-B.

    >>> two = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0]])
    >>> box_shares(two, torch.tensor([0, 1]), 3, (1, 4))[:, 0].tolist()
    [[1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    height, width = size
    columns, rows = covered(corners[:, 0::2], width), covered(corners[:, 1::2], height)
    kept = (outputs != ABSENT) & (corners[:, :2] < corners[:, 2:]).all(1)
    # No box is of void, so its layer can count the unsaid ones.
    unsaid = _boxes_over(torch.where(outputs == UNSAID, count - 1, outputs)[kept], rows[kept], columns[kept], count)
    of_classes, anything = unsaid[:-1], unsaid.sum(0, keepdim=True) > 0
    if not others_are_void:
        return torch.cat([of_classes / of_classes.sum(0).clamp(min=1), (~anything).to(torch.float32)])
    real = (outputs == ABSENT) & (corners[:, :2] < corners[:, 2:]).all(1)
    others = _boxes_over(outputs[real] * 0, rows[real], columns[real], 1)
    total = (of_classes.sum(0, keepdim=True) + others).clamp(min=1)
    return torch.cat([of_classes / total, torch.where(anything | (others > 0), others / total, 1)])


def _boxes_over(
    layer: Int64[torch.Tensor, " boxes"],
    rows: Float32[torch.Tensor, "boxes h"],
    columns: Float32[torch.Tensor, "boxes w"],
    count: int,
) -> Float32[torch.Tensor, "count h w"]:
    """The number of boxes of each layer over every pixel.

    A box is the outer product of its rows and columns, so one matrix product counts them.
    """
    layers = functional.one_hot(layer, count).to(torch.float32)
    over = (layers[:, :, None] * rows[:, None]).flatten(1).T @ columns
    return over.reshape(count, rows.shape[1], columns.shape[1])


def covered(ends: Float[torch.Tensor, "boxes 2"], length: int) -> Float32[torch.Tensor, "boxes length"]:
    """1 for the pixels along one axis that a box covers, 0 for the others.

    Args:
        ends: Where each box begins and ends along the axis, in pixels.
        length: Of the axis, in pixels.
    """
    first, behind = (ends - 0.5).ceil().unbind(1)
    thin = first == behind
    middle = ends.mean(1).floor()
    first, behind = torch.where(thin, middle, first), torch.where(thin, middle + 1, behind)
    places = torch.arange(length)
    return ((first[:, None] <= places) & (places < behind[:, None])).to(torch.float32)


def yield_area(
    probabilities: Float32[np.ndarray, "outputs h w"],
    corners: Float32[np.ndarray, "boxes 4"],
    parents: Int64[np.ndarray, " boxes"],
) -> float:
    """How much a network would learn from the boxes of an image: Σ over boxes of area × P(parent class inside the box).

    P is the mean probability over the pixels whose centres lie in the box (of a box too thin for any, over its middle
    line). A box of a crowd counts once, as in `box_shares`; overlapping boxes count each (our choice).

    Args:
        probabilities: Of the root's outputs at each pixel, 0..1.
        corners: x0, y0, x1, y1 as shares of the image's sides, 0..1.
        parents: The root's output for each box: the group of its class, or the class itself if it has no group. Below 0
            if it is outside the root; such a box counts nothing.

    Returns:
        Area as a share of the image, 0 or more; above 1 only where boxes overlap. Higher means more to learn from.

    Source: ours (METHOD §3), after the condition under which arXiv 1907.07023 §IV learns from a weak pixel.

    >>> half = np.array([[[1, 0]], [[0, 1]]], np.float32)  # left: the first class, right: the second
    >>> yield_area(half, np.array([[0, 0, 1, 0.5]], np.float32), np.array([0]))
    0.25
    """
    height, width = probabilities.shape[1:]
    kept = (parents >= 0) & (corners[:, :2] < corners[:, 2:]).all(1)
    ends, parents = torch.from_numpy(corners[kept]), parents[kept]
    columns, rows = covered(ends[:, 0::2] * width, width), covered(ends[:, 1::2] * height, height)
    inside = torch.einsum("bh,bhw,bw->b", rows, torch.from_numpy(probabilities[parents]), columns)
    areas = (ends[:, 2:] - ends[:, :2]).prod(1)
    return float((areas * inside / (rows.sum(1) * columns.sum(1))).sum())
