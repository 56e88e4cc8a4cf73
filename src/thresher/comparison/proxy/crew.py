"""The trainings of a comparison by proxy done by workers, a seed at a time; and how long they will take."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from thresher.comparison.job import Outcome
from thresher.comparison.proxy.job import head_settings
from thresher.comparison.proxy.materials import feature_maker, levels_of
from thresher.comparison.proxy.plan import ProxyPlan
from thresher.comparison.settings import Trial
from thresher.errors import SettingsError
from thresher.run.perform import untracked
from thresher.workers.pool import Pool, pool
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)

#: Steps and images that are timed for an estimate.
_STEPS, _IMAGES = 20, 4


@dataclass(frozen=True)
class ProxyCrew:
    """Workers that train heads; each does all trainings of a seed, which share a teacher."""

    plan: ProxyPlan
    opened: Pool

    def outcomes(self, todo: Sequence[Trial]) -> Iterator[Outcome]:
        """What comes of each training; those of a seed come together.

        Args:
            todo: Their images are prepared (`ProxyPlan.prepare`).
        """
        seeds = by_seed(todo)
        lines = [json.dumps([dataclasses.asdict(trial) for trial in trials]) for trials in seeds]
        for answer in self.opened.answers(lines):
            if answer.died:
                yield from (Outcome(trial.training, answer.died) for trial in seeds[answer.number])
            else:
                yield from (Outcome(**each) for each in json.loads(answer.text))


def by_seed(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials of each seed."""
    return [[trial for trial in trials if trial.seed == seed] for seed in dict.fromkeys(each.seed for each in trials)]


@contextlib.contextmanager
def proxy_crew(plan: ProxyPlan, engine: EngineSettings) -> Iterator[ProxyCrew]:
    """Context manager yielding workers that train heads; on exit, those still at work are killed.

    Raises:
        SettingsError: the engine is not installed, or it exchanges files through a store.
    """
    if engine.store:
        raise SettingsError(f"store = {engine.store}: a comparison's workers share the run's folder. Leave store out.")
    with pool("thresher.comparison.proxy.job", plan.as_line(), engine) as opened:
        yield ProxyCrew(plan, opened)


def prepared(plan: ProxyPlan, todo: Sequence[Trial]) -> dict[str, str]:
    """Make the features and label maps that are missing; returns the images that cannot be read, with the reason.

    Raises:
        DataError: an image or mask to measure on cannot be read.
    """
    started = time.monotonic()
    problems = plan.prepare(todo, untracked)
    if (seconds := time.monotonic() - started) > 1:
        log.info("compare: features of the images ready in %.0f s", seconds)
    return problems


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
