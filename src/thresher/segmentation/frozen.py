"""A small head on the features of a frozen encoder: trained in seconds, on arrays that are worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch.nn import functional

from thresher.segmentation.averages import Averages
from thresher.segmentation.examples import places
from thresher.segmentation.frozen_encoder import MULTIPLE, STRIDES, Levels
from thresher.segmentation.inference import upscaled_decision
from thresher.segmentation.losses import hierarchical_loss, label_loss
from thresher.segmentation.metrics import confusion
from thresher.segmentation.probabilities import class_log_probabilities
from thresher.segmentation.tree import ClassTree
from thresher.segmentation.weak_labels import box_shares

#: Channels in which the levels are summed.
WIDTH = 64
#: AdamW's learning rate at the first step, from where it falls to 0 along a cosine, and its weight decay. Chosen
#: among three settings on the animals pair, on trainings without weakly labelled images.
LEARNING_RATE, WEIGHT_DECAY = 0.004, 0.01
#: Random streams of one seed: the order of the strong images, and that of the others. Their cuts are two above.
_STRONG, _OTHERS = 0, 1


@dataclass(frozen=True)
class HeadSettings:
    """How a head is trained."""

    steps: int
    strong_batch: int
    """Strong images per step."""
    weak_batch: int
    """Weakly labelled images per step; where there are none, as many strong ones more."""
    window: tuple[int, int]
    """Height and width, in pixels, of what is cut out of an image at each step; multiples of 32."""
    loss: Literal["hierarchical", "labels"] = "labels"
    """hierarchical: the paper's, on `shares`. labels: on the pixel labels of weakly labelled images."""
    group_weight: float = 0.1
    """Weight of each group classifier's loss (loss = hierarchical)."""
    label_weight: float = 0.3
    """Weight of the weakly labelled pixels (loss = labels); that of the strong ones is 1."""
    ema: float = 0.99
    """Decay per step of the moving average of the weights."""
    seed: int = 0
    """Of the head's first weights, the order of images and their cuts."""


@dataclass(frozen=True)
class Example:
    """An image to learn from: its features, and what is known of its pixels on the finest grid."""

    levels: Levels
    labels: UInt8[np.ndarray, "_ _"]
    """The class of each cell as the tree numbers them; the number of classes is void."""
    shares: tuple[Float32[np.ndarray, "_ _ _"], ...] = ()
    """For each group what the boxes say (`weak_labels.box_shares`); empty if the labels say all."""


class Head(torch.nn.Module):
    """A layer for each level, their sum on the finest grid, and the logits of every classifier of the tree from it.

    Features are standardised first: each channel less its mean, over its standard deviation.
    """

    def __init__(
        self, tree: ClassTree, means: Sequence[Float64[np.ndarray, " _"]], stds: Sequence[Float64[np.ndarray, " _"]]
    ) -> None:
        """An untrained head; there is a mean and a standard deviation for each channel of each level."""
        super().__init__()
        self.outputs = [len(classifier.outputs) for classifier in tree.classifiers]
        self.levels = torch.nn.ModuleList(torch.nn.Linear(len(mean), WIDTH) for mean in means)
        self.last = torch.nn.Linear(WIDTH, sum(self.outputs))
        for number, (mean, std) in enumerate(zip(means, stds, strict=True)):
            self.register_buffer(f"mean{number}", torch.from_numpy(mean).float())
            self.register_buffer(f"scale{number}", 1 / torch.from_numpy(std).float().clamp(min=1e-6))

    def forward(
        self, levels: Sequence[Float32[torch.Tensor, "n _ _ _"]]
    ) -> tuple[Float32[torch.Tensor, "n _ rows columns"], ...]:
        """The logits of each classifier on the finest grid, in the tree's order.

        Args:
            levels: Of images of one size, finest first, channels last.
        """
        found: torch.Tensor | None = None
        for number in reversed(range(len(levels))):
            layer = self.levels[number]
            assert isinstance(layer, torch.nn.Linear)
            # Standardising the weights in place of the features gives the same for a fraction of the time.
            weight = layer.weight * self.get_buffer(f"scale{number}")
            bias = layer.bias - weight @ self.get_buffer(f"mean{number}")
            own = functional.linear(levels[number], weight, bias).permute(0, 3, 1, 2)
            if found is not None:
                own = own + functional.interpolate(found, own.shape[2:], mode="bilinear")
            found = own
        assert found is not None
        logits = functional.linear(functional.relu(found).permute(0, 2, 3, 1), self.last.weight, self.last.bias)
        return torch.split(logits.permute(0, 3, 1, 2).contiguous(), self.outputs, 1)


