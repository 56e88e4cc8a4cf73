"""Proxy trainings of one seed: heads on kept features, and what they decide on the images to measure on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64, UInt8

from thresher.comparison.proxy.materials import Files, Materials
from thresher.labelling.image_boxes import boxed_classes, boxes_of_mask, fill_rates, image_boxes
from thresher.labelling.pixels import ImageBoxes, confident, fill, gate
from thresher.run.opened import OpenedRun
from thresher.segmentation.tree import ClassTree, class_tree

if TYPE_CHECKING:
    from thresher.segmentation.frozen import Example, Head, HeadSettings

    _Examples = Sequence[Example]
else:
    _Examples = Sequence  # torch is imported when a head is trained


#: The route of true masks.
GIVEN = "given"


@dataclass(frozen=True)
class Arm:
    """What a head learns from besides the strong images."""

    images: tuple[str, ...] = ()
    """The weakly labelled images' ids."""
    route: str = ""
    """How their pixels are labelled, one of `ROUTES` or `GIVEN`; empty: by the paper's loss on their boxes."""
    loss: str = "labels"


class _Lazy(_Examples):
    """Examples that are made each time one is asked for, so that memory never holds many."""

    def __init__(self, make: Callable[[str], Example], names: Sequence[str]) -> None:
        self._make, self._names = make, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | Sequence[Example]:
        return _Lazy(self._make, self._names[place]) if isinstance(place, slice) else self._make(self._names[place])


class Bench:
    """All that the trainings of a comparison share: strong images, boxes of the pool, and where features are."""

    def __init__(self, files: Files, weak: pl.DataFrame, true: pl.DataFrame) -> None:
        """Read tables and strong images.

        Args:
            weak: image_id, path and dataset of all weakly labelled images of the comparison.
            true: image_id, path, mask and encoding of those whose true masks are known.
        """
        from thresher.segmentation.frozen import Example, grid_labels

        opened = OpenedRun(files.run)
        self.files, self.materials = files, Materials(files)
        self.tree: ClassTree = class_tree(opened.taxonomy)
        self._boxed = boxed_classes(opened.taxonomy)
        self.boxes: dict[str, ImageBoxes] = image_boxes(opened, weak, self.tree)
        readable = weak.filter(pl.Series([self.materials.can_use(path) for path in weak["path"]], dtype=pl.Boolean))
        self.paths = dict(readable.select("image_id", "path").iter_rows())
        self.true = {row[0]: row[1:] for row in self._usable(true)}
        self.strong: list[Example] = []
        for _, path, mask, encoding in self._usable(files.strong):
            levels = self.materials.levels(path)
            self.strong.append(Example(levels, grid_labels(self.materials.labels(mask, encoding), levels[0].shape[:2])))

    def _usable(self, images: pl.DataFrame) -> list[tuple[str, str, str, str]]:
        rows = images.select("image_id", "path", "mask", "encoding").iter_rows()
        return [row for row in rows if not self.materials.problem_of(*row[1:])]

    @cached_property
    def rates(self) -> Float64[np.ndarray, " nodes"]:
        """How much of a box is object (`fill_rates`), from the strong images' masks."""
        rng = np.random.default_rng(0)
        masks = [self.materials.labels(mask, encoding) for _, _, mask, encoding in self._usable(self.files.strong)]
        boxed = ((each, boxes_of_mask(each, self.tree, self._boxed, rng)) for each in masks)
        return fill_rates(boxed, self.tree)

    def true_labels(self, name: str) -> UInt8[np.ndarray, "rows columns"]:
        """The true mask of an image of the pool on its finest grid; void all over if there is none."""
        from thresher.segmentation.frozen import grid_labels

        rows, columns = self.materials.levels(self.paths[name])[0].shape[:2]
        if name not in self.true:
            return np.full((rows, columns), self.tree.void, np.uint8)
        _, mask, encoding = self.true[name]
        return grid_labels(self.materials.labels(mask, encoding), (rows, columns))

    def measured(self, name: str) -> Iterator[tuple[Any, UInt8[np.ndarray, "h w"]]]:
        """Features and labels of each image of a set to measure on."""
        for path, mask, encoding in self.files.sets[name].select("path", "mask", "encoding").iter_rows():
            yield self.materials.levels(path), self.materials.labels(mask, encoding)


