"""train: masks of the target and boxes of a selection → trainings/NAME: a network and its metrics."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from thresher.data.source_text import parsed_source
from thresher.errors import SettingsError
from thresher.pretrained import pretrained_weights, weights_file
from thresher.run.digests import Input, Listing
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.inputs import labelled_target
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, fingerprint, is_current, perform, untracked
from thresher.run.record import Record
from thresher.segmentation.settings import NEEDS_TWO_IMAGES
from thresher.training.batches import Problems, batches
from thresher.training.images import TrainingImages, steps_of, training_images
from thresher.training.learn import TrainingFiles, TrainingPlan, train_to_end
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import seconds_of, times_of


def train(
    run: AnyRun, settings: TrainSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Train a segmentation network on the target's masks and the boxes of a selection, and validate it.

    RUN/trainings/NAME gets `checkpoint.safetensors` (the network, and all that the training needs to go on),
    `metrics.jsonl` (a line per checkpoint) and `classes.parquet` (the last validation). A training that was interrupted
    goes on from its last checkpoint; on a CPU it ends with the weights that it would have had. It locks and records
    only its own folder, so several trainings of one run may go on at the same time.

    Raises:
        SettingsError: no such selection or encoder, or segmentation_models_pytorch is not installed.
        DataError: the target has no masks, none are left to train on or to validate with, or an image of the validation
            set cannot be read.
    """
    run = as_run(run)
    settings = settings or TrainSettings()
    images = training_images(run, settings)
    summary = _steps(settings, images)
    inputs = _inputs(run, settings)
    if dry_run:
        times = times_of(run, settings, train_watched)
        seconds = seconds_of(times, settings, summary["steps"], summary["validation_images"])
        return StageResult("train", "planned", summary | {"seconds": round(seconds, 1)})
    from thresher.segmentation.devices import accelerator as new_accelerator

    record = Record(run.training(settings.training_name))
    files = TrainingFiles(record.folder)

    def work() -> tuple[dict[str, Any], int]:
        from thresher.segmentation.trained import rebuilt_from

        metadata = {"fingerprint": fingerprint("train", settings, inputs)}
        metadata |= rebuilt_from(settings, run.taxonomy.read_text("utf-8"))
        plan = TrainingPlan(images, settings, files, metadata)
        measured, failed = _trained(plan, record, track)
        return summary | measured, failed

    reads = ["index"]
    if settings.selection not in ("none", "all"):
        reads.append(f"select:{settings.selection}")
    if settings.labels and settings.selection != "none":
        reads.append(f"labels:{settings.labels}")

    def performed(work: Work) -> StageResult:
        return perform(run, "train", settings, inputs, files.outputs, work, record, reads)

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return performed(work)
    _refuse_indivisible(settings, processes)
    return _as_one_of_many(new_accelerator(settings.precision), performed, work)


def train_watched(run: Run, settings: TrainSettings, track: Track[Any]) -> StageResult:
    """`train`, as `times_of` calls it."""
    return train(run, settings, track=track)


def planned_steps(run: Run, settings: TrainSettings) -> dict[str, Any]:
    """What a training would do: its name, its images and its steps. Refuses what `train` would refuse."""
    _inputs(run, settings)
    return _steps(settings, training_images(run, settings))


def _steps(settings: TrainSettings, images: TrainingImages) -> dict[str, Any]:
    return {
        "name": settings.training_name,
        "strong_images": images.strong.height,
        "weak_images": images.weak.height,
        **({"not_on_disk": images.not_on_disk} if images.not_on_disk else {}),
        "validation_images": images.validation.height,
        "steps": steps_of(settings, images),
    }


#: Does the work of a stage; returns its summary and how many images failed.
Work = Callable[[], tuple[dict[str, Any], int]]


def _trained(plan: TrainingPlan, record: Record, track: Track[Any]) -> tuple[dict[str, Any], int]:
    """Train; returns what was measured, and how many images could not be read."""
    from thresher.segmentation.devices import accelerator as new_accelerator
    from thresher.segmentation.devices import chosen_precision, gather

    settings = plan.settings
    accelerator = new_accelerator(settings.precision)
    weights = pretrained_weights(settings.encoder, settings.weights)
    problems = Problems()
    share = batches(plan.images, settings, problems, accelerator.process_index, accelerator.num_processes)
    watch = track if accelerator.is_main_process else untracked
    history = train_to_end(plan, weights, share, accelerator, watch)
    problems.rows |= {str(row["path"]): row for row in gather(accelerator, [*problems.rows.values()])}
    if accelerator.is_main_process:
        problems.write(record)
    last = {key: value for key, value in history[-1].items() if key in ("loss", "miou")}
    return {"precision": chosen_precision(settings.precision)} | last, len(problems.rows)


def _refuse_indivisible(settings: TrainSettings, processes: int) -> None:
    """Refuse batches that so many processes cannot share evenly."""
    for name in ("strong_batch", "weak_batch"):
        if getattr(settings, name) % processes:
            raise SettingsError(
                f"{name} = {getattr(settings, name)}: expected a multiple of {processes}, as so many processes share "
                "each step's images."
            )
    if settings.decoder in NEEDS_TWO_IMAGES and settings.strong_batch < 2 * processes:
        raise SettingsError(
            f"strong_batch = {settings.strong_batch}: expected {2 * processes} or more for {settings.decoder}, two "
            f"images in each of {processes} processes."
        )


def _as_one_of_many(accelerator: Any, performed: Callable[[Work], StageResult], work: Work) -> StageResult:
    """The first process locks, records and writes, and tells the others whether there is anything to train."""
    from thresher.segmentation.devices import broadcast

    if accelerator.is_main_process:

        def first() -> tuple[dict[str, Any], int]:
            broadcast(accelerator, True)
            return work()

        result = performed(first)
        if result.status == "unchanged":
            broadcast(accelerator, False)
    elif broadcast(accelerator, None):
        summary, failed = work()
        result = StageResult("train", "done", summary, failed)
    else:
        result = StageResult("train", "unchanged")
    accelerator.end_training()
    return result


def is_trained(run: Run, settings: TrainSettings) -> bool:
    """Whether the training with these settings is done, on tables that have not changed, and its files are there.

    Raises:
        DataError: a table that it reads is not there.
    """
    record = Record(run.training(settings.training_name))
    inputs = _inputs(run, settings)
    outputs = TrainingFiles(record.folder).outputs
    return is_current(record, "train", fingerprint("train", settings, inputs), outputs)


def _inputs(run: Run, settings: TrainSettings) -> dict[str, Input]:
    inputs: dict[str, Input] = {"taxonomy": run.taxonomy}
    if settings.selection == "none":
        inputs["labelled_target"] = labelled_target(run.folder)
    else:
        inputs |= {"images": run.images, "boxes": run.boxes, "masks": run.masks}
    if settings.selection == "all":
        inputs |= OpenedRun(run).guard_inputs
    if settings.selection not in ("none", "all"):
        inputs["selection"] = run.selection_path(settings.selection)
    weights = weights_file(settings.encoder, settings.weights)
    if weights is not None:
        inputs["weights"] = weights
    if settings.labels and settings.selection != "none":
        folder = run.label_set(settings.labels)
        inputs["labels"] = folder / "images.parquet"
        # The table does not tell whether the label maps are still the same; what they were made from does.
        inputs["labels_made_from"] = str(Record(folder).recorded().get("labels", {}).get("fingerprint", ""))
    if settings.validation:
        inputs["validation"] = Listing(parsed_source(settings.validation).root)
    return inputs
