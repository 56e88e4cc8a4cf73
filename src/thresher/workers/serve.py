"""What runs in a worker process: `python -m thresher.workers.serve MODULE` answers lines from stdin on stdout.

MODULE offers one function, `answerer(first_line: str) -> Callable[[str], str]`. It is called once, with the first line;
what it returns is called with each further line and gives that line's answer. Neither contains a line break.
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
from collections.abc import Callable


def answerer_of(module: str, first_line: str) -> Callable[[str], str]:
    """The function that answers lines, from the module of that name."""
    answer: Callable[[str], str] = importlib.import_module(module).answerer(first_line)
    return answer


def _read(lines: queue.SimpleQueue[str]) -> None:
    """Collect lines until stdin ends, then end this process.

    stdin ends when the parent process does. A worker that went on for nobody would keep processors busy and the folder
    it works in locked; files appear whole or not at all, so it may stop anywhere.
    """
    with open(0, encoding="utf-8") as stdin:
        for line in stdin:
            lines.put(line.removesuffix("\n"))
    os._exit(1)


def main() -> None:
    """Answer lines until stdin ends. An exception ends the process and shows its trace on stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print to stdout goes to stderr: it is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    answer = answerer_of(sys.argv[1], lines.get())
    while True:
        answers.write(f"{answer(lines.get())}\n")
        answers.flush()


if __name__ == "__main__":
    main()
