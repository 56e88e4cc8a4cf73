"""labels: boxes of images and a network trained on masks → labels/NAME: pixel labels of these images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from thresher import extras, tables
from thresher.errors import DataError
from thresher.labelling.label_set import Plan, finish, intact, parts_of_problems, read_plan
from thresher.labelling.label_tables import LABEL_ROUTES, LABELLED_BOXES
from thresher.labelling.planning import is_current, new_plan
from thresher.labelling.request import Request
from thresher.labelling.routes import NONE
from thresher.labelling.settings import LabelSettings
from thresher.labelling.sheet import draw_label_sheet
from thresher.labelling.showing import step_share
from thresher.labelling.teacher import teacher_of
from thresher.labelling.work import CHUNK, LabelJob, label_chunk
from thresher.run.folder import AnyRun, as_run
from thresher.run.perform import StageResult, Track, untracked
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import seconds_of, times_of
from thresher.training.train import is_trained, planned_steps, train, train_watched
from thresher.workers.pool import pool
from thresher.workers.settings import EngineSettings

__all__ = ["LabelSettings", "labels"]

#: How often a chunk is tried again whose worker died on a cluster, where nodes come and go.
_RETRIES = 3
#: Labelling an image takes about this many times as long as validating one: rules and files come on top (measured).
_TIMES_VALIDATION = 1.5


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

    Label maps that are there as they were written are kept, so a run that was interrupted goes on.

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
    counted = {"name": settings.set_name, "images": request.images.height}
    if dry_run:
        return StageResult("labels", "planned", counted | _seconds(request))
    if teacher is not None and teacher.made:
        train(run, teacher.settings, track=track)

    def work() -> tuple[dict[str, Any], int]:
        plan = read_plan(request.files.plan)
        if plan is None or not is_current(plan, request):
            plan = new_plan(request, track)
        labelled_now = _labelled(request, plan, engine, track)
        summary, failed = _told(request, plan, labelled_now)
        return counted | {"teacher": teacher.name if teacher else None} | summary, failed

    return request.performed(work)


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
        "label_seconds": request.images.height * times["image"] * _TIMES_VALIDATION,
    }
    words = {"teacher": f"{teacher.name} ({'trained on the way' if trains else 'there'})"}
    if judges:
        words["judge"] = f"trained on {1 - settings.held_out:.0%} of the teacher's images, to measure the routes"
    return (
        words | {name: round(value, 1) for name, value in seconds.items()} | {"seconds": round(sum(seconds.values()))}
    )


def _labelled(request: Request, plan: Plan, engine: EngineSettings, track: Track[Any]) -> int:
    """Label the images whose label map is not there as it was written; returns how many."""
    files = request.files
    there, _ = intact(files, plan.made_from)
    numbered = [int(path.stem.rpartition("-")[2]) for path in files.parts.glob("images-*.parquet")]
    first = max(numbered, default=-1) + 1
    todo = request.images.join(there.select("image_id").collect(), on="image_id", how="anti", maintain_order="left")
    if todo.height:
        tables.write(todo, files.todo)
        job = LabelJob(request.run, files, plan, first)
        numbers = range(-(-todo.height // CHUNK))
        for _ in track(_chunks(job, numbers, engine), len(numbers), "labelling"):
            pass
    listed = tables.from_rows([*parts_of_problems(files, first)], tables.PROBLEMS)
    request.record.add_problems("labels", listed)
    finish(files, plan.made_from)
    draw_label_sheet(request.opened, files, request.settings.seed)
    return todo.height


def _chunks(job: LabelJob, numbers: Sequence[int], engine: EngineSettings) -> Iterator[int]:
    """How many images of each chunk have labels, as they are done: in threads of this process, or on a cluster."""
    if engine.engine == "local":
        yield from (label_chunk(job, number) for number in numbers)
        return
    with pool("thresher.labelling.work", job.as_line(), engine) as opened:
        for answer in opened.answers([str(number) for number in numbers], _RETRIES):
            if answer.died:
                raise DataError(f"labels: a worker died at chunk {numbers[answer.number]} ({answer.died}).")
            yield int(answer.text)


def _told(request: Request, plan: Plan, labelled_now: int) -> tuple[dict[str, Any], int]:
    """The summary, and how many images could not be labelled."""
    files = request.files
    images = tables.read(files.images, tables.LABELLED_IMAGES, key="image_id")
    boxes = tables.scan(files.boxes, LABELLED_BOXES)
    counts = boxes.select(pl.len().alias("boxes"), pl.col("warning").count().alias("boxes_with_a_warning")).collect()
    failed = request.images.height - images.height
    share: Any = images["share_labelled"].mean()
    summary = {
        "labelled": images.height,
        "labelled_now": labelled_now,
        "sheet": str(files.sheet),
        "share_labelled": round(float(share), 4),
        **counts.row(0, named=True),
    }
    without = [name for name, route in plan.route_of.items() if route == NONE]
    if without:
        summary["classes_without_labels"] = without
    table = tables.read(files.routes, LABEL_ROUTES)
    if table.height:
        summary["iou_on_held_out_masks"] = in_words(table, plan)
    return summary, failed


def in_words(table: pl.DataFrame, plan: Plan) -> list[dict[str, str]]:
    """A line per class of table LABEL_ROUTES: IoU and interval of each route, and which was taken."""
    lines = []
    for name in [None, *plan.route_of]:
        rows = table.filter(pl.col("class").eq_missing(name)).drop_nulls("iou").iter_rows(named=True)
        shown = {row["route"]: f"{row['iou']:.3f} ({row['low']:.3f}–{row['high']:.3f})" for row in rows}
        if shown:
            taken = {} if name is None else {"taken": plan.route_of[name] or "–"}
            lines.append({"class": name or "mean of boxed classes", **shown, **taken})
    return lines
