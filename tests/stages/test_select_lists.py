"""select with lists of images to keep and to leave out, and what became of every image of the pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, selected
from thresher.selection.choose import Selection
from thresher.stages.candidates import candidates_of
from thresher.stages.select import SelectSettings, choose, lists_in, select


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    """By layout images come in the order of their numbers, 0 to 59."""
    return hostile_run(tmp_path)


@pytest.fixture
def ids(run: Run) -> list[str]:
    return tables.read(run.images, tables.INDEXED_IMAGES)["image_id"].sort().to_list()


def numbers(run: Run, name: str, **settings: object) -> list[int]:
    select(run, SelectSettings(method="layout", name=name, **settings))  # type: ignore[arg-type]
    return [int(each[5:8]) for each in selected(run, name)["image_id"]]


def choice(run: Run, **settings: object) -> Selection:
    made = SelectSettings(method="layout", **settings)  # type: ignore[arg-type]
    return choose(candidates_of(OpenedRun(run), lists=lists_in(made)), made, pl.DataFrame(schema=MARKS))


MARKS = {"image_id": pl.String, "mark": pl.String}


def test_what_was_used_is_left_out_and_the_count_told(run: Run, ids: list[str], tmp_path: Path) -> None:
    (tmp_path / "used.txt").write_text("\n".join([ids[0], ids[2], "gone"]))
    assert numbers(run, "new", budget=3, exclude=tmp_path / "used.txt") == [1, 3, 4]
    summary = run.recorded()["select:new"]["summary"]
    assert summary["excluded"] == 2
    assert summary[f"not_in_the_pool: {tmp_path}/used.txt"] == "1 of 3 (first: gone)"


def test_a_larger_selection_contains_the_one_it_keeps(run: Run) -> None:
    small = numbers(run, "small", budget=4, quotas=("sign=3",))
    large = numbers(run, "large", budget=8, keep="small")
    assert small == [0, 1, 8, 16] and large == [0, 1, 2, 3, 4, 5, 8, 16]
    assert run.recorded()["select:large"]["summary"]["kept"] == 4
    assert numbers(run, "other", budget=4, exclude=("small",)) == [2, 3, 4, 5]


def test_every_image_of_the_pool_is_accounted_for(run: Run, ids: list[str], tmp_path: Path) -> None:
    (tmp_path / "used.csv").write_text(f"image_id\n{ids[4]}\n{ids[6]}\n")
    (tmp_path / "mine.txt").write_text(ids[42])
    dataset = tables.read(run.images, tables.INDEXED_IMAGES).sort("image_id")["dataset"][0]
    made = choice(
        run, budget=5, datasets=dataset, exclude=tmp_path / "used.csv", keep=tmp_path / "mine.txt", quotas="sign=3"
    )
    told = dict(made.steps.group_by("step").len().iter_rows())
    assert told == {"datasets": 30, "exclude": 2}
    assert made.candidates.height == 28
    assert made.steps.filter(image_id=ids[4])["reason"][0] == f"listed in {tmp_path}/used.csv"
    assert made.steps.filter(image_id=ids[1])["reason"][0].startswith("of data set set 1")
    decisions = {int(each[5:8]): why for each, why in made.decided.iter_rows()}
    assert decisions == {0: "rank", 2: "rank", 8: "rank", 16: "quota sign", 42: "kept"}


def test_images_without_a_score_say_so(run: Run, ids: list[str]) -> None:
    scores = tables.read(run.scores_path, tables.SCORES)
    first = pl.col("image_id") == ids[0]
    tables.write(scores.with_columns(layout=pl.when(~first).then("layout")), run.scores_path)
    assert choice(run, budget=3).steps.rows() == [(ids[0], "not ranked", "no value of layout")]


def test_lists_that_cannot_be_meant_have_words(run: Run, ids: list[str], tmp_path: Path) -> None:
    numbers(run, "first", budget=2)
    (tmp_path / "none.txt").write_text("gone\nlost\n")
    (tmp_path / "one.txt").write_text(ids[0])
    with pytest.raises(SettingsError, match="No selection named 'frist'.* Available: first. Or give a file: .txt"):
        numbers(run, "new", budget=2, exclude="frist")
    with pytest.raises(DataError, match="none of its 2 images is in the pool .first: gone.. Expected an image_id such"):
        numbers(run, "new", budget=2, exclude=tmp_path / "none.txt")
    with pytest.raises(SettingsError, match="exclude 'first': 1 of its images are kept or pinned as well"):
        numbers(run, "new", budget=2, exclude="first", keep=tmp_path / "one.txt")
    with pytest.raises(SettingsError, match="2 images are pinned or kept; the budget is 1"):
        numbers(run, "new", budget=1, keep="first")


def test_tests_of_columns_of_ones_own_and_of_how_often_an_image_was_chosen(
    run: Run, ids: list[str], tmp_path: Path
) -> None:
    own = pl.DataFrame(
        {"image_id": ids[:20], "unsure": [float(n) for n in range(20)], "used": [n < 5 for n in range(20)]}
    )
    own.write_parquet(tmp_path / "own.parquet")
    mine = {"columns": tmp_path / "own.parquet"}
    assert numbers(run, "tested", budget=2, where="unsure >= 7", **mine) == [7, 8]
    assert run.recorded()["select:tested"]["summary"]["left_out_by_where"] == 47
    assert numbers(run, "unused", budget=2, exclude="used = true", **mine) == [5, 6]
    select(run, SelectSettings(method="unsure", budget=2, name="doubtful", **mine))  # type: ignore[arg-type]
    assert selected(run, "doubtful")["image_id"].to_list() == [ids[19], ids[18]]
    fresh = {"budget": 2, "where": "chosen_before = 0"}
    assert numbers(run, "fresh", **fresh) == [0, 1]
    assert numbers(run, "later", **fresh) == [2, 3]
    assert run.recorded()["select:later"]["summary"]["chosen_before"] == ["doubtful", "fresh", "tested", "unused"]
    # What came later does not count: it stays as it is.
    assert numbers(run, "fresh", **fresh) == [0, 1]
    assert choice(run, budget=2, where="chosen_before < 1").candidates.height == 60


def test_what_is_wished_and_what_was_used_together(run: Run) -> None:
    numbers(run, "used", budget=10)
    chosen = numbers(run, "next", budget=6, exclude="used", at_least={"objects:sign": 4}, at_most="dataset:*=4")
    assert chosen == [11, 13, 16, 24, 32, 40]
    signs = [number for number in chosen if number % 8 == 0]
    assert len(signs) == 4 and min(chosen) > 9 and sum(number % 2 for number in chosen) == 2
    summary = run.recorded()["select:next"]["summary"]
    assert summary["excluded"] == 10 and "wishes_not_met" not in summary
