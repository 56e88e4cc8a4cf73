"""Reading the bytes of an image from a file, a member of a tar, or a row of a Parquet file, in place.

The tables' `path` addresses a packed image as `ARCHIVE.tar!/MEMBER` or `FILE.parquet!/ROW`, rows counted from 0.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import polars as pl

from thresher.data.faults import refusing
from thresher.data.tars import TarIndex, indexed
from thresher.errors import DataError

TAR_MARK, PARQUET_MARK = ".tar!/", ".parquet!/"
#: Columns that may hold an image's bytes, the likeliest first; `image` is what Hugging Face's `datasets` writes.
IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes")
#: Rows read from a Parquet file at once: a page holds many, and rows are mostly read in order.
BLOCK_ROWS = 32
# Images are read in the order of their ids, hence archive by archive: few need to be open at once.
_INDEXES_KEPT, _BLOCKS_KEPT = 64, 4

# Without the lock, threads that miss the same block or index would each read it.
_READING = threading.Lock()


def split_address(path: str | Path) -> tuple[str, str] | None:
    """The archive and the member or row that a path addresses; None for a plain file.

    >>> split_address("/data/pool-0001.tar!/a/b.jpg"), split_address("/data/b.jpg")
    (('/data/pool-0001.tar', 'a/b.jpg'), None)
    """
    text = os.fspath(path)
    if "!/" not in text:
        return None
    for mark in (TAR_MARK, PARQUET_MARK):
        head, found, inside = text.partition(mark)
        # A folder may be called `x.tar!`; then there is no archive of that name.
        if found and (Path(head + mark[:-2]).is_file() or not Path(text).is_file()):
            return head + mark[:-2], inside
    return None


def opened(path: str | Path) -> BinaryIO:
    """The image's bytes as a file object; a plain file is not read yet.

    Raises:
        DataError: no such file, archive, member or row, or it cannot be read.
    """
    if split_address(path) is not None:
        return io.BytesIO(image_bytes(path))
    try:
        return open(path, "rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def image_bytes(path: str | Path) -> bytes:
    """The image's bytes as stored; the index of a tar and the last blocks of Parquet files are kept in memory.

    Raises:
        DataError: no such file, archive, member or row, or it cannot be read.
    """
    address = split_address(path)
    try:
        if address is None:
            with open(path, "rb") as file:
                return file.read()
        archive, inside = address
        return _tar_bytes(archive, inside) if archive.endswith(".tar") else _parquet_bytes(archive, inside)
    except OSError as error:
        raise _unreadable(path, error) from error


def size_bytes(path: str | Path) -> int:
    """Size of the stored image in bytes.

    Raises:
        DataError: as `image_bytes`.
    """
    if split_address(path) is not None:
        return len(image_bytes(path))
    try:
        return os.stat(path).st_size  # noqa: PTH116 - the path may be a string
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        address = split_address(path)
        return DataError(f"{path}: the file is not there" if address is None else f"{path}: the archive is not there")
    return DataError(f"{path}: cannot be read ({error.strerror or error})")


def tar_index(archive: str | Path) -> TarIndex:
    """The index of an uncompressed tar; if damaged, of the part before the damage.

    Raises:
        DataError: missing, not a tar, or compressed.
    """
    try:
        return _tar_index(os.fspath(archive), _state(archive))
    except OSError as error:
        raise _unreadable(archive, error) from error


def _state(path: str | Path) -> tuple[int, int]:
    # Part of the cache key, so that a changed file is read again.
    status = os.stat(path)  # noqa: PTH116 - the path may be a string
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=_INDEXES_KEPT)
def _tar_index(archive: str, state: tuple[int, int]) -> TarIndex:
    with open(archive, "rb") as file:
        return indexed(file, state[0], archive)


def _tar_bytes(archive: str, member: str) -> bytes:
    with _READING:
        index = _tar_index(archive, _state(archive))
    if member not in index.members:
        cut = "is cut off" if member in index.cut else "is not in it"
        raise DataError(f"{archive}!/{member}: the archive is there, but this member {cut}. Index the data again.")
    offset, size = index.members[member]
    with open(archive, "rb") as file:
        file.seek(offset)
        return file.read(size)


def image_column(schema: Mapping[str, pl.DataType], where: str | Path) -> str:
    """The column with the images' bytes: Binary, or a struct whose field `bytes` is.

    Raises:
        DataError: no such column.
    """
    for name in IMAGE_COLUMNS:
        if name in schema and _holds_bytes(schema[name]):
            return name
    found = ", ".join(f"{name} ({dtype})" for name, dtype in schema.items())
    raise DataError(
        f"{where}: no column with image bytes. Found {found}; expected 'image' as Binary or as Struct with 'bytes'."
    )


def _holds_bytes(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(field.name == "bytes" and field.dtype == pl.Binary for field in dtype.fields)
    return dtype == pl.Binary


def _parquet_bytes(archive: str, row: str) -> bytes:
    if not row.isdecimal():
        raise DataError(f"{archive}!/{row}: a row is addressed by its number, counted from 0.")
    number, place = divmod(int(row), BLOCK_ROWS)
    with _READING:
        block = _parquet_block(archive, _state(archive), number)
    if place >= len(block):
        raise DataError(f"{archive}!/{row}: the file is there, but has no such row. Index the data again.")
    content = block[place]
    if content is None:
        raise DataError(f"{archive}!/{row}: the row holds no image bytes (null).")
    return bytes(content)


@lru_cache(maxsize=_BLOCKS_KEPT)
def _parquet_block(archive: str, state: tuple[int, int], number: int) -> pl.Series:
    with refusing(f"{archive}: not a readable Parquet file", "Index the data again, or replace the file."):
        schema = pl.read_parquet_schema(archive)
        column = pl.col(image_column(schema, archive))
        if isinstance(schema[column.meta.output_name()], pl.Struct):
            column = column.struct.field("bytes")
        rows = pl.scan_parquet(archive, glob=False).slice(number * BLOCK_ROWS, BLOCK_ROWS).select(column)
        return rows.collect().to_series()
