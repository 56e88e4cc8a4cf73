"""The command status: the line of stages of a run, and what is not up to date."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from thresher.cli.main import EXIT_BAD_DATA, EXIT_OK
from thresher.cli.output import SCHEMA_VERSION, JsonOutput
from thresher.cli.stage_command import RunFolder
from thresher.errors import quoted
from thresher.run.state import StageState
from thresher.run.update import status

_SEED = re.compile(r"seed\d+")


def status_command(run: RunFolder, *, output: JsonOutput = JsonOutput()) -> int:
    """Show what has been done in a run, and what is outdated, damaged, unfinished, running or missing, and why.

    Sources and results are compared with what each stage recorded. Results that differ only in their seed share a line
    in the text (seconds and sizes are sums); --json has each. Exit code 3 if something is not up to date.
    """
    states = status(run)
    wrong = [state for state in states if state.because]
    if output.json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "stages": [dataclasses.asdict(each) for each in states]}))
    else:
        shown = _seeds_as_one(states)
        width = max(len(state.name) for state in shown)
        for state in shown:
            print(f"{state.name:<{width}}  {_facts(state)}  {state.in_words()}".rstrip())
        trained = [state for state in wrong if state.name.startswith(("train:", "labels:", "compare:"))]
        if len(wrong) > len(trained):
            print(f"To bring index to insight and the selections up to date: thresher run {quoted(run)}")
        if trained:
            print(
                f"To bring trainings, label sets and comparisons up to date: the same "
                f"`thresher train {quoted(run)} …`, `labels` or `compare` again"
            )
    return EXIT_BAD_DATA if wrong else EXIT_OK


def _seeds_as_one(states: Sequence[StageState]) -> list[StageState]:
    """Results that differ in nothing but their seed as one row: a comparison makes tens of them.

    >>> [each.name for each in _seeds_as_one([StageState(f"select:random-9-seed{n}", "done") for n in range(3)])]
    ['select:random-9-seed* (3)']
    """
    alike: dict[tuple[str, str, str], list[StageState]] = {}
    for state in states:
        alike.setdefault((_SEED.sub("seed*", state.name), state.word, state.because), []).append(state)
    return [same[0] if len(same) == 1 else _together(name, same) for (name, *_), same in alike.items()]


def _together(name: str, same: Sequence[StageState]) -> StageState:
    seconds, sizes, ends = (_known(same, what) for what in ("seconds", "bytes", "finished"))
    return dataclasses.replace(
        same[0],
        name=f"{name} ({len(same)})",
        seconds=sum(seconds) if seconds else None,
        bytes=sum(sizes) if sizes else None,
        finished=max(ends, default=None),
    )


def _known(states: Iterable[StageState], what: str) -> list[Any]:
    return [value for state in states if (value := getattr(state, what)) is not None]


def _facts(state: StageState) -> str:
    """When it ended, how long it took and the size of what it wrote, in columns."""
    ended = datetime.datetime.fromtimestamp(state.finished).strftime("%Y-%m-%d %H:%M") if state.finished else "–"
    seconds = f"{state.seconds:,.1f} s" if state.seconds is not None else "–"
    size = f"{state.bytes / 1e6:,.3f} MB" if state.bytes is not None else "–"
    return f"{ended:<16}  {seconds:>10}  {size:>12}"
