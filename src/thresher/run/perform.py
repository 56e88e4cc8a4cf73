"""Running a stage: skip it if its settings and inputs are unchanged, else do it and record it in the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from thresher.errors import DataError, ThresherError
from thresher.files import sweep
from thresher.run.digests import Input, Listing, digest_of, seal_of
from thresher.run.folder import Run
from thresher.run.record import Record
from thresher.run.stages import stage_named
from thresher.run.state import UNFINISHED, damaged_outputs, damaged_problems, refuse_outdated

Item = TypeVar("Item")
#: Wraps a loop of known length to show progress: track(items, total, description).
Track = Callable[[Iterable[Item], int, str], Iterable[Item]]
#: Each stage replaces its own rows of it, so it is nobody's output alone.
_SHARED = "problems.parquet"


def untracked(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """The items unchanged, without a progress bar."""
    return items


@dataclass(frozen=True)
class StageResult:
    """Result of a stage, as printed and in `--json`."""

    stage: str
    status: Literal["done", "unchanged", "planned"]
    summary: dict[str, Any] = field(default_factory=dict)
    failed_items: int = 0
    """Number of items left out: unreadable or missing."""
    items: str = "images"
    """What the failed items are."""
    problems_in: str = "problems.parquet"
    """The table that lists them, each with its reason."""


def fingerprint(stage: str, settings: object, inputs: Mapping[str, Input]) -> str:
    """A hash of a stage's version, settings and inputs.

    Settings may say by a property `as_used` which of them count: those that the work does not use are at fixed values
    there, so that a change of one does not undo the work.
    """
    shaped_by = {
        "stage": stage,
        "version": stage_named(stage).version,
        "settings": as_json(getattr(settings, "as_used", settings)),
        "inputs": {name: digest_of(given) for name, given in inputs.items()},
    }
    return hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()


def as_json(settings: object) -> dict[str, Any]:
    """A settings dataclass as plain JSON values."""
    if not is_dataclass(settings) or isinstance(settings, type):
        raise TypeError(f"settings must be a dataclass instance, not {settings!r}")
    left_out = {
        each.name
        for each in fields(settings)
        if each.metadata.get("younger") and getattr(settings, each.name) == each.default
    }
    kept = {name: value for name, value in asdict(settings).items() if name not in left_out}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return plain


def is_current(record: Record, stage: str, shaped_by: str, outputs: Sequence[Path]) -> bool:
    """Whether the stage finished with this fingerprint and its outputs are as it wrote them."""
    last = record.recorded().get(stage, {})
    places = [_place(path, record.folder) for path in outputs]
    whole = last.get("fingerprint") == shaped_by and {"summary", "failed_items"} <= set(last)
    return whole and not damaged_problems(record, stage, last) and not damaged_outputs(record, last, places)


def perform(
    run: Run,
    stage: str,
    settings: object,
    inputs: Mapping[str, Input],
    outputs: Sequence[Path],
    work: Callable[[], tuple[dict[str, Any], int]],
    record: Record | None = None,
    reads: Sequence[str] | None = None,
    again: bool = False,
) -> StageResult:
    """Do a stage's work and record it, unless it was done before with the same settings and inputs.

    Args:
        inputs: Each thing read, by name.
        outputs: The files that the work writes. One that has changed since is made again.
        work: Writes the outputs; gives a summary and the number of items that failed.
        record: The folder whose manifest records the stage, and which is locked. Default: the run.
        reads: The stages of the run whose tables it reads, such as "select:first". Default: those in `run.stages`.
        again: Do the work even if nothing has changed.

    Raises:
        DataError: another process works in the folder; a stage that this one reads did not finish, is out of date or
            has a damaged table; or the disk is full or not writable.
    """
    record = record or run
    with record.locked():
        refuse_outdated(run, stage_named(stage).reads if reads is None else reads)
        digests = {name: digest_of(given) for name, given in inputs.items()}
        shaped_by = fingerprint(stage, settings, digests)
        if is_current(record, stage, shaped_by, outputs) and not again:
            last = record.recorded()[stage]
            return StageResult(stage, "unchanged", last["summary"], last["failed_items"])
        started, before, last_entry = time.monotonic(), _stamps(outputs), record.recorded().get(stage)
        try:
            for path in outputs:
                sweep(path)
            # From here on the outputs may be of both the old and the new settings, should this process be killed.
            record.note(stage, UNFINISHED | {"settings": as_json(settings), "folder": str(Path.cwd())})
            summary, failed = work()
            entry = {
                "fingerprint": shaped_by,
                "version": stage_named(stage).version,
                "settings": as_json(settings),
                "folder": str(Path.cwd()),
                "inputs": digests,
                "read": places_read(inputs, run.folder),
                "outputs": seals_of([path for path in outputs if path.name != _SHARED], record.folder),
                "summary": summary,
                "failed_items": failed,
                "seconds": round(time.monotonic() - started, 1),
                "finished": time.time(),
                "versions": _versions(),
            }
            if any(path.name == _SHARED for path in outputs):
                entry["problems"] = record.problems_digest(stage)
            record.note(stage, entry)
        except OSError as error:
            raise _named(error, record) from error
        except ThresherError:
            # Refused before anything was written: what was there is as good as it was.
            if record is run and _stamps(outputs) == before:
                record.note(stage, last_entry)
            raise
    return StageResult(stage, "done", summary, failed)


def _stamps(outputs: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What changes when a file is written, or anything is put into a folder; None where there is nothing."""
    found: list[tuple[int, int, int] | None] = []
    for path in outputs:
        status = path.stat() if path.exists() else None
        found.append(None if status is None else (status.st_size, status.st_mtime_ns, status.st_ino))
    return found


def _place(path: Path, folder: Path) -> str:
    """The path as a manifest has it: relative if it is in the folder, so that a run can be moved."""
    absolute = path.absolute()
    return str(absolute.relative_to(folder.absolute()) if absolute.is_relative_to(folder.absolute()) else absolute)


def seals_of(outputs: Sequence[Path], folder: Path) -> dict[str, dict[str, Any]]:
    """What a manifest in this folder records of each output (`seal_of`), by its path."""
    return {_place(path, folder): seal_of(path) for path in outputs}


def places_read(inputs: Mapping[str, Input], folder: Path) -> dict[str, dict[str, str]]:
    """Where each input lies that can be looked at again."""
    files = {name: {"file": _place(given, folder)} for name, given in inputs.items() if isinstance(given, Path)}
    listed = {name: given.path.absolute() for name, given in inputs.items() if isinstance(given, Listing)}
    return files | {name: {"below": str(path)} for name, path in listed.items()}


def _versions() -> dict[str, str]:
    """Versions of the libraries that affect results, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in ("thresher", "numpy", "polars", "onnxruntime"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _named(error: OSError, record: Record) -> ThresherError:
    reason = error.strerror or str(error)
    return DataError(
        f"{record.folder}: {reason} ({error.filename or 'while writing'}). What was finished is kept. "
        "Free disk space or make the path writable, then run the same command again."
    )
