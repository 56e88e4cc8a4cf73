"""A small network that is shown boxes: from the crop around a box to the mask of the object in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from thresher.data.taxonomy import VOID
from thresher.pretrained import PretrainedWeights, pad_statically
from thresher.segmentation.exported import Logits, onnx_logits, onnx_network
from thresher.segmentation.network import new_network
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import Classifier, ClassTree

#: Side of a crop as the network sees it, in pixels, and what a crop shows around its box, as a share of the box's side.
CROP_PX, MARGIN = 96, 0.25
#: The output of boxes whose kind has too few objects to learn from.
ANY = "any object"
#: Objects from which an output can be learnt.
_FEWEST = 10
#: Crops that are looked at together.
_AT_ONCE = 16


@dataclass(frozen=True)
class ShownSettings:
    """The network that is shown boxes, and its training."""

    steps: int = 400
    batch: int = 16
    learning_rate: float = 0.002
    jitter: float = 0.05
    """Standard deviation by which a box's sides are moved, as a share of its width or height."""
    encoder: str = "tf_efficientnet_lite0"
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """An image with a mask, and tight boxes around the objects in it."""

    pixels: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    """Classes as the tree numbers them; their number is void."""
    corners: Float32[np.ndarray, "boxes 4"]
    """x0, y0, x1, y1 as shares of the image's sides."""
    classes: Int64[np.ndarray, " boxes"]


