"""The jobs of a comparison on a Ray cluster, one task each; every machine sees the run's folder under the same path."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from thresher.comparison.job import Job, Outcome, answer
from thresher.errors import SettingsError
from thresher.workers.line_process import ONE_THREAD
from thresher.workers.settings import EngineSettings


@contextlib.contextmanager
def on_ray(engine: EngineSettings) -> Iterator[Callable[[Sequence[Job]], Iterator[Outcome]]]:
    """Gives each job's outcome, in the order in which they end; when the block ends, so does what still runs.

    A task has a process of its own. Where a node is lost, Ray starts the task again elsewhere, and the training goes on
    from its last checkpoint.

    Raises:
        SettingsError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise SettingsError("engine = 'ray': Ray is not installed. pip install 'thresher[ray]'.") from None
    if not ray.is_initialized():
        ray.init(address=engine.address or os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    task: Any = ray.remote(
        num_cpus=engine.worker_cpus,
        num_gpus=engine.worker_gpus,
        max_calls=1,
        runtime_env={"env_vars": ONE_THREAD},
    )(answer)
    running: dict[Any, Job] = {}

    def done(jobs: Sequence[Job]) -> Iterator[Outcome]:
        left = list(reversed(jobs))
        while left or running:
            while left and len(running) < (engine.workers or len(jobs)):
                job = left.pop()
                running[task.remote(json.dumps(dataclasses.asdict(job)))] = job
            (first, *_), _ = ray.wait(list(running))
            job = running.pop(first)
            try:
                yield Outcome(**json.loads(ray.get(first)))
            except ray.exceptions.RayError as error:
                yield Outcome(job.training["name"], f"{type(error).__name__}: {error}")

    try:
        yield done
    finally:
        for each in running:
            ray.cancel(each, force=True)
