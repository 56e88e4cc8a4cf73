"""The input of `select`, read once from a run and independent of most of its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from thresher import tables
from thresher.data.image_lists import LIST_SUFFIXES, Matched, listed_images, matched
from thresher.errors import DataError, SettingsError
from thresher.run.opened import OpenedRun
from thresher.run.reading import existing_selection
from thresher.selection.coverage import Looks
from thresher.selection.diversity import ClassFrequencies
from thresher.selection.redundancy import Near, like_any


@dataclass(frozen=True)
class Candidates:
    """Everything `select` needs to choose.

    Depends only on `duplicate_cosine`, the lists, and on whether there is a coverage, so it can be cached across other
    settings.
    """

    scores: pl.DataFrame
    """Table SCORES."""
    images: pl.DataFrame
    """The pool's rows of table INDEXED_IMAGES."""
    counts: pl.DataFrame
    """Objects per class of each image (`class_counts`)."""
    frequencies: ClassFrequencies
    classes: tuple[str, ...]
    """The classes of interest."""
    near: Near | None = None
    """What near-duplicates are found from; None if they are not dropped."""
    looks: Looks | None = None
    """Pooled vectors of pool and target; None without coverage."""
    lists: Mapping[str, Matched] = field(default_factory=dict)
    """The images that each list of `keep` and `exclude` names, by the list as written."""


def candidates_of(
    opened: OpenedRun, duplicate_cosine: float = 0.0, coverage: str = "off", lists: Iterable[str] = ()
) -> Candidates:
    """Everything `select` needs to choose.

    Args:
        lists: Those of settings `keep` and `exclude`.

    Raises:
        DataError: score has not run, a list cannot be read, or, if near-duplicates are dropped or with coverage, embed
            has not run.
        SettingsError: no selection has the name of a list.
    """
    return Candidates(
        opened.scores,
        opened.pool,
        opened.counts,
        opened.frequencies,
        opened.classes,
        near_of(opened, duplicate_cosine) if duplicate_cosine else None,
        None if coverage == "off" else looks_of(opened),
        {text: read_list(opened, text) for text in lists},
    )


def looks_of(opened: OpenedRun) -> Looks:
    """Pooled vectors of pool and target.

    Raises:
        DataError: embed has not run.
    """
    return Looks(*opened.vectors(opened.pool), opened.vectors(opened.target)[1])


def list_path(opened: OpenedRun, text: str) -> Path:
    """The file of a list: the file named, or that of the selection of this name.

    Raises:
        SettingsError: neither a file that is read as a list nor a selection.
    """
    if text.endswith(LIST_SUFFIXES):
        return Path(text).expanduser()
    try:
        return existing_selection(opened.run.folder, text)
    except SettingsError as error:
        raise SettingsError(f"{error} Or give a file: {', '.join(LIST_SUFFIXES)}.") from None


def read_list(opened: OpenedRun, text: str) -> Matched:
    """The pool's images that a list names.

    Raises:
        DataError: the file cannot be read, or names no image of the pool.
        SettingsError: as `list_path`.
    """
    path = list_path(opened, text)
    if text.endswith(LIST_SUFFIXES):
        entries = listed_images(path)
    else:
        entries = [(each,) for each in tables.read(path, tables.some(tables.SELECTION, "image_id"))["image_id"]]
    found = matched(entries, opened.pool.select("image_id", "path", "dataset"), text)
    if found.unknown and not found.image_ids:
        raise DataError(
            f"{path}: none of its {len(entries)} images is in the pool (first: {found.unknown[0]}). Expected an "
            f"image_id such as {opened.pool['image_id'][0]}, or the end of a path."
        )
    return found


def near_of(opened: OpenedRun, cosine: float) -> Near:
    """What near-duplicates among the pool's images, and of the target's, are found from.

    Raises:
        DataError: embed has not run.
    """
    ids, vectors = opened.vectors(opened.pool)
    return Near(ids, vectors, cosine, like_any(vectors, opened.vectors(opened.target)[1], cosine))
