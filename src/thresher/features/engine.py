"""Who does the tasks: processes of this machine, or a Ray cluster. The workers write; only reports come back."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from thresher.errors import DataError, SettingsError
from thresher.features.worker import Report, Task, WorkerSettings, answer, answered, as_line, from_json

log = logging.getLogger(__name__)

#: A task is given to so many workers before its images are tried one by one.
_TRIES = 2
#: One thread each: the processors are shared out by giving each a worker.
_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
}


@dataclass(frozen=True)
class EngineSettings:
    """Where images are embedded. Changes no result."""

    engine: Literal["local", "ray"] = "local"
    """Processes of this machine, or a Ray cluster on which the run's folder and the images have the same paths."""
    workers: int = 0
    """How many images are worked on at once; 0: as many as there are processors (on a cluster: in all of it)."""
    address: str = ""
    """The Ray cluster's address, ray://HOST:10001 or HOST:6379; empty: the one of RAY_ADDRESS, or one started here."""
    worker_cpus: float = 1.0
    """Processors that Ray sets aside for a worker."""
    worker_gpus: float = 0.0
    """GPUs, or shares of one, that Ray sets aside for a worker."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.workers < 0:
            raise SettingsError(f"workers = {self.workers}: expected 0 (all processors) or more.")


#: Gives each task's report, in the order in which they end.
Work = Callable[[Sequence[Task]], Iterator[Report]]


def workers(settings: WorkerSettings, engine: EngineSettings) -> contextlib.AbstractContextManager[Work]:
    """Workers that do any number of tasks until the block ends, which ends them.

    A worker that dies (out of memory, a crash in a decoder) costs its task only: another takes it up, and if that dies
    too, the images are tried one by one and those that kill are left out and listed.

    Raises:
        SettingsError: the engine is not installed.
        DataError: while working: workers go on dying without an image that is to blame.
    """
    return ENGINES[engine.engine](settings, engine)


@contextlib.contextmanager
def _local(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Work]:
    processes = [_Served(settings) for _ in range(engine.workers or len(os.sched_getaffinity(0)))]
    threads: list[threading.Thread] = []

    def work(tasks: Sequence[Task]) -> Iterator[Report]:
        waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        ended: queue.SimpleQueue[Report | BaseException] = queue.SimpleQueue()
        for task in [*tasks, *[None] * len(processes)]:
            waiting.put(task)
        for process in processes[: len(tasks)]:
            threads.append(threading.Thread(target=_serve, args=(process, waiting, ended), daemon=True))
            threads[-1].start()
        for _ in tasks:
            report = ended.get()
            if isinstance(report, BaseException):
                raise report
            yield report

    try:
        yield work
    finally:
        for process in processes:
            process.end()
        for thread in threads:
            thread.join()
        for process in processes:
            process.close()


def _serve(
    process: _Served, waiting: queue.SimpleQueue[Task | None], ended: queue.SimpleQueue[Report | BaseException]
) -> None:
    try:
        while (task := waiting.get()) is not None:
            ended.put(process.report(task))
    except BaseException as error:
        ended.put(error)


class _WorkerDied(Exception):
    """The process ended before its task did."""


class _Served:
    """A worker process, started when it is first needed and again when it has died."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._ending = False

    def report(self, task: Task) -> Report:
        """What became of a task, however many processes it took."""
        for _ in range(_TRIES):
            try:
                return self._asked(task)
            except _WorkerDied as died:
                if self._ending:
                    raise
                log.warning("embed: a worker died at task %d (%s); another takes it up", task.number, died)
        return self._asked(replace(task, fatal=self._fatal(task)))

    def _fatal(self, task: Task) -> list[str]:
        """The images that kill a worker, each tried alone."""
        fatal = []
        for image in task.images:
            alone = replace(task, kind="sample", images=[image], path=f"{task.path}.alone")
            try:
                self._asked(alone)
            except _WorkerDied:
                log.warning("embed: %s ends the process that reads it; left out", image[1])
                fatal.append(image[0])
        Path(f"{task.path}.alone").unlink(missing_ok=True)
        if not fatal:
            raise DataError(f"embed: workers die at shard {task.number}, though each of its images can be read alone. "
                            "Is memory short? Use fewer workers.")  # fmt: skip
        return fatal

    def _asked(self, task: Task) -> Report:
        process = self._process or self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(as_line(task))
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise _WorkerDied(f"exit status {process.returncode}")
        return answered(line)

    def _started(self) -> subprocess.Popen[str]:
        if self._ending:
            raise _WorkerDied("the run is ending")
        # A session of its own: Ctrl-C reaches the process that asks, which then ends its workers.
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "thresher.features.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(as_line(self._settings))
        process.stdin.flush()
        return process

    def end(self) -> None:
        """Stop the process; what it was writing goes to a temporary name and is never taken for whole."""
        self._ending = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """Let go of a process that has ended, and of its pipes."""
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    # What was still to be written to a dead process is lost with it.
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._process = None


@contextlib.contextmanager
def _ray(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Work]:
    try:
        import ray
    except ImportError:
        raise SettingsError("engine = 'ray': Ray is not installed. pip install 'thresher[ray]'.") from None
    if not ray.is_initialized():
        ray.init(address=engine.address or os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    # Restarted where a node is lost; the task it was at is done again, its file being written whole or not at all.
    actor: Any = ray.remote(
        num_cpus=engine.worker_cpus, num_gpus=engine.worker_gpus, max_restarts=-1, max_task_retries=-1
    )(_RayWorker)
    fitting = int(ray.cluster_resources().get("CPU", 1) // engine.worker_cpus)
    actors = [actor.remote(as_line(settings)) for _ in range(engine.workers or max(1, fitting))]

    def work(tasks: Sequence[Task]) -> Iterator[Report]:
        left = iter(tasks)
        # Two tasks each, so that none waits for the next while the driver is busy.
        running = {each.done.remote(as_line(task)): each for each, task in zip(actors * 2, left, strict=False)}
        while running:
            (first, *_), _ = ray.wait(list(running))
            each = running.pop(first)
            yield answered(ray.get(first))
            if (task := next(left, None)) is not None:
                running[each.done.remote(as_line(task))] = each

    try:
        yield work
    finally:
        for each in actors:
            ray.kill(each)


class _RayWorker:
    """A worker as an actor; lines of JSON in and out, as for a process."""

    def __init__(self, settings: str) -> None:
        from thresher.features.worker import Worker

        self._worker = Worker(from_json(WorkerSettings, settings))

    def done(self, task: str) -> str:
        """The answer to a task."""
        return answer(self._worker, task)


ENGINES: dict[str, Callable[[WorkerSettings, EngineSettings], contextlib.AbstractContextManager[Work]]] = {
    "local": _local,
    "ray": _ray,
}
