"""Which stage writes each file of a run, and the error with that command if the file is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thresher.errors import DataError, quoted

#: Which stage writes each file of a run's folder.
WRITTEN_BY = {
    "images.parquet": "index",
    "boxes.parquet": "index",
    "masks.parquet": "index",
    "tags.parquet": "index",
    "remote.parquet": "index",
    "labels.parquet": "index",
    "taxonomy.toml": "index",
    "slices": "embed",
    "shards.parquet": "embed",
    "embedded.parquet": "embed",
    "pooled.parquet": "embed",
    "facts.parquet": "embed",
    "projection.safetensors": "embed",
    "mixture.safetensors": "fit",
    "mixture.json": "fit",
    "evidence.safetensors": "fit",
    "scores.parquet": "score",
    "selections": "select",
    "insight": "insight",
}

#: Required flags of a command.
_TARGET = {"index": " --target FORMAT:ROOT"}


def shard_path(slices: Path, number: int) -> Path:
    """Path of a file of slices.

    >>> shard_path(Path("run/slices"), 3).as_posix()
    'run/slices/part-00003.parquet'
    """
    return slices / f"part-{number:05d}.parquet"


def existing(path: Path) -> Path:
    """The path itself.

    Raises:
        DataError: no such file; gives the command that writes it.
    """
    if not path.exists():
        raise missing(path)
    return path


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays in a safetensors file of a run, by name.

    Raises:
        DataError: no such file, or a damaged one; gives the command that writes it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(existing(path))
    except SafetensorError as error:
        stage = WRITTEN_BY.get(path.name, "")
        again = f" and run `thresher {stage} {quoted(path.parent)}` again" if stage else ""
        raise DataError(f"{path}: not a readable safetensors file ({error}). Delete it{again}.") from error


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what polars raises over a missing or damaged file into a DataError."""
    import polars as pl  # here, as `thresher --help` and `import thresher` read this module

    try:
        yield
    except FileNotFoundError:
        raise missing(path) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        stage = WRITTEN_BY.get(path.name)
        again = f"run `thresher {stage} {quoted(path.parent)}` again" if stage else "make it again"
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not a readable Parquet file ({reason}). Delete it and {again}.") from error


def missing(path: Path) -> DataError:
    """The error for a missing file, with the command that writes it."""
    place = next((name for name in (path.name, path.parent.name) if name in WRITTEN_BY), None)
    if place is None:
        return DataError(f"{path}: no such file.")
    run = path.parent if place == path.name else path.parent.parent
    stage = WRITTEN_BY[place]
    without_pixels = ""
    if stage in ("embed", "fit", "score") and (run / "remote.parquet").is_file():
        without_pixels = (
            f" Images not on disk are scored by their boxes: `thresher score {quoted(run)} --scores diversity`."
        )
    return DataError(
        f"{path}: no such file. `{stage}` writes it: run `thresher {stage} {quoted(run)}{_TARGET.get(stage, '')}`."
        f"{without_pixels}"
    )
