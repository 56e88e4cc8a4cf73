"""Workers that answer lines of text with lines: processes of this machine, or actors on a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from thresher.workers.line_process import DiedError, LineProcess
from thresher.workers.ray_worker import ray_workers
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What came of one line."""

    number: int
    """The line's place among those that were given, from 0."""
    text: str
    """The worker's answer; empty if it died."""
    died: str = ""
    """How the worker died, in words; empty if it answered."""


class Worker(Protocol):
    """What a pool asks of a worker; `LineProcess` and `RayWorker` are the two there are."""

    def open(self) -> None:
        """Wait until the worker can take a line."""

    def answer(self, line: str) -> str:
        """The answer to a line; raises `DiedError`."""

    def end(self) -> None:
        """Stop whatever it does; called from another thread."""

    def close(self) -> None:
        """Release what it holds."""


@dataclass(frozen=True)
class _Asked:
    """A line that waits for a worker, how often it may still be tried again, and where its answer goes."""

    number: int
    line: str
    retries: int
    answers: queue.SimpleQueue[Answer | BaseException]


@contextlib.contextmanager
def pool(module: str, first_line: str, engine: EngineSettings) -> Iterator[Pool]:
    """Context manager yielding a `Pool`; on exit its workers are killed, whatever they are doing.

    Args:
        module: What the workers do: a module that offers `answerer` (see `thresher.workers.serve`).
        first_line: Passed to `answerer` in each worker.

    Raises:
        SettingsError: the engine is not installed.
    """
    size, new_worker = ENGINES[engine.engine](engine, module, first_line)
    opened = Pool(size, new_worker)
    try:
        yield opened
    finally:
        opened.end()


class Pool:
    """At most `size` workers, each with a thread of this process that hands it one line at a time."""

    def __init__(self, size: int, new_worker: Callable[[], Worker]) -> None:
        """Start nothing yet: workers are opened as lines come."""
        self.size = size
        self._new_worker = new_worker
        self._waiting: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._workers: list[tuple[Worker, threading.Thread]] = []
        self._ending = False

    def answers(self, lines: Sequence[str], retries: int = 0) -> Iterator[Answer]:
        """Each line's answer, in the order in which they are ready.

        Args:
            retries: How often a line is tried again whose worker died; it waits behind all others for that.

        Raises:
            DataError: workers cannot be started.
        """
        answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        for number, line in enumerate(lines):
            self._waiting.put(_Asked(number, line, retries, answers))
        while len(self._workers) < min(self.size, len(lines)):
            worker = self._new_worker()
            thread = threading.Thread(target=self._serve, args=(worker,), daemon=True)
            self._workers.append((worker, thread))
            thread.start()
        for _ in lines:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    def _serve(self, worker: Worker) -> None:
        """Hand lines to a worker until the pool ends."""
        failure: BaseException | None = None
        try:
            while True:
                try:
                    worker.open()
                except BaseException as error:
                    failure = error
                asked = self._waiting.get()
                if asked is None or self._ending:
                    return
                if failure is not None:
                    asked.answers.put(failure)
                    return
                self._ask(worker, asked)
        finally:
            worker.close()

    def _ask(self, worker: Worker, asked: _Asked) -> None:
        try:
            asked.answers.put(Answer(asked.number, worker.answer(asked.line)))
        except DiedError as death:
            if asked.retries and not self._ending:
                log.warning("a worker died at task %d (%s); it is done again", asked.number, death)
                self._waiting.put(replace(asked, retries=asked.retries - 1))
            else:
                asked.answers.put(Answer(asked.number, "", str(death)))
        except BaseException as error:
            asked.answers.put(error)

    def end(self) -> None:
        """Kill the workers; lines that wait are dropped."""
        self._ending = True
        for _ in self._workers:
            self._waiting.put(None)
        for worker, _ in self._workers:
            worker.end()
        for _, thread in self._workers:
            thread.join()


def local_workers(engine: EngineSettings, module: str, first_line: str) -> tuple[int, Callable[[], LineProcess]]:
    """How many processes of this machine are to work, and what makes one."""
    return engine.workers or len(os.sched_getaffinity(0)), lambda: LineProcess(module, first_line)


#: Each gives the number of workers and what makes one.
ENGINES: dict[str, Callable[[EngineSettings, str, str], tuple[int, Callable[[], Worker]]]] = {
    "local": local_workers,
    "ray": ray_workers,
}
