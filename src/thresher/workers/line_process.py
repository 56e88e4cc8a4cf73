"""A worker in a process of its own, which may die without taking anyone with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

#: Libraries compute on one thread in each worker: the processors are shared out among the workers.
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
}


class DiedError(Exception):
    """A worker ended before it had answered; the text says how."""


class LineProcess:
    """`python -m thresher.workers.serve MODULE`: answers a line of text with a line.

    The process starts with the first line that it is asked to answer, and anew after it has died.
    """

    def __init__(self, module: str, first_line: str = "") -> None:
        """Start nothing yet.

        Args:
            module: Offers `answerer(first_line)`, see `thresher.workers.serve`.
            first_line: Passed to it whenever the process starts. Lines contain no line break.
        """
        self._module, self._first_line = module, first_line
        self._process: subprocess.Popen[str] | None = None
        self._ending = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Nothing to wait for: the process starts when it is first needed."""

    def answer(self, line: str) -> str:
        """The answer to a line.

        Raises:
            DiedError: the process ended before it had answered, or `end` was called.
        """
        with self._lock:
            if self._ending:
                raise DiedError("interrupted")
            process = self._process = self._process or self._started()
        assert process.stdout is not None
        _write(process, line)
        answer = process.stdout.readline()
        if not answer.endswith("\n"):
            raise DiedError(_how_it_ended(self._closed(process)))
        return answer.removesuffix("\n")

    def _started(self) -> subprocess.Popen[str]:
        # In a session of its own, so that Ctrl-C reaches only the process that asks; that one ends its workers.
        process = subprocess.Popen(
            [sys.executable, "-m", "thresher.workers.serve", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | ONE_THREAD,
            start_new_session=True,
        )
        _write(process, self._first_line)
        return process

    def end(self) -> None:
        """Kill the process, from any thread; it is not started again."""
        with self._lock:
            self._ending = True
            if (process := self._process) is not None:
                process.kill()

    def close(self) -> None:
        """Kill the process and release its pipes; no other thread may be waiting for an answer."""
        self.end()
        if self._process is not None:
            self._closed(self._process)

    def _closed(self, process: subprocess.Popen[str]) -> int:
        """Wait until the process has ended and release its pipes; returns its exit status."""
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            # Text still buffered for a dead process is lost with it.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self._process = None
        return status


def _write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has died; its exit status says more
        process.stdin.write(f"{line}\n")
        process.stdin.flush()


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"its process ended with exit status {status}; its error output is above"
    hint = ": is memory short? Use fewer workers" if -status == signal.SIGKILL else ""
    return f"its process was ended by signal {signal.Signals(-status).name}{hint}"
