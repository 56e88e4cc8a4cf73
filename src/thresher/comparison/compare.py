"""compare: methods × budgets × modes × seeds → comparisons/NAME: what each selection is worth, with intervals."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import time
from collections.abc import Sequence
from typing import Any

from thresher import tables
from thresher.comparison import results as comparison_tables
from thresher.comparison.class_frequencies import SelectionOf, write_frequencies
from thresher.comparison.crew import Done, crew, workers_of
from thresher.comparison.job import as_job
from thresher.comparison.pictures import draw_predictions
from thresher.comparison.settings import (
    ALL,
    NONE,
    Cell,
    CompareSettings,
    refuse_grid_of,
)
from thresher.comparison.time_left import Pace, in_words, is_weak
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Record, Run
from thresher.run.perform import StageResult, as_json
from thresher.selection.methods import check_method
from thresher.stages.score import known_methods
from thresher.stages.select import SelectSettings, select
from thresher.training.settings import TrainSettings
from thresher.training.train import is_trained, train
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)

_NEEDED = ("altair", "vl_convert", "segmentation_models_pytorch", "accelerate", "tensorboard")


def compare(
    run: Run,
    settings: CompareSettings | None = None,
    training: TrainSettings | None = None,
    *,
    engine: EngineSettings | None = None,
    dry_run: bool = False,
) -> StageResult:
    """Train a network for each selection, mode and seed, and say which selection pays.

    Makes the selections that are missing, then does the trainings that are not done yet, each in a process of its own
    with one thread; one that fails costs only itself. RUN/comparisons/NAME gets `results`, `summary`, `differences` and
    `frequencies` (Parquet), and the figures, all anew after each training. Broken off, the same call goes on.

    Args:
        training: What all trainings have in common; selection, mode, seed and name are the grid's.
        engine: Where they run; changes no result.

    Raises:
        SettingsError: an unknown method or mode, a budget that asks for too much, or an optional part is not installed.
        DataError: score has not run, the target has no masks, or another process works on this comparison.
    """
    settings, training, engine = settings or CompareSettings(), training or TrainSettings(), engine or EngineSettings()
    refuse_grid_of(training)
    for method in settings.methods:
        check_method(method, known_methods(run))
    cells = settings.cells()
    anchor = dataclasses.replace(training, selection=NONE, mode="strong")
    steps = train(run, anchor, dry_run=True).summary["steps"]  # refuses what no training could work with
    if dry_run:
        return _planned(run, settings, training, engine, cells, steps)
    _require()
    started = time.monotonic()
    record = Record(run.comparison(settings.name))
    chosen = _made_selections(run, settings, cells)
    write_frequencies(run, record, chosen, training, record.folder / "frequencies.parquet")
    with record.locked():
        done = [cell for cell in cells if _is_done(run, settings, training, cell)]
        todo = [cell for cell in cells if cell not in done]
        failed = _trained(run, settings, training, engine, record, done, todo)
        told = comparison_tables.write(run, settings, record, done)
        if done:
            measured = tables.read(record.folder / "results.parquet", tables.RESULTS)
            told["predictions"] = len(draw_predictions(run, training, record, done, measured))
        record.add_problems("compare", comparison_tables.problems(run, failed))
        told = {"name": settings.name, "trainings": len(cells), "trained_now": len(todo) - len(failed), **told}
        if failed:
            told["failed"] = [{"training": name, "reason": reason} for name, reason in failed.items()]
        seconds = round(time.monotonic() - started, 1)
        entry = {"settings": as_json(settings), "training": as_json(training), "summary": told, "seconds": seconds}
        record.note("compare", {**entry, "failed_items": len(failed)})
    return StageResult("compare", "done", told, len(failed), "trainings", str(record.problems))


def missing_parts() -> list[str]:
    """The libraries of the optional parts train and report that are not installed."""
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


def _require() -> None:
    if missing := missing_parts():
        raise SettingsError(f"compare: {', '.join(missing)} not installed. Run: pip install 'thresher[train,report]'")


def _training_of(training: TrainSettings, cell: Cell) -> TrainSettings:
    """A cell's own settings."""
    mode: Any = cell.mode
    return dataclasses.replace(training, selection=cell.selection, mode=mode, seed=cell.seed, name=cell.training)


def _is_done(run: Run, settings: CompareSettings, training: TrainSettings, cell: Cell) -> bool:
    own = _training_of(training, cell)
    if not is_trained(run, own):
        return False
    if not settings.test:
        return True
    from thresher.training.evaluate import EvaluateSettings, is_evaluated

    return is_evaluated(run, EvaluateSettings(training=cell.training, images=settings.test, name="test"))


