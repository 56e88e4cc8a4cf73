"""Training examples: random crops of images, together with their labels or boxes, gathered into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16, Int64, UInt8
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode, functional

from thresher.data.images import rgb_pixels
from thresher.data.label_maps import label_map
from thresher.errors import DataError
from thresher.segmentation.box_cover import BoxCover, drawn_cover, mask_cover
from thresher.segmentation.tree import ClassTree
from thresher.segmentation.weak_labels import box_shares


@dataclass(frozen=True)
class Cut:
    """A crop: the window of the image, in its pixels; the size the window is resized to; whether it is mirrored."""

    top: int
    left: int
    window: tuple[int, int]
    size: tuple[int, int]
    mirrored: bool


def coloured_anew(
    crop: UInt8[torch.Tensor, "3 h w"], strength: float, rng: np.random.Generator
) -> UInt8[torch.Tensor, "3 h w"]:
    """The crop with brightness, contrast and saturation multiplied by random factors from 1 − `strength` on."""
    if strength:
        for change in (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation):
            crop = change(crop, float(rng.uniform(1 - strength, 1 + strength)))
    return crop


def drawn_cut(image: tuple[int, int], size: tuple[int, int], zoom: float, rng: np.random.Generator) -> Cut:
    """A random crop of this size that lies wholly inside the image.

    The image is scaled until it just covers the crop, and then by a random factor from 1 to `zoom`. In effect: only the
    window that becomes the crop is resized, and it consists of whole pixels of the image.

    Args:
        image: Height and width in pixels.
        size: Height and width of the crop in pixels.
    """
    scale = max(size[0] / image[0], size[1] / image[1]) * rng.uniform(1, zoom)
    height, width = (min(whole, max(1, round(part / scale))) for whole, part in zip(image, size, strict=True))
    top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(image, (height, width), strict=True))
    return Cut(top, left, (height, width), size, bool(rng.random() < 0.5))


def cut_out(part: tv_tensors.TVTensor, cut: Cut) -> torch.Tensor:
    """The crop of an image, a mask or boxes; those of one image still match afterwards."""
    part = functional.crop(part, cut.top, cut.left, *cut.window)
    if isinstance(part, tv_tensors.Mask):
        # torchvision resizes masks by "nearest", which is off by half a pixel: it does not take pixels' centres.
        exact = functional.resize_image(part, list(cut.size), interpolation=InterpolationMode.NEAREST_EXACT)
        part = tv_tensors.Mask(exact)
    else:
        part = functional.resize(part, list(cut.size), antialias=True)
    plain: torch.Tensor = (functional.horizontal_flip(part) if cut.mirrored else part).as_subclass(torch.Tensor)
    return plain


@dataclass(frozen=True)
class StrongImage:
    """The files of an image and its mask, and the class of each value of the mask (`data.label_maps.class_numbers`)."""

    path: Path
    mask: Path
    numbers: Int16[np.ndarray, " 256"]


@dataclass(frozen=True)
class WeakImage:
    """The file of a weakly labelled image, and its boxes."""

    path: Path
    corners: Float32[np.ndarray, "boxes 4"]
    """x0, y0, x1, y1 as shares of the image's sides, 0..1."""
    nodes: Int64[np.ndarray, " boxes"]
    """The node of each box, as the tree numbers them."""
    labelled: Bool[np.ndarray, " boxed"]
    """For each of the tree's boxed nodes, whether its objects have boxes in this image wherever there are any."""


@dataclass(frozen=True)
class Batch:
    """The images of a step with their targets."""

    images: UInt8[torch.Tensor, "images 3 h w"]
    """The strong ones first, then the weakly labelled ones."""
    labels: Int64[torch.Tensor, "strong h w"]
    """Classes of the strong images."""
    shares: tuple[Float32[torch.Tensor, "weak _ h w"], ...]
    """For each group, what the boxes of the weakly labelled images say (`box_shares`); empty in mode labels."""
    cover: BoxCover | None = None
    """Where boxes lie in all images; None without an auxiliary head to learn it."""
    weak_labels: Int64[torch.Tensor, "weak h w"] | None = None
    """Classes of the weak images, in mode labels alone."""


def pixels_and_labels(strong: StrongImage) -> tuple[UInt8[torch.Tensor, "3 h w"], UInt8[torch.Tensor, "h w"]]:
    """An image at its own size, and its labels.

    Raises:
        DataError: either cannot be read, or they differ in size.
    """
    pixels, labels = pixels_of(strong.path), torch.from_numpy(label_map(strong.mask, strong.numbers))
    if pixels.shape[1:] != labels.shape:
        raise DataError(
            f"{strong.mask}: {labels.shape[1]} × {labels.shape[0]} pixels; its image {strong.path} has "
            f"{pixels.shape[2]} × {pixels.shape[1]}."
        )
    return pixels, labels


def pixels_of(path: Path) -> UInt8[torch.Tensor, "3 h w"]:
    """An image at its own size.

    Raises:
        DataError: it cannot be read.
    """
    return torch.from_numpy(rgb_pixels(path)).permute(2, 0, 1)


#: A crop of an image, and the class of each of its pixels.
Labelled: TypeAlias = tuple[UInt8[torch.Tensor, "3 h w"], Int64[torch.Tensor, "h w"]]


