"""The trainings of a comparison by proxy done by workers, a seed at a time; and how long they will take."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Sequence

import numpy as np

from thresher.comparison import results
from thresher.comparison.job import Outcome
from thresher.comparison.proxy.job import head_settings
from thresher.comparison.proxy.materials import feature_maker, levels_of
from thresher.comparison.proxy.plan import ProxyPlan
from thresher.comparison.settings import Trial
from thresher.comparison.time_left import in_words
from thresher.errors import SettingsError
from thresher.run.perform import untracked
from thresher.run.record import Record
from thresher.workers.pool import Pool, pool
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)

#: Steps and images that are timed for an estimate.
_STEPS, _IMAGES = 20, 4


def by_seed(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials of each seed."""
    return [[trial for trial in trials if trial.seed == seed] for seed in dict.fromkeys(each.seed for each in trials)]


@contextlib.contextmanager
def proxy_crew(plan: ProxyPlan, engine: EngineSettings) -> Iterator[Pool]:
    """Context manager yielding workers that train heads; on exit, those still at work are killed.

    Raises:
        SettingsError: the engine is not installed, or it exchanges files through a store.
    """
    if engine.store:
        raise SettingsError(f"store = {engine.store}: a comparison's workers share the run's folder. Leave store out.")
    with pool("thresher.comparison.proxy.job", plan.as_line(), engine) as opened:
        yield opened


def proxies_trained(
    plan: ProxyPlan, engine: EngineSettings, done: list[Trial]
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Do the trainings that are left and log each; adds to `done`.

    Returns:
        How many were trained, the reason of each that failed, and the images that cannot be read, with the reason.

    Raises:
        DataError: an image or mask to measure on cannot be read.
    """
    trials = plan.settings.trials()
    left = {trial.training: trial for trial in trials if trial not in done}
    failed: dict[str, str] = {}
    if not left:
        return 0, failed, {}
    started, count = time.monotonic(), len(left)
    unreadable = plan.prepare(untracked)
    spent = time.monotonic() - started
    log.info("compare: %d of %d trainings to do by proxy; features ready in %.0f s", count, len(trials), spent)
    started = time.monotonic()
    with proxy_crew(plan, engine) as workers:
        for outcome in _outcomes(workers, [*left.values()]):
            trial = left.pop(outcome.training)
            ended = len(done) + len(failed) + 1
            if outcome.failure:
                failed[trial.training] = outcome.failure
                reason = f"{outcome.failure}\n{outcome.trace}".strip()
                log.error("compare: %d of %d, %s failed: %s", ended, len(trials), trial.training, reason)
                continue
            done.append(trial)
            seconds = (time.monotonic() - started) / (count - len(left)) * len(left)
            rest = f", about {in_words(seconds)} left" if left else ""
            told = (ended, len(trials), trial.training, outcome.miou or 0.0, rest)
            log.info("compare: %d of %d, %s: mIoU %.4f%s", *told)
            results.write_numbers(plan.run, plan.settings, Record(plan.run.comparison(plan.settings.name)), done)
    return count - len(failed), failed, unreadable


def _outcomes(workers: Pool, todo: Sequence[Trial]) -> Iterator[Outcome]:
    """What comes of each training; those of a seed come together, as one worker does them: they share a teacher."""
    seeds = by_seed(todo)
    lines = [json.dumps([dataclasses.asdict(trial) for trial in trials]) for trials in seeds]
    for answer in workers.answers(lines):
        if answer.died:
            yield from (Outcome(trial.training, answer.died) for trial in seeds[answer.number])
        else:
            yield from (Outcome(**each) for each in json.loads(answer.text))


def seconds_needed(plan: ProxyPlan, todo: Sequence[Trial], at_once: int) -> float:
    """About how long the trainings take, from a few steps and images; features that are missing included.

    Raises:
        DataError: an image cannot be read.
        SettingsError: the encoder cannot be used.
    """
    from thresher.segmentation.frozen import Example, head_confusion, trained_head

    paths = plan.files.strong["path"].to_list()[:_IMAGES]
    make, started = feature_maker(plan.training), time.monotonic()
    made = [make(path) for path in paths]
    image = (time.monotonic() - started) / len(paths)
    levels = [levels_of(*each) for each in made]
    examples = [Example(each, np.zeros(each[0].shape[:2], np.uint8)) for each in levels]
    settings = dataclasses.replace(head_settings(plan, 0), steps=_STEPS)
    started = time.monotonic()
    head = trained_head(examples, [], plan.tree, settings)
    step = (time.monotonic() - started) / _STEPS
    sets = [(each, np.zeros(shape[:2], np.uint8)) for each, (_, shape) in zip(levels, made, strict=True)]
    started = time.monotonic()
    head_confusion(head, sets, plan.tree)
    shown = (time.monotonic() - started) / len(sets)
    measuring = shown * sum(each.height for each in plan.files.sets.values())
    seeds = by_seed(todo)
    rounds = -(-len(seeds) // max(1, min(at_once, len(seeds))))
    there = [each for each in todo if each.budget is None or plan.run.selection_path(each.selection).is_file()]
    labelling = plan.weak(there).height * shown
    each_seed = max(map(len, seeds)) * (plan.files.steps * step + measuring) + labelling
    return plan.missing(there) * image / at_once + rounds * each_seed
