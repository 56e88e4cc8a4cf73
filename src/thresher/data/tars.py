"""The index of a tar: where each file in it begins, and how long it is. Nothing in the archive is taken on trust.

Source: POSIX.1-2008, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from thresher.errors import DataError

BLOCK_BYTES = 512
_REMEDY = " Members are read in place, which compression prevents: gunzip it, or download it again."
#: A header that holds a long name is shorter by far, and few of them stand before one file.
_MOST_HEADER_BYTES, _MOST_HEADERS = 1 << 20, 8
_FILES, _SPARSE = (b"0", b"\0", b"7"), b"S"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_FOR_ALL = b"L", b"K", (b"x", b"X"), b"g"


@dataclass(frozen=True)
class TarIndex:
    """Offset and size of each regular member, and the parts of the archive that could not be read."""

    members: Mapping[str, tuple[int, int]]
    repeated: tuple[str, ...] = ()
    """Repeated names; the first member of each is kept."""
    cut: tuple[str, ...] = ()
    """Members cut off by the end of the file."""
    damage: str | None = None
    """Error that ended the reading of the archive early; None if complete."""


class _Header(NamedTuple):
    name: str
    size: int
    kind: bytes


def member_name(name: str) -> str:
    """The normalised name of a tar member: `./a//b.jpg` and `/a/b.jpg` are `a/b.jpg`."""
    return posixpath.normpath("/" + name).lstrip("/")


def indexed(file: BinaryIO, size: int, where: str) -> TarIndex:
    """The index of an uncompressed tar of `size` bytes; if damaged, of the part before the damage.

    Raises:
        DataError: not a tar, or a compressed one.
    """
    members: dict[str, tuple[int, int]] = {}
    repeated: list[str] = []
    cut: list[str] = []
    damage: str | None = None
    offset, told, headers = 0, dict[str, str](), 0
    while offset < size and damage is None:
        file.seek(offset)
        block = file.read(BLOCK_BYTES)
        header = _header(block)
        if header is None:
            if offset == 0 and block.strip(b"\0"):
                raise DataError(f"{where}: not an uncompressed tar (no tar header at its beginning).{_REMEDY}")
            # A real end is a block of zeros.
            damage = f"no tar header at byte {offset:,}" if block.strip(b"\0") else None
            break
        start, kind = offset + BLOCK_BYTES, header.kind
        length = int(told.get("size", header.size)) if kind in _FILES else header.size
        offset = start + -(-length // BLOCK_BYTES) * BLOCK_BYTES
        if kind in (_LONG_NAME, _LONG_LINK, *_PAX, _PAX_FOR_ALL):
            headers += 1
            if length > _MOST_HEADER_BYTES or headers > _MOST_HEADERS:
                damage = f"a header without end at byte {start - BLOCK_BYTES:,}"
            else:
                told |= _told(kind, file.read(length))
            continue
        name = member_name(told.get("path", header.name))
        sparse = kind == _SPARSE or any(key.startswith("GNU.sparse") for key in told)
        told, headers = {}, 0
        if not sparse and (kind not in _FILES or header.name.endswith("/")):
            continue  # a folder, a link, a device
        if name in members or name in cut:
            repeated.append(name)
        elif sparse or start + length > size:
            cut.append(name)
        else:
            members[name] = (start, length)
    if size == 0:
        raise DataError(f"{where}: not an uncompressed tar (the file is empty).{_REMEDY}")
    return TarIndex(members, tuple(repeated), tuple(cut), damage)


def _header(block: bytes) -> _Header | None:
    """Name, size and kind in a block; None if it is no header."""
    if len(block) < BLOCK_BYTES:
        return None
    stated = _number(block[148:156])
    # The sum of all bytes, where its own eight count as spaces; old programs took bytes as signed.
    total = sum(block) - sum(block[148:156]) + 8 * 32
    if stated not in (total, total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])):
        return None
    size, name = _number(block[124:136]), _text(block[:100])
    if size is None or size < 0:
        return None
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return _Header(f"{prefix}/{name}" if prefix else name, size, block[156:157])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int | None:
    """In octal, or, if the first bit is set, in binary, which can be of any size; None if it is neither."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    return int(digits or b"0", 8) if not digits.strip(b"01234567") else None


def _told(kind: bytes, content: bytes) -> dict[str, str]:
    """What an extra header says of the next file: its path, its size, that it is sparse."""
    if kind == _LONG_NAME:
        return {"path": _text(content)}
    told: dict[str, str] = {}
    while kind in _PAX and content:
        length, _, _ = content.partition(b" ")
        if not 0 < len(length) < 8 or not length.isdigit() or not 5 <= int(length) <= len(content):
            break
        key, equals, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        content = content[int(length) :]
        name = key.decode("utf-8", "replace")
        if equals and (name == "path" or name.startswith("GNU.sparse") or (name == "size" and _is_size(value))):
            told[name] = value.decode("utf-8", "surrogateescape")
    return told


def _is_size(value: bytes) -> bool:
    return value.isdigit() and len(value) < 20
