"""What a run's folder holds, by name."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from thresher import tables
from thresher.errors import SettingsError
from thresher.run.folder import Run

NAME = re.compile(r"[\w][\w.+-]*")


def selected(run: Run, name: str) -> pl.DataFrame:
    """The selection of that name with the images' columns beside it, rank 1 first.

    Raises:
        SettingsError: there is no such selection.
    """
    path = run.selection(name)
    if not path.is_file():
        names = sorted(file.stem for file in path.parent.glob("*.parquet"))
        raise SettingsError(
            f"selection '{name}': none in {run.folder}. There is: {', '.join(names) or 'no selection'}."
        )
    chosen = tables.read(path, tables.SELECTION, key="image_id")
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    return chosen.join(images, on="image_id", how="left", maintain_order="left").sort("rank")


def pool_of(run: Run) -> pl.DataFrame:
    """image_id and dataset of the pool's images."""
    images = tables.read(run.images, tables.some(tables.INDEXED_IMAGES, "image_id", "dataset", "role"), key="image_id")
    return images.filter(role="pool").select("image_id", "dataset")


#: Columns of the scores without which there is nothing to show; others may be younger than the run.
_SCORES = ("image_id", "layout", "similarity_nats", "diversity", "nearest_ids")


def selection_names(run: Run) -> list[str]:
    """The run's selections, by name."""
    return sorted(file.stem for file in (run.folder / "selections").glob("*.parquet"))


def scores_of(run: Run) -> pl.DataFrame | None:
    """Table SCORES, those of its columns that the run has.

    Raises:
        DataError: one is missing that no release was without.
    """
    if not run.scores.is_file():
        return None
    there = [name for name in tables.SCORES if name in _SCORES or name in pl.read_parquet_schema(run.scores)]
    return tables.read(run.scores, tables.some(tables.SCORES, *there), key="image_id")


def checkpoint_of(run: Run, training: str) -> Path:
    """Where the network of that training lies.

    Raises:
        SettingsError: there is no such training.
    """
    path = run.training(training) / "checkpoint.safetensors"
    if not path.is_file():
        names = sorted(file.parent.name for file in path.parent.parent.glob("*/checkpoint.safetensors"))
        raise SettingsError(
            f"training '{training}': none in {run.folder}. There is: {', '.join(names) or 'no training'}."
        )
    return path
