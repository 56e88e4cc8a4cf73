"""Bringing a run up to date: each stage and selection again with its recorded settings, where something has changed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.errors import DataError, quoted
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.perform import StageResult, Track, untracked
from thresher.run.stages import STAGES, stage_named
from thresher.run.state import LINE, RunState, StageState
from thresher.settings import restored

#: What is done again. Trainings and comparisons take hours, so `status` only names those that are outdated.
_DONE_AGAIN = (*LINE, "select", "insight")


def status(run: AnyRun) -> list[StageState]:
    """What has been done in a run, in the order of its stages, and whether each result is up to date.

    Sources and results are compared with what each stage recorded; with millions of images that takes seconds.

    >>> [state.name for state in status("runs/first") if state.word == "done"]
    []
    """
    return list(RunState(as_run(run), sources=True).all())


def update(
    run: AnyRun, *, before: str = "", engine: Any = None, track: Track[Any] = untracked
) -> Iterator[StageResult]:
    """Do again every stage, selection and insight of a run that is outdated, damaged, unfinished or lost its files.

    Each is done with the settings of its last time; what is up to date is skipped. Trainings and comparisons are left
    as they are.

    Args:
        before: Only what comes before this stage, such as "export". Default: all.
        engine: Where the workers of embed run (`EngineSettings`).
        track: Wraps an iterable to show progress.

    Raises:
        DataError: the run has no record of index, or a stage cannot be done, for instance because a source is gone.
    """
    run = as_run(run)
    recorded = run.recorded()
    if "index" not in recorded:
        raise DataError(
            f"{run.folder}: index has not run. Run `thresher index {quoted(run.folder)} --target FORMAT:ROOT`."
        )
    run = Run(run.folder.absolute())
    for name in _in_order(recorded, before):
        stage, entry = stage_named(name), recorded[name]
        settings = restored(stage.settings, entry.get("settings", {}))
        takes = inspect.signature(stage.run).parameters
        others = {key: value for key, value in (("engine", engine), ("track", track)) if key in takes}
        with _as_before(entry.get("folder", "")):
            result = stage.run(run, settings, **others)
        yield result


def _as_before(folder: str) -> contextlib.AbstractContextManager[None]:
    """In the folder in which the stage ran last, as its settings may hold relative paths."""
    return contextlib.chdir(folder) if Path(folder).is_dir() and folder else contextlib.nullcontext()


def _in_order(recorded: Mapping[str, Any], before: str) -> list[str]:
    """The records of what is done again, each after what it reads."""
    places = [stage.name for stage in STAGES]
    last = places.index(before) if before else len(places)
    known = [name for name in recorded if name.partition(":")[0] in _DONE_AGAIN]
    wanted = sorted(
        (name for name in known if places.index(name.partition(":")[0]) < last),
        key=lambda name: (places.index(name.partition(":")[0]), name),
    )
    ordered: dict[str, None] = {}
    for name in wanted:
        _put(name, recorded, wanted, ordered, ())
    return list(ordered)


def _put(
    name: str, recorded: Mapping[str, Any], wanted: Sequence[str], ordered: dict[str, None], way: tuple[str, ...]
) -> None:
    """Put a record behind those of the selections that it reads (`keep` and `exclude`)."""
    for place in recorded[name].get("read", {}).values():
        folder, _, file = str(place.get("file", "")).rpartition("/")
        other = f"select:{file.removesuffix('.parquet')}"
        if folder == "selections" and other in wanted and other not in (*ordered, *way):
            _put(other, recorded, wanted, ordered, (*way, name))
    ordered[name] = None
