"""Who does the jobs of a comparison: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from thresher.comparison.job import Job, Outcome
from thresher.comparison.ray_crew import on_ray
from thresher.errors import SettingsError
from thresher.workers.line_process import LineProcess
from thresher.workers.settings import EngineSettings

#: Gives each job's outcome, in the order in which they end.
Done = Callable[[Sequence[Job]], Iterator[Outcome]]


@contextlib.contextmanager
def crew(engine: EngineSettings) -> Iterator[Done]:
    """Who does any number of jobs until the block ends, which ends what still runs.

    Raises:
        SettingsError: the engine is not installed, or it is to work through a store.
    """
    if engine.store:
        raise SettingsError(f"store = {engine.store}: a comparison's workers exchange networks and tables through the "
                            "run's folder. Put it on a disk that all of them share.")  # fmt: skip
    with ENGINES[engine.engine](engine) as done:
        yield done


def workers_of(engine: EngineSettings) -> int:
    """How many jobs are done at once on this machine."""
    return engine.workers or len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _local(engine: EngineSettings) -> Iterator[Done]:
    """A few processes with one thread each: two side by side do more than one with two threads."""
    workers = [LineProcess("thresher.comparison.job") for _ in range(workers_of(engine))]
    idle: queue.SimpleQueue[LineProcess] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def outcome(job: Job) -> Outcome:
        worker = idle.get()
        try:
            line = worker.answer(json.dumps(dataclasses.asdict(job)) + "\n")
            return Outcome(**json.loads(line)) if line else Outcome(job.training["name"], _ended(worker.status))
        finally:
            idle.put(worker)

    def done(jobs: Sequence[Job]) -> Iterator[Outcome]:
        for ended in as_completed([threads.submit(outcome, job) for job in jobs]):
            yield ended.result()

    try:
        with ThreadPoolExecutor(len(workers)) as threads:
            try:
                yield done
            finally:
                for worker in workers:
                    worker.end()
    finally:
        for worker in workers:
            worker.close()


def _ended(status: int | None) -> str:
    """Why there is no answer; what was being trained goes on from the last checkpoint another time."""
    if status is None:
        return "interrupted"
    if status >= 0:
        return f"its process ended with exit status {status}; what it said stands above"
    hint = ": is memory short? Use fewer workers" if -status == signal.SIGKILL else ""
    return f"its process was ended by signal {signal.Signals(-status).name}{hint}"


#: Each opens workers, and ends them when the block ends.
ENGINES: dict[str, Callable[[EngineSettings], contextlib.AbstractContextManager[Done]]] = {
    "local": _local,
    "ray": on_ray,
}
