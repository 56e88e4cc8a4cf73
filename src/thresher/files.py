"""Files that are either the old ones or the whole new ones, whatever happens while they are written."""

from __future__ import annotations

import contextlib
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
    """A file to write to that takes the place of `path` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with disk_errors(path), os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # some network disks have no locks; then leftovers stay
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what polars raises when a disk is full or gone into the `OSError` that it stands for."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def sweep(path: Path) -> None:
    """Remove what killed processes left of writing to `path`, or into it where it is a folder.

    What a living process writes to is locked, and stays.
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
