"""train: masks of the target and boxes of a selection → trainings/NAME: a network, and what it is worth."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal  # noqa: F401 - the inherited settings' annotations name it

from thresher.data.source_text import parsed_source
from thresher.errors import SettingsError
from thresher.pretrained import pretrained_weights, weights_file
from thresher.run.folder import Record, Run
from thresher.run.perform import (
    StageResult,
    Track,
    file_digest,
    fingerprint,
    folder_digest,
    is_current,
    perform,
    untracked,
)
from thresher.segmentation.settings import NEEDS_TWO_IMAGES
from thresher.training.batches import Problems, batches
from thresher.training.images import training_material
from thresher.training.learn import learnt
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    pass

#: What a training leaves in its folder.
OUTPUTS = ("checkpoint.safetensors", "metrics.jsonl", "classes.parquet")


def train(
    run: Run, settings: TrainSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Train a segmentation network on the target's masks and the boxes of a selection, and measure it.

    RUN/trainings/NAME gets `checkpoint.safetensors` (the network, and all that a training goes on from),
    `metrics.jsonl` (a line per checkpoint) and `classes.parquet` (the last validation). A training that was broken off
    goes on from its last checkpoint, and on a CPU ends with the weights that it would have had. It locks and records
    in its own folder: several trainings of one run may go on at once.

    Raises:
        SettingsError: no such selection or encoder, or segmentation_models_pytorch is not installed.
        DataError: the target has no masks, none are left to train on or to validate with, or one of the validation
            set cannot be read.
    """
    settings = settings or TrainSettings()
    material = training_material(run, settings)
    steps = -(-settings.epochs * material.strong.height // settings.strong_batch)
    told = {
        "name": settings.training_name,
        "strong_images": material.strong.height,
        "weak_images": material.weak.height,
        "validation_images": material.validation.height,
        "steps": steps,
    }
    inputs = _inputs(run, settings)
    if dry_run:
        return StageResult("train", "planned", told)
    from thresher.segmentation.devices import accelerator, chosen_precision

    record = Record(run.training(settings.training_name))
    outputs = [record.folder / name for name in OUTPUTS]

    def work() -> tuple[dict[str, Any], int]:
        from thresher.segmentation.devices import told_by_all
        from thresher.segmentation.trained import rebuilt_from

        here = accelerator(settings.precision)
        start = pretrained_weights(settings.encoder, settings.weights)
        about = {"fingerprint": fingerprint("train", settings, inputs)}
        about |= rebuilt_from(settings, run.taxonomy.read_text("utf-8"))
        problems = Problems()
        watch = track if here.is_main_process else untracked
        batch_of = batches(material, settings, problems, here.process_index, here.num_processes)
        history = learnt(material, settings, start, batch_of, steps, outputs, about, here, watch)
        problems.found |= {str(row["path"]): row for row in told_by_all(here, [*problems.found.values()])}
        if here.is_main_process:
            problems.write(record)
        last = {key: value for key, value in history[-1].items() if key in ("loss", "miou")}
        return told | {"precision": chosen_precision(settings.precision)} | last, len(problems.found)

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return perform(run, "train", settings, inputs, outputs, work, record)
    _refuse_indivisible(settings, processes)
    here = accelerator(settings.precision)
    return _as_one_of_many(here, lambda first: perform(run, "train", settings, inputs, outputs, first, record), work)


def _refuse_indivisible(settings: TrainSettings, processes: int) -> None:
    for name in ("strong_batch", "weak_batch"):
        if getattr(settings, name) % processes:
            raise SettingsError(f"{name} = {getattr(settings, name)}: expected a multiple of {processes}, as so many "
                                "processes share each step's images.")  # fmt: skip
    if settings.decoder in NEEDS_TWO_IMAGES and settings.strong_batch < 2 * processes:
        raise SettingsError(f"strong_batch = {settings.strong_batch}: expected {2 * processes} or more for "
                            f"{settings.decoder}, two images in each of {processes} processes.")  # fmt: skip


def _as_one_of_many(
    here: Any,
    performed: Callable[[Callable[[], tuple[dict[str, Any], int]]], StageResult],
    work: Callable[[], tuple[dict[str, Any], int]],
) -> StageResult:
    """The first process locks, records and writes, and tells the others whether there is anything to train."""
    from thresher.segmentation.devices import told_to_all

    if here.is_main_process:

        def first() -> tuple[dict[str, Any], int]:
            told_to_all(here, True)
            return work()

        result = performed(first)
        if result.status == "unchanged":
            told_to_all(here, False)
    elif told_to_all(here, None):
        summary, failed = work()
        result = StageResult("train", "done", summary, failed)
    else:
        result = StageResult("train", "unchanged")
    here.end_training()
    return result


def is_trained(run: Run, settings: TrainSettings) -> bool:
    """Whether just this training is done, and what it wrote is still there.

    Raises:
        DataError: a table that it reads is not there.
    """
    record = Record(run.training(settings.training_name))
    inputs = _inputs(run, settings)
    outputs = [record.folder / name for name in OUTPUTS]
    return is_current(record, "train", fingerprint("train", settings, inputs), outputs)


def _inputs(run: Run, settings: TrainSettings) -> dict[str, str]:
    read = {"images": run.images, "boxes": run.boxes, "masks": run.masks, "taxonomy": run.taxonomy}
    if settings.selection not in ("none", "all"):
        read["selection"] = run.selection(settings.selection)
    weights = weights_file(settings.encoder, settings.weights)
    if weights is not None:
        read["weights"] = weights
    inputs = {key: file_digest(path) for key, path in read.items()}
    if settings.validation:
        inputs["validation"] = folder_digest(parsed_source(settings.validation).root)
    return inputs
