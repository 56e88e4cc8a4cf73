"""The boxes of images, from a run's tables or around the objects of a mask, as the rules on pixels take them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from thresher.data.mask_parts import boxes_of_parts
from thresher.data.source_text import parsed_sources
from thresher.data.taxonomy import VOID, Taxonomy
from thresher.labelling.pixels import ImageBoxes, kin, opened_classes, window
from thresher.run.opened import OpenedRun
from thresher.segmentation.tree import ClassTree
from thresher.selection.diversity import shows_a_real_object

#: What the absence of a box says. auto: that there is no object, if the data set has boxes of that class anywhere, in
#: Open Images only if the image itself has one; all: as auto, in Open Images too; none: nothing.
Exhaustive = Literal["auto", "all", "none"]
#: By data set, for each class whether no object of it is outside boxes.
Promises: TypeAlias = dict[str, Bool[np.ndarray, " classes"]]
#: Share of a box that is object where no mask tells (ours: near the mean over CamVid and VOC).
USUAL_RATE = 0.6
#: Formats whose boxes are complete only for the classes that were verified in the image.
_VERIFIED_PER_IMAGE = ("open_images",)


def boxed_classes(taxonomy: Taxonomy) -> Bool[np.ndarray, " classes"]:
    """The classes that boxes are drawn around: things, and the children of groups. A box of stuff has no meaning here.

    >>> from thresher.data.taxonomy import load_taxonomy
    >>> int(boxed_classes(load_taxonomy("camvid")).sum())
    4
    """
    return np.array([each.thing or each.group is not None for each in taxonomy.classes], np.bool_)


def image_boxes(
    opened: OpenedRun,
    images: pl.DataFrame,
    tree: ClassTree,
    exhaustive: Exhaustive = "auto",
    by_sets: Promises | None = None,
) -> dict[str, ImageBoxes]:
    """The boxes of each of these images, by image id; also of those that have none.

    Depictions, and what lies inside a car or building, are left out, as in training; so are boxes of stuff.

    A class is promised to have no object outside boxes where its data set has boxes of it anywhere (our choice). A box
    that names only a group speaks for those of its children that the data set never names, all of them if it names
    none. In Open Images boxes are complete only for the classes verified in an image, so a class is promised where that
    very image has a box of it. The column `exhaustive` of its boxes, where it is not null, goes before either rule.

    Args:
        images: Columns image_id and dataset.
        exhaustive: auto, all or none, as `Exhaustive` says.
        by_sets: `promised_by_sets`, which reads all boxes of the run, where several calls share it.

    Source: https://storage.googleapis.com/openimages/web/factsfigures_v7.html (boxes and verified labels).
    """
    by_sets = promised_by_sets(opened, tree, exhaustive) if by_sets is None else by_sets
    none = np.zeros(len(tree.classes), np.bool_)
    found = {
        name: ImageBoxes(np.empty((0, 4), np.float32), np.empty(0, np.int64), by_sets.get(dataset, none))
        for name, dataset in images.select("image_id", "dataset").iter_rows()
    }
    for name, dataset, corners, nodes, said in _grouped(opened, images, tree).iter_rows():
        places = np.array(nodes, np.int64)
        promised = by_sets[dataset].copy() if dataset in by_sets else _promised(places, tree)
        if exhaustive == "none":
            promised = none
        else:
            _as_said(promised, places, said, tree)
        found[name] = ImageBoxes(np.array(corners, np.float32), places, promised)
    return found


def _boxes(opened: OpenedRun, tree: ClassTree) -> pl.LazyFrame:
    """The boxes that count, with their node's number."""
    boxed = boxed_classes(opened.taxonomy)
    meant = [name for name, opens in zip(tree.nodes, opened_classes(tree) & boxed, strict=True) if opens.any()]
    numbers = {name: place for place, name in enumerate(tree.nodes)}
    counted = opened.all_boxes().filter(pl.col("class").is_in([*meant, VOID]) & shows_a_real_object())
    return counted.with_columns(node=pl.col("class").replace_strict(numbers, return_dtype=pl.Int64, default=None))


