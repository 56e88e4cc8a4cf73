"""What an audit warns of, in sentences."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

#: A class is said to be rarer than by chance below this probability, corrected for how many rare classes are looked at.
LEAST_CHANCE = 0.05
#: From these shares of the chosen images on, one data set, or one folder or sequence, is said to be most of it (ours).
ONE_SOURCE, ONE_FOLDER = 0.9, 0.5
#: By how much that share must be above the pool's.
_MORE = 0.1
#: Words for what an aspect is called otherwise.
_KINDS = {"sequence": "drive or sequence"}
#: Names listed at most.
_NAMED = 5


@dataclass(frozen=True)
class Alike:
    """Near-duplicates of a selection."""

    cosine: float
    """From this cosine of pooled vectors on images are near-duplicates."""
    compared: int
    """Chosen images that were compared with each other."""
    inside: int
    """How many of them have a near-duplicate among the others."""
    of_target: int
    """Chosen images that are near-duplicates of a target image."""


def audit_warnings(
    rows: pl.DataFrame,
    images: int,
    pool: int,
    rare: Collection[str],
    alike: Alike | None = None,
    labelled: int | None = None,
) -> list[str]:
    """What is wrong with a selection, a sentence each, the worst first; none if nothing is.

    Args:
        rows: Table AUDIT (`audit_rows`).
        images: Chosen images.
        pool: Images of the pool.
        rare: The rare classes.
        alike: None if near-duplicates have not been looked for.
        labelled: Chosen images whose objects are known; None: all.
    """
    if images == pool:
        return []
    found = class_warnings(rows, images if labelled is None else labelled, rare)
    found += _one_source(rows)
    found += _near_duplicates(alike) if alike else []
    return found


def class_warnings(rows: pl.DataFrame, images: int, rare: Collection[str]) -> list[str]:
    """Of `audit_warnings` those on classes that the selection has too few of."""
    return _rare(rows, images, rare) + _absent(rows, rare)


@dataclass(frozen=True)
class Source:
    """Where most of a selection is from."""

    kind: str
    """data set, folder, or drive or sequence."""
    name: str
    share: float
    """Of the chosen images, 0..1."""
    pool: float
    """Of the pool's, 0..1."""
    too_much: bool
    """Whether it is most of the selection, and not because it is most of the pool."""


def largest_source(rows: pl.DataFrame) -> Source | None:
    """The source that is too much of a selection, else its largest of the finest kind there is.

    None where the pool is one data set without folders.
    """
    for aspect in ("sequence", "folder", "data set"):
        if found := _most(rows, aspect):
            name, share, pool, kind = found
            return Source(kind, name, share, pool, True)
    for aspect in ("data set", "sequence", "folder"):
        own = rows.filter(pl.col("aspect") == aspect).sort("selection", "name", descending=[True, False])
        if own.height > 1 or (own.height and own["pool"][0] < 1):
            row = own.row(0, named=True)
            return Source(_KINDS.get(aspect, aspect), row["name"], row["selection"], row["pool"], False)
    return None


def _few(rows: pl.DataFrame, rare: Collection[str]) -> pl.DataFrame:
    """The rare classes that a random draw would hold more of, with the corrected probability."""
    looked_at = rows.filter(aspect="class").filter(pl.col("name").is_in(list(rare)) & (pl.col("pool_count") > 0))
    corrected = looked_at.with_columns(p=(pl.col("as_few") * looked_at.height).clip(upper_bound=1.0))
    return corrected.filter(pl.col("p") < LEAST_CHANCE).sort("p", "name")


def _rare(rows: pl.DataFrame, images: int, rare: Collection[str]) -> list[str]:
    few = _few(rows, rare)
    sentences = [
        f"{row['name']} (rare) is on {row['selection_count']:,} of {images:,} chosen images; a random draw of as many "
        f"would hold {row['pool'] * images:,.1f} ({_p(row['p'])})."
        for row in few.head(_NAMED).iter_rows(named=True)
    ]
    rest = few["name"].to_list()[_NAMED:]
    return sentences + ([f"So are {len(rest)} more rare classes: {', '.join(rest)}."] if rest else [])


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _absent(rows: pl.DataFrame, rare: Collection[str]) -> list[str]:
    there = rows.filter(aspect="class").filter(pl.col("pool_count") > 0)
    absent = there.filter(pl.col("selection_count") == 0).sort("pool_count", "name", descending=[True, False])
    if absent.is_empty():
        return []
    named = [f"{name} (on {count:,} of the pool)" for name, count in absent.select("name", "pool_count").iter_rows()]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    classes = "class is" if there.height == 1 else "classes is" if len(named) == 1 else "classes are"
    return [
        f"{len(named)} of the pool's {there.height} {classes} on no chosen image: {', '.join(named[:_NAMED])}{more}."
    ]


def _one_source(rows: pl.DataFrame) -> list[str]:
    """The data set that nearly all of the selection is from, and the sequence, else folder, that most of it is from."""
    sentences: list[str] = []
    folder = _most(rows, "sequence") or _most(rows, "folder")
    source = _most(rows, "data set")
    if source:
        sentences.append(
            f"{source[1]:.0%} of the chosen images are of one data set, {source[0]} (pool: {source[2]:.0%})."
        )
    if folder:
        sentences.append(
            f"{folder[1]:.0%} of the chosen images are of one {folder[3]}, {folder[0]} (pool: {folder[2]:.0%})."
        )
    return sentences


def _most(rows: pl.DataFrame, aspect: str) -> tuple[str, float, float, str] | None:
    least = ONE_SOURCE if aspect == "data set" else ONE_FOLDER
    own = rows.filter(pl.col("aspect") == aspect, pl.col("selection") >= least, pl.col("difference") >= _MORE)
    if own.is_empty():
        return None
    row = own.sort("selection", descending=True).row(0, named=True)
    return row["name"], row["selection"], row["pool"], _KINDS.get(aspect, aspect)


def _near_duplicates(alike: Alike) -> list[str]:
    sentences = []
    if alike.inside:
        of = f"{alike.inside:,} of {alike.compared:,} chosen images"
        sentences.append(
            f"{of} have a near-duplicate among them (cosine {alike.cosine} or more); `select --duplicate-cosine` keeps "
            "the best of each."
        )
    if alike.of_target:
        sentences.append(
            f"{alike.of_target:,} chosen images are near-duplicates of target images (cosine {alike.cosine} or more): "
            "if those judge, training on these leaks them."
        )
    return sentences
