"""Boxes as labels of pixels: at each pixel, the share of each class among the boxes that cover it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch.nn import functional

from thresher.segmentation.tree import ABSENT, UNSAID


def box_shares(
    corners: Float[torch.Tensor, "boxes 4"], outputs: Int64[torch.Tensor, " boxes"], count: int, size: tuple[int, int]
) -> Float32[torch.Tensor, "count h w"]:
    """What the boxes of one image say to one classifier: two cars and a bus over a pixel make 2/3 car and 1/3 bus.

    A pixel lies in a box if its centre does; a box too thin for any centre has the pixels of its middle line, and one
    without area has none. What reaches over the border is cut off there. A box of a crowd counts once, like any other:
    shares tell how likely a class is, not how many objects there are (ours).

    Args:
        corners: x0, y0, x1, y1 in pixels; edges of pixels lie on whole numbers.
        outputs: What each box is to the classifier: an output other than void, `ABSENT` or `UNSAID`.
        count: Outputs of the classifier, the last of which is void.
        size: Height and width in pixels.

    Returns:
        Shares from 0 to 1 that sum to 1 at each pixel: void where no box is; but all 0, hence no label at all, where
        the only boxes are `UNSAID` ("Vehicle" does not say which, and is no evidence of void either; ours).

    Source: arXiv 1903.03462 §III-B.

    >>> two = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0]])
    >>> box_shares(two, torch.tensor([0, 1]), 3, (1, 4))[:, 0].tolist()
    [[1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    height, width = size
    columns, rows = _covered(corners[:, 0::2], width), _covered(corners[:, 1::2], height)
    kept = (outputs != ABSENT) & (corners[:, :2] < corners[:, 2:]).all(1)
    # Void's layer is free for the unsaid, as no box is of void.
    layer = torch.where(outputs == UNSAID, count - 1, outputs)[kept]
    layers = functional.one_hot(layer, count).to(torch.float32)
    # A box is its rows times its columns, so one product of matrices counts the boxes over every pixel.
    over = (layers[:, :, None] * rows[kept][:, None]).flatten(1).T @ columns[kept]
    over = over.reshape(count, height, width)
    said = over[:-1]
    shares = said / said.sum(0).clamp(min=1)
    return torch.cat([shares, (over.sum(0, keepdim=True) == 0).to(shares.dtype)])


def _covered(ends: Float[torch.Tensor, "boxes 2"], length: int) -> Float32[torch.Tensor, "boxes length"]:
    """1 for the pixels along one axis that a box covers, 0 for the others."""
    first, behind = (ends - 0.5).ceil().unbind(1)
    thin = first == behind
    middle = ends.mean(1).floor()
    first, behind = torch.where(thin, middle, first), torch.where(thin, middle + 1, behind)
    places = torch.arange(length)
    return ((first[:, None] <= places) & (places < behind[:, None])).to(torch.float32)


def box_yield(
    probabilities: Float32[np.ndarray, "outputs h w"],
    corners: Float32[np.ndarray, "boxes 4"],
    parents: Int64[np.ndarray, " boxes"],
) -> float:
    """How much supervision the boxes of an image would give: Σ over boxes of area × P(parent class inside the box).

    P is the mean over the pixels whose centres lie in the box (of a box too thin for any, those of its middle line). A
    box of a crowd counts once, as it does in `box_shares`; what overlaps counts each time (ours).

    Args:
        probabilities: Of the root's outputs at each pixel, 0..1.
        corners: x0, y0, x1, y1 as shares of the picture's sides, 0..1.
        parents: The root's output for each box: its class's group, or its class itself where that has none; below 0 if
            the root does not know it, and then the box counts nothing.

    Returns:
        Shares of the picture, 0 or more; above 1 only where boxes overlap. Higher teaches more.

    Source: ours (METHOD §3), after the condition under which arXiv 1907.07023 §IV learns from a weak pixel.

    >>> half = np.array([[[1, 0]], [[0, 1]]], np.float32)  # left: the first class, right: the second
    >>> box_yield(half, np.array([[0, 0, 1, 0.5]], np.float32), np.array([0]))
    0.25
    """
    height, width = probabilities.shape[1:]
    kept = (parents >= 0) & (corners[:, :2] < corners[:, 2:]).all(1)
    ends, parents = torch.from_numpy(corners[kept]), parents[kept]
    columns, rows = _covered(ends[:, 0::2] * width, width), _covered(ends[:, 1::2] * height, height)
    inside = torch.einsum("bh,bhw,bw->b", rows, torch.from_numpy(probabilities[parents]), columns)
    areas = (ends[:, 2:] - ends[:, :2]).prod(1)
    return float((areas * inside / (rows.sum(1) * columns.sum(1))).sum())
