"""What a trained network decides on images: read ahead, in batches or on every processor at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional

from thresher.data.images import network_size
from thresher.errors import DataError
from thresher.pretrained import pad_statically
from thresher.run.perform import Track
from thresher.segmentation.exported import (
    Logits,
    is_exportable,
    onnx_logits,
    onnx_network,
)
from thresher.segmentation.losses import decision
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.tree import ClassTree

if TYPE_CHECKING:
    from thresher.segmentation.trained import TrainedNetwork

Used = TypeVar("Used")
#: Images of one size that a GPU works on together.
_GPU_BATCH = 8
#: Threads that feed a GPU: while it works on one's batch, the others read theirs.
_GPU_THREADS = 4
#: Logits that are scaled and decided on at a time; of a larger image, band by band of rows.
_MOST_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Segmenter:
    """A network that is ready to decide, and how many images at once suit the device it runs on."""

    logits: Logits
    tree: ClassTree
    short_side: int
    device: torch.device
    batch: int
    threads: int

    def decided(self, images: UInt8[torch.Tensor, "n 3 h w"]) -> UInt8[torch.Tensor, "n h w"]:
        """The class of each pixel of images of one size, at that size.

        The network sees them with its short side; its logits, not its decisions, are scaled back.
        """
        height, width = images.shape[2:]
        with torch.inference_mode():
            return upscaled_decision(self._logits(images), self.tree, (height, width)).cpu()

    def root_probabilities(
        self, images: UInt8[torch.Tensor, "n 3 h w"]
    ) -> Float[torch.Tensor, "n outputs seen_h seen_w"]:
        """The root's softmax at the size at which the network sees the images, 0..1."""
        with torch.inference_mode():
            return self._logits(images)[0].softmax(1).cpu()

    def _logits(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        wide, high = network_size(images.shape[3], images.shape[2], self.short_side, multiple=32)
        seen = functional.interpolate(images.float(), (high, wide), mode="bilinear", antialias=True)
        return self.logits(seen.round_().clamp_(0, 255).to(torch.uint8).to(self.device))


def upscaled_decision(
    logits: Sequence[Float[torch.Tensor, "n _ h w"]], tree: ClassTree, size: tuple[int, int]
) -> UInt8[torch.Tensor, "n new_h new_w"]:
    """The decision on logits that are scaled, bilinearly, to this height and width.

    All at once where that is at most `_MOST_AT_ONCE` logits; else in bands of rows, since those of a photograph of 50
    million pixels would fill a computer's memory.
    """
    height, width = size
    depth = len(logits[0]) * sum(part.shape[1] for part in logits) * width
    if depth * height <= _MOST_AT_ONCE:
        whole = [functional.interpolate(part, size, mode="bilinear") for part in logits]
        return decision(whole, tree).to(torch.uint8)
    wide = [functional.interpolate(part, (part.shape[2], width), mode="bilinear") for part in logits]
    rows = wide[0].shape[2]
    # Centres of rows lie at halves, and beyond the first and last centre nothing changes.
    places = ((torch.arange(height, device=wide[0].device) + 0.5) * (rows / height) - 0.5).clamp(0, rows - 1)
    above = places.floor().long()
    below, weight = (above + 1).clamp(max=rows - 1), (places - above)[:, None]
    band = max(1, _MOST_AT_ONCE // depth)
    decided = []
    for first in range(0, height, band):
        part = slice(first, first + band)
        whole = [torch.lerp(each[:, :, above[part]], each[:, :, below[part]], weight[part]) for each in wide]
        decided.append(decision(whole, tree).to(torch.uint8))
    return torch.cat(decided, 1)


def segmenter(network: SegmentationNetwork, tree: ClassTree, short_side: int, device: torch.device) -> Segmenter:
    """The network on its fastest way: on a GPU by torch in batches; on a CPU by onnxruntime, an image on each core.

    Decisions of the two differ at hardly any pixel, as both round differently (docs/how-to/evaluate.md). What ONNX
    cannot express is run by torch on a CPU too.
    """
    network = network.eval().to(device)
    by_cpu = device.type == "cpu"
    logits = onnx_logits(onnx_network(network, tree)) if by_cpu and is_exportable(network) else _torch_logits(network)
    batch, threads = (1, len(os.sched_getaffinity(0))) if by_cpu else (_GPU_BATCH, _GPU_THREADS)
    return Segmenter(logits, tree, short_side, device, batch, threads)


def _torch_logits(network: SegmentationNetwork) -> Logits:
    network = network.to(memory_format=torch.channels_last)

    def logits(images: torch.Tensor) -> Any:
        return network(images.contiguous(memory_format=torch.channels_last))

    return logits


def segmented(
    network: Segmenter,
    count: int,
    read: Callable[[int], tuple[UInt8[torch.Tensor, "3 h w"], Any]],
    use: Callable[[int, UInt8[np.ndarray, "h w 3"], Any, Any], Used],
    track: Track[Any],
    unreadable: Callable[[int, DataError], None] | None = None,
    what: Callable[[UInt8[torch.Tensor, "n 3 h w"]], torch.Tensor] | None = None,
) -> list[Used]:
    """What `use` makes of each image and of the class decided at each of its pixels, in the order of their numbers.

    Args:
        count: Images; they are known by their numbers.
        read: Gives an image, and whatever else `use` is to be given with it. Called from several threads, as `use` is.
        use: Takes number, image, what else was read, and decisions (UInt8, h w).
        unreadable: Told of images that cannot be read, which then are left out.
        what: Of the network, in place of `decided`; `use` is given its part of that.

    Raises:
        DataError: an image cannot be read, and nobody wants to be told.
    """

    def part(first: int) -> list[tuple[int, Used]]:
        sizes: dict[tuple[int, ...], list[tuple[int, torch.Tensor, Any]]] = {}
        for number in range(first, min(first + network.batch, count)):
            try:
                pixels, beside = read(number)
            except DataError as error:
                if unreadable is None:
                    raise
                unreadable(number, error)
            else:
                sizes.setdefault(tuple(pixels.shape), []).append((number, pixels, beside))
        found = []
        for alike in sizes.values():
            results = (what or network.decided)(torch.stack([pixels for _, pixels, _ in alike])).numpy()
            for (number, pixels, beside), result in zip(alike, results, strict=True):
                found.append((number, use(number, pixels.permute(1, 2, 0).numpy(), beside, result)))
        return sorted(found, key=lambda pair: pair[0])

    firsts = range(0, count, network.batch)
    with _one_torch_thread(network.device), _left_at_once(ThreadPoolExecutor(network.threads)) as pool:
        parts = [*track(pool.map(part, firsts), len(firsts), "segmenting")]
    return [used for done in parts for _, used in done]


@contextlib.contextmanager
def _one_torch_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, one thread for each operation: it is the images that are shared out."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _left_at_once(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """A pool that, when something fails or someone interrupts, does not work through what still waits."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def ready(found: TrainedNetwork) -> Segmenter:
    """The network on its fastest way on this machine; its encoder is changed in place."""
    from thresher.segmentation.loop import fastest_device

    pad_statically(found.network)
    return segmenter(found.network, found.tree, found.short_side, fastest_device())
