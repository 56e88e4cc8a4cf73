"""What a person does to a selection: images marked, settings changed, each with a name and a time, in order."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import polars as pl

from thresher import tables
from thresher.errors import SettingsError
from thresher.stages.select import MARKS, marks_of

#: Takes a mark back.
UNMARKED = "none"


class Review:
    """A log that only grows, as table REVIEW, and the marks that it comes to. Threads may share it."""

    def __init__(self, person: str, before: pl.DataFrame | None = None) -> None:
        """Start empty, or go on from a saved review."""
        self._person = person
        self._log = tables.empty(tables.REVIEW) if before is None else before
        self._marks = dict(marks_of(self._log).iter_rows())
        self._settings: dict[str, Any] = {}
        self._new: list[dict[str, object]] = []
        self._lock = threading.Lock()
        self.version = 0
        """Another number after every mark."""

    def mark(self, image_id: str, value: str) -> None:
        """Mark an image; "none" takes its mark back.

        Raises:
            SettingsError: no such mark.
        """
        if value not in (*MARKS, UNMARKED):
            raise SettingsError(f"mark '{value}': expected {', '.join(MARKS)} or {UNMARKED}.")
        with self._lock:
            self._add("mark", image_id, value)
            self._marks.pop(image_id, None)
            if value != UNMARKED:
                self._marks[image_id] = value
            self.version += 1

    def settings(self, now: dict[str, Any]) -> None:
        """Note which settings of select are others than last time; of a slider that is drawn, only where it ends."""
        with self._lock:
            changed = {name: value for name, value in now.items() if self._settings.get(name) != value}
            if self._settings:
                for name, value in changed.items():
                    if self._new and self._new[-1]["what"] == name:
                        self._new.pop()
                    self._add(name, None, None if value in ("", [], None) else str(value))
            self._settings = dict(now)

    def _add(self, what: str, image_id: str | None, value: str | None) -> None:
        at = datetime.datetime.now(datetime.UTC)
        self._new.append({"at": at, "person": self._person, "what": what, "image_id": image_id, "value": value})

    def marked(self, image_id: str) -> str | None:
        """What an image is marked as."""
        return self._marks.get(image_id)

    def marks(self) -> pl.DataFrame:
        """image_id and mark of all images that have one, in the order in which they were marked."""
        with self._lock:
            rows = list(self._marks.items())
        return pl.DataFrame(rows, {"image_id": pl.String, "mark": pl.String}, orient="row")

    def table(self) -> pl.DataFrame:
        """The whole log, oldest first."""
        with self._lock:
            new = tables.from_rows(list(self._new), tables.REVIEW)
        return pl.concat([self._log, new])
