"""What a trained network decides on images, and how well: in batches on a GPU, on a CPU on all processors at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch.nn import functional

from thresher.data.images import network_size
from thresher.errors import DataError
from thresher.run.perform import Track
from thresher.segmentation.devices import fastest_device
from thresher.segmentation.examples import StrongImage, pixels_and_labels
from thresher.segmentation.exported import Logits, is_exportable, onnx_logits, onnx_network
from thresher.segmentation.losses import decision
from thresher.segmentation.metrics import confusion
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.probabilities import class_log_probabilities
from thresher.segmentation.tree import ClassTree

Used = TypeVar("Used")
Beside = TypeVar("Beside")
#: How many images a GPU segments together.
_GPU_BATCH = 8
#: Threads that feed a GPU: while it processes the batch of one thread, the others read theirs.
_GPU_THREADS = 4
#: Most logits that are scaled and decided on at a time; a larger image is done in bands of rows.
_MOST_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Segmenter:
    """A network in a form that decides fast, and how many images at once suit the device that it runs on."""

    logits: Logits
    tree: ClassTree
    short_side: int
    device: torch.device
    batch: int
    threads: int

    def decided(self, images: UInt8[torch.Tensor, "n 3 h w"]) -> UInt8[torch.Tensor, "n h w"]:
        """The class of each pixel of images of one size, at that size.

        The network sees them resized to its short side; its logits, not its decisions, are scaled back.
        """
        height, width = images.shape[2:]
        with torch.inference_mode():
            return upscaled_decision(self._logits(images), self.tree, (height, width)).cpu()

    def root_probabilities(
        self, images: UInt8[torch.Tensor, "n 3 h w"]
    ) -> Float[torch.Tensor, "n outputs seen_h seen_w"]:
        """The root's softmax, 0..1, at the size to which the images are resized for the network."""
        with torch.inference_mode():
            return self._logits(images)[0].softmax(1).cpu()

    def class_probabilities(
        self, images: UInt8[torch.Tensor, "n 3 h w"]
    ) -> Float[torch.Tensor, "n classes seen_h seen_w"]:
        """The probability of each class, 0..1, at the size to which the images are resized for the network."""
        with torch.inference_mode():
            return class_log_probabilities(self._logits(images), self.tree).exp().cpu()

    def _logits(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        wide, high = network_size(images.shape[3], images.shape[2], self.short_side, multiple=32)
        seen = functional.interpolate(images.float(), (high, wide), mode="bilinear", antialias=True)
        return self.logits(seen.round_().clamp_(0, 255).to(torch.uint8).to(self.device))


def upscaled_decision(
    logits: Sequence[Float[torch.Tensor, "n _ h w"]], tree: ClassTree, size: tuple[int, int]
) -> UInt8[torch.Tensor, "n new_h new_w"]:
    """The class of each pixel at this height and width: the decision on the logits, scaled bilinearly.

    A large image is done in bands of rows (`_MOST_AT_ONCE`): the logits of 50 million pixels would not fit in memory.
    """
    height, width = size
    depth = len(logits[0]) * sum(part.shape[1] for part in logits) * width
    if depth * height <= _MOST_AT_ONCE:
        whole = [functional.interpolate(part, size, mode="bilinear") for part in logits]
        return decision(whole, tree).to(torch.uint8)
    wide = [functional.interpolate(part, (part.shape[2], width), mode="bilinear") for part in logits]
    rows = wide[0].shape[2]
    # The centres of rows lie at halves; beyond the first and the last centre the value is constant.
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
    """The network in its fastest form: on a GPU by torch in batches; on a CPU by onnxruntime, an image per processor.

    The two decide differently at hardly any pixel, by rounding (docs/how-to/evaluate.md). A network that ONNX cannot
    express is run by torch on a CPU too.
    """
    network = network.eval().to(device)
    by_cpu = device.type == "cpu"
    logits = onnx_logits(onnx_network(network, tree)) if by_cpu and is_exportable(network) else _torch_logits(network)
    threads = _processors() if by_cpu else _GPU_THREADS
    return Segmenter(logits, tree, short_side, device, batch_size(device), threads)


def batch_size(device: torch.device | None = None) -> int:
    """How many images are segmented together on a device; on the fastest of this machine if none is given."""
    return 1 if (device or fastest_device()).type == "cpu" else _GPU_BATCH


def _processors() -> int:
    """The processors that this process may use; a worker, which is given one thread, keeps to it."""
    allowed = len(os.sched_getaffinity(0))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(limit)) if limit.isdigit() and int(limit) else allowed


