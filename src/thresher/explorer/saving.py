"""Saving in the explorer: a selection and its review together, or neither; and a selection as one file to download."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal, cast

import polars as pl

from thresher import tables
from thresher.data.exports import Format
from thresher.errors import SettingsError
from thresher.files import replacing
from thresher.run.folder import Run
from thresher.run.perform import StageResult
from thresher.run.record import Record
from thresher.stages.export import export
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


def exported(run: Run, name: str, form: str, images: str) -> tuple[Path, Path]:
    """A selection in an export format, as one file; folders are zipped.

    Args:
        form: One of the formats of `export`.
        images: "none" or "copy".

    Returns:
        The file, and its temporary folder, which the caller removes.

    Raises:
        SettingsError: another value of `images`.
    """
    if images not in ("none", "copy"):
        raise SettingsError(f"images '{images}': expected none or copy.")
    folder = Path(tempfile.mkdtemp(prefix="thresher-"))
    try:
        suffix = f".{form}" if form in ("csv", "txt", "parquet") else ".parquet" if form == "atlas" else ""
        out = folder / f"{name}{suffix or f'-{form}'}"
        export(run, name, cast(Format, form), out, images=cast(Literal["none", "copy"], images))
        if out.is_dir():
            return Path(shutil.make_archive(str(out), "zip", out)), folder
    except BaseException:
        shutil.rmtree(folder)
        raise
    return out, folder
