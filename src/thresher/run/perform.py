"""Running a stage: skip it if its settings and inputs are unchanged, else do it and record it in the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from thresher.errors import DataError, ThresherError
from thresher.files import sweep
from thresher.run.folder import Record, Run
from thresher.run.stages import stage_named
from thresher.run_files import missing

Item = TypeVar("Item")
#: Wraps a loop of known length to show progress: track(items, total, description).
Track = Callable[[Iterable[Item], int, str], Iterable[Item]]
#: The manifest's entry of a stage while it runs, and after it was interrupted.
UNFINISHED = {"unfinished": True}


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


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        DataError: it is not there.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise missing(path) from None


def folder_digest(root: Path) -> str:
    """A hash of every file's relative path, size and modification time below a folder; contents are not read.

    Of a file its own size and time count.
    """
    digest = hashlib.sha256()
    if root.is_file():
        status = root.stat()
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)  # noqa: PTH116 - millions of files: no Path objects
                state = f"{status.st_size} {status.st_mtime_ns}"
            except FileNotFoundError:
                state = "dangling link"
            digest.update(os.fsencode(f"{os.path.relpath(path, root)}\0{state}\n"))
    return digest.hexdigest()


def fingerprint(stage: str, settings: object, inputs: dict[str, str]) -> str:
    """A hash of a stage's version, settings and input digests."""
    shaped_by = {
        "stage": stage,
        "version": stage_named(stage).version,
        "settings": as_json(settings),
        "inputs": inputs,
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
    """Whether the stage finished with this fingerprint and its outputs still exist."""
    last = record.recorded().get(stage, {})
    return last.get("fingerprint") == shaped_by and all(path.exists() for path in outputs)


def perform(
    run: Run,
    stage: str,
    settings: object,
    inputs: dict[str, str],
    outputs: Sequence[Path],
    work: Callable[[], tuple[dict[str, Any], int]],
    record: Record | None = None,
) -> StageResult:
    """Do a stage's work and record it, unless it was done before with the same settings and inputs.

    Args:
        inputs: Name and digest of each thing read.
        outputs: The files that the work writes.
        work: Writes the outputs; gives a summary and the number of items that failed.
        record: The folder whose manifest records the stage, and which is locked. Default: the run.

    Raises:
        DataError: another process works in the folder, a stage that this one reads did not finish, or the disk is
            full or not writable.
    """
    record = record or run
    shaped_by = fingerprint(stage, settings, inputs)
    with record.locked():
        _refuse_unfinished(run, stage_named(stage).reads)
        if is_current(record, stage, shaped_by, outputs):
            last = record.recorded()[stage]
            return StageResult(stage, "unchanged", last["summary"], last["failed_items"])
        started = time.monotonic()
        try:
            for path in outputs:
                sweep(path)
            # From here on the outputs may be of both the old and the new settings, should this process be killed.
            record.note(stage, UNFINISHED)
            summary, failed = work()
        except OSError as error:
            raise _named(error, record) from error
        entry = {
            "fingerprint": shaped_by,
            "settings": as_json(settings),
            "inputs": inputs,
            "outputs": [str(path.relative_to(record.folder)) for path in outputs],
            "summary": summary,
            "failed_items": failed,
            "seconds": round(time.monotonic() - started, 1),
            "versions": _versions(),
        }
        try:
            record.note(stage, entry)
        except OSError as error:
            raise _named(error, record) from error
    return StageResult(stage, "done", summary, failed)


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


def _refuse_unfinished(run: Run, stages: Sequence[str]) -> None:
    recorded = run.recorded()
    for stage in stages:
        if recorded.get(stage) == UNFINISHED:
            raise DataError(
                f"{run.folder}: {stage} did not finish, so its tables may mix old and new settings. "
                f"Run `thresher {stage} {run.folder} …` again first."
            )
