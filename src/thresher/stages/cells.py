"""Who does the jobs of a comparison: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
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

#: Gives each job's outcome, in the order in which they end; if it is closed before, what still runs is ended.
Done = Callable[[Sequence[Job], EngineSettings], Iterator[Outcome]]


def outcomes(jobs: Sequence[Job], engine: EngineSettings) -> Iterator[Outcome]:
    """Each job's outcome, in the order in which they end.

    Raises:
        SettingsError: the engine is not installed, or it is to work through a store.
    """
    if engine.store:
        raise SettingsError(f"store = {engine.store}: a comparison's workers exchange networks and tables through the "
                            "run's folder. Put it on a disk that all of them share.")  # fmt: skip
    return ENGINES[engine.engine](jobs, engine)


def workers_of(engine: EngineSettings) -> int:
    """How many jobs are done at once on this machine."""
    return engine.workers or len(os.sched_getaffinity(0))


def _local(jobs: Sequence[Job], engine: EngineSettings) -> Iterator[Outcome]:
    processes = _Processes()
    with ThreadPoolExecutor(min(workers_of(engine), max(1, len(jobs)))) as threads:
        waiting = [threads.submit(processes.outcome, job) for job in jobs]
        try:
            for ended in as_completed(waiting):
                yield ended.result()
        finally:
            for future in waiting:
                future.cancel()
            processes.end()


class _Processes:
    """A process for each job, with one thread: two of them side by side do more than one with two threads."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ending = False

    def outcome(self, job: Job) -> Outcome:
        with self._lock:
            if self._ending:
                return Outcome(job.training["name"], "interrupted")
            # A session of its own: Ctrl-C reaches the process that asks, which then ends its workers.
            process = subprocess.Popen(
                [sys.executable, "-m", "thresher.stages.cell"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | ONE_THREAD,
                start_new_session=True,
            )
            self._running.add(process)
        assert process.stdin is not None and process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # its exit status says more
                process.stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
                process.stdin.flush()
            line = process.stdout.read()
            process.wait()
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            self._running.discard(process)
        return Outcome(**json.loads(line)) if line else Outcome(job.training["name"], _ended(process.returncode))

    def end(self) -> None:
        with self._lock:
            self._ending = True
            for process in list(self._running):
                process.kill()


def _ended(status: int) -> str:
    if status >= 0:
        return f"its process ended with exit status {status}; what it said stands above"
    hint = ": is memory short? Use fewer workers" if -status == signal.SIGKILL else ""
    return f"its process was ended by signal {signal.Signals(-status).name}{hint}"


ENGINES: dict[str, Done] = {"local": _local, "ray": on_ray}
