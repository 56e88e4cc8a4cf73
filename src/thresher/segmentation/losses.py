"""The loss of a tree of classifiers on strong and weak pixels together, and the class that the tree decides on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch.nn import functional

from thresher.segmentation.box_cover import BoxCover
from thresher.segmentation.tree import Classifier, ClassTree

#: λ, what the groups' losses weigh beside the root's. Source: arXiv 1903.03462 §III-C.
GROUP_WEIGHT = 0.1


@dataclass(frozen=True)
class Losses:
    """The loss and what it is made of, in nats per pixel; `weak_pixels` counts those that taught each group (tensors,
    so that a GPU need not be waited for).

    `boxes` is that of the auxiliary head; 0 where there is none.
    """

    total: Float[torch.Tensor, ""]
    root: Float[torch.Tensor, ""]
    groups: tuple[Float[torch.Tensor, ""], ...]
    weak_pixels: tuple[Float[torch.Tensor, ""], ...]
    boxes: Float[torch.Tensor, ""]


def hierarchical_loss(
    logits: Sequence[Float[torch.Tensor, "images _ h w"]],
    labels: Int64[torch.Tensor, "strong h w"],
    shares: Sequence[Float[torch.Tensor, "weak _ h w"]],
    tree: ClassTree,
    group_weight: float = GROUP_WEIGHT,
) -> Losses:
    """Root cross-entropy on strong pixels + `group_weight` · Σ of the groups', each on strong pixels and on those weak
    ones that the root, as it is now, gives to the group.

    A classifier's cross-entropy is the mean over the pixels that it has a label for. Void is no label: neither what
    nobody annotated, nor, to a group, what is not of it, nor what no box covers, teaches anything (the papers leave it
    open; ours, since boxes are incomplete and the measure leaves void out as well). Where no pixel is left it is 0.

    Args:
        logits: Of each classifier of the tree, the strong images first, then the weak ones.
        labels: Classes of the strong images, `tree.void` where there is none.
        shares: Of each group, from `box_shares`.

    Source: arXiv 1907.07023 §IV, arXiv 1903.03462 §III-C.
    """
    strong = len(labels)
    root_sum, root_pixels = _on_labels(logits[0][:strong], labels, tree, tree.root)
    root = root_sum / root_pixels.clamp(min=1)
    given_to = highest(logits[0][strong:].detach())
    groups, counts = [], []
    for group, outputs, weak in zip(tree.groups, logits[1:], shares, strict=True):
        agreed = given_to == tree.root.outputs.index(group.name)
        strong_sum, strong_pixels = _on_labels(outputs[:strong], labels, tree, group)
        weak_sum, weak_pixels = _on_shares(outputs[strong:], weak, agreed)
        groups.append((strong_sum + weak_sum) / (strong_pixels + weak_pixels).clamp(min=1))
        counts.append(weak_pixels)
    total = root + group_weight * torch.stack([*groups, torch.zeros_like(root)]).sum()
    return Losses(total, root, tuple(groups), tuple(counts), torch.zeros_like(root))


def with_box_loss(
    losses: Losses,
    logits: Float[torch.Tensor, "images boxed h w"],
    cover: BoxCover,
    box_weight: float,
) -> Losses:
    """The losses, and `box_weight` times what the auxiliary head lacks: where the boxes of each node lie (ours).

    Binary cross-entropy, the mean over pixels and nodes of which it is known whether a box is there; 0 if there is
    none. Features learn from it what things look like; the root does not learn that all of a box is the thing.
    """
    each = functional.binary_cross_entropy_with_logits(logits, cover.inside.to(logits.dtype), reduction="none")
    boxes = (each * cover.known).sum() / cover.known.sum().clamp(min=1)
    return replace(losses, total=losses.total + box_weight * boxes, boxes=boxes)


def _on_labels(
    logits: Float[torch.Tensor, "n outputs h w"],
    labels: Int64[torch.Tensor, "n h w"],
    tree: ClassTree,
    classifier: Classifier,
) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, ""]]:
    """The sum of cross-entropy over the pixels that have a label, and how many those are."""
    spelt = torch.from_numpy(tree.outputs_of_classes(classifier)).to(labels.device)[labels]
    total = functional.cross_entropy(logits, spelt, ignore_index=classifier.void, reduction="sum")
    return total, (spelt != classifier.void).sum().to(total.dtype)


def _on_shares(
    logits: Float[torch.Tensor, "n outputs h w"],
    shares: Float[torch.Tensor, "n outputs h w"],
    counted: torch.Tensor,
) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, ""]]:
    """The same against shares, over the pixels that are counted and under a box that tells a class."""
    said = shares[:, :-1]
    taught = counted & (said.sum(1) > 0)
    surprise = -(said * functional.log_softmax(logits, 1)[:, :-1]).sum(1)
    return torch.where(taught, surprise, 0).sum(), taught.sum().to(logits.dtype)


def highest(logits: Float[torch.Tensor, "images outputs h w"]) -> Int64[torch.Tensor, "images h w"]:
    """The output that is highest at each pixel, the first of equals.

    As argmax over the outputs, whose strides a CPU walks through at a tenth of the speed.
    """
    best, chosen = logits[:, 0], torch.zeros_like(logits[:, 0], dtype=torch.int64)
    for number in range(1, logits.shape[1]):
        other = logits[:, number]
        chosen = torch.where(other > best, number, chosen)
        best = torch.maximum(best, other)
    return chosen


def decision(
    logits: Sequence[Float[torch.Tensor, "images _ h w"]], tree: ClassTree
) -> Int64[torch.Tensor, "images h w"]:
    """The class of each pixel: the root's best output; where that is a group, the best of its children.

    Void is never decided on: no pixel that counts has it (ours).

    Source: arXiv 1903.03462 §III-A.
    """
    chosen = highest(logits[0][:, :-1])
    device = chosen.device
    decided = torch.from_numpy(tree.classes_of_outputs(tree.root)).to(device)[chosen]
    for group, outputs in zip(tree.groups, logits[1:], strict=True):
        child = torch.from_numpy(tree.classes_of_outputs(group)).to(device)[highest(outputs[:, :-1])]
        decided = torch.where(chosen == tree.root.outputs.index(group.name), child, decided)
    return decided
