"""Parser of sources of data: [NAME=]FORMAT:ROOT[#SPLIT]."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thresher.data.dataset import Dataset
from thresher.data.readers import LATER, READERS, table
from thresher.data.readers.table_columns import column_map
from thresher.errors import DataError, SettingsError


@dataclass(frozen=True)
class Source:
    """A data set to read: format, path and split."""

    name: str
    format: str
    root: Path
    split: str | None
    role: str


def parsed_sources(target: Sequence[str], pool: Sequence[str] = (), guard: Sequence[str] = ()) -> list[Source]:
    """The sources of target, pool and guard. Each root has a unique name, which its splits share.

    Raises:
        SettingsError: a text is not [NAME=]FORMAT:ROOT[#SPLIT], or the format is unknown.
    """
    sources: list[Source] = []
    for role, texts in (("target", target), ("pool", pool), ("guard", guard)):
        for text in texts:
            head, colon, place = text.partition(":")
            name, equals, format_name = head.rpartition("=")
            root, _, split = place.partition("#")
            if not colon or not root:
                raise SettingsError(f"{role} '{text}': expected [NAME=]FORMAT:ROOT[#SPLIT], as in coco:/data/coco#val.")
            if format_name not in READERS:
                raise SettingsError(f"{role} '{text}': format '{format_name}' is unknown. Known: {', '.join(READERS)}.")
            path = Path(os.path.abspath(Path(root).expanduser()))
            chosen = name if equals else _free_name(path, sources)
            sources.append(Source(chosen, format_name, path, split or None, role))
    return sources


def parsed_source(text: str) -> Source:
    """The source of one text.

    Raises:
        SettingsError: as `parsed_sources`.

    >>> source = parsed_source("coco:/data/coco#val")
    >>> source.name, source.format, source.split
    ('coco', 'coco', 'val')
    """
    return parsed_sources((text,))[0]


def read_source(text: str, columns: str | Iterable[str] = ()) -> Dataset:
    """The data set of a source: images, boxes, masks, and what was left out or repaired.

    Args:
        text: [NAME=]FORMAT:ROOT[#SPLIT], as in "coco:/data/coco#val".
        columns: Of a `table`, which column holds what: "image=path,x0=left".

    Raises:
        SettingsError: the text or the columns cannot be understood, or the format is unknown.
        DataError: the place cannot be read.
    """
    source, told = parsed_source(text), column_map([columns] if isinstance(columns, str) else columns)
    if not source.root.exists():
        raise DataError(f"{source.format}:{source.root}: no such folder or file.")
    return read(source, told)


def read(source: Source, columns: Mapping[str, str], later: bool = False) -> Dataset:
    """The data set of a source.

    Args:
        columns: Of a `table`, which column holds what (`column_map`).
        later: With the images that are not on disk, where the annotations tell their addresses.

    Raises:
        DataError: the place cannot be read.
    """
    if source.format == "table":
        return table.read(source.root, source.split, source.name, columns)
    if later and source.format in LATER:
        return LATER[source.format](source.root, source.split, source.name, later=True)
    return READERS[source.format](source.root, source.split, source.name)


def _free_name(root: Path, sources: Iterable[Source]) -> str:
    """The folder's name, preceded by more of its path if another root has the same name."""
    taken = {source.name: source.root for source in sources}
    for depth in range(1, len(root.parts)):
        name = "_".join(root.parts[-depth:])
        if taken.get(name, root) == root:
            return name
    return f"{root.name}_{len(taken)}"
