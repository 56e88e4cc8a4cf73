"""The batch of each step of a training: a pure function of seed, step and process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thresher import tables
from thresher.errors import DataError
from thresher.run.record import Record
from thresher.segmentation.settings import NEEDS_TWO_IMAGES
from thresher.training.images import TrainingImages, strong_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.examples import Batch, WeakImage

#: Random streams of one seed: the order of the strong images, and that of the weakly labelled ones. The stream of the
#: crops is two above.
_STRONG, _WEAK = 0, 1


class Problems:
    """Images that could not be read, each listed once however often it came up."""

    def __init__(self) -> None:
        """None so far."""
        self.rows: dict[str, dict[str, object]] = {}

    def add(self, path: Path, error: DataError) -> None:
        """List an image with the reason."""
        row = {"path": str(path), "stage": "train", "problem": "image_unreadable", "detail": str(error)}
        self.rows.setdefault(str(path), {**row})

    def write(self, record: Record) -> None:
        """Write them to the training's problems.parquet."""
        record.add_problems("train", tables.from_rows([*self.rows.values()], tables.PROBLEMS))


def batches(
    images: TrainingImages, settings: TrainSettings, problems: Problems, process: int, processes: int
) -> Callable[[int], Batch | None]:
    """What gives this process's share of the batch of a step; a pure function of seed, step and process.

    Images that cannot be read are listed in `problems` and left out of the batch; without enough images it is None.
    """
    from thresher.segmentation.examples import gathered, places, strong_example, weak_example

    size, tree = (settings.height_px, settings.width_px), images.tree
    least = 2 if settings.decoder in NEEDS_TWO_IMAGES else 1
    strong, weak = strong_images(images.strong, images.taxonomy), _weak_images(images)
    strong_crop = functools.partial(strong_example, size=size, zoom=settings.zoom)
    weak_crop = functools.partial(weak_example, tree=tree, size=size, zoom=settings.zoom)

    def drawn(step: int, stream: int, among: list[Any], batch: int, crop: Callable[..., Any]) -> list[Any]:
        examples = []
        chosen = places(step, batch, len(among), settings.seed, stream) if among else []
        for number, place in list(enumerate(chosen))[process::processes]:
            rng = np.random.default_rng([settings.seed, 2 + stream, step, number])
            try:
                examples.append(crop(among[place], rng=rng))
            except DataError as error:
                problems.add(among[place].path, error)
        return examples

    def batch_of(step: int) -> Batch | None:
        strong_crops = drawn(step, _STRONG, strong, settings.strong_batch, strong_crop)
        weak_crops = drawn(step, _WEAK, weak, settings.weak_batch, weak_crop)
        enough = strong_crops and len(strong_crops) + len(weak_crops) >= least
        return gathered(strong_crops, weak_crops, tree, size) if enough else None

    return batch_of


def _weak_images(images: TrainingImages) -> list[WeakImage]:
    from thresher.segmentation.examples import WeakImage

    rows = images.weak.select("path", "corners", "nodes", "labelled").iter_rows()
    return [
        WeakImage(Path(path), np.array(corners, np.float32), np.array(nodes, np.int64), np.array(labelled, np.bool_))
        for path, corners, nodes, labelled in rows
    ]
