"""The network that labels, and the one on whose held-out masks the routes are measured."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.labelling.settings import LabelSettings
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track
from thresher.run.reading import none_of
from thresher.run.record import Record
from thresher.settings import restored
from thresher.training.images import TrainingImages, training_images
from thresher.training.settings import TrainSettings
from thresher.training.train import train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Teacher:
    """The training whose network labels the images."""

    run: Run
    settings: TrainSettings
    made: bool
    """Whether it is trained on the way, unless it is there and current."""

    @property
    def name(self) -> str:
        """Name of the training."""
        return self.settings.training_name

    @property
    def checkpoint(self) -> Path:
        """Its network."""
        return OpenedRun(self.run).checkpoint(self.name)

    @property
    def has_held_out(self) -> bool:
        """Whether it was validated on images of the target, from which it did not learn.

        A validation set from elsewhere is there to measure what is trained on the labels, so it must not choose them.
        """
        return not self.settings.validation

    def images(self) -> TrainingImages:
        """The images that it learns from and is validated on."""
        return training_images(self.run, self.settings)


def teacher_of(run: Run, settings: LabelSettings, training: TrainSettings | None) -> Teacher:
    """The teacher named in the settings, or the one that is to be trained.

    Args:
        training: How a teacher is trained; selection, mode, seed and name are set here.

    Raises:
        SettingsError: no training has the name.
    """
    if not settings.teacher:
        name, base = f"teacher-seed{settings.seed}", training or TrainSettings()
        wanted = dataclasses.replace(base, selection="none", mode=MASKS_ALONE, seed=settings.seed, name=name)
        return Teacher(run, wanted, made=True)
    recorded = Record(run.training(settings.teacher)).recorded().get("train", {}).get("settings")
    if recorded is None:
        raise SettingsError(none_of("training", settings.teacher, run.folder, OpenedRun(run).training_names))
    return Teacher(run, restored(TrainSettings, recorded | {"name": settings.teacher}), made=False)


#: The mode of a training that learns from masks alone, each class's own probability.
MASKS_ALONE: Any = "labels"


@dataclass(frozen=True)
class HeldOut:
    """Masks of the target, and a network that did not learn from them."""

    images: pl.DataFrame
    """image_id, path, mask and encoding."""
    learnt_from: pl.DataFrame
    """The same of the images from which the network learnt."""
    checkpoint: Path


def held_out(teacher: Teacher, share: float, track: Track[Any]) -> HeldOut:
    """The teacher's own validation set, if it is a part of the target.

    Else the last images that it learnt from, by their ids, and a judge: a network trained as it was, on the others.

    Args:
        share: How many of its images, as a share, the teacher's judge does not learn from.
    """
    if teacher.has_held_out:
        images = teacher.images()
        return HeldOut(images.validation, images.strong, teacher.checkpoint)
    run, settings = judges_run(teacher, share), judges_settings(teacher, share)
    log.info("labels: the judge is trained, as %s was on a part of its masks, unless it is there", teacher.name)
    train(run, settings, track=track)
    images = training_images(run, settings)
    return HeldOut(images.validation, images.strong, OpenedRun(run).checkpoint(settings.training_name))


def judges_settings(teacher: Teacher, share: float) -> TrainSettings:
    """How the judge is trained: as the teacher, without its boxes and labels, on a part of its images."""
    return dataclasses.replace(
        teacher.settings,
        selection="none",
        mode=MASKS_ALONE,
        strong_limit=None,
        validation="",
        validation_share=share,
        name="judge",
    )


def judges_run(teacher: Teacher, share: float) -> Run:
    """A run of the teacher's images alone, in RUN/labels/.judges; all label sets of a teacher share the judge."""
    folder = teacher.run.folder / "labels" / ".judges" / f"{teacher.name}-{share:g}"
    run, opened = Run(folder), OpenedRun(teacher.run)
    strong = teacher.images().strong
    images = opened.images.join(strong, on="image_id", how="semi").sort("image_id")
    if images.height < 2:
        raise DataError(
            f"{teacher.run.folder}: {images.height} image with a mask is too few to hold some out. Name a route and "
            "set held_out = 0."
        )
    # No split, so that the last images are held out.
    tables.write(images.with_columns(split=pl.lit(None, pl.String)), run.images)
    tables.write(opened.masks.join(strong, on="image_id", how="semi").sort("image_id"), run.masks)
    tables.write(tables.empty(tables.BOXES), run.boxes)
    if not run.taxonomy.is_file() or run.taxonomy.read_bytes() != teacher.run.taxonomy.read_bytes():
        run.taxonomy.write_bytes(teacher.run.taxonomy.read_bytes())
    return run
