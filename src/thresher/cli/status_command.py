"""The command status: the line of stages of a run, and what is not up to date."""

from __future__ import annotations

import dataclasses
import datetime
import json

from thresher.cli.main import EXIT_BAD_DATA, EXIT_OK
from thresher.cli.output import SCHEMA_VERSION, JsonOutput
from thresher.cli.stage_command import RunFolder
from thresher.errors import quoted
from thresher.run.state import StageState
from thresher.run.update import status


def status_command(run: RunFolder, *, output: JsonOutput = JsonOutput()) -> int:
    """Show what has been done in a run, and what is outdated, damaged, unfinished, running or missing, and why.

    Sources and results are compared with what each stage recorded. Exit code 3 if something is not up to date.
    """
    states = status(run)
    wrong = [state for state in states if state.because]
    if output.json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "stages": [dataclasses.asdict(each) for each in states]}))
    else:
        width = max(len(state.name) for state in states)
        for state in states:
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


def _facts(state: StageState) -> str:
    """When it ended, how long it took and the size of what it wrote, in columns."""
    ended = datetime.datetime.fromtimestamp(state.finished).strftime("%Y-%m-%d %H:%M") if state.finished else "–"
    seconds = f"{state.seconds:,.1f} s" if state.seconds is not None else "–"
    size = f"{state.bytes / 1e6:,.3f} MB" if state.bytes is not None else "–"
    return f"{ended:<16}  {seconds:>10}  {size:>12}"
