from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thresher.errors import DataError
from thresher.features.projection import Projection
from thresher.features.shards import (
    ImageFeatures,
    owned,
    read_blocks,
    shard_is_current,
    shard_path,
    shard_problems,
    slices_in_shards,
    slices_of,
    write_shard,
)

PROJECTION = Projection(np.zeros(5, np.float32), np.eye(2, 5, dtype=np.float32), 1.0)
PROBLEM = {"image_id": "z", "path": "/z", "stage": "embed", "problem": "image_unreadable", "detail": "why"}


def features(image_id: str, grid_h: int, grid_w: int, value: float) -> ImageFeatures:
    slices = np.full((grid_h * grid_w, 2), value, np.float16)
    slices[0, 1] = 9
    return ImageFeatures(image_id, grid_h, grid_w, 640, 480, slices, np.full(5, value, np.float16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shard(
        shard_path(tmp_path, 0), [features("a", 2, 3, 1), features("b", 1, 1, 2)], [PROBLEM], "print", PROJECTION
    )
    write_shard(shard_path(tmp_path, 1), [features("c", 1, 2, 3)], [], "print", PROJECTION)
    return tmp_path


def test_slices_come_back_image_by_image(folder: Path) -> None:
    first, second = read_blocks(folder)
    assert first.image_ids == ["a", "b"]
    assert first.starts.tolist() == [0, 6, 7]
    assert first.grids.tolist() == [[2, 3], [1, 1]]
    assert first.slices.tolist() == [[1, 9], *[[1, 1]] * 5, [2, 9]]
    assert second.slices.tolist() == [[3, 9], [3, 3]]


def test_wanted_images_are_gathered_over_shards_in_id_order(folder: Path) -> None:
    block = slices_of(folder, {"c", "a", "unknown"})
    assert block.image_ids == ["a", "c"]
    assert block.pooled[:, 0].tolist() == [1, 3]
    assert block.starts.tolist() == [0, 6, 8]
    assert block.slices[6:].tolist() == [[3, 9], [3, 3]]


def test_a_shard_knows_what_made_it_and_what_failed(folder: Path) -> None:
    path = shard_path(folder, 0)
    assert shard_is_current(path, "print")
    assert not shard_is_current(path, "another")
    assert not shard_is_current(shard_path(folder, 7), "print")
    assert shard_problems(path) == [PROBLEM]


def test_equal_shards_have_equal_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.parquet"
    write_shard(again, [features("c", 1, 2, 3)], [], "print", PROJECTION)
    assert again.read_bytes() == shard_path(folder, 1).read_bytes()


def test_a_shard_in_which_every_image_failed_is_still_a_shard(tmp_path: Path) -> None:
    write_shard(shard_path(tmp_path, 0), [], [PROBLEM], "print", PROJECTION)
    assert list(read_blocks(tmp_path)) == []
    assert shard_problems(shard_path(tmp_path, 0)) == [PROBLEM]


def test_words_of_errors(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 images has slices"):
        slices_of(folder, {"nobody"})
    with pytest.raises(DataError, match="no slices. Run .thresher embed .* first"):
        list(read_blocks(tmp_path / "empty"))


def test_wanted_slices_come_shard_by_shard_in_the_order_asked_for(folder: Path) -> None:
    parts = list(slices_in_shards(folder, {"b", "c"}, order=[1, 0]))
    assert [part.tolist() for part in parts] == [[[3, 9], [3, 3]], [[2, 9]]]
    assert [len(part) for part in slices_in_shards(folder, {"c"})] == [2]


def test_shards_out_of_order_are_put_in_it(tmp_path: Path) -> None:
    for number, image_id in enumerate("cab"):
        write_shard(shard_path(tmp_path, number), [features(image_id, 1, 2, number)], [], "print", PROJECTION)
    block = slices_of(tmp_path, {"a", "b", "c"})
    assert block.image_ids == ["a", "b", "c"]
    assert block.pooled[:, 0].tolist() == [1, 2, 0]
    assert block.slices[::2].tolist() == [[1, 9], [2, 9], [0, 9]]
    assert block.starts.tolist() == [0, 2, 4, 6]


def test_an_owned_part_keeps_nothing_of_the_rest(folder: Path) -> None:
    first = next(read_blocks(folder))
    part = owned(first, [False, True])
    assert (part.image_ids, part.starts.tolist(), part.slices.tolist()) == (["b"], [0, 1], [[2, 9]])
    assert not np.shares_memory(part.slices, first.slices)
