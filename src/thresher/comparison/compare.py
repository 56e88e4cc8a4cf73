"""compare: methods × budgets × modes × seeds → comparisons/NAME: what each selection is worth, with intervals."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from thresher import extras, tables
from thresher.comparison import again, results
from thresher.comparison.class_frequencies import SelectionOf, write_frequencies
from thresher.comparison.crew import crew
from thresher.comparison.pictures import draw_predictions
from thresher.comparison.proxy.crew import proxies_trained, proxy_crew, seconds_needed
from thresher.comparison.settings import BASELINES, SAVED, CompareSettings, Trial, refuse_grid_of
from thresher.comparison.time_left import in_words
from thresher.comparison.trained import Comparison, time_estimate, trained
from thresher.errors import SettingsError
from thresher.run.digests import digest_of
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, as_json, places_read, seals_of
from thresher.run.stages import stage_named
from thresher.run.state import UNFINISHED
from thresher.selection.coverage import parted
from thresher.selection.methods import SEEDED, check_method
from thresher.settings import did_you_mean
from thresher.stages.score import known_methods
from thresher.stages.select import SelectSettings, select
from thresher.training.settings import TrainSettings
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)


def compare(
    run: AnyRun,
    settings: CompareSettings | None = None,
    training: TrainSettings | None = None,
    *,
    engine: EngineSettings | None = None,
    dry_run: bool = False,
) -> StageResult:
    """Train a network for each selection, mode and seed, and measure which selection pays.

    Makes the selections that are missing, then does the trainings that are not done yet, each in a worker with one
    thread; one that fails is listed, and the others go on. After each training RUN/comparisons/NAME gets the tables
    `results`, `summary`, `differences` and `frequencies` and the figures anew. A comparison that was interrupted goes
    on when it is called again.

    Args:
        training: What all trainings have in common; the comparison sets selection, mode, seed and name.
        engine: Where the trainings run; changes no result.

    Raises:
        SettingsError: an unknown method or mode, a budget that asks for too much, or an optional part is not installed.
        DataError: `score` has not run, the target has no masks, or another process works on this comparison.
    """
    run = as_run(run)
    settings, training, engine = settings or CompareSettings(), training or TrainSettings(), engine or EngineSettings()
    refuse_grid_of(training)
    for method in settings.methods:
        check_method(parted(method)[0], known_methods(run))
    comparison = Comparison(run, settings, training)
    planned = comparison.planned_training()  # refuses what no training could work with
    _refuse_unknown_classes(run, settings.endpoint)
    if dry_run:
        return _plan(comparison, engine, planned)
    extras.require("train,report", "compare")
    started = time.monotonic()
    record = comparison.record
    selections = made_selections(comparison)
    write_frequencies(run, record, selections, training, record.folder / "frequencies.parquet")
    with record.locked():
        asked = {"settings": as_json(settings), "training": as_json(training)}
        record.note("compare", UNFINISHED | asked)
        done = [trial for trial in comparison.trials if comparison.is_done(trial)]
        todo = [trial for trial in comparison.trials if trial not in done]
        if before := again.trained_before(comparison, todo):
            log.warning("compare: %d trainings to do, %s", len(todo), again.in_words(before))
        if settings.proxy:
            trained_now, failed, unreadable = proxies_trained(comparison.proxies, engine, done)
        else:
            (trained_now, failed), unreadable = trained(comparison, engine, done), {}
        done.sort(key=comparison.trials.index)  # however they ended, the tables are the same
        written = results.write(run, settings, record, done)
        if done and not settings.proxy:
            measured = tables.read(record.folder / "results.parquet", tables.RESULTS)
            written["predictions"] = len(draw_predictions(run, training, record, done, measured))
        record.add_problems("compare", results.problems(run, settings, failed, unreadable))
        summary = {"name": settings.name, "trainings": len(comparison.trials), "trained_now": trained_now}
        summary |= written
        if failed:
            summary["failed"] = [{"training": name, "reason": reason} for name, reason in failed.items()]
        seconds = round(time.monotonic() - started, 1)
        entry = asked | {"version": stage_named("compare").version, "summary": summary, "seconds": seconds}
        record.note("compare", entry | _read_and_written(comparison, selections) | {"failed_items": len(failed)})
    return StageResult("compare", "done", summary, len(failed), "trainings", str(record.problems))


def _refuse_unknown_classes(run: Run, endpoint: Sequence[str]) -> None:
    classes = [each.name for each in OpenedRun(run).taxonomy.classes]
    for name in endpoint:
        if name not in classes:
            raise SettingsError(f"endpoint: '{name}' is no class of the taxonomy.{did_you_mean(name, classes)}")


def made_selections(comparison: Comparison) -> list[SelectionOf]:
    """Every selection of the comparison; one that a method makes is made unless it is there and current.

    Raises:
        SettingsError: a saved selection is not there, or a budget asks for too much.
    """
    made: dict[str, SelectionOf] = {}
    opened = OpenedRun(comparison.run)
    for trial in comparison.trials:
        if trial.budget is None or trial.method in BASELINES or trial.selection in made:
            continue
        if trial.budget == SAVED:
            opened.selection(trial.selection)
            made[trial.selection] = SelectionOf(trial.selection, trial.method, SAVED, 0)
            continue
        wanted = SelectSettings(trial.method, trial.budget, trial.seed if parted(trial.method)[0] in SEEDED else 0)
        select(comparison.run, wanted)
        made[trial.selection] = SelectionOf(trial.selection, trial.method, wanted.budget, wanted.seed)
    return list(made.values())


def _read_and_written(comparison: Comparison, selections: Sequence[SelectionOf]) -> dict[str, Any]:
    """What the manifest records of the tables read and written, so that `status` sees whether they have changed."""
    run, folder = comparison.run, comparison.record.folder
    read = {"images": run.images, "boxes": run.boxes, "masks": run.masks, "taxonomy": run.taxonomy}
    read |= {each.selection: run.selection_path(each.selection) for each in selections}
    written = [path for path in (folder / f"{name}.parquet" for name in results.TABLES) if path.is_file()]
    return {
        "inputs": {name: digest_of(path) for name, path in read.items()},
        "read": places_read(read, run.folder),
        "outputs": seals_of(written, folder),
        "finished": time.time(),
    }


def _time_left(
    comparison: Comparison, engine: EngineSettings, done: Sequence[Trial], todo: Sequence[Trial]
) -> dict[str, Any]:
    """How many label sets are to be made, how long all that is left will take, and how that is known."""
    few_steps = "a few steps taken for it"
    if comparison.settings.proxy:
        with proxy_crew(comparison.proxies, engine) as workers:
            at_once = workers.size
        seconds = seconds_needed(comparison.proxies, todo, at_once) if todo else 0.0
        return {"at_once": at_once, "seconds": round(seconds), "time_known_from": few_steps}
    with crew(engine) as trainers:
        estimate = time_estimate(comparison, done, todo, trainers)
        seconds = estimate.left(todo, trainers.at_once) if todo else 0.0
        at_once = trainers.at_once
    return {
        "label_sets_to_make": len({each.labels for each in todo if each.labels} - estimate.made),
        "at_once": at_once,
        "seconds": round(seconds),
        "time_known_from": "finished trainings" if done and not estimate.timed else few_steps,
    }


def _plan(comparison: Comparison, engine: EngineSettings, planned: dict[str, Any]) -> StageResult:
    """What there is to do, and how long it takes."""
    extras.require("train,report", "compare")
    run, trials = comparison.run, comparison.trials
    chosen = [each for each in trials if each.budget not in (None, SAVED)]
    missing = [each for each in chosen if not run.selection_path(each.selection).is_file()]
    done = [trial for trial in trials if trial not in missing and comparison.is_done(trial)]
    todo = [trial for trial in trials if trial not in done]
    left = _time_left(comparison, engine, done, todo)
    before = again.trained_before(comparison, todo)
    summary: dict[str, Any] = {
        "name": comparison.settings.name,
        "trainings": len(trials),
        "done": len(done),
        **({"done_again": again.in_words(before)} if before else {}),
        "selections_to_make": len({trial.selection for trial in missing}),
        "steps_of_each": planned["steps"],
        **left,
        "time": f"about {in_words(left['seconds'])} (rough)" if todo else "nothing to do",
        "to_do": [{"training": trial.training} for trial in todo],
    }
    return StageResult("compare", "planned", summary)
