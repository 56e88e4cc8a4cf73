"""The batch of each step of a training: a pure function of seed, step and process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thresher import tables
from thresher.errors import DataError
from thresher.run.record import Record
from thresher.segmentation.settings import NEEDS_TWO_IMAGES
from thresher.training.images import TrainingImages, steps_of, strong_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.examples import Batch, Cutting

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
    from thresher.segmentation.examples import Cutting, gathered, gathered_labels, places

    size, tree = (settings.height_px, settings.width_px), images.tree
    least = 2 if settings.decoder in NEEDS_TWO_IMAGES else 1
    strong, weak = strong_images(images.strong, images.taxonomy), _weak_images(images, settings)
    crops = _crops(images, settings, Cutting(size, settings.zoom, settings.colour))
    parts = _parts(settings, bool(weak), steps_of(settings, images))

    def drawn(step: int, part: _Part) -> list[Any]:
        among, examples = weak if part.weak else strong, []
        chosen = places(step, part.images, len(among), settings.seed, part.stream) if among else []
        for number, place in list(enumerate(chosen))[process::processes]:
            rng = np.random.default_rng([settings.seed, 2 + part.stream, step, number])
            try:
                examples.append(crops[part.weak](among[place], rng=rng))
            except DataError as error:
                problems.add(among[place].path, error)
        return examples

    def batch_of(step: int) -> Batch | None:
        drawn_now = [(part.weak, drawn(step, part)) for part in parts(step)]
        strong_crops, weak_crops = ([c for weak, each in drawn_now if weak is which for c in each] for which in _KINDS)
        first = weak_crops if all(part.weak for part in parts(step)) else strong_crops
        if not first or len(strong_crops) + len(weak_crops) < least:
            return None
        if settings.mode == "labels":
            return gathered_labels(strong_crops, weak_crops, size)
        return gathered(strong_crops, weak_crops, tree, size)

    return batch_of


#: Whether the images are weak: strong ones come first.
_KINDS = (False, True)


class _Part(NamedTuple):
    """A part of a step's images."""

    weak: bool
    images: int
    stream: int


def _parts(settings: TrainSettings, has_weak: bool, steps: int) -> Callable[[int], list[_Part]]:
    """Of which parts the batch of a step consists.

    Strong images have a stream of their own, so that they and their crops are the same whatever the others are. What
    takes the place of weak images takes their stream.
    """
    strong, second = _Part(False, settings.strong_batch, _STRONG), _Part(has_weak, settings.weak_batch, _WEAK)
    mixed = [strong, second] if has_weak or settings.fill_batch else [strong]
    if settings.order == "mixed" or settings.mode != "labels" or not has_weak:
        return lambda step: mixed
    weak_alone = [_Part(True, settings.strong_batch + settings.weak_batch, _WEAK)]
    strong_alone = [strong, _Part(False, settings.weak_batch, _WEAK)]
    return lambda step: weak_alone if 2 * step < steps else strong_alone


def _crops(images: TrainingImages, settings: TrainSettings, cutting: Cutting) -> dict[bool, Callable[..., Any]]:
    """What makes an example of a strong (False) and of a weak image (True)."""
    from thresher.segmentation.examples import label_example, strong_example, weak_example

    void = settings.overlaps == "void"
    boxed = functools.partial(weak_example, tree=images.tree, cutting=cutting, others_are_void=void)
    labelled = functools.partial(label_example, cutting=cutting)
    return {
        False: functools.partial(strong_example, cutting=cutting),
        True: labelled if settings.mode == "labels" else boxed,
    }


def _weak_images(images: TrainingImages, settings: TrainSettings) -> list[Any]:
    """The weak images with what their boxes say: as pixel labels in mode labels, else as the boxes themselves."""
    from thresher.segmentation.examples import WeakImage

    if settings.mode == "labels":
        return [*strong_images(images.weak, images.taxonomy)]

    rows = images.weak.select("path", "corners", "nodes", "labelled").iter_rows()
    return [
        WeakImage(Path(path), np.array(corners, np.float32), np.array(nodes, np.int64), np.array(labelled, np.bool_))
        for path, corners, nodes, labelled in rows
    ]
