"""select with near-duplicates, weights, data sets and reviews, on made-up tables whose order is known."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.numpy

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.opened import selected
from thresher.stages.select import SelectSettings, select


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    """By layout images come in the order of their numbers. 0, 1 and 2 look the same; 4 looks like a target image."""
    made = hostile_run(tmp_path)
    pooled = tables.read(made.pooled, tables.POOLED).sort("image_id")  # the pool's 60, then the target's 6
    vectors = np.eye(66, dtype=np.float16)
    vectors[1], vectors[2] = vectors[0] * 3, vectors[0]
    vectors[4] = vectors[60]
    tables.write(pooled.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, 66))), made.pooled)
    return made


def numbers(run: Run, **settings: object) -> list[int]:
    select(run, SelectSettings(method="layout", budget="4", name="tried", **settings))  # type: ignore[arg-type]
    return [int(each[5:8]) for each in selected(run, "tried")["image_id"]]


def reviewed(run: Run, **marks: str) -> str:
    now = datetime.datetime.now(datetime.UTC)
    ids = tables.read(run.images, tables.INDEXED_IMAGES)["image_id"].sort().to_list()
    rows: list[dict[str, object]] = [
        {"at": now, "person": "ada", "what": "mark", "image_id": ids[int(number[1:])], "value": mark}
        for number, mark in marks.items()
    ]
    tables.write(tables.from_rows(rows, tables.REVIEW), run.review("mine"))
    return "mine"


def test_of_what_looks_the_same_the_best_is_taken_and_nothing_like_the_target(run: Run) -> None:
    assert numbers(run) == [0, 1, 2, 3]
    assert numbers(run, duplicate_cosine=0.95) == [0, 3, 5, 6]
    assert run.recorded()["select:tried"]["summary"]["near_duplicates_left_out"] == 3


def test_what_is_pinned_stands_for_those_that_look_the_same(run: Run) -> None:
    review = reviewed(run, n2="pinned", n4="pinned")
    assert numbers(run, duplicate_cosine=0.95, review=review) == [2, 3, 4, 5]


def test_another_of_the_same_takes_the_place_of_a_rejected_one(run: Run) -> None:
    assert numbers(run, duplicate_cosine=0.95, review=reviewed(run, n0="rejected")) == [1, 3, 5, 6]


def test_the_vectors_are_an_input_only_where_they_are_asked_for(run: Run) -> None:
    numbers(run)
    assert "pooled" not in run.recorded()["select:tried"]["inputs"]
    numbers(run, duplicate_cosine=0.9)
    assert "pooled" in run.recorded()["select:tried"]["inputs"]


def test_wishes_that_cannot_be_met_have_words(run: Run) -> None:
    for settings, words in (
        ({"duplicate_cosine": 1.5}, "duplicate_cosine = 1.5: expected 0 .off. to 1"),
        ({"diversity_weight": 0.7}, "diversity_weight: method 'layout' has none. Use both or layout_and_diversity"),
        ({"quotas": ("sign",)}, "quotas 'sign': expected CLASS=NUMBER"),
        ({"datasets": ("nowhere",)}, "datasets 'nowhere': no such data set in the pool. Known: set 0"),
        ({"review": "../x"}, "name '../x': expected letters"),
    ):
        with pytest.raises(SettingsError, match=words):
            numbers(run, **settings)
    with pytest.raises(DataError, match="reviews/gone.parquet: no such file"):
        numbers(run, review="gone")
    rows = [{"what": "mark", "image_id": "pool/gone", "value": "pinned"}]
    tables.write(tables.from_rows(rows, tables.REVIEW), run.review("old"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="1 pinned images are not in the pool .first: pool/gone."):
        numbers(run, review="old")


def test_a_dry_run_counts_what_could_be_chosen(run: Run) -> None:
    def candidates(**wishes: object) -> int:
        planned = select(run, SelectSettings("layout", "3", **wishes), dry_run=True)  # type: ignore[arg-type]
        return int(planned.summary["candidates"])

    even = tables.read(run.images, tables.INDEXED_IMAGES).sort("image_id")["dataset"][0]
    assert candidates() == 60
    assert candidates(datasets=(even,)) == 30
    assert candidates(review=reviewed(run, n0="rejected", n2="rejected")) == 58
    with pytest.raises(SettingsError, match="only 30 images can be chosen"):
        select(run, SelectSettings("layout", "31", datasets=(even,)), dry_run=True)
    with pytest.raises(
        SettingsError, match="method 'yield_area': no image has this score. Run .thresher score RUN --network"
    ):
        select(run, SelectSettings("yield_area", "3"), dry_run=True)


def test_a_method_with_coverage_says_so_in_name_and_summary(run: Run) -> None:
    """0, 1 and 2 look the same: of the first eight by layout, the five to choose are others."""
    settings = SelectSettings(method="layout+images", budget="5", shortlist="8")
    assert (settings.method, settings.coverage, settings.selection_name) == ("layout", "images", "layout+images-5")
    assert settings == SelectSettings(method="layout", coverage="images", budget="5", shortlist="8")
    select(run, settings)
    chosen = [int(each[5:8]) for each in selected(run, "layout+images-5")["image_id"]]
    assert len(set(chosen) & {0, 1, 2}) == 1 and set(chosen) <= set(range(8))
    assert run.recorded()["select:layout+images-5"]["summary"]["coverage"] == "images"
    drawn = SelectSettings(method="random+clusters", budget="4", seed=2)
    assert drawn.selection_name == "random+clusters-4-seed2"
    assert select(run, drawn).summary["images"] == 4
    with pytest.raises(SettingsError, match=r"method = layout\+images, coverage = modes: expected one coverage"):
        SelectSettings(method="layout+images", coverage="modes")


def test_coverage_looks_no_further_than_what_is_alike(run: Run) -> None:
    """0, 1 and 2 look the same, and are all of the pool that is as near as the target's own images."""

    def chosen(name: str = "tried", **settings: object) -> list[int]:
        select(run, SelectSettings(budget="3", name=name, **settings))  # type: ignore[arg-type]
        return sorted(int(each[5:8]) for each in selected(run, name)["image_id"])

    drawn = chosen(method="random+images")
    assert chosen(method="layout+images") == [0, 3, 4]
    run.evidence.write_bytes(safetensors.numpy.save({"alike_share": np.array([0.05])}))
    assert chosen(method="layout+images", name="again") == [0, 1, 2]
    assert chosen(method="layout+images", shortlist="5x") == [0, 3, 4]
    # A ranking that is not one by likeness has no place where likeness ends.
    assert chosen(method="random+images") == drawn