def channel_statistics(
    images: Iterable[Levels],
) -> tuple[list[Float64[np.ndarray, " _"]], list[Float64[np.ndarray, " _"]]]:
    """Mean and standard deviation of each channel of each level, over all cells of all images."""
    count, sums, squares = 0, None, None
    for levels in images:
        cells = [level.reshape(-1, level.shape[2]).astype(np.float64) for level in levels]
        means, meansquares = [each.mean(0) for each in cells], [np.square(each).mean(0) for each in cells]
        sums = means if sums is None else [a + b for a, b in zip(sums, means, strict=True)]
        squares = meansquares if squares is None else [a + b for a, b in zip(squares, meansquares, strict=True)]
        count += 1
    assert sums is not None and squares is not None, "no images"
    means = [each / count for each in sums]
    variances = [each / count - np.square(mean) for each, mean in zip(squares, means, strict=True)]
    return means, [np.sqrt(np.maximum(each, 0)) for each in variances]


def grid_labels(labels: UInt8[np.ndarray, "h w"], grid: tuple[int, int]) -> UInt8[np.ndarray, "rows columns"]:
    """A label map on a grid: the label at the centre of each cell."""
    exact = functional.interpolate(torch.from_numpy(np.array(labels))[None, None], grid, mode="nearest-exact")
    found: UInt8[np.ndarray, "rows columns"] = exact[0, 0].numpy()
    return found


def grid_shares(
    corners: Float32[np.ndarray, "boxes 4"], nodes: Int64[np.ndarray, " boxes"], tree: ClassTree, grid: tuple[int, int]
) -> tuple[Float32[np.ndarray, "_ rows columns"], ...]:
    """What boxes say on a grid: `box_shares` of each group of the tree.

    Args:
        corners: x0, y0, x1, y1 as shares of the image's sides, 0..1.
        nodes: The node of each box, as the tree numbers them.
    """
    scaled = torch.from_numpy(corners) * torch.tensor([grid[1], grid[0]] * 2)
    return tuple(
        box_shares(scaled, torch.from_numpy(tree.outputs_of_nodes(group)[nodes]), len(group.outputs), grid).numpy()
        for group in tree.groups
    )


def trained_head(strong: Sequence[Example], weak: Sequence[Example], tree: ClassTree, settings: HeadSettings) -> Head:
    """A head trained on these images: a pure function of its arguments. Its weights are averaged over the steps (EMA).

    Heads of one seed start alike and see the same strong images in the same order and cuts, whatever the others are;
    without weakly labelled images, strong ones take their place, so that a step has as many images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = Head(tree, *channel_statistics(each.levels for each in strong))
    averages = Averages(head)
    optimiser = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, settings.steps))
    loss_of = _LOSSES[settings.loss]
    for step in range(settings.steps):
        first = _drawn(strong, step, settings.strong_batch, _STRONG, settings)
        others = _drawn(weak or strong, step, settings.weak_batch, _OTHERS, settings)
        batch = _Batch(*_gathered([*first, *others]), settings.strong_batch if weak else len(first) + len(others))
        optimiser.zero_grad()
        torch.autograd.backward(loss_of(head(batch.levels), batch, tree, settings))
        optimiser.step()
        schedule.step()
        averages.add(step, settings.ema)
    head.load_state_dict(averages.state)
    return head.eval()


@dataclass(frozen=True)
class _Batch:
    """Cuts of a step's images, the strong ones first."""

    levels: list[Float32[torch.Tensor, "n _ _ _"]]
    labels: Int64[torch.Tensor, "n rows columns"]
    shares: list[Float32[torch.Tensor, "weak _ rows columns"]]
    """Of the images that are not strong; empty if the labels say all."""
    strong: int