def _grouped(opened: OpenedRun, images: pl.DataFrame, tree: ClassTree) -> pl.DataFrame:
    """image_id, dataset, and lists of corners, node and `exhaustive` of the images that have boxes."""
    wanted = images.lazy().select("image_id", "dataset")
    return (
        _boxes(opened, tree)
        .join(wanted, on="image_id")
        .sort("image_id", "y0", "x0", "y1", "x1", "label")
        .select("image_id", "dataset", pl.concat_list("x0", "y0", "x1", "y1").alias("corners"), "node", "exhaustive")
        .group_by("image_id", maintain_order=True)
        .agg(pl.col("dataset").first(), "corners", "node", "exhaustive")
        .collect()
    )


def promised_by_sets(opened: OpenedRun, tree: ClassTree, exhaustive: Exhaustive = "auto") -> Promises:
    """The classes promised in all images of a data set, for each with boxes that does not promise image by image."""
    if exhaustive == "none":
        return {}
    datasets = opened.images.lazy().select("image_id", "dataset")
    there = _boxes(opened, tree).select("image_id", "node").join(datasets, on="image_id").group_by("dataset")
    one_by_one = _verified_per_image(opened) if exhaustive == "auto" else set()
    rows = there.agg(pl.col("node").unique().sort()).sort("dataset").collect(engine="streaming").iter_rows()
    return {name: _promised(np.array(nodes, np.int64), tree) for name, nodes in rows if name not in one_by_one}


def _verified_per_image(opened: OpenedRun) -> set[str]:
    settings = opened.settings_of("index")
    sources = parsed_sources(settings.get("target", ()), settings.get("pool", ()))
    return {source.name for source in sources if source.format in _VERIFIED_PER_IMAGE}


def _promised(nodes: np.ndarray, tree: ClassTree) -> Bool[np.ndarray, " classes"]:
    """The classes whose objects all have boxes, where boxes of these nodes are drawn."""
    opened = opened_classes(tree)
    alone = opened.sum(1) == 1
    named = np.asarray(opened[[node for node in nodes if alone[node]]].any(0))
    promised: Bool[np.ndarray, " classes"] = named.copy()
    for node in nodes:
        if not alone[node] and not (opened[node] & named).any():
            promised |= opened[node]
    return promised


def _as_said(promised: np.ndarray, nodes: np.ndarray, said: list[bool | None], tree: ClassTree) -> None:
    """Change what is promised where the boxes themselves say whether all objects of their class have one."""
    opened = opened_classes(tree)
    for word in (True, False):  # one box that denies it is enough
        for node in (node for node, told in zip(nodes, said, strict=True) if told is word):
            promised[opened[node]] = word


def boxes_of_mask(
    labels: UInt8[np.ndarray, "h w"],
    tree: ClassTree,
    boxed: Bool[np.ndarray, " classes"],
    rng: np.random.Generator,
    jitter: float = 0.05,
) -> ImageBoxes:
    """Boxes as people would draw them around the objects of a mask; all boxed classes are promised.

    An object is a connected part of one class, so objects that touch share a box. Parts below a ten-thousandth of
    the image have none. Each side is moved by a normal deviate of `jitter` times the box's length across it.

    Args:
        labels: Classes as the tree numbers them; their number is void.
        boxed: The classes that boxes are drawn around.
        jitter: Standard deviation as a share of the box's width or height; 0 for tight boxes.

    >>> from thresher.data.taxonomy import load_taxonomy
    >>> from thresher.segmentation.tree import class_tree
    >>> taxonomy = load_taxonomy("camvid")
    >>> labels = np.full((4, 4), 3, np.uint8)
    >>> labels[1:3, 1:] = 8
    >>> boxed = boxed_classes(taxonomy)
    >>> boxes_of_mask(labels, class_tree(taxonomy), boxed, np.random.default_rng(0), jitter=0.0).corners.tolist()
    [[0.25, 0.25, 1.0, 0.75]]
    """
    tight, numbers = boxes_of_parts(labels, np.flatnonzero(boxed))
    nodes = [tree.nodes.index(tree.classes[number]) for number in numbers]
    return ImageBoxes(jittered(tight, rng, jitter), np.array(nodes, np.int64), np.array(boxed, np.bool_))


