"""Who does the jobs of a comparison: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from thresher.errors import SettingsError
from thresher.features.engine import ONE_THREAD, EngineSettings
from thresher.stages.cell import Job, Outcome
from thresher.stages.ray_cells import on_ray

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
    workers = [_Worker() for _ in range(workers_of(engine))]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def outcome(job: Job) -> Outcome:
        worker = idle.get()
        try:
            return worker.outcome(job)
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


class _Worker:
    """A process that does one job after the other; started when it is first needed, and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._ending = False
        self._lock = threading.Lock()

    def outcome(self, job: Job) -> Outcome:
        """What came of a job, or that the process died of it."""
        with self._lock:
            if self._ending:
                return Outcome(job.training["name"], "interrupted")
            process = self._process = self._process or _started()
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its exit status says more
            process.stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if line:
            return Outcome(**json.loads(line))
        self.close()
        return Outcome(job.training["name"], _ended(process.returncode))

    def end(self) -> None:
        """Stop it; what it was training goes on from the last checkpoint another time."""
        with self._lock:
            self._ending = True
            if (process := self._process) is not None:
                process.kill()

    def close(self) -> None:
        """Let go of a process that has ended, and of its pipes."""
        if (process := self._process) is None:
            return
        process.wait()
        for pipe in (process.stdin, process.stdout):
            # What was still to be written to a dead process is lost with it.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self._process = None


def _started() -> subprocess.Popen[str]:
    # A session of its own: Ctrl-C reaches the process that asks, which then ends its workers.
    return subprocess.Popen(
        [sys.executable, "-m", "thresher.stages.cell"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ONE_THREAD,
        start_new_session=True,
    )


def _ended(status: int) -> str:
    if status >= 0:
        return f"its process ended with exit status {status}; what it said stands above"
    hint = ": is memory short? Use fewer workers" if -status == signal.SIGKILL else ""
    return f"its process was ended by signal {signal.Signals(-status).name}{hint}"


#: Each opens workers, and ends them when the block ends.
ENGINES: dict[str, Callable[[EngineSettings], contextlib.AbstractContextManager[Done]]] = {
    "local": _local,
    "ray": on_ray,
}
