"""Image files opened by Pillow, without changing Pillow or Python's warnings for the rest of the process."""

from __future__ import annotations

import contextlib
import struct
import threading
import warnings
from collections.abc import Collection, Iterator
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

#: What Pillow's plugins raise where a file is not of their format, or damaged.
_NOT_OF_THIS_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)


def opened_image(file: BinaryIO, formats: Collection[str] | None = None) -> ImageFile.ImageFile:
    """As `Image.open`, without its pixel limit, which is global to the process; callers have their own limit.

    Args:
        file: The caller closes it.
        formats: Try these alone, as Pillow names them ("JPEG"); all by default.

    Raises:
        UnidentifiedImageError: unknown format; a subclass of OSError.
    """
    prefix, tried = file.read(16), set[str]()
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for name in [each for each in formats or Image.ID if each in Image.OPEN and each not in tried]:
            tried.add(name)
            factory, accepts = Image.OPEN[name]
            try:
                accepted = not accepts or accepts(prefix)
                if accepted and not isinstance(accepted, str):
                    file.seek(0)
                    return factory(file, "")
            except _NOT_OF_THIS_FORMAT:
                continue
    raise UnidentifiedImageError("cannot identify image file")


class _Quiet(contextlib.AbstractContextManager[None]):
    """Warnings off while any thread of ours decodes; the filters are put back when the last one is done."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_QUIET = _Quiet()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context manager that silences Pillow's warnings about metadata and palettes.

    `warnings.catch_warnings` in two threads at once can leave the filters of one of them behind; this does not.
    """
    with _QUIET:
        yield
