"""How a command reports: results on stdout, in words or as JSON; progress and logs on stderr."""

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
from thresher.run.perform import StageResult, Track

SCHEMA_VERSION = 1
#: Rows of a list that are printed; --json has them all.
_MOST_ROWS = 20


@Parameter(name="*")
@dataclass(frozen=True)
class JsonOutput:
    """How a command reports that has nothing to plan."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object on stdout instead of words."""


@Parameter(name="*")
@dataclass(frozen=True)
class Output(JsonOutput):
    """How a command reports."""

    dry_run: Annotated[bool, Parameter(negative="")] = False
    """Say what would be done, with bytes and rough time, and do nothing."""


def print_results(results: Iterable[StageResult], output: JsonOutput) -> int:
    """Print each result as it comes; gives the exit code."""
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
                print("    " + "  ".join(f"{k} {v}" for k, v in row.items()))
            if len(value) > _MOST_ROWS:
                print(f"    … and {len(value) - _MOST_ROWS} more (--json shows all)")
        elif isinstance(value, list):
            print(f"  {name}: {', '.join(map(str, value)) or '–'}")
        elif isinstance(value, dict):
            print(f"  {name}: {', '.join(f'{k} {v}' for k, v in value.items()) or '–'}")
        elif key.endswith("bytes"):
            print(f"  {name.removesuffix(' bytes')}: {value / 1e6:,.1f} MB")
        else:
            print(f"  {name}: {f'{value:,}' if type(value) is int else value}")


def progress_bars() -> Track[Any]:
    """Progress bars on stderr, where that is a terminal; nothing in a pipe. A loop within a loop has its bar below."""
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
    """Show what the stages log: a line for each thing done, which a grid of hours needs also where no one watches."""
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