def _made_selections(run: Run, settings: CompareSettings, cells: Sequence[Cell]) -> list[SelectionOf]:
    """Every selection of the grid, each made unless it is there and current."""
    found: dict[str, SelectionOf] = {}
    for cell in cells:
        if cell.budget is not None and cell.selection not in found:
            made = SelectSettings(cell.method, cell.budget, cell.seed if cell.method == "random" else 0)
            select(run, made)
            found[cell.selection] = SelectionOf(cell.selection, made.method, made.budget, made.seed)
    return list(found.values())


def _trained(
    run: Run,
    settings: CompareSettings,
    training: TrainSettings,
    engine: EngineSettings,
    record: Record,
    done: list[Cell],
    todo: list[Cell],
) -> dict[str, str]:
    """Train what is to do, and tell of each; adds to `done`. Gives each failed training's reason."""
    failed: dict[str, str] = {}
    left = {cell.training: cell for cell in todo}
    total = len(done) + len(left)
    jobs = [as_job(run, _training_of(training, cell), settings.test) for cell in todo]
    if not jobs:
        return failed
    with crew(engine) as work:
        pace = _pace(run, training, done, todo, work)
        at_once = _at_once(engine, todo)
        log.info("compare: %d of %d trainings to do, %d at once: about %s (rough)", len(left), total, at_once,
                 in_words(pace.left(todo, at_once)))  # fmt: skip
        for outcome in work(jobs):
            cell = left.pop(outcome.training)
            place = f"compare: {total - len(left)} of {total}, {cell.training}"
            if outcome.failure:
                failed[cell.training] = outcome.failure
                log.error("%s failed: %s%s", place, outcome.failure, f"\n{outcome.trace}" if outcome.trace else "")
                continue
            done.append(cell)
            pace.add(cell, outcome.seconds)
            rest = f", about {in_words(pace.left(left.values(), at_once))} left" if left else ""
            log.info("%s: mIoU %.4f%s", place, outcome.miou or 0.0, rest)
            comparison_tables.write_numbers(run, settings, record, done)
    return failed


def _at_once(engine: EngineSettings, todo: Sequence[Cell]) -> int:
    """How many trainings go on side by side; nobody knows how many fit into a cluster."""
    return engine.workers or (workers_of(engine) if engine.engine == "local" else len(todo))


def _pace(run: Run, training: TrainSettings, done: Sequence[Cell], todo: Sequence[Cell], work: Done) -> Pace:
    """What is known of the time that trainings take; where nothing is, a few steps are taken.

    Raises:
        DataError: not even those can be taken.
    """
    pace = Pace()
    for cell in done:
        pace.add(cell, Record(run.training(cell.training)).recorded()["train"]["seconds"])
    # Whether they see weak images is all that tells trainings apart here; their selections need not exist yet.
    kinds = {cell.training: is_weak(cell) for cell in pace.unknown(todo).values()}
    if not kinds:
        return pace
    jobs = [
        as_job(run, dataclasses.replace(training, selection=ALL if weak else NONE, name=name), kind="time")
        for name, weak in kinds.items()
    ]
    anchor = dataclasses.replace(training, selection=NONE, mode="strong")
    planned = train(run, anchor, dry_run=True).summary
    images = planned["validation_images"] * -(-training.epochs // training.checkpoint_epochs)
    for outcome in work(jobs):
        if outcome.failure:
            raise DataError(f"compare: no training can be started: {outcome.failure}\n{outcome.trace}".strip())
        each = outcome.pace
        seconds = each["once"] + planned["steps"] * each["step"] + images * each["image"]
        pace.timed[kinds[outcome.training]] = seconds
    return pace


def _planned(
    run: Run,
    settings: CompareSettings,
    training: TrainSettings,
    engine: EngineSettings,
    cells: list[Cell],
    steps: int,
) -> StageResult:
    _require()
    missing = [cell for cell in cells if cell.budget is not None and not run.selection(cell.selection).is_file()]
    unmade = {cell.training for cell in missing}
    done = [cell for cell in cells if cell.training not in unmade and _is_done(run, settings, training, cell)]
    todo = [cell for cell in cells if cell not in done]
    at_once = _at_once(engine, todo)
    with crew(engine) as work:
        pace = _pace(run, training, done, todo, work)
    told: dict[str, Any] = {
        "name": settings.name,
        "trainings": len(cells),
        "done": len(done),
        "selections_to_make": len({cell.selection for cell in missing}),
        "steps_of_each": steps,
        "at_once": at_once,
        "seconds": round(pace.left(todo, at_once)) if todo else 0,
        "time": f"about {in_words(pace.left(todo, at_once))} (rough)" if todo else "nothing to do",
        "time_known_from": "finished trainings" if done and not pace.timed else "a few steps taken for it",
        "to_do": [{"training": cell.training} for cell in todo],
    }
    return StageResult("compare", "planned", told)
