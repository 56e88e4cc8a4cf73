"""Who does the tasks: processes of this machine, or a Ray cluster. The workers write; only reports come back."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thresher.errors import DataError, SettingsError
from thresher.features.shards import shard_is_current
from thresher.features.worker import (
    Report,
    Task,
    WorkerSettings,
    answer,
    answered,
    as_line,
    from_json,
)
from thresher.workers import store
from thresher.workers.line_process import LineProcess
from thresher.workers.settings import EngineSettings
from thresher.workers.store import url_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Died:
    """A task whose worker ended before it did."""

    task: Task
    reason: str


#: Gives each task's report, in the order in which they end.
Work = Callable[[Sequence[Task]], Iterator[Report]]
#: The same, once: what a worker died at is told, not tried again.
Once = Callable[[Sequence[Task]], Iterator[Report | Died]]


@contextlib.contextmanager
def workers(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Work]:
    """Workers that do any number of tasks until the block ends, which ends them.

    A worker that dies (out of memory, a crash in a decoder, a lost machine) costs its task only: another takes it up,
    and if that dies too, the images are tried one by one and those that kill are left out and listed.

    Raises:
        SettingsError: the engine is not installed.
        DataError: while working: workers go on dying without an image that is to blame.
    """
    if engine.store:
        with _through_store(settings, engine) as work:
            yield work
        return
    with ENGINES[engine.engine](settings, engine) as once:
        yield lambda tasks: _surviving(once, tasks)


@contextlib.contextmanager
def _through_store(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Work]:
    """Workers that read from and write to a store; what they made is fetched to where the tasks say it should lie."""
    there = functools.partial(url_of, engine.store)
    store.send(Path(settings.backbone), there(settings.backbone))
    sent: set[str] = set()
    samples: set[str] = set()
    with workers(replace(settings, backbone=there(settings.backbone)), replace(engine, store="")) as work:

        def through(tasks: Sequence[Task]) -> Iterator[Report]:
            wanted = {}
            for task in tasks:
                if task.kind == "shard" and shard_is_current(Path(task.path), task.fingerprint):
                    yield Report(task.number, 0, 0, 0.0, made=False)
                    continue
                if task.projection and task.projection not in sent:
                    store.send(Path(task.projection), there(task.projection))
                    sent.add(task.projection)
                wanted[task.number] = task
            shared = [
                replace(task, path=there(task.path), samples=[there(path) for path in task.samples],
                        projection=task.projection and there(task.projection))
                for task in wanted.values()
            ]  # fmt: skip
            for report in work(shared):
                task = wanted[report.number]
                store.fetch(there(task.path), Path(task.path))
                if task.kind == "sample":
                    samples.add(task.path)
                yield report

        try:
            yield through
        finally:
            for path in samples:
                store.remove(there(path))


def _surviving(once: Once, tasks: Sequence[Task]) -> Iterator[Report]:
    first: list[Task] = []
    yield from _told(once(tasks), first)
    second: list[Task] = []
    yield from _told(once(first), second)
    for task in second:
        hopeless: list[Task] = []
        yield from _told(once([replace(task, fatal=_fatal(once, task))]), hopeless)
        if hopeless:
            raise DataError(f"embed: workers die at shard {task.number} even without the images that end them. "
                            "Is memory or disk short? Use fewer workers.")  # fmt: skip


def _told(outcomes: Iterator[Report | Died], died: list[Task]) -> Iterator[Report]:
    for outcome in outcomes:
        if isinstance(outcome, Report):
            yield outcome
        else:
            log.warning("embed: a worker died at task %d (%s)", outcome.task.number, outcome.reason)
            died.append(outcome.task)


def _fatal(once: Once, task: Task) -> list[str]:
    """The images that end a worker, each tried alone."""
    alone = [
        replace(task, kind="sample", number=number, images=[image], path=f"{task.path}.{number}.alone")
        for number, image in enumerate(task.images)
    ]
    fatal = [outcome.task for outcome in once(alone) if isinstance(outcome, Died)]
    for each in alone:
        store.discard(each.path)
    if not fatal:
        raise DataError(f"embed: workers die at shard {task.number}, though each of its images can be read alone. "
                        "Is memory short? Use fewer workers.")  # fmt: skip
    for each in fatal:
        log.warning("embed: %s ends the process that reads it; left out", each.images[0][1])
    return [each.images[0][0] for each in fatal]


@contextlib.contextmanager
def _local(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Once]:
    processes = [_Served(settings) for _ in range(engine.workers or len(os.sched_getaffinity(0)))]
    threads: list[threading.Thread] = []

    def once(tasks: Sequence[Task]) -> Iterator[Report | Died]:
        waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        ended: queue.SimpleQueue[Report | Died | BaseException] = queue.SimpleQueue()
        for task in [*tasks, *[None] * len(processes)]:
            waiting.put(task)
        for process in processes[: len(tasks)]:
            threads.append(threading.Thread(target=process.serve, args=(waiting, ended), daemon=True))
            threads[-1].start()
        for _ in tasks:
            outcome = ended.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
        # A process takes one task at a time: the threads of these are done before others come.
        while threads:
            threads.pop().join()

    try:
        yield once
    finally:
        for process in processes:
            process.end()
        for thread in threads:
            thread.join()
        for process in processes:
            process.close()


class _Served:
    """A worker process. What it was writing when it is ended goes to a temporary name and is never taken for whole."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._process = LineProcess("thresher.features.worker", as_line(settings))
        self._ending = False

    def serve(
        self, waiting: queue.SimpleQueue[Task | None], ended: queue.SimpleQueue[Report | Died | BaseException]
    ) -> None:
        """Do tasks until there is None, or the run ends."""
        try:
            while (task := waiting.get()) is not None and not self._ending:
                ended.put(self._outcome(task))
        except BaseException as error:
            ended.put(error)

    def _outcome(self, task: Task) -> Report | Died:
        line = self._process.answer(as_line(task))
        return answered(line) if line else Died(task, f"exit status {self._process.status}")

    def end(self) -> None:
        self._ending = True
        self._process.end()

    def close(self) -> None:
        self._process.close()


