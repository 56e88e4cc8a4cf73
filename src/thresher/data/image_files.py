"""Image files opened by Pillow, without changing Pillow or Python's warnings for the rest of the process.

Whatever a decoder raises on one file becomes a `DataError` in one place, `decoding`: it costs that image alone.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, ImageFile, UnidentifiedImageError

from thresher.data.faults import FAULTS, reason
from thresher.errors import DataError

#: What Pillow's plugins raise where a file is not of their format, or damaged.
_NOT_OF_THIS_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)
_ORIENTATION = 0x0112
#: EXIF's type of a value → its bytes, for types of whole numbers.
_WHOLE_NUMBERS = {1: 1, 3: 2, 4: 4}


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


@contextlib.contextmanager
def decoding(path: Path | str, what: str = "image") -> Iterator[None]:
    """Context manager for the decoding of one file: whatever the decoder raises is a `DataError` that names it.

    Raises:
        DataError: in place of any other error.
    """
    try:
        with quiet():
            yield
    except DataError:
        raise
    except UnidentifiedImageError as error:  # its own message contains a memory address
        raise DataError(f"{path}: not a readable {what} (unknown format)") from error
    except FAULTS as error:
        raise DataError(f"{path}: not a readable {what} ({reason(error).removesuffix('.')})") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none, or none that can be read.

    No other tag is looked at, so that none can do harm.

    Source: CIPA DC-008-2019 (Exif 2.32), tag 0x0112; TIFF 6.0, section 2 (the block's form).
    """
    block = image.info.get("exif")
    found = _orientation_in(block.removeprefix(b"Exif\0\0")) if isinstance(block, bytes) else None
    if found is None:  # a TIFF's own tag, or XMP
        try:
            found = image.getexif().get(_ORIENTATION)
        except FAULTS:  # the pixels do not depend on a damaged block of metadata
            return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _orientation_in(block: bytes) -> int | None:
    """The orientation in a block of EXIF, whose first directory is a list of 12 bytes per tag; None without one."""
    order: Literal["little", "big"] = "little" if block[:2] == b"II" else "big"
    start = int.from_bytes(block[4:8], order)
    for place in range(start + 2, start + 2 + 12 * int.from_bytes(block[start : start + 2], order), 12):
        entry = block[place : place + 12]
        if len(entry) < 12:
            return None
        if int.from_bytes(entry[:2], order) == _ORIENTATION:
            width = _WHOLE_NUMBERS.get(int.from_bytes(entry[2:4], order), 0)
            return int.from_bytes(entry[8 : 8 + width], order)
    return None
