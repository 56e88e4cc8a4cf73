"""Tasks of `embed` done by workers, here or on a cluster. The workers write files; only reports come back."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from thresher.errors import DataError
from thresher.features.worker import Report, Task, WorkerSettings, as_line, report_of
from thresher.workers import store
from thresher.workers.pool import Answer, Pool, pool
from thresher.workers.settings import EngineSettings
from thresher.workers.store import url_of

log = logging.getLogger(__name__)

#: Gives each task's report, in the order in which they end.
Work = Callable[[Sequence[Task]], Iterator[Report]]


@contextlib.contextmanager
def workers(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Work]:
    """Context manager yielding a function that does tasks in workers; on exit the workers are killed.

    A worker that dies (out of memory, a crash in a decoder, a lost machine) costs only its task, which another worker
    does again. If that one dies too, the task's images are tried one by one; those that kill a worker are left out and
    listed as unreadable.

    Raises:
        SettingsError: the engine is not installed.
        DataError: while working: workers keep dying although no image is to blame.
    """
    if engine.store:
        with _through_store(settings, engine) as work:
            yield work
        return
    with pool("thresher.features.worker", as_line(settings), engine) as opened:
        yield lambda tasks: _surviving(opened, tasks)


@contextlib.contextmanager
def _through_store(settings: WorkerSettings, engine: EngineSettings) -> Iterator[Work]:
    """Workers that read from a store and write to it; what they write is fetched to where the tasks say it belongs."""
    in_store = functools.partial(url_of, engine.store)
    store.send(Path(settings.backbone), in_store(settings.backbone))
    sent: set[str] = set()
    samples: set[str] = set()
    with workers(replace(settings, backbone=in_store(settings.backbone)), replace(engine, store="")) as work:

        def through(tasks: Sequence[Task]) -> Iterator[Report]:
            wanted = {}
            for task in tasks:
                if task.projection and task.projection not in sent:
                    store.send(Path(task.projection), in_store(task.projection))
                    sent.add(task.projection)
                wanted[task.number] = task
            for report in work([_with_urls(task, in_store) for task in wanted.values()]):
                task = wanted[report.number]
                store.fetch(_url(task, in_store), Path(task.path))
                if task.kind == "sample":
                    samples.add(task.path)
                yield report

        try:
            yield through
        finally:
            for path in samples:
                store.remove(in_store(path))


def _with_urls(task: Task, in_store: Callable[[str], str]) -> Task:
    """The same task on the files in the store."""
    samples = [in_store(path) for path in task.samples]
    return replace(
        task, path=_url(task, in_store), samples=samples, projection=task.projection and in_store(task.projection)
    )


def _url(task: Task, in_store: Callable[[str], str]) -> str:
    # Of a shard by what shapes it: a worker that has outlived its process can only write there what belongs there.
    return in_store(f"slices/part-{task.task[:16]}.parquet" if task.kind == "shard" else task.path)


def _surviving(opened: Pool, tasks: Sequence[Task]) -> Iterator[Report]:
    """Each task's report; a task whose workers died twice is done without the images that kill."""
    twice_died = []
    for task, answer in _answered(opened, tasks, retries=1):
        if answer.died:
            twice_died.append(task)
        else:
            yield report_of(answer.text)
    for task in twice_died:
        for _, answer in _answered(opened, [replace(task, fatal=_fatal(opened, task))]):
            if answer.died:
                raise DataError(
                    f"embed: workers die at shard {task.number} even without the images that kill them "
                    f"({answer.died}). Is memory or disk short? Use fewer workers: --workers N."
                )
            yield report_of(answer.text)


def _answered(opened: Pool, tasks: Sequence[Task], retries: int = 0) -> Iterator[tuple[Task, Answer]]:
    for answer in opened.answers([as_line(task) for task in tasks], retries):
        yield tasks[answer.number], answer


def _fatal(opened: Pool, task: Task) -> list[str]:
    """The ids of a task's images that kill a worker, each tried alone."""
    alone = [
        replace(task, kind="sample", number=number, images=[image], path=f"{task.path}.{number}.alone")
        for number, image in enumerate(task.images)
    ]
    fatal = [each for each, answer in _answered(opened, alone) if answer.died]
    for each in alone:
        store.discard(each.path)
    if not fatal:
        raise DataError(
            f"embed: workers die at shard {task.number}, though each of its images can be read alone. "
            "Is memory short? Use fewer workers: --workers N."
        )
    for each in fatal:
        log.warning("embed: reading %s kills the worker; it is left out", each.images[0][1])
    return [each.images[0][0] for each in fatal]
