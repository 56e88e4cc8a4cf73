"""The training loop, and what a network is worth on images that it never saw."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from torch.nn import functional

from thresher.data.images import network_size
from thresher.run.perform import Track
from thresher.segmentation.devices import mixed
from thresher.segmentation.examples import Batch, StrongImage, pixels_and_labels
from thresher.segmentation.losses import (
    Losses,
    decision,
    hierarchical_loss,
    with_box_loss,
)
from thresher.segmentation.metrics import confusion
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.settings import TrainingSettings
from thresher.segmentation.tree import ClassTree

Made = TypeVar("Made")


def fastest_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def new_optimiser(network: SegmentationNetwork, settings: TrainingSettings) -> torch.optim.Optimizer:
    """SGD with momentum and weight decay (arXiv 1907.07023 §V), or AdamW (arXiv 1711.05101), which goes further in
    few steps. The encoder's weights, which have learnt before, have a rate of their own.
    """
    named = dict(network.named_parameters())
    encoder = [weight for name, weight in named.items() if name.startswith("body.encoder.")]
    rest = [weight for name, weight in named.items() if not name.startswith("body.encoder.")]
    groups = [{"params": encoder, "share": settings.encoder_rate}, {"params": rest, "share": 1.0}]
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(groups, settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The rate of a step: halved after half of the steps and again after three quarters (when is ours)."""
    return settings.learning_rate * 0.5 ** ((2 * step >= steps) + (4 * step >= 3 * steps))


def train(
    network: torch.nn.Module,
    optimiser: Any,
    here: Any,
    batch_of: Callable[[int], Batch | None],
    tree: ClassTree,
    settings: TrainingSettings,
    todo: range,
    steps: int,
    watched: Iterator[int],
) -> dict[str, float]:
    """Take some of a training's `steps`; changes network and optimiser.

    Args:
        network: Prepared by `here`, as the optimiser.
        here: accelerate's view of this process (`devices.accelerator`).
        batch_of: The batch of a step, by its number alone; None where nothing of it can be read: then none is taken.
        watched: Is asked for an item before each step, so that someone can watch.

    Returns:
        Means over the steps taken: loss, those of root, boxes and each group in nats per pixel, and for each group the
        weak pixels per step that taught it.
    """
    told: list[torch.Tensor] = []
    batches = ahead(batch_of, todo, threads=min(4, os.cpu_count() or 1))
    network.train()
    with torch.random.fork_rng(), warnings.catch_warnings():
        # Several processes: a gradient of 1 × 1 weights may lie in another order in memory, which is slower by nothing.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        for step, batch, _ in zip(todo, batches, watched, strict=False):
            if not _in_every_process(here, batch is not None) or batch is None:
                continue
            # Decoders drop out: the same, wherever a run goes on, and another in each process.
            torch.manual_seed(settings.seed * 1_000_003 + step + here.process_index * 1_000_003**2)
            for group in optimiser.param_groups:
                group["lr"] = group["share"] * learning_rate(settings, step, steps)
            shares = [part.to(here.device) for part in batch.shares]
            images = batch.images.to(here.device).contiguous(memory_format=torch.channels_last)
            with mixed(here, settings.precision):
                outputs = [part.float() for part in network(images)]
            logits = outputs[: len(tree.classifiers)]
            losses = hierarchical_loss(logits, batch.labels.to(here.device), shares, tree, settings.group_weight)
            if batch.cover is not None:
                losses = with_box_loss(losses, outputs[-1], batch.cover.to(here.device), settings.box_weight)
            optimiser.zero_grad()
            here.backward(losses.total)
            optimiser.step()
            told.append(_told(losses))
    return _means(told, tree, here)


def _in_every_process(here: Any, ready: bool) -> bool:
    if here.num_processes == 1:
        return ready
    count = int(here.reduce(torch.tensor(float(ready), device=here.device), "sum"))
    all_of_them: int = here.num_processes
    return count == all_of_them


def _told(losses: Losses) -> torch.Tensor:
    """Loss, those of root and boxes, and of each group its loss and weak pixels; left on the device, which works on."""
    parts = [losses.total, losses.root, losses.boxes]
    for loss, pixels in zip(losses.groups, losses.weak_pixels, strict=True):
        parts += [loss, pixels]
    return torch.stack([part.detach() for part in parts])


def _means(told: list[torch.Tensor], tree: ClassTree, here: Any) -> dict[str, float]:
    """The means by name, over all processes; weak pixels are of a whole step, which processes share."""
    names = ["loss", "root_loss", "box_loss"]
    for classifier in tree.groups:
        names += [f"{classifier.name}_loss", f"{classifier.name}_weak_pixels"]
    if not told:
        return {}
    means = torch.stack(told).cpu().double().mean(0)
    if here.num_processes > 1:
        means = here.reduce(means.to(here.device, torch.float32), "mean").cpu().double()
    pixels = [here.num_processes if name.endswith("_weak_pixels") else 1 for name in names]
    return dict(zip(names, (means * torch.tensor(pixels)).tolist(), strict=True))


def ahead(make: Callable[[int], Made], numbers: Iterable[int], threads: int = 1) -> Iterator[Made]:
    """Each number's result in turn, as many of the next as there are threads being made while one is used."""
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


def decided(network: SegmentationNetwork, tree: ClassTree, pixels: torch.Tensor, short_side: int) -> torch.Tensor:
    """The class of each pixel of one image (3 h w, 8 bits), at its own size.

    The network sees it with this short side; its logits, not its decisions, are scaled back.
    """
    height, width = pixels.shape[1:]
    wide, high = network_size(width, height, short_side, multiple=32)
    with torch.inference_mode():
        image = pixels[None].to(network.mean.device).float()
        seen = functional.interpolate(image, (high, wide), mode="bilinear", antialias=True)
        logits = network.eval()(seen.round().clamp(0, 255).to(torch.uint8))
        whole = [functional.interpolate(part, (height, width), mode="bilinear") for part in logits]
        return decision(whole, tree)[0].cpu()


def validated(
    network: SegmentationNetwork, tree: ClassTree, images: Sequence[StrongImage], short_side: int, track: Track[Any]
) -> Int64[np.ndarray, "classes classes"]:
    """The confusion matrix over all images, each at its own size: rows are labels, columns what the network decides.

    Raises:
        DataError: an image or mask cannot be read: a measure over less than the whole set is another measure.
    """
    total = np.zeros((len(tree.classes),) * 2, np.int64)
    for strong in track(images, len(images), "validating"):
        pixels, labels = pixels_and_labels(strong)
        total += confusion(labels.numpy(), decided(network, tree, pixels, short_side).numpy(), len(tree.classes))
    return total
