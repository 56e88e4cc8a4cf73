"""A folder that says what made it: manifest, problems, and the lock that keeps two processes apart."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.files import replacing

#: What to do with a manifest that cannot be read.
_REMEDY = "Delete it, then run the stages again, with the same settings."
#: What the entry of a stage may have, with its type.
_ENTRY: dict[str, Any] = {
    "settings": dict,
    "inputs": dict,
    "read": dict,
    "summary": dict,
    "failed_items": int,
    "seconds": (int, float),
}


def _is_entry(entry: Any) -> bool:
    """Whether this is a stage's entry as it was written; takes its digest out.

    A flipped byte may leave JSON of another shape, or another setting. Entries of older releases have no digest.
    """
    if not isinstance(entry, dict):
        return False
    digest = entry.pop("sha256", None)
    known = all(isinstance(entry[name], _ENTRY[name]) for name in _ENTRY if name in entry)
    return known and digest in (None, _entry_digest(entry))


def _entry_digest(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


class Record:
    """A folder with a manifest, a table of problems, and a lock against concurrent processes.

    Creating the object touches nothing on disk.
    """

    def __init__(self, folder: Path | str) -> None:
        """Point at a folder, which need not exist yet."""
        self.folder = Path(folder)
        self.problems = self.folder / "problems.parquet"
        self.manifest = self.folder / "manifest.json"

    def recorded(self) -> dict[str, Any]:
        """The manifest: an entry per stage; empty for a new folder.

        Raises:
            DataError: the manifest is not JSON.
        """
        if not self.manifest.is_file():
            return {}
        try:
            content: Any = json.loads(self.manifest.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.manifest}: not JSON ({error}). {_REMEDY}") from error
        if not isinstance(content, dict) or not all(_is_entry(entry) for entry in content.values()):
            raise DataError(f"{self.manifest}: damaged, or changed by hand. {_REMEDY}")
        return content

    def note(self, stage: str, entry: dict[str, Any] | None) -> None:
        """Write a stage's entry to the manifest, replacing its last one; None removes it."""
        recorded = self.recorded()
        recorded.pop(stage, None)
        if entry is not None:
            recorded[stage] = entry
        sealed = {name: each | {"sha256": _entry_digest(each)} for name, each in recorded.items()}
        with replacing(self.manifest) as file:
            file.write((json.dumps(sealed, indent=1, sort_keys=True) + "\n").encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process.

        Raises:
            DataError: another process holds it, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("a+")
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error.strerror}). Choose another folder.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{self.folder}: another thresher process works in this folder. Wait for it.") from None
            yield

    def is_locked(self) -> bool:
        """Whether a process works in the folder."""
        try:
            with (self.folder / ".lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def add_problems(self, stage: str, problems: pl.DataFrame) -> None:
        """Replace the problems of a stage in the table of problems. A damaged table is begun anew."""
        there = self._problems()
        kept = tables.empty(tables.PROBLEMS) if there is None else there.filter(pl.col("stage") != stage)
        every = pl.concat([kept, problems.select(list(tables.PROBLEMS))])
        tables.write(every.sort("stage", maintain_order=True), self.problems)

    def problems_digest(self, stage: str) -> str:
        """A hash of the stage's rows in the table of problems; empty if there is no such table, or a damaged one."""
        there = self._problems()
        return "" if there is None else hashlib.sha256(there.filter(stage=stage).write_json().encode()).hexdigest()

    def _problems(self) -> pl.DataFrame | None:
        """The table of problems; None if it is not there or cannot be read, which the stages that wrote it notice."""
        try:
            return tables.read(self.problems, tables.PROBLEMS)
        except DataError:
            return None