class Seed:
    """The trainings of one seed. They share a teacher, the head of that seed that has seen no weakly labelled image,
    and the labels that it gives.
    """

    def __init__(self, bench: Bench, settings: HeadSettings) -> None:
        """Train nothing yet."""
        self._bench, self._settings = bench, settings
        self._labels: dict[tuple[str, str], UInt8[np.ndarray, "rows columns"]] = {}

    @cached_property
    def teacher(self) -> Head:
        """The head that has seen no weakly labelled image."""
        return self._trained([], "labels")

    def head(self, arm: Arm) -> tuple[Head, int]:
        """The head of an arm, and how many weakly labelled images it learnt from."""
        if not arm.images:
            return (self.teacher if arm.loss == "labels" else self._trained([], arm.loss)), 0
        readable = [name for name in arm.images if name in self._bench.paths]
        if arm.loss == "hierarchical":
            names = [name for name in readable if self._teaches(name)]
            return self._trained(_Lazy(self._boxed, names), arm.loss), len(names)
        void = self._bench.tree.void
        names = [name for name in readable if (self._label_map(name, arm.route) != void).any()]
        return self._trained(_Lazy(lambda name: self._labelled(name, arm.route), names), arm.loss), len(names)

    def confusion(self, head: Head, name: str) -> Int64[np.ndarray, "classes classes"]:
        """What a head decides on the images of a set."""
        from thresher.segmentation.frozen import head_confusion

        return head_confusion(head, self._bench.measured(name), self._bench.tree)

    def _trained(self, weak: Sequence[Example], loss: Any) -> Head:
        from thresher.segmentation.frozen import trained_head

        return trained_head(self._bench.strong, weak, self._bench.tree, replace(self._settings, loss=loss))

    def _teaches(self, name: str) -> bool:
        """Whether an image has a box of a group's child: the paper's loss learns from no other."""
        children = {child for group in self._bench.tree.groups for child in group.outputs[:-1]}
        return any(self._bench.tree.nodes[node] in children for node in self._bench.boxes[name].nodes)

    def _boxed(self, name: str) -> Example:
        """An image and what its boxes say in each group."""
        from thresher.segmentation.frozen import Example, grid_shares

        bench, levels = self._bench, self._bench.materials.levels(self._bench.paths[name])
        rows, columns = levels[0].shape[:2]
        shares = grid_shares(bench.boxes[name].corners, bench.boxes[name].nodes, bench.tree, (rows, columns))
        return Example(levels, np.full((rows, columns), bench.tree.void, np.uint8), shares)

    def _labelled(self, name: str, route: str) -> Example:
        from thresher.segmentation.frozen import Example

        levels = self._bench.materials.levels(self._bench.paths[name])
        return Example(levels, self._label_map(name, route))

    def _label_map(self, name: str, route: str) -> UInt8[np.ndarray, "rows columns"]:
        if (name, route) not in self._labels:
            made = self._bench.true_labels(name) if route == GIVEN else self._by_teacher(name, route)
            self._labels[name, route] = made
        return self._labels[name, route]

    def _by_teacher(self, name: str, route: str) -> UInt8[np.ndarray, "rows columns"]:
        """What the teacher and the boxes of an image say."""
        from thresher.segmentation.frozen import class_probabilities

        bench = self._bench
        believed = class_probabilities(self.teacher, bench.materials.levels(bench.paths[name]), bench.tree)
        return ROUTES[route](believed, bench.boxes[name], bench)


#: The rules that need no pixels: from the teacher's belief and the boxes of an image to its labels.
ROUTES: dict[str, Callable[[Any, ImageBoxes, Bench], np.ndarray]] = {
    "unlabelled": lambda believed, boxes, bench: confident(believed),
    "gate": lambda believed, boxes, bench: gate(believed, boxes, bench.tree),
    "fill": lambda believed, boxes, bench: fill(believed, boxes, bench.tree, bench.rates),
}
