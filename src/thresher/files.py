"""Atomic writing of files: a reader sees the old file or the complete new one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces `path` when the block succeeds, and is removed when it fails.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    descriptor, temporary = _temporary(path)
    try:
        with disk_errors(path), os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # some network disks have no locks; leftovers then stay
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> tuple[int, str]:
    """An open temporary file beside `path`, and its name."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except FileExistsError as error:  # a file is where a folder should be
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise the `OSError` behind an error of polars, such as a full disk."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def sweep(path: Path) -> None:
    """Remove temporary files of killed processes for `path`, or in it if it is a folder.

    Files that a running process writes are locked, and stay.
    """
    folder, name = (path, "*") if path.is_dir() else (path.parent, glob.escape(path.name))
    # As `mkstemp` ends its names.
    for leftover in folder.glob(f".{name}." + "[a-z0-9_]" * 8):
        with contextlib.suppress(OSError), leftover.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink(missing_ok=True)


def _umask() -> int:
    # The process's mask can only be read by setting it; mkstemp made the file private whatever it is.
    mask = os.umask(0)
    os.umask(mask)
    return mask
