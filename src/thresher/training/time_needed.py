"""How long a training takes, from a few of its own steps."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from thresher import tables
from thresher.data.images import image_size
from thresher.errors import DataError
from thresher.files import replacing
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track
from thresher.training.settings import TrainSettings

#: Steps that are timed, after a first one that is not counted, and batches of validation images.
_STEPS, _VALIDATED = 3, 2
#: How many weakly labelled images there are to draw from in those steps.
_WEAK = 64
#: Trains in a run with these settings, and tells of its progress.
Training = Callable[[Run, TrainSettings, Track[Any]], object]


def times_of(run: Run, settings: TrainSettings, training: Training) -> dict[str, float]:
    """Take a few steps of this very training, on its very images, in a folder that is thrown away.

    Returns:
        Seconds of a `step`, of a validated `image`, of a `checkpoint` besides, and of all that comes `once`.
    """
    from thresher.segmentation.inference import batch_size

    limit = (_STEPS + 1) * settings.strong_batch
    few = dataclasses.replace(settings, epochs=1, strong_limit=min(limit, settings.strong_limit or limit), name="timed")
    watch = _Stopwatch()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
        other = Run(folder)
        # Without the manifest, which would speak of tables that are not here.
        for path in (run.images, run.boxes, run.masks, run.taxonomy):
            (other.folder / path.name).symlink_to(path.absolute())
        if settings.selection != "none":
            some = _some_weak(run)
            few = dataclasses.replace(few, selection="some", labels="some" if settings.mode == "labels" else "")
            tables.write(some, other.selection_path("some"))
            if few.labels:
                _write_some_labels(OpenedRun(run), some, other.label_set("some"))
        with contextlib.suppress(_EnoughError):
            training(other, few, watch.track)
    return watch.times(time.monotonic() - started, batch_size())


def seconds_of(times: Mapping[str, float], settings: TrainSettings, steps: int, validation_images: int) -> float:
    """Seconds of the whole training, from those of its parts (`times_of`).

    >>> parts = {"once": 10.0, "step": 0.5, "image": 0.1, "checkpoint": 1.0}
    >>> seconds_of(parts, TrainSettings(epochs=10, checkpoint_epochs=5), steps=100, validation_images=20)
    66.0
    """
    checkpoints = -(-settings.epochs // settings.checkpoint_epochs)
    of_checkpoint = times["checkpoint"] + validation_images * times["image"]
    return times["once"] + steps * times["step"] + checkpoints * of_checkpoint


class _EnoughError(Exception):
    """Raised into a training once it is known how long its parts take."""


@dataclass
class _Stopwatch:
    """Seconds that a training's loops take for each item; ends the training when enough images are validated."""

    training: list[float] = field(default_factory=list)
    validating: list[float] = field(default_factory=list)
    last_step: float = 0.0
    """When the last step began."""
    last_step_and_checkpoint: float = 0.0
    """From then until the validation began: the last step, and the network made ready for validation."""

    def track(self, items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        """The loop, timed."""
        seconds = {"training": self.training, "validating": self.validating}[what]
        last = time.monotonic()
        if what == "validating":
            self.last_step_and_checkpoint = last - self.last_step
        for item in items:
            if what == "training":
                self.last_step = time.monotonic()
            yield item
            seconds.append(time.monotonic() - last)
            last = time.monotonic()
            if len(self.validating) == _VALIDATED:
                raise _EnoughError

    def times(self, overall: float, images: int) -> dict[str, float]:
        """The `times_of` a training; `images` are validated in one batch."""
        step = _mean(self.training[1:] or self.training)
        return {
            "step": step,
            "image": _mean(self.validating) / images,
            "checkpoint": max(0.0, self.last_step_and_checkpoint - step),
            "once": overall - sum(self.training) - sum(self.validating) - self.last_step_and_checkpoint,
        }


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds) if seconds else 0.0


def _write_some_labels(opened: OpenedRun, chosen: pl.DataFrame, folder: Path) -> None:
    """Write label maps of one class for these images, in place of a label set that may not be made yet."""
    images = opened.pool.join(chosen, on="image_id", how="semi").select("image_id", "path")
    rows: list[dict[str, object]] = []
    for number, (image_id, path) in enumerate(images.iter_rows()):
        try:
            width, height = image_size(Path(path))
        except DataError:
            continue  # the training lists it
        labels = np.full((height, width), opened.taxonomy.classes[0].id, np.uint8)
        with replacing(folder / f"{number}.png") as file:
            Image.fromarray(labels).save(file, "PNG")
        row = {"image_id": image_id, "file": f"{number}.png", "width_px": width, "height_px": height}
        rows.append({**row, "share_labelled": 1.0})
    tables.write(tables.from_rows(rows, tables.LABELLED_IMAGES), folder / "images.parquet")


def _some_weak(run: Run) -> pl.DataFrame:
    """Some images of the pool with boxes of known classes, in place of a selection that may not be made yet."""
    opened = OpenedRun(run)
    images = opened.pool.lazy().select("image_id")
    boxed = opened.lazy_boxes().filter(pl.col("class").is_not_null()).select("image_id").unique()
    ids = images.join(boxed, on="image_id", how="semi").sort("image_id").collect()["image_id"]
    some = ids.gather_every(max(1, len(ids) // _WEAK)).head(_WEAK)
    rows = [{"image_id": name, "rank": rank, "score": 0.0} for rank, name in enumerate(some, 1)]
    return tables.from_rows(rows, tables.SELECTION)
