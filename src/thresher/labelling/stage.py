"""labels: boxes of images and a network trained on masks → labels/NAME: pixel labels of these images."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import polars as pl

from thresher import extras, tables
from thresher.errors import SettingsError
from thresher.labelling.label_tables import LABEL_ROUTES
from thresher.labelling.one_set import made_set
from thresher.labelling.request import Request
from thresher.labelling.settings import TIMES_VALIDATION, LabelSettings
from thresher.labelling.showing import step_share
from thresher.labelling.teacher import Teacher, teacher_of
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.perform import StageResult, Track, untracked
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import seconds_of, times_of
from thresher.training.train import is_trained, planned_steps, train, train_watched
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)

__all__ = ["LabelSettings", "labels"]


def labels(
    run: AnyRun,
    settings: LabelSettings | None = None,
    training: TrainSettings | None = None,
    *,
    engine: EngineSettings | None = None,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Turn the boxes of images into pixel labels, with a network that was trained on the target's masks.

    RUN/labels/NAME gets `masks/` (a PNG per image, of the image's size, in the taxonomy's own ids; the void id where
    there is no label), and the tables `images`, `boxes` (what became of each box, with warnings) and `routes` (how good
    each route's labels are on held-out masks of the target, and which was taken for each class).

    Label maps that are there as they were written are kept, so a run that was interrupted goes on. With `rounds` a
    student trained on the labels is the next teacher; each round has a set NAME.roundN, and the best is named.

    Args:
        training: How a teacher is trained, where none is named; selection, mode, seed and name are set by the stage.
        engine: Where images are labelled; changes no result. Local: in threads of this process.

    Raises:
        SettingsError: no such selection or training, or an optional part is not installed.
        DataError: the target has no masks, no image can be labelled, or a held-out image or mask cannot be read.
    """
    run, settings, engine = as_run(run), settings or LabelSettings(), engine or EngineSettings()
    extras.require("train", "labels")
    teacher = None if settings.route == "given" else teacher_of(run, settings, training)
    request = Request(run, settings, teacher)
    told = request.told  # refuses what cannot be labelled before a folder is made
    if dry_run:
        return StageResult("labels", "planned", told | _seconds(request))
    if settings.rounds == 1 or teacher is None:
        return made_set(request, engine, track)
    return _in_rounds(run, settings, teacher, engine, track)


def _in_rounds(
    run: Run, settings: LabelSettings, teacher: Teacher, engine: EngineSettings, track: Track[Any]
) -> StageResult:
    """Label, train a student on the labels, label with it, and so on while held-out IoU rises."""
    if not teacher.has_held_out:
        raise SettingsError(
            f"rounds = {settings.rounds}: teacher {teacher.name} was validated outside the target, and no round may be "
            "chosen by that. Name a teacher that was validated on a part of the target, or set rounds = 1."
        )
    told: list[dict[str, Any]] = []
    best, used = -1.0, ""
    for number in range(1, settings.rounds + 1):
        name = f"{settings.set_name}.round{number}"
        one = dataclasses.replace(settings, rounds=1, name=name, teacher="" if teacher.made else teacher.name)
        request = Request(run, one, teacher)
        made_set(request, engine, track)
        iou = _held_out_iou(request)
        told.append({"round": number, "labels": name, "teacher": teacher.name, "held_out_iou": round(iou, 4)})
        if iou <= best:
            break
        best, used = iou, name
        if number < settings.rounds:
            mode: Any = "labels"
            student = f"{settings.set_name}.student{number}"
            taught = dataclasses.replace(
                teacher.settings, mode=mode, selection=settings.selection[0], labels=name, name=student
            )
            log.info("labels: round %d: held-out IoU %.4f; its student is trained, %s", number, iou, student)
            train(run, taught, track=track)
            teacher = Teacher(run, taught, made=False)
    return StageResult("labels", "done", {"name": used, "rounds": told})


def _held_out_iou(request: Request) -> float:
    """Mean of the chosen routes' IoU on held-out masks, over the classes that boxes are drawn around."""
    table = tables.read(request.files.routes, LABEL_ROUTES)
    taken = table.filter(pl.col("chosen") & (pl.col("objects") > 0))["iou"].drop_nulls().to_list()
    return sum(taken) / len(taken) if taken else 0.0


def _seconds(request: Request) -> dict[str, Any]:
    """What a dry run tells: the teacher and the judge that are trained on the way, and how long all takes."""
    if request.teacher is None:
        return {"seconds": 0}
    teacher, settings = request.teacher, request.settings
    planned = planned_steps(request.run, teacher.settings)
    times = times_of(request.run, teacher.settings, train_watched)
    whole = seconds_of(times, teacher.settings, planned["steps"], planned["validation_images"])
    trains = teacher.made and not is_trained(request.run, teacher.settings)
    judges = settings.measures and not teacher.has_held_out
    shown = settings.shown_steps * (2 if judges else 1) if settings.shows_boxes else 0
    seconds = {
        "teacher_seconds": whole if trains else 0.0,
        "judge_seconds": whole * (1 - settings.held_out) if judges else 0.0,
        "shown_seconds": shown * times["step"] * step_share(teacher.settings),
        "label_seconds": request.images.height * times["image"] * TIMES_VALIDATION,
    }
    if settings.rounds > 1:
        images = teacher.settings.strong_batch + teacher.settings.weak_batch
        student = whole * images / teacher.settings.strong_batch
        seconds["rounds_seconds"] = (settings.rounds - 1) * (student + seconds["label_seconds"])
    words = {"teacher": f"{teacher.name} ({'trained on the way' if trains else 'there'})"}
    if judges:
        words["judge"] = f"trained on {1 - settings.held_out:.0%} of the teacher's images, to measure the routes"
    return (
        words | {name: round(value, 1) for name, value in seconds.items()} | {"seconds": round(sum(seconds.values()))}
    )
