"""Boxes drawn around the objects of the target's masks, to stand for those of the pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, UInt8

from thresher.data.label_maps import class_numbers, label_map
from thresher.data.taxonomy import Taxonomy
from thresher.labelling.image_boxes import as_drawn, boxes_of_mask, fill_rates
from thresher.labelling.pixels import ImageBoxes
from thresher.segmentation.tree import ClassTree

#: Masks from which it is learnt what boxes hold.
_MOST_MASKS = 400


@dataclass(frozen=True)
class BoxesOfMasks:
    """How boxes are drawn around the objects of masks, to stand for those of the pool."""

    taxonomy: Taxonomy
    tree: ClassTree
    drawn: Sequence[int]
    """The nodes that the pool has boxes of."""
    boxed: Bool[np.ndarray, " classes"]
    """The classes that these may hold."""
    jitter: float
    seed: int

    def of(self, labels: UInt8[np.ndarray, "h w"], number: int) -> ImageBoxes:
        """Boxes around the objects of a mask, named as the pool names its own."""
        rng = np.random.default_rng([self.seed, number])
        boxes = boxes_of_mask(labels, self.tree, self.boxed, rng, self.jitter)
        return as_drawn(boxes, list(self.drawn), self.tree)

    def rates(self, strong: pl.DataFrame) -> Float64[np.ndarray, " nodes"]:
        """How much of a box is object, on at most `_MOST_MASKS` masks, evenly spread.

        Args:
            strong: Images with masks: mask and encoding.
        """
        rows = some_of(strong)
        numbers = {encoding: class_numbers(self.taxonomy, encoding) for encoding in rows["encoding"].unique()}

        def pairs() -> Iterable[tuple[np.ndarray, ImageBoxes]]:
            for number, (mask, encoding) in enumerate(rows.select("mask", "encoding").iter_rows()):
                labels = label_map(Path(mask), numbers[encoding])
                yield labels, self.of(labels, number)

        return fill_rates(pairs(), self.tree)


def some_of(strong: pl.DataFrame) -> pl.DataFrame:
    """At most `_MOST_MASKS` of the images with masks, evenly spread over their ids."""
    ordered = strong.sort("image_id")
    return ordered.gather_every(max(1, -(-strong.height // _MOST_MASKS)))
