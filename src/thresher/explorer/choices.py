"""The selections of the settings that the page asks for, each made once."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace

import numpy as np
import polars as pl

from thresher.errors import SettingsError, quoted
from thresher.explorer.gallery_views import GallerySelection
from thresher.explorer.kept import Kept
from thresher.explorer.review import Review
from thresher.explorer.rows import RunRows
from thresher.run.lists import is_test
from thresher.selection.facility import prepare
from thresher.stages.candidates import Candidates, alike_of, candidates_of, looks_of, near_of
from thresher.stages.select import SelectSettings, choose, lists_in, texts_of

#: Number of selections kept in memory, and of what they are chosen from.
_SELECTIONS, _CANDIDATES = 12, 3


class Choices:
    """Selections by their settings and the marks of the moment; thread-safe."""

    def __init__(self, rows: RunRows, review: Review, start: SelectSettings) -> None:
        """Make none yet.

        Args:
            start: Its lists of files may be asked for; others may not.
        """
        self._rows, self._review, self._start = rows, review, start
        self._made = Kept[GallerySelection](_SELECTIONS)
        self._candidates = Kept[Candidates](_CANDIDATES)
        self._marks = Kept[pl.DataFrame](_SELECTIONS)
        # Coverage of tens of thousands of images takes a gigabyte, so of many clients' choices one is made at a time.
        self._one_at_a_time = threading.Lock()

    def of(self, settings: SelectSettings, version: int | None = None) -> GallerySelection:
        """The selection that `select` makes of the settings and the marks of the moment.

        Args:
            version: Of the marks (`GallerySelection.version`) of a selection made before, so that it is still known
                after further marks.

        Raises:
            SettingsError: it cannot be made, or a list is a file that the explorer was not opened with.
            DataError: a list cannot be read.
        """
        self._refuse_files(settings)
        now, marks = self._review.now()
        version = now if version is None or version > now else version
        marks = self._marks.of(version, lambda: marks)
        before = self._before(settings)

        def made() -> GallerySelection:
            if settings.coverage != "off":
                prepare()  # what it takes says nothing of the next choice
            started = time.perf_counter()
            candidates = self._candidates_for(settings, before)
            with self._one_at_a_time if settings.coverage != "off" else contextlib.nullcontext():
                chosen = choose(candidates, settings, marks, compare_all=True)
            rows = self._rows.rows_of(chosen.chosen)
            within = np.zeros(self._rows.pool, bool)
            within[rows] = True
            seconds = time.perf_counter() - started
            return GallerySelection(
                settings, chosen, rows, within, self._rows.rows_of, candidates.alike, version, seconds
            )

        return self._made.of((replace(settings, name="", review=""), before, version), made)

    def _before(self, settings: SelectSettings) -> tuple[str, ...]:
        """The selections of which column chosen_before counts the images, if a wish names it: all that there are."""
        named = any("chosen_before" in text for text in texts_of(settings))
        return tuple(self._rows.opened.selection_names) if named else ()

    def _candidates_for(self, settings: SelectSettings, before: tuple[str, ...]) -> Candidates:
        """The rows' own candidates, with what the settings need besides; read anew for other lists."""
        own, opened, start = self._rows.candidates, self._rows.opened, self._start
        cosine, covers, lists = settings.duplicate_cosine, settings.coverage != "off", lists_in(settings)

        def work() -> Candidates:
            if (lists, before) != (lists_in(start), ()):
                coverage = "images" if covers else "off"
                return candidates_of(opened, cosine, coverage, lists, settings.columns, before)
            near = own.near if cosine == start.duplicate_cosine else near_of(opened, cosine) if cosine else None
            if covers and own.looks is None:
                return replace(own, near=near, looks=looks_of(opened), alike=alike_of(opened))
            return replace(own, near=near)

        return self._candidates.of((cosine, covers, lists, before), work)

    def _refuse_files(self, settings: SelectSettings) -> None:
        """A page must not make the server open files: lists are selections, tests of columns, or those of the start."""
        run = self._rows.opened.run
        for text in lists_in(settings):
            known = (*lists_in(self._start), *self._rows.opened.selection_names)
            if text not in known and not is_test(text):
                raise SettingsError(
                    f"list '{text}': expected the name of a selection, or a test of a column such as layout < 0. "
                    "A file is given on the command line: "
                    f"`thresher select {quoted(run.folder)} --exclude FILE --name NAME`, then "
                    f"`thresher explore {quoted(run.folder)} --selection NAME`."
                )
