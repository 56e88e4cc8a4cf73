"""One job of a comparison by proxy: trainings of one seed, one after another, each kept as soon as it is done.

`thresher.workers` calls `answerer` in a process of its own or in an actor on a cluster; what all seeds share is read
once per worker.
"""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from collections.abc import Callable
from typing import Any

from thresher import tables
from thresher.comparison.job import Outcome
from thresher.comparison.proxy.plan import ProxyPlan, plan_of
from thresher.comparison.proxy.trainings import Bench, Seed
from thresher.comparison.settings import Trial
from thresher.errors import ThresherError
from thresher.run.perform import perform
from thresher.segmentation.metrics import class_metrics, mean_iou


def answerer(first_line: str) -> Callable[[str], str]:
    """What a worker process calls for each seed (`thresher.workers.serve`); the first line is the plan."""
    plan = plan_of(first_line)
    shared: list[Bench] = []

    def answer(line: str) -> str:
        trials = [Trial(**each) for each in json.loads(line)]
        if not shared:
            shared.append(Bench(plan.files, plan.weak(plan.settings.trials()), plan.true))
        seed = Seed(shared[0], head_settings(plan, trials[0].seed))
        return json.dumps([dataclasses.asdict(_outcome(plan, seed, trial)) for trial in trials])

    return answer


def head_settings(plan: ProxyPlan, seed: int) -> Any:
    """How the heads of a seed are trained: for as many steps, on as many images each, as the networks would be."""
    from thresher.segmentation.frozen import HeadSettings

    training = plan.training
    return HeadSettings(
        steps=plan.files.steps,
        strong_batch=training.strong_batch,
        weak_batch=training.weak_batch,
        window=(training.height_px, training.width_px),
        group_weight=training.group_weight,
        label_weight=training.label_weight,
        ema=training.ema,
        seed=seed,
    )


def _outcome(plan: ProxyPlan, seed: Seed, trial: Trial) -> Outcome:
    """Train and measure; what goes wrong costs only this training."""
    started = time.monotonic()
    try:
        miou = kept_training(plan, seed, trial)
    except (ThresherError, OSError) as error:
        return Outcome(trial.training, str(error))
    except Exception as error:  # a bug
        return Outcome(trial.training, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Outcome(trial.training, miou=miou, seconds=time.monotonic() - started)


def kept_training(plan: ProxyPlan, seed: Seed, trial: Trial) -> float | None:
    """Train the head of a trial, measure it on every set, and keep the tables; returns mIoU on the validation set."""
    outputs = plan.outputs(trial)

    def work() -> tuple[dict[str, Any], int]:
        head, weak_images = seed.head(plan.arm(trial))
        measured = {name: class_metrics(seed.confusion(head, name), plan.tree.classes) for name in outputs}
        for name, metrics in measured.items():
            tables.write(metrics, outputs[name])
        return {"weak_images": weak_images, "miou": mean_iou(measured["validation"])}, 0

    reads = ["index", f"select:{trial.selection}"] if trial.budget is not None else ["index"]
    record = plan.record(trial)
    result = perform(plan.run, "proxy", plan.asked(trial), plan.inputs(trial), [*outputs.values()], work, record, reads)
    miou: float | None = result.summary["miou"]
    return miou