@contextlib.contextmanager
def _ray(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Once]:
    try:
        import ray
    except ImportError:
        raise SettingsError("engine = 'ray': Ray is not installed. pip install 'thresher[ray]'.") from None
    if not ray.is_initialized():
        ray.init(address=engine.address or os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    remote: Any = ray.remote(num_cpus=engine.worker_cpus, num_gpus=engine.worker_gpus)(_RayWorker)
    fitting = int(ray.cluster_resources().get("CPU", 1) // engine.worker_cpus)
    actors = [remote.remote(as_line(settings)) for _ in range(engine.workers or max(1, fitting))]

    def once(tasks: Sequence[Task]) -> Iterator[Report | Died]:
        left = list(reversed(tasks))
        # An actor gets a task once it answers: one that the cluster has no room for must keep none waiting.
        running: dict[Any, tuple[Any, Task | None]] = {actor.ready.remote(): (actor, None) for actor in actors}
        outcomes = 0
        while outcomes < len(tasks):
            (first, *_), _ = ray.wait(list(running))
            actor, task = running.pop(first)
            try:
                line = ray.get(first)
            except ray.exceptions.RayActorError as error:
                actors.remove(actor)
                actors.append(remote.remote(as_line(settings)))
                running[actors[-1].ready.remote()] = (actors[-1], None)
                if task is not None:
                    outcomes += 1
                    yield Died(task, type(error).__name__)
                continue
            if left:
                following = left.pop()
                running[actor.done.remote(as_line(following))] = (actor, following)
            if task is not None:
                outcomes += 1
                yield answered(line)

    try:
        yield once
    finally:
        for actor in actors:
            ray.kill(actor)


class _RayWorker:
    """A worker as an actor; lines of JSON in and out, as for a process."""

    def __init__(self, settings: str) -> None:
        from thresher.features.worker import Worker

        self._worker = Worker(from_json(WorkerSettings, settings))

    def ready(self) -> str:
        """An answer, once the network is open."""
        return ""

    def done(self, task: str) -> str:
        """The answer to a task."""
        return answer(self._worker, task)


#: Each opens workers, and ends them when the block ends.
ENGINES: dict[str, Callable[[WorkerSettings, EngineSettings], contextlib.AbstractContextManager[Once]]] = {
    "local": _local,
    "ray": _ray,
}
