"""A run's tables are read once each, when they are asked for, and stay what they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thresher import OpenedRun, Run, tables
from thresher.density.mixture import load_mixture
from thresher.errors import DataError, SettingsError


@pytest.fixture
def run(tmp_path: Path, hostile_run: Callable[[Path], Run]) -> Run:
    return hostile_run(tmp_path)


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each table was opened, by its file's name."""
    opened: Counter[str] = Counter()
    for name in ("scan_parquet", "read_parquet"):
        plain: Any = getattr(pl, name)

        def counting(path: Any, *rest: Any, plain: Any = plain, **named: Any) -> Any:
            opened[Path(path).name] += 1
            return plain(path, *rest, **named)

        monkeypatch.setattr(pl, name, counting)
    return opened


def test_nothing_is_read_before_it_is_asked_for_and_nothing_twice(run: Run, opened_files: Counter[str]) -> None:
    opened = OpenedRun(run)
    assert not opened_files
    for _ in range(2):
        assert opened.pool.height == 60
        assert opened.target.height == 6
        assert opened.scores.height == 60
        assert opened.boxes.height > 0
        assert opened.counts.height == 30
        assert opened.frequencies.labelled_images == opened.labelled.height == 30
        assert opened.class_boxes("pool", opened.pool).height == 2
        assert opened.vectors(opened.target)[1].shape == (6, 6)
    assert dict(opened_files) == {"images.parquet": 1, "boxes.parquet": 1, "scores.parquet": 1, "pooled.parquet": 1}


def test_counts_without_all_boxes_in_memory_are_the_same(run: Run) -> None:
    streamed, kept = OpenedRun(run), OpenedRun(run)
    assert kept.boxes.height
    assert streamed.counts.sort("image_id").equals(kept.counts.sort("image_id"))
    assert "boxes" not in vars(streamed)


def test_a_data_set_without_a_box_is_not_labelled(run: Run) -> None:
    opened = OpenedRun(run)
    sets = opened.pool.join(opened.labelled, on="image_id", how="semi")["dataset"].unique()
    assert len(sets) == 1  # even images have boxes, odd ones none, and they are of two sets


def test_boxes_of_some_images_have_all_columns(run: Run) -> None:
    opened = OpenedRun(run)
    some = opened.pool.sort("image_id").head(3)
    assert opened.boxes_of(some).schema == dict(tables.BOXES)
    assert set(opened.boxes_of(some)["image_id"]) <= set(some["image_id"])


def test_columns_of_ones_own_stay_beside_the_scores_and_later_ones_are_null(run: Run) -> None:
    scores = pl.read_parquet(run.scores_path)
    scores.drop("yield_area").with_columns(mine=pl.lit(1.5)).write_parquet(run.scores_path)
    found = OpenedRun(run).scores
    assert found["mine"].unique().to_list() == [1.5]
    assert found["yield_area"].null_count() == found.height
    assert run.scores().equals(found)


def test_words_of_what_is_not_there(tmp_path: Path, run: Run) -> None:
    empty = OpenedRun(tmp_path / "empty")
    with pytest.raises(
        DataError, match=r"images.parquet: no such file. `index` writes it: run `thresher index .*empty"
    ):
        _ = empty.images
    with pytest.raises(SettingsError, match=r"No selection named 'first' in .*empty. There is none yet: run `thresher"):
        empty.selection("first")
    tables.write(tables.empty(tables.SELECTION), run.selection_path("second"))
    with pytest.raises(SettingsError, match="No selection named 'first' in .* Available: second"):
        run.selection("first")
    pl.read_parquet(run.scores_path).drop("layout").write_parquet(run.scores_path)
    with pytest.raises(DataError, match="column 'layout' is missing"):
        run.scores()


def test_a_damaged_mixture_names_the_command_that_makes_it_again(tmp_path: Path) -> None:
    path = tmp_path / "mixture.safetensors"
    path.write_bytes(b"junk")
    with pytest.raises(
        DataError, match="mixture.safetensors: not a readable safetensors file .* `thresher fit .* again"
    ):
        load_mixture(path)