def _torch_logits(network: SegmentationNetwork) -> Logits:
    network = network.to(memory_format=torch.channels_last)

    def logits(images: torch.Tensor) -> Any:
        return network(images.contiguous(memory_format=torch.channels_last))

    return logits


@dataclass(frozen=True)
class Images(Generic[Beside]):
    """Images to be segmented, known by their numbers from 0."""

    count: int
    read: Callable[[int], tuple[UInt8[torch.Tensor, "3 h w"], Beside]]
    """Reads an image, and whatever else is to be used with it; called from several threads."""
    unreadable: Callable[[int, DataError], None] | None = None
    """Called for an image that cannot be read, which then is left out; without it, `read`'s error is raised."""


def segmented(
    network: Segmenter,
    images: Images[Beside],
    use: Callable[[int, UInt8[np.ndarray, "h w 3"], Beside, Any], Used],
    track: Track[Any],
    output: Callable[[UInt8[torch.Tensor, "n 3 h w"]], torch.Tensor] | None = None,
) -> list[Used]:
    """What `use` returns for each image, in the order of their numbers.

    Args:
        use: Called with number, image, what was read beside it, and the network's output for it; from several threads.
        output: The output for images of one size: `network.decided` (classes, UInt8 h w) unless another is given.

    Raises:
        DataError: an image cannot be read, and `images.unreadable` is not given.
    """

    def part(first: int) -> list[tuple[int, Used]]:
        used = []
        for alike in _by_size(images, range(first, min(first + network.batch, images.count))):
            results = (output or network.decided)(torch.stack([pixels for _, pixels, _ in alike])).numpy()
            for (number, pixels, beside), result in zip(alike, results, strict=True):
                used.append((number, use(number, pixels.permute(1, 2, 0).numpy(), beside, result)))
        return sorted(used, key=lambda pair: pair[0])

    firsts = range(0, images.count, network.batch)
    with _one_torch_thread(network.device), _left_at_once(ThreadPoolExecutor(network.threads)) as pool:
        parts = [*track(pool.map(part, firsts), len(firsts), "segmenting")]
    return [result for done in parts for _, result in done]


def _by_size(images: Images[Beside], numbers: range) -> Iterable[list[tuple[int, torch.Tensor, Beside]]]:
    """The readable images of these numbers, those of one size together."""
    sizes: dict[tuple[int, ...], list[tuple[int, torch.Tensor, Beside]]] = {}
    for number in numbers:
        try:
            pixels, beside = images.read(number)
        except DataError as error:
            if images.unreadable is None:
                raise
            images.unreadable(number, error)
        else:
            sizes.setdefault(tuple(pixels.shape), []).append((number, pixels, beside))
    return sizes.values()


def measured(
    network: Segmenter,
    images: Sequence[StrongImage],
    track: Track[Any],
    show: Callable[[int, np.ndarray, np.ndarray, np.ndarray], None] | None = None,
) -> Int64[np.ndarray, "classes classes"]:
    """The confusion matrix over all images, each at its own size: rows are labels, columns the network's decisions.

    Validation while training and `evaluate` both measure by this function.

    Args:
        show: Called with number, pixels, labels and decisions of each image; from several threads.

    Raises:
        DataError: an image or mask cannot be read. Metrics over a part of the set would not be those of the set.
    """
    classes = len(network.tree.classes)

    def use(number: int, pixels: np.ndarray, labels: torch.Tensor, decided: np.ndarray) -> np.ndarray:
        if show is not None:
            show(number, pixels, labels.numpy(), decided)
        return confusion(labels.numpy(), decided, classes)

    read = Images(len(images), lambda number: pixels_and_labels(images[number]))
    total = np.zeros((classes, classes), np.int64)
    for part in segmented(network, read, use, track):
        total += part
    return total


@contextlib.contextmanager
def _one_torch_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, one thread per operation: the threads work on different images."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _left_at_once(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what still waits when something fails or is interrupted."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
