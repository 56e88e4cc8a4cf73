"""Where boxes lie, class by class: the targets of the auxiliary head, from drawn boxes and from boxes around masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage

from thresher.data.taxonomy import VOID
from thresher.segmentation.tree import ClassTree
from thresher.segmentation.weak_labels import covered


@dataclass(frozen=True)
class BoxCover:
    """For each boxed node of the tree and each pixel: whether it lies inside a box, and whether that is known."""

    inside: Bool[torch.Tensor, "*images boxed h w"]
    known: Bool[torch.Tensor, "*images boxed h w"]

    def to(self, device: torch.device) -> BoxCover:
        """The same on another device."""
        return BoxCover(self.inside.to(device), self.known.to(device))


def drawn_cover(
    corners: Float[torch.Tensor, "boxes 4"],
    nodes: Int64[torch.Tensor, " boxes"],
    labelled: Bool[torch.Tensor, " boxed"],
    tree: ClassTree,
    size: tuple[int, int],
) -> BoxCover:
    """The cover by the boxes of a weakly labelled image. A child's box is also its group's.

    It is unknown for nodes that are not labelled in the image, in boxes to be ignored, and, for a child, in boxes that
    name only its group, unless a box of that very child is there too.

    Args:
        corners: x0, y0, x1, y1 in pixels.
        nodes: The node of each box, as the tree numbers them.
        labelled: For each of the tree's boxed nodes, whether it is labelled in this image.
        size: Height and width in pixels.
    """
    height, width = size
    rows, columns = covered(corners[:, 1::2], height).bool(), covered(corners[:, 0::2], width).bool()
    real = (corners[:, :2] < corners[:, 2:]).all(1)

    def inside(names: tuple[str, ...]) -> torch.Tensor:
        kept = real & torch.isin(nodes, torch.tensor([tree.nodes.index(name) for name in names]))
        return (rows[kept][:, :, None] & columns[kept][:, None]).any(0)

    ignored = inside((VOID,))
    children = {group.name: group.outputs[:-1] for group in tree.groups}
    there, unsure = [], []
    for name in tree.boxed:
        there.append(inside((name, *children.get(name, ()))))
        group = tree.group_of(name)
        unsure.append(ignored if group is None else ignored | inside((group.name,)))
    stacked = torch.stack(there)
    return BoxCover(stacked, labelled[:, None, None] & (stacked | ~torch.stack(unsure)))


def mask_cover(labels: Int64[torch.Tensor, "h w"], tree: ClassTree) -> BoxCover:
    """The cover by boxes around the things of a label map: one around each connected part of a class.

    Objects of a class that touch share a box. It is unknown where pixels have no label.
    """
    numbers = labels.numpy()
    inside = np.zeros((len(tree.boxed), *numbers.shape), np.bool_)
    cover_of: dict[int, np.ndarray] = {}
    for place, name in enumerate(tree.boxed):
        for number in tree.classes_of_boxed(name):
            if number not in cover_of:
                cover_of[number] = _rectangles(numbers == number)
            inside[place] |= cover_of[number]
    known = (labels != tree.void).expand(len(tree.boxed), -1, -1)
    return BoxCover(torch.from_numpy(inside), known)


def _rectangles(mask: np.ndarray) -> np.ndarray:
    filled = np.zeros_like(mask)
    if mask.any():
        for part in ndimage.find_objects(ndimage.label(mask)[0]):
            filled[part] = True
    return filled
