"""choose with vectors: what covers, and what is nearly the same, as on a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from thresher.errors import DataError, SettingsError
from thresher.selection.on_frames import choose

IDS = [f"i{number}" for number in range(40)]


@pytest.fixture
def vectors() -> np.ndarray:
    """Four directions, ten images each; those of a direction differ a little."""
    rng = np.random.default_rng(0)
    return np.repeat(np.eye(4, 8), 10, axis=0) + 0.2 * rng.normal(size=(40, 8))


def chosen(budget: int, **more: Any) -> list[str]:
    """The ranking is that of the numbers: i0 is the best."""
    found: list[str] = choose({"near": -np.arange(40.0)}, budget, ids=IDS, **more)["image_id"].to_list()
    return found


@pytest.mark.parametrize("coverage", ["images", "clusters"])
def test_coverage_takes_of_every_direction(vectors: np.ndarray, coverage: str) -> None:
    assert {int(each[1:]) // 10 for each in chosen(4)} == {0}
    assert {int(each[1:]) // 10 for each in chosen(4, vectors=vectors, coverage=coverage, shortlist="100%")} == {
        0,
        1,
        2,
        3,
    }
    # Of a shortlist of the first twenty there are two directions.
    assert {int(each[1:]) // 10 for each in chosen(4, vectors=vectors, coverage=coverage)} == {0, 1}


def test_modes_follow_the_target(vectors: np.ndarray) -> None:
    target = np.repeat(np.eye(4, 8)[:2], [30, 10], axis=0)
    found = chosen(8, vectors=vectors, coverage="modes", target=target, shortlist="8")
    assert [int(each[1:]) // 10 for each in found].count(0) == 6


def test_near_duplicates_of_better_images_and_of_the_target_are_left_out(vectors: np.ndarray) -> None:
    vectors[3], vectors[5] = vectors[1] * 2, [0, 0, 0, 0, 0, 0, 0, 1]
    found = chosen(5, vectors=vectors, target=[[0, 0, 0, 0, 0, 0, 0, 3.0]], duplicate_cosine=0.999)
    assert found == ["i0", "i1", "i2", "i4", "i6"]


def test_a_table_of_vectors_may_come_in_any_order(vectors: np.ndarray) -> None:
    table = pl.DataFrame({"image_id": IDS, "vector": vectors.tolist()}).sample(fraction=1, shuffle=True, seed=1)
    asked: dict[str, Any] = {"coverage": "images", "shortlist": "100%"}
    assert chosen(6, vectors=table, **asked) == chosen(6, vectors=vectors, **asked)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"coverage": "images"}, "vectors = ARRAY"),
        ({"vectors": np.ones((40, 8)), "coverage": "modes"}, "target = ARRAY"),
        ({"vectors": np.ones((3, 8)), "coverage": "images"}, "3 for 40 images"),
        ({"vectors": np.ones(40)}, r"shape \(40,\)"),
        ({"vectors": np.ones((40, 8)), "target": np.ones((2, 7))}, "vectors of 7 numbers"),
        ({"vectors": np.ones((40, 8)), "duplicate_cosine": 2.0}, "expected 0"),
    ],
)
def test_what_cannot_work_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises((DataError, SettingsError), match=words):
        chosen(4, **more)


def test_a_table_of_vectors_has_a_row_per_image_of_the_scores(vectors: np.ndarray) -> None:
    table = pl.DataFrame({"image_id": IDS, "vector": vectors.tolist()})
    with pytest.raises(DataError, match="holds an id twice"):
        chosen(4, vectors=pl.concat([table, table.head(2)]), coverage="images")
    with pytest.raises(DataError, match=r"none of them is of an image with a score \(first: x/i0; scores: i0\)"):
        chosen(4, vectors=table.with_columns(image_id="x/" + pl.col("image_id")), coverage="images")
    assert chosen(40, vectors=table.head(5), coverage="images", shortlist=20)[:5] != [f"i{n}" for n in range(35, 40)]
