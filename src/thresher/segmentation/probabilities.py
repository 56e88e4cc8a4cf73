"""The probability of each class at each pixel, from the logits of a tree of classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch.nn import functional

from thresher.segmentation.tree import ClassTree


def class_log_probabilities(
    logits: Sequence[Float[torch.Tensor, "n _ h w"]], tree: ClassTree
) -> Float[torch.Tensor, "n classes h w"]:
    """log p(class) = log p(class or its group in the root) + log p(class in its group); void takes no part.

    Args:
        logits: Of each classifier, in the tree's order.

    Returns:
        In nats; their exponentials sum to 1 over the classes of each pixel.
    """
    root, *groups = (functional.log_softmax(part[:, :-1], 1) for part in logits)
    found = []
    for name in tree.classes:
        group = tree.group_of(name)
        if group is None:
            found.append(root[:, tree.root.outputs.index(name)])
            continue
        child = groups[tree.groups.index(group)][:, group.outputs.index(name)]
        found.append(root[:, tree.root.outputs.index(group.name)] + child)
    return torch.stack(found, 1)
