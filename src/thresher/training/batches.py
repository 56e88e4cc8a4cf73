"""The images of each step of a training: a pure function of seed, step and process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal  # noqa: F401 - the inherited settings' annotations name it

import numpy as np

from thresher import tables
from thresher.errors import DataError
from thresher.run.folder import Record
from thresher.segmentation.settings import NEEDS_TWO_IMAGES
from thresher.training.images import Material, strong_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.examples import Batch, WeakImage


#: Streams of chance of one seed: the order of strong images, of weak ones, and the cuts of each.
_STRONG, _WEAK = 0, 1


class Problems:
    """Images that could not be read, each listed once however often it came up."""

    def __init__(self) -> None:
        """None so far."""
        self.found: dict[str, dict[str, object]] = {}

    def add(self, path: Path, error: DataError) -> None:
        """List an image with the reason."""
        row: dict[str, object] = {
            "path": str(path),
            "stage": "train",
            "problem": "image_unreadable",
            "detail": str(error),
        }
        self.found.setdefault(str(path), row)

    def write(self, record: Record) -> None:
        """Put them where the training is recorded."""
        record.add_problems("train", tables.from_rows([*self.found.values()], tables.PROBLEMS))


def batches(
    material: Material, settings: TrainSettings, problems: Problems, process: int, processes: int
) -> Callable[[int], Batch | None]:
    """This process's share of the batch of a step, a pure function of seed, step and process.

    Images that cannot be read are listed and left out of it.
    """
    from thresher.segmentation.examples import (
        WeakImage,
        gathered,
        places,
        strong_example,
        weak_example,
    )

    size, zoom = (settings.height_px, settings.width_px), settings.zoom
    least = 2 if settings.decoder in NEEDS_TWO_IMAGES else 1
    strongs = strong_images(material.strong, material.taxonomy)
    rows = material.weak.select("path", "corners", "nodes", "labelled").iter_rows()
    weaks: list[WeakImage] = [
        WeakImage(Path(path), np.array(corners, np.float32), np.array(nodes, np.int64), np.array(labelled, np.bool_))
        for path, corners, nodes, labelled in rows
    ]

    def drawn(step: int, stream: int, images: list[Any], batch: int, example: Callable[..., Any]) -> list[Any]:
        examples = []
        chosen = places(step, batch, len(images), settings.seed, stream) if images else []
        for number, place in list(enumerate(chosen))[process::processes]:
            rng = np.random.default_rng([settings.seed, 2 + stream, step, number])
            try:
                examples.append(example(images[place], rng))
            except DataError as error:
                problems.add(images[place].path, error)
        return examples

    def batch_of(step: int) -> Batch | None:
        strong = drawn(step, _STRONG, strongs, settings.strong_batch,
                       lambda image, rng: strong_example(image, size, zoom, rng))  # fmt: skip
        weak = drawn(step, _WEAK, weaks, settings.weak_batch,
                     lambda image, rng: weak_example(image, material.tree, size, zoom, rng))  # fmt: skip
        enough = strong and len(strong) + len(weak) >= least
        return gathered(strong, weak, material.tree, size) if enough else None

    return batch_of
