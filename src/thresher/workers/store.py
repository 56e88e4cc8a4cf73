"""Files that workers share through a store such as s3:// or gs://, where machines have no folder in common."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thresher.errors import SettingsError
from thresher.files import replacing


def is_url(path: str) -> bool:
    """Whether a path names a place in a store rather than a file.

    >>> is_url("s3://bucket/run"), is_url("/data/run")
    (True, False)
    """
    return "://" in path


def url_of(store: str, path: str) -> str:
    """Where a run's file lies in its store: its name and its folder's, below the store's address.

    >>> url_of("s3://bucket/mine/", "/runs/mine/slices/part-00001.parquet")
    's3://bucket/mine/slices/part-00001.parquet'
    """
    return "/".join([store.rstrip("/"), *Path(path).parts[-2:]])


def file_system(url: str) -> Any:
    """The file system of a URL.

    Raises:
        SettingsError: what reads such URLs is not installed.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)[0]
    except (ImportError, ValueError) as error:
        raise SettingsError(f"store '{url}': {error}. For s3:// install s3fs, for gs:// gcsfs.") from error


def exists(path: str) -> bool:
    """Whether there is a file at that path or URL."""
    return bool(file_system(path).exists(path)) if is_url(path) else Path(path).is_file()


def send(local: Path, url: str) -> None:
    """Copy a file to a store, where it appears whole or not at all."""
    file_system(url).put_file(str(local), url)


def fetch(url: str, local: Path) -> None:
    """Copy a file from a store; the local one appears whole or not at all."""
    with file_system(url).open(url, "rb") as source, replacing(local) as file:
        shutil.copyfileobj(source, file)


def remove(url: str) -> None:
    """Delete a file from a store."""
    file_system(url).rm_file(url)


def discard(path: str) -> None:
    """Delete the file at a path or URL if there is one."""
    if not is_url(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        remove(path)


def local_copy(path: str) -> Path:
    """The file itself, or a copy of what is in a store, fetched once by each process."""
    return _fetched(path) if is_url(path) else Path(path)


@functools.cache
def _fetched(url: str) -> Path:
    local = Path(_folder().name) / url.split("://", 1)[1]
    local.parent.mkdir(parents=True, exist_ok=True)
    fetch(url, local)
    return local


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="thresher-")


@contextlib.contextmanager
def written(path: str) -> Iterator[Path]:
    """A local path to write to, for what belongs at `path`; to a store it is sent when the block ends well."""
    if not is_url(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
        local = Path(folder) / Path(path).name
        yield local
        send(local, path)
