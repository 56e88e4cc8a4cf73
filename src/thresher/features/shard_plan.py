"""Which shards stay, which are put together from others, and which images the backbone must work on: no file is read.

A plan follows from the tables of the last finished `embed` and from the images as they are now. It does not change
while shards are being made, so that an interrupted `embed` goes on with it, and the jobs of an array agree.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Batch:
    """A shard to be made by the backbone: its number, its images by id, and the fingerprint of all that shapes it."""

    number: int
    image_ids: tuple[str, ...]
    task: str


@dataclass(frozen=True)
class Gathering:
    """A shard to be put together from rows of others."""

    number: int
    sources: Mapping[int, tuple[str, ...]]
    """Number of each source → the images to take from it."""
    task: str


@dataclass(frozen=True)
class ShardPlan:
    """What `embed` has to do."""

    kept: tuple[int, ...]
    """Numbers of the shards that stay as they are."""
    gatherings: tuple[Gathering, ...]
    batches: tuple[Batch, ...]

    @property
    def numbers(self) -> list[int]:
        """The shards that there will be."""
        made = [each.number for each in self.gatherings] + [each.number for each in self.batches]
        return sorted([*self.kept, *made])

    @property
    def embedded_now(self) -> int:
        """How many images the backbone works on."""
        return sum(len(each.image_ids) for each in self.batches)


def planned(
    images: pl.DataFrame, unchanged: pl.DataFrame, last: pl.DataFrame, lost: Collection[int], size: int, shaped_by: str
) -> ShardPlan:
    """The shards of these images, given those that there are.

    Shards all of whose images are unchanged stay. Of the others the unchanged rows go to new shards, together with
    shards of fewer than half of `size` images: of those at most one stays, so that they do not add up. A lost shard is
    made again under its own number. New and changed images go to new shards of `size` images.

    Args:
        images: Every image of the index: image_id, and what its shard's fingerprint is to tell of it.
        unchanged: image_id and shard of those that are as they were when their shard was made.
        last: image_id and shard of all images when `embed` last ended.
        lost: Shards that are listed, but not there or damaged.
        size: Most images per shard.
        shaped_by: Fingerprint of backbone and projection.

    >>> images = pl.DataFrame({"image_id": ["a", "b", "c"]})
    >>> last = pl.DataFrame({"image_id": ["a", "b"], "shard": [0, 0]})
    >>> plan = planned(images, last, last, [], size=2, shaped_by="")
    >>> plan.kept, [(each.number, each.image_ids) for each in plan.batches]
    ((0,), [(1, ('c',))])
    """
    here = _by_shard(unchanged)
    before = dict(last.group_by("shard").len().iter_rows())
    whole = {number: ids for number, ids in here.items() if number not in lost}
    reduced = {number: ids for number, ids in whole.items() if len(ids) < before[number]}
    small = {number: ids for number, ids in whole.items() if len(ids) < size / 2}
    moved = reduced | (small if len(small) > 1 else {})
    free = _free_numbers(here)
    batches = [
        _batch(number, images.filter(pl.col("image_id").is_in(here[number])), shaped_by)
        for number in sorted(here)
        if number in lost
    ]
    gatherings = []
    for sources in _packed({number: moved[number] for number in sorted(moved)}, size):
        listed = [[number, list(ids)] for number, ids in sources.items()]
        gatherings.append(Gathering(next(free), sources, _print([shaped_by, "gathered", listed])))
    new = images.join(unchanged, on="image_id", how="anti").sort("image_id")
    batches += [_batch(next(free), each, shaped_by) for each in new.iter_slices(size) if each.height]
    return ShardPlan(tuple(sorted(set(whole) - set(moved))), tuple(gatherings), tuple(batches))


def _by_shard(images: pl.DataFrame) -> dict[int, tuple[str, ...]]:
    grouped = images.sort("image_id").group_by("shard", maintain_order=True).agg("image_id")
    return {number: tuple(ids) for number, ids in grouped.select("shard", "image_id").iter_rows()}


def _free_numbers(taken: Collection[int]) -> Iterator[int]:
    return (number for number in itertools.count() if number not in taken)


def _packed(moved: Mapping[int, tuple[str, ...]], size: int) -> Iterator[dict[int, tuple[str, ...]]]:
    """The shards to be moved in groups of at most `size` images; of half of that or more each is alone."""
    group: dict[int, tuple[str, ...]] = {}
    for number, ids in moved.items():
        if len(ids) >= size / 2:
            yield {number: ids}
            continue
        if sum(map(len, group.values())) + len(ids) > size:
            yield group
            group = {}
        group[number] = ids
    if group:
        yield group


def _batch(number: int, images: pl.DataFrame, shaped_by: str) -> Batch:
    images = images.sort("image_id")
    return Batch(number, tuple(images["image_id"]), _print([shaped_by, [list(row) for row in images.iter_rows()]]))


def _print(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
