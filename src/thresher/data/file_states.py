"""Size, time and content of image files: what tells that one has changed since it was worked on."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from thresher.data.sources import PARQUET_MARK, TAR_MARK, image_bytes, split_address
from thresher.errors import DataError

#: Network disks answer many questions at once; a local one is not slowed down by being asked so.
_THREADS = 8
_EACH = 4096
_DIGITS = 32
#: Times after the year 2262 do not fit into 64 bits.
_TIMES = 2**63


def with_states(images: pl.DataFrame) -> pl.DataFrame:
    """The images with `size_bytes` and `mtime_ns` of the file at each `path`, null where there is none.

    An image in a tar or Parquet file has the archive's. A million files take a few seconds.
    """
    paths = images["path"].to_list()
    batches = [paths[start : start + _EACH] for start in range(0, len(paths), _EACH)]
    with ThreadPoolExecutor(_THREADS) as threads:
        states = list(itertools.chain.from_iterable(threads.map(_states, batches)))
    columns = {"size_bytes": pl.Int64, "mtime_ns": pl.Int64}
    return images.hstack(pl.DataFrame(states, schema=columns, orient="row"))


def _states(paths: Sequence[str]) -> list[tuple[int, int] | tuple[None, None]]:
    archives: dict[str, tuple[int, int] | tuple[None, None]] = {}
    found = []
    for path in paths:
        packed = split_address(path) if TAR_MARK in path or PARQUET_MARK in path else None
        if packed is None:
            found.append(_state(path))
            continue
        if packed[0] not in archives:
            archives[packed[0]] = _state(packed[0])
        found.append(archives[packed[0]])
    return found


def _state(path: str) -> tuple[int, int] | tuple[None, None]:
    try:
        status = os.stat(path)  # noqa: PTH116 - millions of files: no Path objects
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns % _TIMES


def states_digest(images: pl.DataFrame) -> str:
    """A hash of the states that `with_states` gives, by image id: it changes when any of the files does."""
    ordered = images.sort("image_id")
    digest = hashlib.sha256("\n".join(ordered["image_id"]).encode())
    for name in ("size_bytes", "mtime_ns"):
        digest.update(np.ascontiguousarray(ordered[name].fill_null(-1).to_numpy()).tobytes())
    return digest.hexdigest()


def content_digest(content: bytes) -> str:
    """A hash of an image's bytes as stored: 128 bits, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def contents(paths: Sequence[str]) -> list[str | None]:
    """`content_digest` of each image; None where it cannot be read. Every one of them is read."""

    def content(path: str) -> str | None:
        try:
            return content_digest(image_bytes(path))
        except DataError:
            return None

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(content, paths))
