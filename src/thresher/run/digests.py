"""Digests of what a stage reads and writes, and how a file is told from the one that a stage wrote."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.run_files import missing, shard_path

#: Files up to this size are read whole to see whether they have changed; larger ones if their time is newer too.
READ_WHOLE_BYTES = 64_000_000


@dataclass(frozen=True)
class Listing:
    """An input of which the relative path, size and time of every file count, not the contents."""

    path: Path


#: What a stage reads: a file (its bytes count), a listing, or a digest that the stage has worked out itself.
Input: TypeAlias = Path | Listing | str


def digest_of(given: Input) -> str:
    """The digest of an input.

    Raises:
        DataError: the file is not there.
    """
    if isinstance(given, Listing):
        return folder_digest(given.path)
    return given if isinstance(given, str) else file_digest(given)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; a file whose size and time are as at the last call is not read again.

    Raises:
        DataError: it is not there.
    """
    try:
        status = path.stat()
        if status.st_size > READ_WHOLE_BYTES:
            return _digest_at(path, status.st_size, status.st_mtime_ns, status.st_ino)
        return _digest(path)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


@functools.lru_cache(maxsize=256)
def _digest_at(path: Path, size: int, time_ns: int, inode: int) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(root: Path) -> str:
    """A hash of every file's relative path, size and modification time below a folder; contents are not read.

    Of a file its own size and time count.
    """
    digest = hashlib.sha256()
    if root.is_file():
        status = root.stat()
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)  # noqa: PTH116 - millions of files: no Path objects
                state = f"{status.st_size} {status.st_mtime_ns}"
            except FileNotFoundError:
                state = "dangling link"
            digest.update(os.fsencode(f"{os.path.relpath(path, root)}\0{state}\n"))
    return digest.hexdigest()


def seal_of(path: Path) -> dict[str, Any]:
    """What is recorded of an output, so that a changed file is noticed: size and digest of a file, nothing of a folder.

    Of the scores the digest of their own columns is recorded too: users may add columns.
    """
    if not path.is_file():
        return {}
    seal: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    return seal | ({"columns": _columns_digest(path)} if path.name == "scores.parquet" else {})


def damage_of(path: Path, seal: Mapping[str, Any], finished: float) -> str:
    """How an output differs from what its stage wrote, in words; empty if it does not.

    Args:
        seal: From `seal_of`; empty for a folder, and in records of older releases.
        finished: When the stage ended, in seconds since 1970. A large file that is not newer is not read.

    >>> damage_of(Path("nowhere/scores.parquet"), {}, 0.0)
    'scores.parquet is not there'
    """
    if not path.exists():
        return f"{path.name} is not there"
    if path.is_dir():
        return _OF_FOLDERS[path.name](path) if path.name in _OF_FOLDERS else ""
    if not seal or _is_sealed(path, seal, finished):
        return ""
    return f"{path.name} is not as it was written (damaged, or changed by hand)"


def _is_sealed(path: Path, seal: Mapping[str, Any], finished: float) -> bool:
    status = path.stat()
    if status.st_size == seal["bytes"]:
        unread = status.st_size > READ_WHOLE_BYTES and status.st_mtime <= finished
        if unread or file_digest(path) == seal["sha256"]:
            return True
    return "columns" in seal and _columns_digest(path) == seal["columns"]


def damaged_shards(slices: Path) -> list[int]:
    """Numbers of the listed shards that are lost, cut or changed.

    A shard is read whole only if it is newer than the list: it was written before.

    Raises:
        DataError: the list, shards.parquet, is missing or damaged.
    """
    table = slices.parent / "shards.parquet"
    listed = tables.read(table, tables.SHARDS, key="number")
    written, found = table.stat().st_mtime_ns, []
    for number, size, digest in listed.select("number", "bytes", "sha256").iter_rows():
        path = shard_path(slices, number)
        status = path.stat() if path.is_file() else None
        good = status is not None and status.st_size == size
        if not good or (status and status.st_mtime_ns > written and file_digest(path) != digest):
            found.append(number)
    return found


def damage_of_shards(slices: Path) -> str:
    """Which files of slices are lost or damaged, in words; empty if none."""
    try:
        damaged = damaged_shards(slices)
    except DataError:
        return "shards.parquet cannot be read"
    if not damaged:
        return ""
    path = shard_path(slices, damaged[0])
    return f"slices/{path.name} is not " + ("as it was written (damaged)" if path.exists() else "there")


def damage_of_label_maps(masks: Path) -> str:
    """Which of a label set's label maps are lost or damaged, in words; empty if none.

    One is read only if it is newer than the table that lists them, beside the folder: it was written before.
    """
    table = masks.parent / "images.parquet"
    columns: tables.Schema = {"file": pl.String, "bytes": pl.Int64, "sha256": pl.String}
    try:
        listed = tables.read(table, columns)
        written = table.stat().st_mtime_ns
    except (DataError, OSError):
        return "images.parquet cannot be read"
    for file, size, digest in listed.iter_rows():
        path = masks.parent / file
        status = path.stat() if path.is_file() else None
        if status is None:
            return f"{file} is not there"
        if status.st_size != size or (status.st_mtime_ns > written and file_digest(path) != digest):
            return f"{file} is not as it was written (damaged, or changed by hand)"
    return ""


#: Folders among the outputs, by name: how each is looked at.
_OF_FOLDERS = {"slices": damage_of_shards, "masks": damage_of_label_maps}


def _columns_digest(path: Path) -> str:
    """A hash of the values in the columns that `score` writes; empty if they cannot be read."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        return ""
    digest = hashlib.sha256()
    for name in (name for name in tables.SCORES if name in frame.columns):
        column = frame[name]
        if isinstance(column.dtype, pl.List):
            digest.update(column.list.len().fill_null(0).to_numpy().tobytes())
            column = column.explode()
        digest.update(f"{name} {column.dtype}".encode() + column.is_null().to_numpy().tobytes())
        if column.dtype == pl.String:
            digest.update("\0".join(column.fill_null("").to_list()).encode())
        else:
            digest.update(column.fill_null(0).to_numpy().tobytes())
    return digest.hexdigest()
