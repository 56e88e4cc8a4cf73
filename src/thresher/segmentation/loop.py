"""The training loop: steps on batches that are read ahead, and the optimiser and learning rate they take."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from thresher.segmentation.averages import Averages
from thresher.segmentation.devices import mixed
from thresher.segmentation.examples import Batch
from thresher.segmentation.losses import Losses, hierarchical_loss, label_loss, with_box_loss
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import ClassTree

Made = TypeVar("Made")


def new_optimiser(network: SegmentationNetwork, settings: NetworkSettings) -> torch.optim.Optimizer:
    """SGD with momentum and weight decay (arXiv 1907.07023 §V), or AdamW (arXiv 1711.05101), which needs fewer steps.

    The encoder, which is pretrained, has a learning rate of its own: `share` times that of the other weights.
    """
    named = dict(network.named_parameters())
    encoder = [weight for name, weight in named.items() if name.startswith("body.encoder.")]
    rest = [weight for name, weight in named.items() if not name.startswith("body.encoder.")]
    groups = [{"params": encoder, "share": settings.encoder_rate}, {"params": rest, "share": 1.0}]
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(groups, settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)


def learning_rate(settings: NetworkSettings, step: int, steps: int) -> float:
    """The learning rate of a step: halved after half of all steps, and again after three quarters (our choice).

    With schedule = paper it is halved after 8/17 and 15/17: the 8th and the 15th of 17 epochs.

    Source: arXiv 1903.03462 and its code, github.com/pmeletis/IV2019-boosting-semantic-segmentation-with-weak-labels.
    """
    first, second, whole = (8, 15, 17) if settings.schedule == "paper" else (2, 3, 4)
    return settings.learning_rate * 0.5 ** ((whole * step >= first * steps) + (whole * step >= second * steps))


@dataclass(frozen=True)
class Training:
    """All that a step of a training needs."""

    network: torch.nn.Module
    """Prepared by `accelerator`, as is the optimiser."""
    optimiser: Any
    accelerator: Any
    """accelerate's (`devices.accelerator`): the device, and this process among those that train."""
    batches: Callable[[int], Batch | None]
    """The batch of a step, by its number alone; None if none of its images can be read, and then no step is taken."""
    tree: ClassTree
    settings: NetworkSettings
    steps: int
    """Of the whole training; the learning rate depends on it."""
    averages: Averages | None = None
    """Of the network's weights, kept up to date with each step; None if settings.ema is 0."""


def take_steps(training: Training, numbers: range, watched: Iterator[int]) -> dict[str, float]:
    """Take some of a training's steps; changes its network and optimiser.

    Args:
        watched: Asked for an item before each step, so that someone can watch.

    Returns:
        Means over the steps taken: `loss` and its parts (`Losses.parts`); of weak pixels their number per step.
    """
    taken: list[Losses] = []
    batches = ahead(training.batches, numbers, threads=min(4, os.cpu_count() or 1))
    training.network.train()
    with torch.random.fork_rng(), warnings.catch_warnings():
        # Several processes: a gradient of 1 × 1 weights may lie in another order in memory, which costs no time.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        for step, batch, _ in zip(numbers, batches, watched, strict=False):
            if _in_every_process(training.accelerator, batch is not None) and batch is not None:
                taken.append(_detached(_step(training, step, batch)))
    return _means(taken, training.accelerator)


def _step(training: Training, step: int, batch: Batch) -> Losses:
    """One step on one batch: loss, gradients, new weights."""
    accelerator, optimiser, settings = training.accelerator, training.optimiser, training.settings
    # Decoders have dropout: the same in a training that was interrupted and goes on, and another in each process.
    torch.manual_seed(settings.seed * 1_000_003 + step + accelerator.process_index * 1_000_003**2)
    for group in optimiser.param_groups:
        group["lr"] = group["share"] * learning_rate(settings, step, training.steps)
    losses = _losses(training, batch)
    optimiser.zero_grad()
    accelerator.backward(losses.total)
    optimiser.step()
    if training.averages is not None:
        training.averages.add(step, settings.ema)
    return losses


def _losses(training: Training, batch: Batch) -> Losses:
    """The network on a batch, and its losses there."""
    tree, settings, device = training.tree, training.settings, training.accelerator.device
    shares = [part.to(device) for part in batch.shares]
    images = batch.images.to(device).contiguous(memory_format=torch.channels_last)
    with mixed(training.accelerator, settings.precision):
        outputs = [part.float() for part in training.network(images)]
    logits = outputs[: len(tree.classifiers)]
    if batch.weak_labels is not None:
        return label_loss(logits, batch.labels.to(device), batch.weak_labels.to(device), tree, settings.label_weight)
    losses = hierarchical_loss(logits, batch.labels.to(device), shares, tree, settings.group_weight)
    if batch.cover is None:
        return losses
    box_logits = outputs[-1]
    return with_box_loss(losses, box_logits, batch.cover.to(device), settings.box_weight)


def _in_every_process(accelerator: Any, ready: bool) -> bool:
    """Whether all processes are ready; every process must call it."""
    if accelerator.num_processes == 1:
        return ready
    count = int(accelerator.reduce(torch.tensor(float(ready), device=accelerator.device), "sum"))
    all_of_them: int = accelerator.num_processes
    return count == all_of_them


def _detached(losses: Losses) -> Losses:
    """Without what gradients need. The values stay on the device, so that a GPU need not be waited for."""
    return Losses(losses.total.detach(), {name: part.detach() for name, part in losses.parts.items()})


def _means(taken: list[Losses], accelerator: Any) -> dict[str, float]:
    """The means over steps and processes, by name; weak pixels are of a whole step, which processes share."""
    if not taken:
        return {}
    names = ["loss", *taken[0].parts]
    means = torch.stack([torch.stack([each.total, *each.parts.values()]) for each in taken]).cpu().double().mean(0)
    if accelerator.num_processes > 1:
        means = accelerator.reduce(means.to(accelerator.device, torch.float32), "mean").cpu().double()
    pixels = [accelerator.num_processes if name.endswith("weak_pixels") else 1 for name in names]
    return dict(zip(names, (means * torch.tensor(pixels)).tolist(), strict=True))


def ahead(make: Callable[[int], Made], numbers: Iterable[int], threads: int = 1) -> Iterator[Made]:
    """`make` of each number, in order. While one result is used, the next are made: one in each thread."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Made]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
