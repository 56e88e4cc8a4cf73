"""Output of commands: results on stdout, as text or JSON; progress and logs on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from thresher.cli.main import EXIT_OK, EXIT_SOME_FAILED
from thresher.cli.terminal import on_terminal
from thresher.run.perform import StageResult, Track

SCHEMA_VERSION = 1
#: Rows of a list that are printed; --json has them all.
_MOST_ROWS = 20


@Parameter(name="*")
@dataclass(frozen=True)
class JsonOutput:
    """Output of a command without a dry run."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object on stdout instead of text."""


@Parameter(name="*")
@dataclass(frozen=True)
class Output(JsonOutput):
    """Output of a command."""

    dry_run: Annotated[bool, Parameter(negative="")] = False
    """Print what would be done, with estimates of bytes, memory and time, and do nothing."""


def print_results(results: Iterable[StageResult], output: JsonOutput) -> int:
    """Print each result as it comes, and return the exit code."""
    failed: list[StageResult] = []
    objects = []
    for result in results:
        objects.append({"stage": result.stage, "status": result.status, **result.summary})
        if result.failed_items:
            failed.append(result)
        if not output.json:
            _print_words(result)
    count = sum(result.failed_items for result in failed)
    if output.json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "failed_items": count, "stages": objects}, default=str))
    for result in [] if output.json else failed:
        print(
            f"{result.failed_items} {result.items} failed; each is listed with its reason in {result.problems_in}.",
            file=sys.stderr,
        )
    return EXIT_SOME_FAILED if failed else EXIT_OK


_STATUS = {"done": "done", "unchanged": "unchanged since last time, nothing to do", "planned": "would do"}


def _print_words(result: StageResult) -> None:
    print(f"{result.stage}: {_STATUS[result.status]}")
    if result.status == "unchanged":
        return
    for key, value in result.summary.items():
        name = key.replace("_", " ")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print(f"  {name}:")
            for row in value[:_MOST_ROWS]:
                print("    " + on_terminal("  ".join(f"{k} {v}" for k, v in row.items())))
            if len(value) > _MOST_ROWS:
                print(f"    … and {len(value) - _MOST_ROWS} more (--json shows all)")
        elif isinstance(value, list):
            _print_list(name, value)
        elif isinstance(value, dict):
            print(on_terminal(f"  {name}: {', '.join(f'{k} {v}' for k, v in value.items()) or '–'}"))
        elif key.endswith("bytes"):
            print(f"  {name.removesuffix(' bytes')}: {value / 1e6:,.1f} MB")
        else:
            print(on_terminal(f"  {name}: {f'{value:,}' if type(value) is int else value}"))


def _print_list(name: str, values: list[Any]) -> None:
    """Sentences on a line each, words on one line."""
    sentences = any(str(each).endswith(".") for each in values)
    for line in values if sentences else [", ".join(map(str, values)) or "–"]:
        print(on_terminal(f"  {name}: {line}"))


def progress_bars() -> Track[Any]:
    """Progress bars on stderr if it is a terminal, else none. A nested loop has its own bar below."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def track(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        progress.start()
        task = progress.add_task(what, total=total)
        try:
            for item in items:
                yield item
                progress.advance(task)
        finally:
            progress.remove_task(task)
            if not progress.tasks:
                progress.stop()

    return track


@contextlib.contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Show the log of the stages on stderr: one line per finished step, also when it is not a terminal."""
    handler = logging.StreamHandler()
    logger = logging.getLogger("thresher")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
