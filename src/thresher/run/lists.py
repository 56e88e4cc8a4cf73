"""Lists of images that settings name (files, selections, tests of a column), and the marks of a review."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thresher import tables
from thresher.data.image_lists import LIST_SUFFIXES, Matched, listed_images, matched
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.reading import existing_selection
from thresher.selection.conditions import is_condition, parsed_conditions
from thresher.selection.facts import Facts

#: Marks of a review: accepted (good), rejected (never choose), pinned (always choose).
MARKS = ("accepted", "rejected", "pinned")


def is_test(text: str) -> bool:
    """Whether a list is a test of a column ("used = true"), not a file or a selection."""
    return not text.endswith(LIST_SUFFIXES) and is_condition(text)


def list_path(opened: OpenedRun, text: str) -> Path:
    """The file of a list: the file named, or that of the selection of this name.

    Raises:
        SettingsError: neither a file that is read as a list nor a selection.
    """
    if text.endswith(LIST_SUFFIXES):
        return Path(text).expanduser()
    try:
        return existing_selection(opened.run.folder, text)
    except SettingsError as error:
        raise SettingsError(f"{error} Or give a file: {', '.join(LIST_SUFFIXES)}.") from None


def read_list(opened: OpenedRun, text: str, facts: Facts) -> Matched:
    """The pool's images that a list names, or that pass a test of a column.

    Raises:
        DataError: the file cannot be read, or names no image of the pool.
        SettingsError: as `list_path`.
    """
    if is_test(text):
        conditions = parsed_conditions([text])
        failed = facts.failing(opened.pool, conditions, "keep or exclude")
        return Matched(opened.pool.join(failed, on="image_id", how="anti")["image_id"].sort().to_list(), [])
    path = list_path(opened, text)
    if text.endswith(LIST_SUFFIXES):
        entries = listed_images(path)
    else:
        entries = [(each,) for each in tables.read(path, tables.some(tables.SELECTION, "image_id"))["image_id"]]
    found = matched(entries, opened.pool.select("image_id", "path", "dataset"), text)
    if found.unknown and not found.image_ids:
        raise DataError(
            f"{path}: none of its {len(entries)} images is in the pool (first: {found.unknown[0]}). Expected an "
            f"image_id such as {opened.pool['image_id'][0]}, or the end of a path."
        )
    return found


def marks_of(review: pl.DataFrame) -> pl.DataFrame:
    """The last mark of each image (image_id, mark), from table REVIEW."""
    marks = review.filter(what="mark").group_by("image_id", maintain_order=True).agg(mark=pl.col("value").last())
    return marks.filter(pl.col("mark").is_in(MARKS))


def review_marks(run: Run, name: str) -> pl.DataFrame:
    """The marks of the review with this name; empty if the name is empty.

    Raises:
        DataError: no review has this name.
    """
    return marks_of(tables.read(run.review(name), tables.REVIEW) if name else tables.empty(tables.REVIEW))
