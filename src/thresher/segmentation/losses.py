"""The loss of a tree of classifiers on strong pixels (with a label) and weak ones (under boxes), and its decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch.nn import functional

from thresher.segmentation.box_cover import BoxCover
from thresher.segmentation.probabilities import class_log_probabilities
from thresher.segmentation.tree import Classifier, ClassTree

#: λ, the weight of each group's loss; the root's is 1. Source: arXiv 1903.03462 §III-C.
GROUP_WEIGHT = 0.1
#: Weight of the pixels labelled from boxes; that of the true labels is 1. With 1 the few pixels of such labels weigh as
#: much as all true ones, and classes without boxes fade (ours; docs/experiments/training-made-up-scenes.md).
LABEL_WEIGHT = 0.3


@dataclass(frozen=True)
class Losses:
    """The loss and its parts; all are tensors, so that nothing waits for the GPU."""

    total: Float[torch.Tensor, ""]
    parts: Mapping[str, Float[torch.Tensor, ""]]
    """By their names in metrics.jsonl: losses in nats per pixel, and how many weak pixels were learnt from."""


def hierarchical_loss(
    logits: Sequence[Float[torch.Tensor, "images _ h w"]],
    labels: Int64[torch.Tensor, "strong h w"],
    shares: Sequence[Float[torch.Tensor, "weak _ h w"]],
    tree: ClassTree,
    group_weight: float = GROUP_WEIGHT,
) -> Losses:
    """Cross-entropy of the root on strong pixels + `group_weight` · Σ cross-entropies of the groups.

    A group learns from strong pixels, and from those weak pixels that the root currently assigns to the group. A
    classifier's cross-entropy is the mean over the pixels that have a label in it; 0 if none has. Void is no label, so
    nothing is learnt from pixels without annotation, from pixels of other classes (in a group), or from pixels that no
    box covers. (The papers leave this open. It is our choice, as boxes are incomplete and IoU ignores void as well.)

    Args:
        logits: Of each classifier of the tree, for the strong images and then the weak ones.
        labels: Classes of the strong images; `tree.void` where there is none.
        shares: For each group, those of `box_shares`.

    Source: arXiv 1907.07023 §IV, arXiv 1903.03462 §III-C.
    """
    strong = len(labels)
    root_logits, *group_logits = logits
    root_sum, root_pixels = _on_labels(root_logits[:strong], labels, tree, tree.root)
    root = root_sum / root_pixels.clamp(min=1)
    assigned = highest(root_logits[strong:].detach())
    parts, groups = {"root_loss": root, "box_loss": torch.zeros_like(root)}, []
    for group, outputs, weak in zip(tree.groups, group_logits, shares, strict=True):
        agreed = assigned == tree.root.outputs.index(group.name)
        strong_sum, strong_pixels = _on_labels(outputs[:strong], labels, tree, group)
        weak_sum, weak_pixels = _on_shares(outputs[strong:], weak, agreed)
        groups.append((strong_sum + weak_sum) / (strong_pixels + weak_pixels).clamp(min=1))
        parts |= {f"{group.name}_loss": groups[-1], f"{group.name}_weak_pixels": weak_pixels}
    total = root + group_weight * torch.stack([*groups, torch.zeros_like(root)]).sum()
    return Losses(total, parts)


def label_loss(
    logits: Sequence[Float[torch.Tensor, "images _ h w"]],
    labels: Int64[torch.Tensor, "strong h w"],
    weak_labels: Int64[torch.Tensor, "weak h w"],
    tree: ClassTree,
    label_weight: float = LABEL_WEIGHT,
) -> Losses:
    """Mean of −log p(class) over strong pixels + `label_weight` · the same over pixels labelled from boxes.

    p is the distribution over all classes that the tree gives (`class_log_probabilities`). A mean over no pixels is 0.

    Args:
        logits: Of each classifier of the tree, for the strong images and then the weak ones.
        labels: Classes of the strong images; `tree.void` where there is none.
        weak_labels: Those of the weak images (`thresher labels`).

    Source: ours (METHOD §5b); cross-entropy of pseudo-labels, after Lee 2013.
    """
    log_probabilities, strong = class_log_probabilities(logits, tree), len(labels)
    true, _ = _on_classes(log_probabilities[:strong], labels, tree)
    weak, pixels = _on_classes(log_probabilities[strong:], weak_labels, tree)
    return Losses(true + label_weight * weak, {"strong_loss": true, "weak_loss": weak, "weak_pixels": pixels})


def _on_classes(
    log_probabilities: Float[torch.Tensor, "n classes h w"], labels: Int64[torch.Tensor, "n h w"], tree: ClassTree
) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, ""]]:
    """The mean of −log p over the labelled pixels, and how many those are."""
    total = functional.nll_loss(log_probabilities, labels, ignore_index=tree.void, reduction="sum")
    pixels = (labels != tree.void).sum().to(total.dtype)
    return total / pixels.clamp(min=1), pixels


def with_box_loss(
    losses: Losses,
    logits: Float[torch.Tensor, "images boxed h w"],
    cover: BoxCover,
    box_weight: float,
) -> Losses:
    """The losses with that of the auxiliary head added, `box_weight` times (our addition to the papers).

    It is the binary cross-entropy of where the boxes of each node lie: the mean over the pixels and nodes for which
    that is known, 0 if there are none. The encoder's features learn from it what objects look like, while the root does
    not learn that every pixel in a box belongs to the object.
    """
    each = functional.binary_cross_entropy_with_logits(logits, cover.inside.to(logits.dtype), reduction="none")
    boxes = (each * cover.known).sum() / cover.known.sum().clamp(min=1)
    return Losses(losses.total + box_weight * boxes, {**losses.parts, "box_loss": boxes})


def _on_labels(
    logits: Float[torch.Tensor, "n outputs h w"],
    labels: Int64[torch.Tensor, "n h w"],
    tree: ClassTree,
    classifier: Classifier,
) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, ""]]:
    """The sum of the cross-entropy over the pixels that have a label in a classifier, and how many those are."""
    targets = torch.from_numpy(tree.outputs_of_classes(classifier)).to(labels.device)[labels]
    total = functional.cross_entropy(logits, targets, ignore_index=classifier.void, reduction="sum")
    return total, (targets != classifier.void).sum().to(total.dtype)


def _on_shares(
    logits: Float[torch.Tensor, "n outputs h w"],
    shares: Float[torch.Tensor, "n outputs h w"],
    counted: torch.Tensor,
) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, ""]]:
    """The same for targets that are shares, over the pixels in `counted` that lie in a box of a class."""
    labelled = counted & (shares[:, :-1].sum(1) > 0)
    cross_entropy = -(shares * functional.log_softmax(logits, 1)).sum(1)
    return torch.where(labelled, cross_entropy, 0).sum(), labelled.sum().to(logits.dtype)


def highest(logits: Float[torch.Tensor, "images outputs h w"]) -> Int64[torch.Tensor, "images h w"]:
    """The highest output at each pixel; the first of equal ones.

    The same as argmax over outputs, which is ten times as slow on a CPU because of its memory access pattern.
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
    """The class of each pixel: the root's highest output; where that is a group, the highest of its children.

    Void is never chosen, as IoU ignores pixels labelled void (our choice).

    Source: arXiv 1903.03462 §III-A.
    """
    root_logits, *group_logits = logits
    chosen = highest(root_logits[:, :-1])
    device = chosen.device
    decided = torch.from_numpy(tree.classes_of_outputs(tree.root)).to(device)[chosen]
    for group, outputs in zip(tree.groups, group_logits, strict=True):
        child = torch.from_numpy(tree.classes_of_outputs(group)).to(device)[highest(outputs[:, :-1])]
        decided = torch.where(chosen == tree.root.outputs.index(group.name), child, decided)
    return decided