@dataclass(frozen=True)
class Cutting:
    """How crops are drawn, strong and weak ones alike."""

    size: tuple[int, int]
    """Height and width in pixels."""
    zoom: float
    """As `NetworkSettings.zoom`."""
    colour: float = 0.0
    """As `NetworkSettings.colour`."""


def strong_example(strong: StrongImage, cutting: Cutting, rng: np.random.Generator) -> Labelled:
    """A random crop of an image and of its labels.

    Raises:
        DataError: as `pixels_and_labels`.
    """
    return _labelled_example(*pixels_and_labels(strong), cutting, rng)


def label_example(weak: StrongImage, cutting: Cutting, rng: np.random.Generator) -> Labelled:
    """A random crop of an image and of the labels made from its boxes, which may be smaller than the image.

    Raises:
        DataError: image or labels cannot be read.
    """
    pixels, labels = pixels_of(weak.path), torch.from_numpy(label_map(weak.mask, weak.numbers))
    if pixels.shape[1:] != labels.shape:
        size = list(pixels.shape[1:])
        labels = functional.resize_image(labels[None], size, interpolation=InterpolationMode.NEAREST_EXACT)[0]
    return _labelled_example(pixels, labels, cutting, rng)


def _labelled_example(
    pixels: UInt8[torch.Tensor, "3 height width"],
    labels: UInt8[torch.Tensor, "height width"],
    cutting: Cutting,
    rng: np.random.Generator,
) -> Labelled:
    cut = drawn_cut((pixels.shape[1], pixels.shape[2]), cutting.size, cutting.zoom, rng)
    cut_labels = cut_out(tv_tensors.Mask(labels[None]), cut)[0]
    return coloured_anew(cut_out(tv_tensors.Image(pixels), cut), cutting.colour, rng), cut_labels.to(torch.int64)


def weak_example(
    weak: WeakImage, tree: ClassTree, cutting: Cutting, rng: np.random.Generator, others_are_void: bool = False
) -> tuple[UInt8[torch.Tensor, "3 h w"], tuple[Float32[torch.Tensor, "_ h w"], ...], BoxCover | None]:
    """A random crop of a weakly labelled image, and the targets that its boxes give.

    Args:
        others_are_void: As of `box_shares`.

    Returns:
        The crop; for each group of the tree its `box_shares`; and where boxes lie, if there is a head to learn it.

    Raises:
        DataError: the image cannot be read.
    """
    pixels = pixels_of(weak.path)
    height, width = pixels.shape[1], pixels.shape[2]
    cut, size = drawn_cut((height, width), cutting.size, cutting.zoom, rng), cutting.size
    corners = torch.from_numpy(weak.corners) * torch.tensor([width, height, width, height])
    boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(height, width))
    left = cut_out(boxes, cut)
    shares = tuple(
        box_shares(left, outputs, len(group.outputs), size, others_are_void)
        for group in tree.groups
        for outputs in [torch.from_numpy(tree.outputs_of_nodes(group)[weak.nodes])]
    )
    cover = None
    if tree.boxed:
        cover = drawn_cover(left, torch.from_numpy(weak.nodes), torch.from_numpy(weak.labelled), tree, size)
    return coloured_anew(cut_out(tv_tensors.Image(pixels), cut), cutting.colour, rng), shares, cover


def gathered_labels(strong: Sequence[Labelled], weak: Sequence[Labelled], size: tuple[int, int]) -> Batch:
    """Examples of mode labels as one batch."""
    images = torch.stack([image for image, _ in (*strong, *weak)])
    labels, weak_labels = (
        torch.stack([labels for _, labels in part]) if part else torch.zeros((0, *size), dtype=torch.int64)
        for part in (strong, weak)
    )
    return Batch(images, labels, (), weak_labels=weak_labels)


def gathered(
    strong: Sequence[Labelled],
    weak: Sequence[tuple[torch.Tensor, tuple[torch.Tensor, ...], BoxCover | None]],
    tree: ClassTree,
    size: tuple[int, int],
) -> Batch:
    """Examples as one batch; at least one must be strong."""
    images = torch.stack([image for image, _ in strong] + [image for image, *_ in weak])
    labels = torch.stack([labels for _, labels in strong])
    shares = tuple(
        torch.stack([each[number] for _, each, _ in weak]) if weak else torch.zeros((0, len(group.outputs), *size))
        for number, group in enumerate(tree.groups)
    )
    if not tree.boxed:
        return Batch(images, labels, shares)
    covers = [*(mask_cover(labels, tree) for _, labels in strong), *(cover for *_, cover in weak if cover is not None)]
    inside, known = torch.stack([each.inside for each in covers]), torch.stack([each.known for each in covers])
    return Batch(images, labels, shares, BoxCover(inside, known))


def places(step: int, batch: int, count: int, seed: int, stream: int) -> list[int]:
    """The numbers of the items that a step takes, out of `count`: random orders, one after another, cut into batches.

    A pure function of its arguments, so that a training that was interrupted goes on with the same images.

    Args:
        batch: Items per step.
        stream: Makes different draws from one seed.
    """
    orders: dict[int, np.ndarray] = {}
    chosen = []
    for number in range(step * batch, (step + 1) * batch):
        cycle, place = divmod(number, count)
        if cycle not in orders:
            orders[cycle] = np.random.default_rng([seed, stream, cycle]).permutation(count)
        chosen.append(int(orders[cycle][place]))
    return chosen
