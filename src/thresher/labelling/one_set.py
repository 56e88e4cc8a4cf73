"""One label set made: the plan, the label maps chunk by chunk, the tables and the sheet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.labelling.label_set import Plan, finish, intact, parts_of_problems, read_plan
from thresher.labelling.label_tables import LABEL_ROUTES, LABELLED_BOXES
from thresher.labelling.planning import is_current, new_plan
from thresher.labelling.request import Request
from thresher.labelling.routes import NONE
from thresher.labelling.sheet import draw_label_sheet
from thresher.labelling.work import CHUNK, LabelJob, label_chunk
from thresher.run.perform import StageResult, Track
from thresher.training.train import train
from thresher.workers.pool import pool
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)

#: How often a chunk is tried again whose worker died on a cluster, where nodes come and go.
_RETRIES = 3


def made_set(request: Request, engine: EngineSettings, track: Track[Any]) -> StageResult:
    """Make a label set, and its teacher first if that is to be made, unless both are there and current."""
    teacher = request.teacher
    if teacher is not None and teacher.made:
        log.info("labels: the teacher is trained, %s, unless it is there", teacher.name)
        train(request.run, teacher.settings, track=track)

    def work() -> tuple[dict[str, Any], int]:
        plan = read_plan(request.files.plan)
        if plan is None or not is_current(plan, request):
            plan = new_plan(request, track)
        labelled_now = _labelled(request, plan, engine, track)
        summary, failed = _told(request, plan, labelled_now)
        return request.told | {"teacher": teacher.name if teacher else None} | summary, failed

    return request.performed(work)


def _labelled(request: Request, plan: Plan, engine: EngineSettings, track: Track[Any]) -> int:
    """Label the images whose label map is not there as it was written; returns how many."""
    files = request.files
    there, _ = intact(files, plan.made_from)
    numbered = [int(path.stem.rpartition("-")[2]) for path in files.parts.glob("images-*.parquet")]
    first = max(numbered, default=-1) + 1
    todo = request.images.join(there.select("image_id").collect(), on="image_id", how="anti", maintain_order="left")
    if todo.height:
        log.info("labels: %s images to label", f"{todo.height:,}")
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
    if bare := int((images["share_labelled"] == 0).sum()):
        summary["images_without_labels"] = bare
        if bare == images.height:
            summary["warning"] = (
                "no pixel has a label: the teacher is nowhere as sure as `sure` asks. Train it longer (--teacher), "
                "lower --sure, or take --route fill. A training on this set learns from the masks alone."
            )
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
    for name in table["class"].unique(maintain_order=True):
        rows = table.filter(pl.col("class").eq_missing(name)).drop_nulls("iou").iter_rows(named=True)
        shown = {row["route"]: f"{row['iou']:.3f} ({row['low']:.3f}–{row['high']:.3f})" for row in rows}
        if shown:
            taken = {} if name is None else {"taken": plan.route_of[name] or "–"}
            lines.append({"class": name or "mean of boxed classes", **shown, **taken})
    return lines
