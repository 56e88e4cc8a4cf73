"""Processes of our own that answer a line with a line: workers that may die without taking anyone with them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

#: One thread each: the processors are shared out by giving each a process.
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
}


class LineProcess:
    """`python -m MODULE`, which answers lines; started when it is first asked, and again when it has died."""

    def __init__(self, module: str, first_line: str = "") -> None:
        """Start nothing yet. `first_line` is what each start is told before anything else, without an answer."""
        self._module, self._first_line = module, first_line
        self._process: subprocess.Popen[str] | None = None
        self._ending = False
        self._lock = threading.Lock()
        self.status: int | None = None
        """How the process that died last ended; None if none has."""

    def answer(self, line: str) -> str:
        """The answer to a line; empty if the process died of it, or may not be started any more."""
        with self._lock:
            if self._ending:
                return ""
            process = self._process = self._process or self._started()
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its exit status says more
            process.stdin.write(line)
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            self.close()
        return answer

    def _started(self) -> subprocess.Popen[str]:
        # A session of its own: Ctrl-C reaches the process that asks, which then ends its workers.
        process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD,
            start_new_session=True,
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self._first_line)
            process.stdin.flush()
        return process

    def end(self) -> None:
        """Kill it, and start it no more."""
        with self._lock:
            self._ending = True
            if (process := self._process) is not None:
                process.kill()

    def close(self) -> None:
        """Let go of a process that has ended, and of its pipes."""
        if (process := self._process) is None:
            return
        self.status = process.wait()
        for pipe in (process.stdin, process.stdout):
            # What was still to be written to a dead process is lost with it.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self._process = None
