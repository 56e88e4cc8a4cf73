"""compare: methods × budgets × modes × seeds → comparisons/NAME: what each selection is worth, with intervals."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thresher import extras, tables
from thresher.comparison import results
from thresher.comparison.class_frequencies import SelectionOf, write_frequencies
from thresher.comparison.crew import Crew, crew
from thresher.comparison.job import Job, Outcome, as_job
from thresher.comparison.pictures import draw_predictions
from thresher.comparison.settings import ALL, NONE, CompareSettings, Trial, refuse_grid_of
from thresher.comparison.time_left import TimeEstimate, has_weak_images, in_words
from thresher.errors import DataError
from thresher.run.digests import digest_of
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.perform import StageResult, as_json, places_read, seals_of
from thresher.run.record import Record
from thresher.run.state import UNFINISHED
from thresher.selection.methods import check_method
from thresher.stages.score import known_methods
from thresher.stages.select import SelectSettings, select
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import seconds_of
from thresher.training.train import is_trained, planned_steps
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
        check_method(method, known_methods(run))
    comparison = Comparison(run, settings, training)
    planned = comparison.planned_training()  # refuses what no training could work with
    if dry_run:
        return _plan(comparison, engine, planned)
    extras.require("train,report", "compare")
    started = time.monotonic()
    record = comparison.record
    selections = _made_selections(comparison)
    write_frequencies(run, record, selections, training, record.folder / "frequencies.parquet")
    with record.locked():
        asked = {"settings": as_json(settings), "training": as_json(training)}
        record.note("compare", UNFINISHED | asked)
        done = [trial for trial in comparison.trials if comparison.is_done(trial)]
        todo = [trial for trial in comparison.trials if trial not in done]
        failed = _trained(comparison, engine, done, todo)
        done.sort(key=comparison.trials.index)  # however they ended, the tables are the same
        written = results.write(run, settings, record, done)
        if done:
            measured = tables.read(record.folder / "results.parquet", tables.RESULTS)
            written["predictions"] = len(draw_predictions(run, training, record, done, measured))
        record.add_problems("compare", results.problems(run, failed))
        summary = {"name": settings.name, "trainings": len(comparison.trials), "trained_now": len(todo) - len(failed)}
        summary |= written
        if failed:
            summary["failed"] = [{"training": name, "reason": reason} for name, reason in failed.items()]
        seconds = round(time.monotonic() - started, 1)
        entry = asked | {"summary": summary, "seconds": seconds}
        record.note("compare", entry | _read_and_written(comparison, selections) | {"failed_items": len(failed)})
    return StageResult("compare", "done", summary, len(failed), "trainings", str(record.problems))


@dataclass(frozen=True)
class Comparison:
    """A comparison of a run: its settings, and what its trainings have in common."""

    run: Run
    settings: CompareSettings
    training: TrainSettings

    @property
    def record(self) -> Record:
        """Its folder: RUN/comparisons/NAME."""
        return Record(self.run.comparison(self.settings.name))

    @property
    def trials(self) -> list[Trial]:
        """Every training of it, in the order in which they start."""
        return self.settings.trials()

    def training_of(self, trial: Trial) -> TrainSettings:
        """The settings of one training."""
        mode: Any = trial.mode
        return dataclasses.replace(
            self.training, selection=trial.selection, mode=mode, seed=trial.seed, name=trial.training
        )

    def job_of(self, trial: Trial) -> Job:
        """What a worker does for it."""
        return as_job(self.run, self.training_of(trial), self.settings.test)

    def is_done(self, trial: Trial) -> bool:
        """Whether the network is trained, and evaluated on the test set if there is one."""
        if not is_trained(self.run, self.training_of(trial)):
            return False
        if not self.settings.test:
            return True
        from thresher.training.evaluate import EvaluateSettings, is_evaluated

        return is_evaluated(self.run, EvaluateSettings(trial.training, self.settings.test, "test"))

    def planned_training(self) -> dict[str, Any]:
        """What a training without weakly labelled images would do: its steps and its images."""
        strong = dataclasses.replace(self.training, selection=NONE, mode="strong")
        return planned_steps(self.run, strong)


def _made_selections(comparison: Comparison) -> list[SelectionOf]:
    """Every selection of the comparison, each made unless it is there and current."""
    made: dict[str, SelectionOf] = {}
    for trial in comparison.trials:
        if trial.budget is not None and trial.selection not in made:
            wanted = SelectSettings(trial.method, trial.budget, trial.seed if trial.method == "random" else 0)
            select(comparison.run, wanted)
            made[trial.selection] = SelectionOf(trial.selection, wanted.method, wanted.budget, wanted.seed)
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


def _trained(
    comparison: Comparison, engine: EngineSettings, done: list[Trial], todo: Sequence[Trial]
) -> dict[str, str]:
    """Do the trainings that are left and log each; adds to `done`. Returns the reason of each that failed."""
    failed: dict[str, str] = {}
    if not todo:
        return failed
    left = {trial.training: trial for trial in todo}
    total = len(done) + len(left)
    with crew(engine) as workers:
        estimate = _time_estimate(comparison, done, todo, workers)
        about = in_words(estimate.left(todo, workers.at_once))
        counts = f"{len(left)} of {total} trainings to do, {workers.at_once} at once"
        log.info("compare: %s: about %s (rough)", counts, about)
        for outcome in workers.outcomes([comparison.job_of(trial) for trial in todo]):
            trial = left.pop(outcome.training)
            place = f"compare: {total - len(left)} of {total}, {trial.training}"
            if outcome.failure:
                failed[trial.training] = outcome.failure
                log.error("%s failed: %s", place, _reason(outcome))
                continue
            done.append(trial)
            estimate.add(trial, outcome.seconds)
            rest = f", about {in_words(estimate.left(left.values(), workers.at_once))} left" if left else ""
            log.info("%s: mIoU %.4f%s", place, outcome.miou or 0.0, rest)
            results.write_numbers(comparison.run, comparison.settings, comparison.record, done)
    return failed


def _reason(outcome: Outcome) -> str:
    return f"{outcome.failure}\n{outcome.trace}".strip()


def _time_estimate(comparison: Comparison, done: Sequence[Trial], todo: Sequence[Trial], workers: Crew) -> TimeEstimate:
    """How long trainings take: from those that are done; where there are none, a few steps are taken.

    Raises:
        DataError: not even those can be taken.
    """
    run, training = comparison.run, comparison.training
    estimate = TimeEstimate()
    for trial in done:
        estimate.add(trial, Record(run.training(trial.training)).recorded()["train"]["seconds"])
    # How long a training takes depends on whether it has weakly labelled images. Selections may not be made yet.
    kinds = {trial.training: has_weak_images(trial) for trial in estimate.unknown(todo).values()}
    if not kinds:
        return estimate
    jobs = [
        as_job(run, dataclasses.replace(training, selection=ALL if weak else NONE, name=name), kind="time")
        for name, weak in kinds.items()
    ]
    planned = comparison.planned_training()
    for outcome in workers.outcomes(jobs):
        if outcome.failure:
            raise DataError(f"compare: no training can be started: {_reason(outcome)}")
        seconds = seconds_of(outcome.times, training, planned["steps"], planned["validation_images"])
        estimate.timed[kinds[outcome.training]] = seconds
    return estimate


def _plan(comparison: Comparison, engine: EngineSettings, planned: dict[str, Any]) -> StageResult:
    """What there is to do, and how long it takes."""
    extras.require("train,report", "compare")
    run, trials = comparison.run, comparison.trials
    missing = [each for each in trials if each.budget is not None and not run.selection_path(each.selection).is_file()]
    done = [trial for trial in trials if trial not in missing and comparison.is_done(trial)]
    todo = [trial for trial in trials if trial not in done]
    with crew(engine) as workers:
        at_once = workers.at_once
        estimate = _time_estimate(comparison, done, todo, workers)
    seconds = estimate.left(todo, at_once) if todo else 0
    summary: dict[str, Any] = {
        "name": comparison.settings.name,
        "trainings": len(trials),
        "done": len(done),
        "selections_to_make": len({trial.selection for trial in missing}),
        "steps_of_each": planned["steps"],
        "at_once": at_once,
        "seconds": round(seconds),
        "time": f"about {in_words(seconds)} (rough)" if todo else "nothing to do",
        "time_known_from": "finished trainings" if done and not estimate.timed else "a few steps taken for it",
        "to_do": [{"training": trial.training} for trial in todo],
    }
    return StageResult("compare", "planned", summary)
