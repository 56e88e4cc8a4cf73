"""Parser of sources of data: [NAME=]FORMAT:ROOT[?images=PLACE&masks=PLACE][#SPLIT]."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from thresher.data.dataset import Dataset
from thresher.data.readers import READERS
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
    images: str | None = None
    """Where its images lie, if not where the format has them: a folder, or for `masks` a pattern with {}."""
    masks: str | None = None
    """The same of its masks."""

    @property
    def folders(self) -> list[Path]:
        """The folders that hold its annotations, images and masks; of a pattern the one before its first wildcard."""
        home = self.root if self.root.is_dir() else self.root.parent
        told = [home / Path(re.split(r"[^/]*[{*]", place)[0]).expanduser() for place in self.told.values()]
        return [home, *(folder for folder in told if not folder.is_relative_to(home) or ".." in folder.parts)]

    @property
    def told(self) -> dict[str, str]:
        """What is said of its places, by name."""
        return {name: place for name in PLACES if (place := getattr(self, name)) is not None}


PLACES = ("images", "masks")
_PLACE = re.compile(r"[?&](?=(?:images|masks)=)")


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
            before, _, split = place.partition("#")
            root, *told = _PLACE.split(before)
            places = dict(each.split("=", 1) for each in told)
            if not colon or not root:
                raise SettingsError(f"{role} '{text}': expected [NAME=]FORMAT:ROOT[#SPLIT], as in coco:/data/coco#val.")
            if format_name not in READERS:
                raise SettingsError(f"{role} '{text}': format '{format_name}' is unknown. Known: {', '.join(READERS)}.")
            path = Path(os.path.abspath(Path(root).expanduser()))
            chosen = name if equals else _free_name(path, sources)
            source = Source(chosen, format_name, path, split or None, role, **places)
            takes = inspect.signature(READERS[format_name]).parameters
            for name in places:
                if name not in takes:
                    able = ", ".join(each for each in READERS if name in inspect.signature(READERS[each]).parameters)
                    raise SettingsError(
                        f"{role} '{text}': format '{format_name}' has its {name} in one place. "
                        f"Formats that take {name}=: {able}."
                    )
            sources.append(source)
    return sources


def with_places(sources: Sequence[Source], images: Iterable[str], masks: Iterable[str]) -> list[Source]:
    """The sources with the places that are told beside them, each as [NAME=]PLACE; without a name, of all that take it.

    Raises:
        SettingsError: no source has this name, or its format has no use of the place.
    """
    found = list(sources)
    for kind, texts in zip(PLACES, (images, masks), strict=True):
        for text in texts:
            head, equals, rest = text.partition("=")
            name, place = (head, rest) if equals and head in {each.name for each in found} else ("", text)
            able = [kind in inspect.signature(READERS[each.format]).parameters for each in found]
            meant = [can and name in ("", each.name) for each, can in zip(found, able, strict=True)]
            if not any(meant):
                names = ", ".join(each.name for each, can in zip(found, able, strict=True) if can) or "none"
                raise SettingsError(f"{kind} '{text}': no such source takes it. Sources that do: {names}.")
            found = [_placed(each, kind, place) if mine else each for each, mine in zip(found, meant, strict=True)]
    return found


def _placed(source: Source, kind: str, place: str) -> Source:
    return replace(source, images=place) if kind == "images" else replace(source, masks=place)


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
        text: [NAME=]FORMAT:ROOT[#SPLIT], as in "coco:/data/coco#val"; behind ROOT may stand ?images=PLACE&masks=PLACE.
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
    reader: Callable[..., Dataset] = READERS[source.format]
    takes = inspect.signature(reader).parameters
    told = {"columns": columns, "later": later}
    given = {name: value for name, value in told.items() if name in takes and value} | source.told
    return reader(source.root, source.split, source.name, **given)


def _free_name(root: Path, sources: Iterable[Source]) -> str:
    """The folder's name, preceded by more of its path if another root has the same name."""
    taken = {source.name: source.root for source in sources}
    for depth in range(1, len(root.parts)):
        name = "_".join(root.parts[-depth:])
        if taken.get(name, root) == root:
            return name
    return f"{root.name}_{len(taken)}"