@dataclass(frozen=True)
class BoxShown:
    """A trained network that is shown boxes; threads may share it."""

    logits: Logits
    output_of: Int64[np.ndarray, " nodes"]
    """Which output speaks for a box of each node."""

    def masks(
        self,
        pixels: UInt8[np.ndarray, "h w 3"],
        corners: Float32[np.ndarray, "boxes 4"],
        nodes: Int64[np.ndarray, " boxes"],
    ) -> list[Float32[np.ndarray, "side side"]]:
        """For the crop around each box, the probability that a pixel is of the box's object, 0..1."""
        found: list[np.ndarray] = []
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        for first in range(0, len(corners), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            crops = torch.stack([_cut(image, crop_window(each, pixels.shape[:2])) for each in corners[part]])
            with torch.inference_mode():
                logits = self.logits(crops)[0]
            found += [logits[n, self.output_of[node]].sigmoid().numpy() for n, node in enumerate(nodes[part])]
        return found

    def in_boxes(
        self,
        pixels: UInt8[np.ndarray, "h w 3"],
        corners: Float32[np.ndarray, "boxes 4"],
        nodes: Int64[np.ndarray, " boxes"],
        places: list[tuple[slice, slice]],
        size: tuple[int, ...],
    ) -> list[Float32[np.ndarray, "_ _"]]:
        """For each box the probability, 0..1, that a pixel is of its object.

        Args:
            nodes: Of the boxes, as the tree numbers them.
            places: Rows and columns of each box's pixels, in an image of another size.
            size: Height and width of that image.
        """
        crops = self.masks(pixels, corners, nodes)
        boxes = zip(crops, corners, places, strict=True)
        return [in_box(mask, each, place, pixels.shape[:2], size) for mask, each, place in boxes]


def outputs_of(tree: ClassTree) -> tuple[str, ...]:
    """What the network can be asked for: classes, groups, and any object."""
    return (*tree.classes, *(group.name for group in tree.groups), ANY)


def output_of_nodes(tree: ClassTree, objects: Int64[np.ndarray, " classes"]) -> Int64[np.ndarray, " nodes"]:
    """The output that speaks for a box of each node: its own; its group's, or `ANY`, if that was learnt from too few.

    Args:
        objects: How many objects of each class there are to learn from.
    """
    names, learnt = outputs_of(tree), dict(zip(tree.classes, objects.tolist(), strict=True))
    learnt |= {group.name: sum(learnt[name] for name in group.outputs[:-1]) for group in tree.groups}
    found = []
    for name in tree.nodes:
        group = tree.group_of(name)
        candidates = [name, *([group.name] if group else [])]
        found.append(names.index(next((each for each in candidates if learnt.get(each, 0) >= _FEWEST), ANY)))
    return np.array(found, np.int64)


def crop_window(corners: Float32[np.ndarray, " 4"], size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, left, height and width in pixels of the crop around a box; it may reach beyond the image.

    >>> crop_window(np.array([0.25, 0.5, 0.75, 1.0], np.float32), (40, 80))
    (15, 10, 30, 60)
    """
    height, width = size[0], size[1]
    x0, y0, x1, y1 = (float(end) for end in corners)
    aside, above = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = int(np.floor((x0 - aside) * width)), int(np.floor((y0 - above) * height))
    right, below = int(np.ceil((x1 + aside) * width)), int(np.ceil((y1 + above) * height))
    return top, left, max(below - top, 2), max(right - left, 2)


def _cut(image: torch.Tensor, window: tuple[int, int, int, int]) -> torch.Tensor:
    cut: torch.Tensor = transforms.resize_image(transforms.crop_image(image, *window), [CROP_PX, CROP_PX])
    return cut


def in_box(
    mask: Float32[np.ndarray, "side side"],
    corners: Float32[np.ndarray, " 4"],
    place: tuple[slice, slice],
    image: tuple[int, ...],
    size: tuple[int, ...],
) -> Float32[np.ndarray, "rows columns"]:
    """A crop's mask at the pixels of an image of another size that lie in its box.

    Args:
        place: Rows and columns of these pixels.
        image: Height and width of the image that the crop was cut from.
        size: Height and width of the image whose pixels are meant.
    """
    top, left, height, width = crop_window(corners, image)
    ends = []
    for part, old, new, first, length in (
        (place[0], image[0], size[0], top, height),
        (place[1], image[1], size[1], left, width),
    ):
        centres = (np.arange(part.start, part.stop) + 0.5) * old / new
        ends.append(torch.from_numpy(2 * (centres - first) / length - 1).float())
    grid = torch.stack(torch.meshgrid(ends[1], ends[0], indexing="xy"), -1)[None]
    sampled = functional.grid_sample(
        torch.from_numpy(mask)[None, None], grid, padding_mode="border", align_corners=False
    )
    found: np.ndarray = sampled[0, 0].numpy()
    return found


def trained_on_boxes(
    scenes: Sequence[Scene],
    tree: ClassTree,
    weights: PretrainedWeights,
    settings: ShownSettings,
    jittered: Callable[[Float32[np.ndarray, "boxes 4"], np.random.Generator], Float32[np.ndarray, "boxes 4"]],
    watch: Callable[[range], Iterable[int]],
) -> bytes:
    """An ONNX network trained to mask the object in a box, from masks whose objects have boxes.

    Each box teaches the outputs of its class, of its group and of `ANY`, on the pixels in the box whose label is known:
    binary cross-entropy. Classes are drawn equally often, and each time the box's sides are moved anew.

    Args:
        jittered: Moves the sides of boxes.
        watch: Given the numbers of the steps, so that someone can watch.

    Source: after arXiv 1811.07073 (a network that is shown boxes); the crops, outputs and their sizes are ours.
    """
    names = outputs_of(tree)
    only = ClassTree((), (VOID,), Classifier("root", names), (), ())
    chosen = NetworkSettings(
        decoder="fpn",
        decoder_channels=64,
        height_px=CROP_PX,
        width_px=CROP_PX,
        encoder=settings.encoder,
        seed=settings.seed,
    )
    network = new_network(only, chosen, weights)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=0.01)
    by_class = _objects_by_class(scenes)
    teaches = _teaching(tree)
    network.train()
    with torch.random.fork_rng():
        for step in watch(range(settings.steps)):
            torch.manual_seed(settings.seed * 1_000_003 + step)
            rate = settings.learning_rate * 0.5 ** ((2 * step >= settings.steps) + (4 * step >= 3 * settings.steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            rng = np.random.default_rng([settings.seed, step])
            images, truth, known, outputs = _drawn(scenes, by_class, teaches, settings, jittered, rng)
            optimiser.zero_grad()
            loss: Any = _loss(network(images)[0], truth, known, outputs)
            loss.backward()
            optimiser.step()
    pad_statically(network)
    return onnx_network(network.eval(), only)


def _objects_by_class(scenes: Sequence[Scene]) -> list[list[tuple[int, int]]]:
    """For each class that has objects: the scene and place of each."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, scene in enumerate(scenes):
        for place, name in enumerate(scene.classes):
            found.setdefault(int(name), []).append((number, place))
    return [found[name] for name in sorted(found)]


def _teaching(tree: ClassTree) -> Bool[torch.Tensor, "classes outputs"]:
    """The outputs that a box of each class teaches."""
    names = outputs_of(tree)
    found = torch.zeros((len(tree.classes), len(names)), dtype=torch.bool)
    for number, name in enumerate(tree.classes):
        group = tree.group_of(name)
        found[number, [names.index(each) for each in (name, ANY, *([group.name] if group else []))]] = True
    return found


def _drawn(
    scenes: Sequence[Scene],
    by_class: list[list[tuple[int, int]]],
    teaches: torch.Tensor,
    settings: ShownSettings,
    jittered: Callable[[Any, np.random.Generator], Any],
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops, which of their pixels are of the object, which count, and which outputs they teach."""
    images, truths, knowns, outputs = [], [], [], []
    for _ in range(settings.batch):
        objects = by_class[rng.integers(len(by_class))]
        number, place = objects[rng.integers(len(objects))]
        scene = scenes[number]
        corners = jittered(scene.corners[place : place + 1], rng)[0]
        window = crop_window(corners, scene.labels.shape)
        flipped = rng.random() < 0.5
        image = _cut(torch.from_numpy(scene.pixels).permute(2, 0, 1), window)
        # Beyond the image there is no label: the crop is filled with one more than void.
        labels = transforms.crop_mask(torch.from_numpy(scene.labels.astype(np.int16) + 1)[None], *window)
        labels = transforms.resize_image(labels, [CROP_PX, CROP_PX], transforms.InterpolationMode.NEAREST_EXACT)[0] - 1
        known = (labels >= 0) & (labels < len(teaches)) & _inside(corners, window, scene.labels.shape)
        truth = labels == int(scene.classes[place])
        parts = [image, truth, known]
        images_, truth, known = (part.flip(-1) if flipped else part for part in parts)
        images.append(images_)
        truths.append(truth)
        knowns.append(known)
        outputs.append(teaches[int(scene.classes[place])])
    return torch.stack(images), torch.stack(truths), torch.stack(knowns), torch.stack(outputs)


def _inside(corners: np.ndarray, window: tuple[int, int, int, int], size: tuple[int, ...]) -> torch.Tensor:
    """Which pixels of a crop lie in its box."""
    top, left, height, width = window
    rows = top + (torch.arange(CROP_PX) + 0.5) * height / CROP_PX
    columns = left + (torch.arange(CROP_PX) + 0.5) * width / CROP_PX
    x0, y0, x1, y1 = (float(end) for end in corners)
    down = (rows >= y0 * size[0]) & (rows < y1 * size[0])
    across = (columns >= x0 * size[1]) & (columns < x1 * size[1])
    return down[:, None] & across[None]


def _loss(logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Mean over crops, the pixels of each that count and the outputs that it teaches, in nats."""
    wanted = truth[:, None].expand_as(logits).float()
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    counts = (known[:, None] & outputs[:, :, None, None]).float()
    return ((each * counts).sum((1, 2, 3)) / counts.sum((1, 2, 3)).clamp(min=1)).mean()


def box_shown(content: bytes, output_of: Int64[np.ndarray, " nodes"]) -> BoxShown:
    """The network in the bytes of an ONNX file, as `trained_on_boxes` gives them."""
    return BoxShown(onnx_logits(content), output_of)
