"""Readers of selections, and of scores that an older release may have written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from thresher import tables
from thresher.errors import DataError, SettingsError, quoted
from thresher.run_files import readable


def read_scores(path: Path) -> pl.DataFrame:
    """Table SCORES, with any columns added by the user; scores that an older release lacks are null.

    Raises:
        DataError: no such file, not Parquet, or a column is missing that every release wrote.
    """
    found = tables.schema_of(path)
    tables.check_columns(
        found,
        {name: kind for name, kind in tables.SCORES.items() if name in found or name in tables.OLDEST_SCORES},
        str(path),
    )
    with readable(path):
        frame = pl.read_parquet(path)
    later = [pl.lit(None, kind).alias(name) for name, kind in tables.SCORES.items() if name not in found]
    others = [name for name in frame.columns if name not in tables.SCORES]
    columns = tables.checked(frame.with_columns(later), tables.SCORES, str(path), key="image_id")
    return columns.with_columns(frame[name] for name in others)


def selection_names(folder: Path) -> list[str]:
    """The selections of a run's folder, by name."""
    return sorted(file.stem for file in (folder / "selections").glob("*.parquet"))


def existing_selection(folder: Path, name: str) -> Path:
    """Path of the selection of this name.

    Raises:
        SettingsError: no selection has this name.
    """
    path = folder / "selections" / f"{name}.parquet"
    if not path.is_file():
        raise SettingsError(none_of("selection", name, folder, selection_names(folder)))
    return path


def read_selection(path: Path, images: pl.DataFrame) -> pl.DataFrame:
    """A selection joined with the columns of its images, rank 1 first.

    Args:
        images: Table INDEXED_IMAGES of the run.

    Raises:
        DataError: it names an image that is not in the pool, or ranks are not 1, 2, 3, …
    """
    chosen = tables.read(path, tables.SELECTION, key="image_id")
    foreign = chosen.join(images.filter(role="pool"), on="image_id", how="anti")
    if foreign.height:
        raise DataError(
            f"{path}: {foreign.height} of {chosen.height} images are not in the pool, first {foreign['image_id'][0]}. "
            f"Make the selection again: `thresher select {quoted(path.parent.parent)} --name {path.stem} …`."
        )
    if chosen["rank"].sort().to_list() != list(range(1, chosen.height + 1)):
        raise DataError(
            f"{path}: column 'rank' must hold 1 to {chosen.height}, each once; found {_shown(chosen['rank'])}. "
            f"Make the selection again: `thresher select {quoted(path.parent.parent)} --name {path.stem} …`."
        )
    return chosen.join(images, on="image_id", how="left", maintain_order="left").sort("rank")


def _shown(ranks: pl.Series) -> str:
    first = ", ".join("null" if rank is None else str(rank) for rank in ranks.head(5))
    return first + (", …" if len(ranks) > 5 else "")


def none_of(what: str, name: str, folder: Path, there: Iterable[str]) -> str:
    """Error text for an unknown selection or training: the available ones, or the command that makes one.

    >>> none_of("training", "best", Path("runs/mine"), ["small"])
    "No training named 'best' in runs/mine. Available: small."
    """
    command = {"selection": f"thresher select {quoted(folder)}", "training": f"thresher train {quoted(folder)}"}[what]
    known = ", ".join(there)
    return f"No {what} named '{name}' in {folder}. " + (
        f"Available: {known}." if known else f"There is none yet: run `{command}`."
    )
