"""Embeddings that were made elsewhere: read, checked, and brought to the form in which the backbone's are kept."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32

from thresher.data.readers.parquet_columns import refuse_damaged
from thresher.errors import DataError, SettingsError
from thresher.files import disk_errors
from thresher.vectors import unit_length

_FORMS = "one vector (c numbers) or one grid (h × w × c) per image"


@dataclass(frozen=True)
class GivenVectors:
    """One vector or grid of vectors per image, as stored in the file."""

    path: Path
    rows: Mapping[str, int]
    """Image id → where its vectors are in `values`."""
    values: Any
    """Arrays, or nested lists of numbers."""
    channels: int

    def grid(self, image_id: str) -> Float32[np.ndarray, "h w c"]:
        """The image's vectors at unit length, as a grid; one vector is a grid of 1 × 1.

        Raises:
            DataError: the image has no vector, its shape differs from the others, a value is missing, NaN or
                infinite, or a vector is zero.
        """
        if image_id not in self.rows:
            raise DataError(f"{self.path}: no vector of this image")
        try:
            found = _numbers(self.values[self.rows[image_id]])
        except (TypeError, ValueError):
            raise DataError(f"{self.path}: not {_FORMS}, or a number is missing") from None
        grid = found[None, None] if found.ndim == 1 else found
        if grid.ndim != 3 or grid.size == 0 or grid.shape[2] != self.channels:
            raise DataError(f"{self.path}: shape {found.shape}; expected {_FORMS}, c = {self.channels}")
        flat = grid.reshape(-1, self.channels)
        if not np.isfinite(flat).all():
            raise DataError(f"{self.path}: NaN or infinite numbers")
        if not flat.any(axis=1).all():
            raise DataError(f"{self.path}: a vector is zero, so it has no direction")
        unit: Float32[np.ndarray, "h w c"] = unit_length(flat).reshape(grid.shape)
        return unit


def given_vectors(path: Path, ids: Path | None = None) -> GivenVectors:
    """The vectors in a file, by image id.

    Args:
        path: Parquet with a column image_id and one column of lists (c numbers, or h × w × c), or one column per
            dimension; or .npy of shape (n, c) or (n, h, w, c).
        ids: For .npy: file with the image ids in the array's order: one per line (.txt) or in column image_id (.csv).

    Raises:
        SettingsError: another file type, or ids are missing (.npy) or given (Parquet).
        DataError: the file cannot be read, or has another content.
    """
    if path.suffix not in (".npy", ".parquet"):
        raise SettingsError(f"vectors = '{path}': expected a .parquet or .npy file.")
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if path.suffix == ".parquet":
        if ids is not None:
            raise SettingsError(
                f"ids = '{ids}': {path.name} already has image ids in its column image_id. Leave ids out."
            )
        names, values = _of_parquet(path)
    else:
        if ids is None:
            raise SettingsError(f"vectors = '{path}': has no image ids. Give ids = FILE with one image id per line.")
        values, names = _of_array(path), _ids(ids)
    if len(names) != len(values):
        raise DataError(f"{path}: {len(values)} vectors, but {len(names)} image ids in {ids}.")
    rows = {name: row for row, name in enumerate(names)}
    if len(rows) < len(names):
        twice = next(name for row, name in enumerate(names) if rows[name] != row)
        raise DataError(f"{path}: image id '{twice}' appears twice. Keep one vector per image.")
    if not names:
        raise DataError(f"{path}: no vectors.")
    return GivenVectors(path, rows, values, _channels(path, values[0]))


def _numbers(value: Any) -> Float32[np.ndarray, ...]:
    """An array of whatever shape; raises TypeError or ValueError where the value has none."""
    if isinstance(value, pl.Series):
        value = value.to_numpy() if value.dtype.is_numeric() else value.to_list()
    return np.array(value, np.float32)


def _channels(path: Path, first: Any) -> int:
    try:
        shape: tuple[int, ...] = _numbers(first).shape
    except (TypeError, ValueError):
        shape = ()
    if len(shape) not in (1, 3):
        raise DataError(f"{path}: the first image has shape {shape}; expected {_FORMS}.")
    return int(shape[-1])


def _of_array(path: Path) -> Any:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an array of numbers ({error}).") from error
    if not isinstance(values, np.ndarray) or values.ndim not in (2, 4) or values.dtype.kind not in "fiu":
        found = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "no array"
        raise DataError(f"{path}: {found}; expected numbers of shape (n, c) or (n, h, w, c).")
    return values


def _of_parquet(path: Path) -> tuple[list[str], Any]:
    try:
        with disk_errors(path):
            refuse_damaged(path)
            frame = pl.read_parquet(path)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not a Parquet file ({error}).") from error
    if "image_id" not in frame.columns:
        raise DataError(f"{path}: no column image_id. Found: {', '.join(frame.columns)}.")
    names = frame["image_id"].cast(pl.String).to_list()
    if None in names:
        raise DataError(f"{path}: image_id is missing in row {names.index(None)}.")
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)]
    if len(lists) > 1:
        raise DataError(f"{path}: several columns of lists ({', '.join(lists)}). Keep image_id and the vectors alone.")
    if lists:
        return names, frame[lists[0]]
    numbers = [name for name, kind in frame.schema.items() if kind.is_numeric() and name != "image_id"]
    if not numbers:
        raise DataError(f"{path}: no vectors. Expected a column of lists, or a column per number, beside image_id.")
    return names, frame.select(pl.col(numbers).cast(pl.Float32)).to_numpy()


def _ids(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error}).") from error
    if path.suffix != ".csv":
        return [line.strip() for line in lines if line.strip()]
    rows = [row for row in csv.reader(lines) if row]
    column = rows[0].index("image_id") if rows and "image_id" in rows[0] else 0
    return [row[column] for row in rows[1 if rows and "image_id" in rows[0] else 0 :]]
