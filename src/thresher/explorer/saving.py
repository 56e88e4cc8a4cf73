"""Saving in the explorer: a selection and its review together, or neither."""

from __future__ import annotations

import polars as pl

from thresher import tables
from thresher.errors import SettingsError
from thresher.files import replacing
from thresher.run.folder import Run
from thresher.run.perform import StageResult
from thresher.run.record import Record
from thresher.stages.select import SelectSettings, select


def save(run: Run, settings: SelectSettings, review: pl.DataFrame, replace: bool) -> StageResult:
    """Save a review under the name of a selection, and make the selection from it.

    If the selection cannot be made, the review is as it was before.

    Args:
        settings: Their name and review are the name to save under.
        review: Table REVIEW.
        replace: Whether a selection of this name may be replaced.

    Raises:
        SettingsError: the selection exists and is not to be replaced, or it cannot be made.
        DataError: another process saves, or works in the run.
    """
    name = settings.selection_name
    path = run.review(settings.review)
    with Record(path.parent).locked():
        if run.selection_path(name).is_file() and not replace:
            raise SettingsError(f"selection '{name}': already exists. Choose another name, or replace it.")
        before = path.read_bytes() if path.is_file() else None
        tables.write(review, path)
        try:
            return select(run, settings)
        except BaseException:
            path.unlink()
            if before is not None:
                with replacing(path) as file:
                    file.write(before)
            raise