def jittered(
    corners: Float[np.ndarray, "boxes 4"], rng: np.random.Generator, jitter: float
) -> Float32[np.ndarray, "boxes 4"]:
    """Boxes whose sides are moved by normal deviates of `jitter` times their length, and which stay in the image.

    However far its sides are moved, a box keeps at least half its length.
    """
    tight = corners.astype(np.float64)
    sides = np.tile(tight[:, 2:] - tight[:, :2], 2)
    moved = tight + jitter * sides * rng.standard_normal(tight.shape)
    middle = np.tile((moved[:, :2] + moved[:, 2:]) / 2, 2)
    least = sides / 4 * np.array([-1, -1, 1, 1])
    low, high = np.minimum(moved, middle + least)[:, :2], np.maximum(moved, middle + least)[:, 2:]
    inside: Float32[np.ndarray, "boxes 4"] = np.concatenate([low, high], 1).clip(0, 1).astype(np.float32)
    return inside


def fill_rates(
    label_maps: Iterable[tuple[UInt8[np.ndarray, "h w"], ImageBoxes]], tree: ClassTree
) -> Float64[np.ndarray, " nodes"]:
    """How much of a box is object, for each node: the mean over the boxes of a class in these label maps, 0..1.

    Of a group, and of its children that have no box here, the mean over all boxes of its children; of what then is
    left the mean over all boxes; `USUAL_RATE` if there is none. Pixels without label do not count. Of void it is 0.

    Args:
        label_maps: Label maps with the boxes around their objects (`boxes_of_mask`).

    Source: after Song et al. 2019, "Box-driven class-wise region masking and filling rate guided loss", CVPR.
    """
    opened = opened_classes(tree)
    shares: list[list[float]] = [[] for _ in tree.nodes]
    for labels, boxes in label_maps:
        for corners, node in zip(boxes.corners, boxes.nodes, strict=True):
            inside = labels[window(corners, (labels.shape[0], labels.shape[1]))]
            labelled = inside != tree.void
            if labelled.any():
                shares[node].append(float(opened[node][np.minimum(inside, tree.void - 1)][labelled].mean()))
    every = [share for of_node in shares for share in of_node]
    usual = float(np.mean(every)) if every else USUAL_RATE
    alike = kin(tree)
    rates = np.zeros(len(tree.nodes))
    for place, name in enumerate(tree.nodes):
        if name == VOID:
            continue
        related = [
            share for other, of_node in enumerate(shares) if (opened[other] & alike[place]).any() for share in of_node
        ]
        rates[place] = np.mean(shares[place] or related or [usual])
    return rates


def drawn_nodes(opened: OpenedRun, images: pl.DataFrame, tree: ClassTree) -> list[int]:
    """The nodes that these images have boxes of, but for void, in the tree's order."""
    wanted = images.lazy().select("image_id")
    found = _boxes(opened, tree).join(wanted, on="image_id", how="semi").select(pl.col("node").unique().sort())
    return [node for node in found.collect(engine="streaming")["node"] if tree.nodes[node] != VOID]


def as_drawn(boxes: ImageBoxes, drawn: list[int], tree: ClassTree) -> ImageBoxes:
    """The same boxes named as a pool names them: by the group where it has boxes of the group but none of the class."""
    groups = {name: group.name for group in tree.groups for name in group.outputs[:-1]}
    named = np.arange(len(tree.nodes))
    for place, name in enumerate(tree.nodes):
        if place not in drawn and name in groups and tree.nodes.index(groups[name]) in drawn:
            named[place] = tree.nodes.index(groups[name])
    return ImageBoxes(boxes.corners, named[boxes.nodes], boxes.exhaustive)
