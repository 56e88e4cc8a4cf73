"""The trainings of a comparison, done by workers: those that need no pixel labels, then the labels, then the rest."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median_high
from typing import Any

from thresher.comparison import results
from thresher.comparison.crew import Crew, crew
from thresher.comparison.job import Job, Outcome, as_job
from thresher.comparison.proxy.plan import ProxyPlan
from thresher.comparison.settings import ALL, LABELS, NONE, SAVED, TRUE, UNLABELLED, CompareSettings, Trial
from thresher.comparison.time_left import TimeEstimate, in_words
from thresher.errors import DataError, ThresherError
from thresher.labelling.settings import TIMES_VALIDATION, LabelSettings
from thresher.labelling.showing import step_share
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.record import Record
from thresher.selection.methods import budget_count
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import seconds_of
from thresher.training.train import is_trained, planned_steps
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)
#: Where validation images come from elsewhere, routes are judged by a network trained on this share of the strong ones.
_JUDGE = 0.8


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

    @cached_property
    def proxies(self) -> ProxyPlan:
        """The same by proxy."""
        return ProxyPlan(self.run, self.settings, self.training)

    def training_of(self, trial: Trial) -> TrainSettings:
        """The settings of one training. Without weak images it takes as many strong ones per step."""
        mode: Any = trial.mode
        return dataclasses.replace(
            self.training,
            selection=trial.selection,
            mode=mode,
            seed=trial.seed,
            name=trial.training,
            labels=trial.labels,
            fill_batch=trial.method == NONE,
        )

    def job_of(self, trial: Trial) -> Job:
        """What a worker does for it."""
        return as_job(self.run, self.training_of(trial), self.settings.test)

    def is_done(self, trial: Trial) -> bool:
        """Whether the network is trained, and evaluated on the test set if there is one."""
        if self.settings.proxy:
            return self.proxies.is_done(trial)
        if trial.labels and not (self.run.label_set(trial.labels) / "images.parquet").is_file():
            return False
        if not is_trained(self.run, self.training_of(trial)):
            return False
        if not self.settings.test:
            return True
        from thresher.training.evaluate import EvaluateSettings, is_evaluated

        return is_evaluated(self.run, EvaluateSettings(trial.training, self.settings.test, "test"))

    def planned_training(self) -> dict[str, Any]:
        """What a training without weakly labelled images would do: its steps and its images."""
        return planned_steps(self.run, dataclasses.replace(self.training, selection=NONE, mode="strong"))

    def labelled_by(self, labels: str) -> list[Trial]:
        """The trials that learn from a label set."""
        return [trial for trial in self.trials if trial.labels == labels]

    def teacher_of(self, trial: Trial) -> Trial:
        """The trial whose network labels the images for this one: that of its seed on masks alone."""
        return next(each for each in self.trials if (each.method, each.mode, each.seed) == (NONE, LABELS, trial.seed))


def phases(trials: Sequence[Trial], at_once: int) -> list[list[Trial]]:
    """The trials in groups that are done one after another: before a group, the label sets that it needs are made.

    What learns from labels comes a group after the teacher of its seed, together with the next seeds' teachers, of
    which there are as many as workers.
    """
    if not any(trial.labels for trial in trials):
        return [[*trials]]
    last = max(trial.seed for trial in trials) // at_once
    groups = [
        [trial for trial in trials if trial.seed // at_once == (block - 1 if trial.labels else block)]
        for block in range(last + 2)
    ]
    return [group for group in groups if group]


def trained(comparison: Comparison, engine: EngineSettings, done: list[Trial]) -> tuple[int, dict[str, str]]:
    """Do the trainings that are left and log each; adds to `done`, and takes out what has to be done again.

    Returns:
        How many were trained, and the reason of each that failed.
    """
    failed: dict[str, str] = {}
    todo = [trial for trial in comparison.trials if trial not in done]
    label_sets = {trial.labels for trial in comparison.trials if trial.labels}
    if not todo and not label_sets:
        return 0, failed
    with crew(engine) as workers:
        first, *others = phases(comparison.trials, workers.at_once)
        estimate = time_estimate(comparison, done, todo, workers)
        if todo:
            about = in_words(estimate.left(todo, workers.at_once))
            counts = f"{len(todo)} of {len(comparison.trials)} trainings to do, {workers.at_once} at once"
            log.info("compare: %s: about %s (rough)", counts, about)
        trained_now = _train(comparison, first, workers, estimate, done, failed)
    for group in others:
        # While images are labelled there are no workers: on a cluster they would hold the room that labelling needs.
        _label(comparison, group, engine, done, failed)
        estimate.made.update(trial.labels for trial in group)
        with crew(engine) as workers:
            trained_now += _train(comparison, group, workers, estimate, done, failed)
    return trained_now, failed


def _train(
    comparison: Comparison,
    group: Sequence[Trial],
    workers: Crew,
    estimate: TimeEstimate,
    done: list[Trial],
    failed: dict[str, str],
) -> int:
    """Do the trainings of a group that are left; adds to `done` and `failed`. Returns how many were trained."""
    todo = [trial for trial in group if trial not in done and trial.training not in failed]
    waiting = {trial.training: trial for trial in todo}
    total, trained_now = len(comparison.trials), 0
    for outcome in workers.outcomes([comparison.job_of(trial) for trial in todo]):
        trial = waiting.pop(outcome.training)
        if outcome.failure:
            failed[trial.training] = outcome.failure
        else:
            done.append(trial)
        place = f"compare: {len(done) + len(failed)} of {total}, {trial.training}"
        if outcome.failure:
            log.error("%s failed: %s", place, _reason(outcome))
            continue
        trained_now += 1
        estimate.add(trial, outcome.seconds)
        left = [each for each in comparison.trials if each not in done and each.training not in failed]
        rest = f", about {in_words(estimate.left(left, workers.at_once))} left" if left else ""
        log.info("%s: mIoU %.4f%s", place, outcome.miou or 0.0, rest)
        results.write_numbers(comparison.run, comparison.settings, comparison.record, done)
    return trained_now


def _label(
    comparison: Comparison, group: Sequence[Trial], engine: EngineSettings, done: list[Trial], failed: dict[str, str]
) -> None:
    """Make the label sets that a group needs, unless they are there and current. A failure costs their trainings."""
    for name in dict.fromkeys(trial.labels for trial in group if trial.labels):
        trials = [trial for trial in group if trial.labels == name]
        try:
            _make_label_set(comparison, trials[0], engine, failed)
        except ThresherError as error:
            for trial in trials:
                failed[trial.training] = f"its pixel labels ({name}) could not be made: {error}"
                log.error("compare: %s failed: %s", trial.training, failed[trial.training])
        for trial in trials:
            if trial in done and (trial.training in failed or not comparison.is_done(trial)):
                done.remove(trial)


def _make_label_set(comparison: Comparison, trial: Trial, engine: EngineSettings, failed: dict[str, str]) -> None:
    from thresher.labelling.stage import labels

    needing, settings = comparison.labelled_by(trial.labels), comparison.settings
    selections = dict.fromkeys(each.selection for each in needing)
    chosen = (ALL,) if ALL in selections else tuple(selections)
    if trial.method == TRUE:
        wanted = LabelSettings(trial.labels, chosen, "given", masks=settings.true_masks)
    else:
        teacher = comparison.teacher_of(trial).training
        if teacher in failed:
            raise DataError(f"its teacher, {teacher}, failed.")
        route = "unlabelled" if trial.method == UNLABELLED else settings.label_route
        wanted = LabelSettings(trial.labels, chosen, route, teacher=teacher, seed=trial.seed)
    result = labels(comparison.run, wanted, engine=engine)
    if result.status == "done":
        log.info("compare: pixel labels %s: %s images", trial.labels, f"{result.summary['labelled']:,}")


def _reason(outcome: Outcome) -> str:
    return f"{outcome.failure}\n{outcome.trace}".strip()


def time_estimate(comparison: Comparison, done: Sequence[Trial], todo: Sequence[Trial], workers: Crew) -> TimeEstimate:
    """How long trainings take: from those that are done; where there are none, a few steps are taken.

    Raises:
        DataError: not even those can be taken.
    """
    run = comparison.run
    estimate = TimeEstimate()
    for trial in done:
        estimate.add(trial, Record(run.training(trial.training)).recorded()["train"]["seconds"])
    # Selections and label sets may not be made yet.
    kinds = {trial.training: (kind, trial) for kind, trial in estimate.unknown(todo).items()}
    jobs = [as_job(run, _timed_training(comparison, trial), kind="time") for _, trial in kinds.values()]
    planned, times = comparison.planned_training(), {"image": 0.0, "step": 0.0}
    for outcome in workers.outcomes(jobs) if jobs else ():
        if outcome.failure:
            raise DataError(f"compare: no training can be started: {_reason(outcome)}")
        seconds = seconds_of(outcome.times, comparison.training, planned["steps"], planned["validation_images"])
        estimate.timed[kinds[outcome.training][0]] = seconds
        times = outcome.times
    label_sets = {trial.labels for trial in todo if trial.labels}
    estimate.made |= {name for name in label_sets if (run.label_set(name) / "images.parquet").is_file()}
    estimate.label_set = _label_seconds(comparison, estimate, times)
    return estimate


def _timed_training(comparison: Comparison, trial: Trial) -> TrainSettings:
    selection = NONE if trial.method == NONE else ALL
    return dataclasses.replace(comparison.training_of(trial), selection=selection)


def _label_seconds(comparison: Comparison, estimate: TimeEstimate, times: Mapping[str, float]) -> float:
    """Seconds that a label set takes: as those that are made have taken, else from a step and a validated image."""
    run = comparison.run
    names = {trial.labels for trial in comparison.trials if trial.labels and trial.method != TRUE}
    recorded = [Record(run.label_set(name)).recorded().get("labels", {}).get("seconds") for name in sorted(names)]
    known = [seconds for seconds in recorded if seconds is not None]
    if known or not names:
        return median_high(known) if known else 0.0
    teacher = next(trial for trial in comparison.trials if (trial.method, trial.mode) == (NONE, LABELS))
    training, elsewhere = comparison.training, bool(comparison.training.validation)
    judge = _JUDGE * (estimate.seconds(teacher) or 0.0) if elsewhere else 0.0
    shows_boxes = comparison.settings.label_route in ("auto", "shown")
    shown = LabelSettings.shown_steps * (1 + elsewhere) * step_share(training) if shows_boxes else 0
    step = times["step"] * training.strong_batch / (training.strong_batch + training.weak_batch)
    return judge + shown * step + _labelled_images(comparison) * times["image"] * TIMES_VALIDATION


def _labelled_images(comparison: Comparison) -> int:
    """About how many images the label set of a seed holds; selections may not be made yet, and may overlap."""
    opened, trials = OpenedRun(comparison.run), [each for each in comparison.trials if each.labels and not each.seed]
    if any(trial.method == ALL for trial in trials):
        return opened.choosable.height
    return min(opened.pool.height, sum(_images_of(opened, each) for each in {t.selection: t for t in trials}.values()))


def _images_of(opened: OpenedRun, trial: Trial) -> int:
    if opened.run.selection_path(trial.selection).is_file():
        return opened.selection(trial.selection).height
    return 0 if trial.budget in (None, SAVED) else budget_count(str(trial.budget), opened.pool.height)
