from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.data.file_states import with_states
from thresher.errors import DataError
from thresher.features.projection import Projection
from thresher.features.shard_tables import list_shards
from thresher.features.shards import (
    ImageFeatures,
    has_fingerprint,
    is_made,
    owned,
    read_blocks,
    shard_problems,
    slices_of,
    with_slices,
    write_shard,
)
from thresher.run.digests import damaged_shards
from thresher.run.folder import Run
from thresher.run_files import shard_path

PROJECTION = Projection(np.zeros(5, np.float32), np.eye(2, 5, dtype=np.float32), 1.0)
PROBLEM = {"image_id": "z", "path": "/z", "stage": "embed", "problem": "image_unreadable", "detail": "/z: why"}
PROBLEM |= {"content": None}


def features(image_id: str, grid_h: int, grid_w: int, value: float) -> ImageFeatures:
    slices = np.full((grid_h * grid_w, 2), value, np.float16)
    slices[0, 1] = 9
    return ImageFeatures(image_id, grid_h, grid_w, 640, 480, slices, np.full(5, value, np.float16))


def listed(run: Run, numbers: list[int]) -> Run:
    ids = [*"abcz"]
    list_shards(run, numbers, with_states(pl.DataFrame({"image_id": ids, "path": [f"/{each}" for each in ids]})), {})
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made, both = Run(tmp_path), [features("a", 2, 3, 1), features("b", 1, 1, 2)]
    write_shard(shard_path(made.slices, 0), both, [PROBLEM], "print", PROJECTION, "first")
    write_shard(shard_path(made.slices, 1), [features("c", 1, 2, 3)], [], "print", PROJECTION)
    return listed(made, [0, 1])


def test_slices_come_back_image_by_image(run: Run) -> None:
    first, second = read_blocks(run.slices)
    assert first.image_ids == ["a", "b"]
    assert first.starts.tolist() == [0, 6, 7]
    assert first.grids.tolist() == [[2, 3], [1, 1]]
    assert first.slices.tolist() == [[1, 9], *[[1, 1]] * 5, [2, 9]]
    assert second.slices.tolist() == [[3, 9], [3, 3]]
    assert [block.image_ids for block in read_blocks(run.slices, [1, 0])] == [["c"], ["a", "b"]]


def test_wanted_images_are_gathered_over_shards_in_id_order(run: Run) -> None:
    block = slices_of(run.slices, {"c", "a", "unknown"})
    assert block.image_ids == ["a", "c"]
    assert block.pooled[:, 0].tolist() == [1, 3]
    assert block.starts.tolist() == [0, 6, 8]
    assert block.slices[6:].tolist() == [[3, 9], [3, 3]]
    assert with_slices(run.slices, {"c", "z", "unknown"}) == {"c"}


def test_a_shard_knows_what_made_it_and_what_failed(run: Run) -> None:
    path = shard_path(run.slices, 0)
    assert is_made(path, "first")
    assert not is_made(path, "print")
    assert has_fingerprint(path, "print")
    assert not has_fingerprint(shard_path(run.slices, 7), "print")
    assert shard_problems(path) == [PROBLEM]


def test_the_tables_list_what_the_shards_hold(run: Run) -> None:
    assert tables.read(run.shards, tables.SHARDS)["images"].to_list() == [2, 1]
    embedded = tables.read(run.embedded, tables.EMBEDDED)
    columns = ("image_id", "shard", "slices", "path")
    assert embedded.select(columns).rows() == [
        ("a", 0, 6, "/a"),
        ("b", 0, 1, "/b"),
        ("c", 1, 2, "/c"),
        ("z", 0, None, "/z"),
    ]
    assert tables.read(run.pooled, tables.POOLED)["image_id"].to_list() == [*"abc"]


def test_what_is_not_listed_is_not_read_and_goes(run: Run) -> None:
    write_shard(shard_path(run.slices, 2), [features("d", 1, 1, 1)], [], "print", PROJECTION)
    assert sum(len(block.image_ids) for block in read_blocks(run.slices)) == 3
    listed(run, [0])
    assert [path.name for path in run.slices.iterdir()] == ["part-00000.parquet"]


def test_equal_shards_have_equal_bytes(run: Run, tmp_path: Path) -> None:
    again = tmp_path / "again.parquet"
    write_shard(again, [features("c", 1, 2, 3)], [], "print", PROJECTION)
    assert again.read_bytes() == shard_path(run.slices, 1).read_bytes()


def test_a_shard_in_which_every_image_failed_is_still_a_shard(run: Run) -> None:
    write_shard(shard_path(run.slices, 0), [], [PROBLEM], "print", PROJECTION)
    listed(run, [0])
    assert list(read_blocks(run.slices)) == []
    assert shard_problems(shard_path(run.slices, 0)) == [PROBLEM]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip])
def test_a_damaged_shard_is_seen_when_it_is_read_and_when_it_is_asked_for(
    run: Run, damage: Callable[[Path], None]
) -> None:
    assert damaged_shards(run.slices) == []
    path = shard_path(run.slices, 1)
    os.utime(run.shards, ns=(1, 1))
    damage(path)
    assert damaged_shards(run.slices) == [1]
    with pytest.raises(
        DataError, match=r"part-00001.parquet: (no such file|damaged).*same `thresher embed .* …` again"
    ):
        list(read_blocks(run.slices))
    assert slices_of(run.slices, {"a"}).image_ids == ["a"]


def test_a_flipped_bit_that_left_no_trace_is_seen_once_the_shard_has_been_read(run: Run) -> None:
    path = shard_path(run.slices, 1)
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert damaged_shards(run.slices) == []
    with pytest.raises(DataError, match="damaged"):
        list(read_blocks(run.slices))
    assert damaged_shards(run.slices) == [1]


def test_words_of_errors(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 images has slices"):
        slices_of(run.slices, {"nobody"})
    with pytest.raises(DataError, match="no slices. Run .thresher embed .* first"):
        list(read_blocks(tmp_path / "empty" / "slices"))


def test_shards_out_of_order_are_put_in_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for number, image_id in enumerate("cab"):
        write_shard(shard_path(run.slices, number), [features(image_id, 1, 2, number)], [], "print", PROJECTION)
    block = slices_of(listed(run, [0, 1, 2]).slices, {"a", "b", "c"})
    assert block.image_ids == ["a", "b", "c"]
    assert block.pooled[:, 0].tolist() == [1, 2, 0]
    assert block.slices[::2].tolist() == [[1, 9], [2, 9], [0, 9]]
    assert block.starts.tolist() == [0, 2, 4, 6]
    assert tables.read(run.pooled, tables.POOLED)["image_id"].to_list() == ["a", "b", "c"]


def test_an_owned_part_keeps_nothing_of_the_rest(run: Run) -> None:
    first = next(read_blocks(run.slices))
    part = owned(first, [False, True])
    assert (part.image_ids, part.starts.tolist(), part.slices.tolist()) == (["b"], [0, 1], [[2, 9]])
    assert not np.shares_memory(part.slices, first.slices)
