"""The training loop, and what a network is worth on images that it never saw."""

from __future__ import annotations

import ctypes
import os
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from torch.nn import functional

from thresher.data.images import network_size
from thresher.run import Track
from thresher.segmentation.examples import Batch, StrongImage, pixels_and_labels
from thresher.segmentation.losses import Losses, decision, hierarchical_loss
from thresher.segmentation.metrics import confusion
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.settings import TrainingSettings
from thresher.segmentation.tree import ClassTree

Made = TypeVar("Made")
# Source: malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def fastest_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(network: SegmentationNetwork) -> SegmentationNetwork:
    """The network on the fastest device, with its tensors' channels last, which every device prefers here."""
    _keep_freed_memory()
    return network.to(device=fastest_device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _keep_freed_memory() -> None:
    """Let the C library keep large blocks of memory for the next use, where it is glibc; undone by no one.

    By default it gives each tensor of more than 32 MB back to the system and asks for its pages again at every layer,
    which took up to a tenth of a step.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def new_optimiser(network: SegmentationNetwork, settings: TrainingSettings) -> torch.optim.SGD:
    """SGD with momentum and weight decay. Source: arXiv 1907.07023 §V."""
    return torch.optim.SGD(
        network.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
    )


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The rate of a step: halved after half of the steps and again after three quarters (when is ours)."""
    return settings.learning_rate * 0.5 ** ((2 * step >= steps) + (4 * step >= 3 * steps))


def train(
    network: SegmentationNetwork,
    optimiser: torch.optim.SGD,
    batch_of: Callable[[int], Batch | None],
    tree: ClassTree,
    settings: TrainingSettings,
    todo: range,
    steps: int,
    track: Track[Any],
) -> dict[str, float]:
    """Take some of a training's `steps`; changes network and optimiser.

    Args:
        batch_of: The batch of a step, by its number alone; None where nothing of it can be read: then none is taken.

    Returns:
        Means over the steps taken: loss, loss of the root and of each group in nats per pixel, and for each group the
        weak pixels per step that taught it.
    """
    device = network.mean.device
    sums: dict[str, float] = {}
    batches = ahead(batch_of, todo, threads=min(4, os.cpu_count() or 1))
    taken = 0
    network.train()
    with torch.random.fork_rng():
        for step, batch in track(zip(todo, batches, strict=True), len(todo), f"training, {steps} steps"):
            if batch is None:
                continue
            torch.manual_seed(settings.seed * 1_000_003 + step)  # decoders drop out: the same, wherever a run goes on
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(settings, step, steps)
            shares = [part.to(device) for part in batch.shares]
            logits = network(batch.images.to(device).contiguous(memory_format=torch.channels_last))
            losses = hierarchical_loss(logits, batch.labels.to(device), shares, tree, settings.group_weight)
            optimiser.zero_grad()
            torch.autograd.backward(losses.total)
            optimiser.step()
            taken += 1
            sums = {name: sums.get(name, 0.0) + value for name, value in _told(losses, tree).items()}
    return {name: value / taken for name, value in sums.items()}


def _told(losses: Losses, tree: ClassTree) -> dict[str, float]:
    parts = {"loss": losses.total.item(), "root_loss": losses.root.item()}
    for classifier, loss, pixels in zip(tree.groups, losses.groups, losses.weak_pixels, strict=True):
        parts |= {f"{classifier.name}_loss": loss.item(), f"{classifier.name}_weak_pixels": float(pixels)}
    return parts


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
