"""The routes measured on held-out masks of the target, with boxes made from these masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from thresher.labelling.held_out import Counts, label_counts
from thresher.labelling.of_masks import BoxesOfMasks
from thresher.labelling.pixels import ImageBoxes
from thresher.labelling.routes import ROUTES, Rules, Seen
from thresher.labelling.work import resized
from thresher.run.perform import Track
from thresher.segmentation.tree import ClassTree
from thresher.training.images import strong_images

if TYPE_CHECKING:
    from thresher.segmentation.inference import Segmenter


@dataclass(frozen=True)
class Measured:
    """What came of each route on held-out masks."""

    counts: dict[str, Counts]
    """Of each route."""
    objects: Int64[np.ndarray, " classes"]
    """How many boxes there were of each class."""


def measured_routes(
    network: Segmenter,
    images: pl.DataFrame,
    of_masks: BoxesOfMasks,
    rules: Rules,
    routes: Sequence[str],
    track: Track[Any],
) -> Measured:
    """Which labels each route gives the pixels of the held-out images, at the size at which the network sees them.

    Args:
        network: Has learnt from none of these images.
        images: image_id, path, mask and encoding.

    Raises:
        DataError: an image or mask cannot be read.
    """
    from thresher.segmentation.examples import pixels_and_labels
    from thresher.segmentation.inference import Images, segmented

    tree = of_masks.tree
    held_out = strong_images(images, of_masks.taxonomy)

    def use(number: int, pixels: np.ndarray, labels: Any, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        truth, boxes = labels.numpy(), of_masks.of(labels.numpy(), number)
        seen, at_size = Seen(probabilities, boxes, pixels), resized(truth, probabilities.shape[1:])
        found = [label_counts(at_size, ROUTES[route](seen, rules), len(tree.classes)) for route in routes]
        return np.stack(found), _objects(boxes, tree)

    read = Images(len(held_out), lambda number: pixels_and_labels(held_out[number]))
    results = segmented(network, read, use, track, network.class_probabilities)
    counts = np.stack([of_routes for of_routes, _ in results])
    objects = np.asarray(np.sum([of_image for _, of_image in results], 0, dtype=np.int64))
    return Measured({route: counts[:, place] for place, route in enumerate(routes)}, objects)


def _objects(boxes: ImageBoxes, tree: ClassTree) -> Int64[np.ndarray, " classes"]:
    """How many boxes name each class itself."""
    of_nodes = np.bincount(boxes.nodes, minlength=len(tree.nodes))
    return np.array([of_nodes[tree.nodes.index(name)] for name in tree.classes], np.int64)
