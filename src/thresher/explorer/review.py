"""The log of a review: marks and changed settings, each with reviewer and time."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable
from typing import Any

import polars as pl

from thresher import tables
from thresher.errors import SettingsError
from thresher.run.lists import MARKS, marks_of

#: Removes a mark.
UNMARKED = "none"


class Review:
    """An append-only log, as table REVIEW, and the current marks; thread-safe."""

    def __init__(self, person: str, before: pl.DataFrame | None = None) -> None:
        """Start empty, or continue a saved review."""
        self._person = person
        self._log = tables.empty(tables.REVIEW) if before is None else before
        self._marks = dict(marks_of(self._log).iter_rows())
        self._settings: dict[str, Any] = {}
        self._new: list[dict[str, object]] = []
        self._lock = threading.Lock()
        self._version = 0

    def mark(self, marks: Iterable[tuple[str, str]]) -> None:
        """Mark images: image_id and mark of each; "none" removes its mark.

        Raises:
            SettingsError: unknown mark; none of them is marked.
        """
        marks = list(marks)
        for _, value in marks:
            if value not in (*MARKS, UNMARKED):
                raise SettingsError(f"mark '{value}': expected {', '.join(MARKS)} or {UNMARKED}.")
        with self._lock:
            for image_id, value in marks:
                self._add("mark", image_id, value)
                self._marks.pop(image_id, None)
                if value != UNMARKED:
                    self._marks[image_id] = value
            self._version += 1

    def settings(self, now: dict[str, Any]) -> None:
        """Log the settings of select that changed; of consecutive changes to one setting only the last."""
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
        """The mark of an image, or None."""
        return self._marks.get(image_id)

    def marks(self) -> pl.DataFrame:
        """image_id and mark of all marked images, in the order of marking."""
        return self.now()[1]

    def now(self) -> tuple[int, pl.DataFrame]:
        """A number that changes with every mark, and the `marks` at that number."""
        with self._lock:
            version, rows = self._version, list(self._marks.items())
        return version, pl.DataFrame(rows, {"image_id": pl.String, "mark": pl.String}, orient="row")

    def table(self) -> pl.DataFrame:
        """The whole log, oldest first."""
        with self._lock:
            new = tables.from_rows(list(self._new), tables.REVIEW)
        return pl.concat([self._log, new])
