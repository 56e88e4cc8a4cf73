"""The marker of an exported folder: what the export wrote, so that a later one replaces nothing that people made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from thresher.errors import DataError

#: A folder with this file was written by an export, and may be replaced while it is as that wrote it.
MARKER = ".thresher-export"
#: Files that people edit, and that are small: their content counts. Of images the size does.
_TEXTS = frozenset({".csv", ".json", ".jsonl", ".txt", ".xml", ".yaml", ".yml"})
#: The marker of older releases, which names no files.
_OLDER = "Written by thresher; a later export may replace this folder.\n"
#: So many names are told.
_TOLD = 3


def write_marker(folder: Path) -> None:
    """Note every file of a folder that an export has written."""
    files = dict(_states(folder))
    told = {"note": "Written by thresher; a later export may replace this folder.", "files": files}
    (folder / MARKER).write_text(json.dumps(told, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def refuse_changed(folder: Path) -> None:
    """Check that a folder holds nothing but what an export wrote.

    Raises:
        DataError: there is more in it, a file was changed since, or the marker is damaged. Folders of older releases
            say nothing of that.
    """
    marker = folder / MARKER
    if not marker.is_file():
        return
    text = marker.read_text("utf-8")
    if text == _OLDER:
        return
    try:
        written = json.loads(text)["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{marker}: damaged. Name another folder, or delete {folder}.") from error
    now = dict(_states(folder))
    found = [("not written by the last export", sorted(now.keys() - written.keys()))]
    found.append(("changed since", sorted(name for name in now.keys() & written.keys() if now[name] != written[name])))
    words = [f"{_named(names)} ({what})" for what, names in found if names]
    if words:
        raise DataError(
            f"{folder}: holds {' and '.join(words)}, which a new export would delete. Name another folder, or move "
            "them away."
        )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _states(folder: Path) -> Iterator[tuple[str, str]]:
    """Relative path and state of every file below a folder but the marker."""
    for place, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in sorted((*names, *linked)):
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if relative != MARKER:
                yield relative.encode("utf-8", "replace").decode(), _state(path)


def _state(path: Path) -> str:
    if path.is_symlink():
        return f"link to {os.fspath(path.readlink())}".encode("utf-8", "replace").decode()
    if path.suffix.lower() in _TEXTS:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{path.stat().st_size} bytes"