def _drawn(among: Sequence[Example], step: int, batch: int, stream: int, settings: HeadSettings) -> list[Example]:
    """The images of a step, each cut and perhaps mirrored."""
    chosen = places(step, batch, len(among), settings.seed, stream)
    draws = np.random.default_rng([settings.seed, 2 + stream, step]).random((batch, 3))
    return [_cut(among[place], settings.window, draw) for place, draw in zip(chosen, draws.tolist(), strict=True)]


def _cut(example: Example, window: tuple[int, int], draw: Sequence[float]) -> Example:
    """A random part of this size in pixels, of whole cells of the coarsest level; mirrored every other time.

    Args:
        draw: Three numbers, 0..1: where it begins, down and across, and whether it is mirrored.
    """
    coarsest = example.levels[-1].shape
    sizes = [side // MULTIPLE for side in window]
    starts = [int(at * (there - size + 1)) for at, there, size in zip(draw, coarsest, sizes, strict=False)]
    turn = -1 if draw[2] < 0.5 else 1

    def part(stride: int) -> tuple[slice, slice]:
        cells = MULTIPLE // stride
        rows, columns = (slice(at * cells, (at + size) * cells) for at, size in zip(starts, sizes, strict=True))
        return rows, columns

    levels = tuple(level[part(stride)][:, ::turn] for level, stride in zip(example.levels, STRIDES, strict=True))
    finest = part(STRIDES[0])
    shares = tuple(each[:, finest[0], finest[1]][:, :, ::turn] for each in example.shares)
    return Example(levels, example.labels[finest][:, ::turn], shares)


def _gathered(
    examples: Sequence[Example],
) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
    levels = [
        torch.from_numpy(np.stack([each.levels[number] for each in examples])).float()
        for number in range(len(examples[0].levels))
    ]
    labels = torch.from_numpy(np.stack([each.labels for each in examples])).long()
    weak = [each.shares for each in examples if each.shares]
    shares = [torch.from_numpy(np.stack(parts)) for parts in zip(*weak, strict=True)]
    return levels, labels, shares


Logits = Sequence[Float32[torch.Tensor, "n _ rows columns"]]


def _paper_loss(logits: Logits, batch: _Batch, tree: ClassTree, settings: HeadSettings) -> torch.Tensor:
    shares = batch.shares or [torch.zeros((0, *part.shape[1:])) for part in logits[1:]]
    return hierarchical_loss(logits, batch.labels[: batch.strong], shares, tree, settings.group_weight).total


def _label_loss(logits: Logits, batch: _Batch, tree: ClassTree, settings: HeadSettings) -> torch.Tensor:
    true, weak = batch.labels[: batch.strong], batch.labels[batch.strong :]
    return label_loss(logits, true, weak, tree, settings.label_weight).total


_LOSSES: dict[str, Callable[[Logits, _Batch, ClassTree, HeadSettings], torch.Tensor]] = {
    "hierarchical": _paper_loss,
    "labels": _label_loss,
}


def _batch_of_one(levels: Levels) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(level))[None].float() for level in levels]


def class_probabilities(head: Head, levels: Levels, tree: ClassTree) -> Float32[np.ndarray, "classes rows columns"]:
    """The probability of each class at each cell of an image's finest grid, 0..1."""
    with torch.inference_mode():
        found: Float32[np.ndarray, "classes rows columns"] = (
            class_log_probabilities(head(_batch_of_one(levels)), tree)[0].exp().numpy()
        )
    return found


def head_confusion(
    head: Head, images: Iterable[tuple[Levels, UInt8[np.ndarray, "h w"]]], tree: ClassTree
) -> Int64[np.ndarray, "classes classes"]:
    """The confusion matrix over all images, as `inference.measured` counts: each at the size of its labels, to which
    logits are scaled bilinearly; rows are labels, columns decisions.
    """
    total = np.zeros((len(tree.classes), len(tree.classes)), np.int64)
    with torch.inference_mode():
        for levels, labels in images:
            size = (labels.shape[0], labels.shape[1])
            decided = upscaled_decision(head(_batch_of_one(levels)), tree, size)[0].numpy()
            total += confusion(labels, decided, len(tree.classes))
    return total
