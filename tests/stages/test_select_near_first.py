"""Near-duplicates are looked for only as far down as a choice goes, and the choice is that of having looked at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import thresher
from thresher import tables
from thresher.errors import SettingsError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.selection import redundancy
from thresher.selection.filters import Apart, Line
from thresher.selection.redundancy import Near, leaders
from thresher.stages.candidates import enough_of
from thresher.stages.select import SelectSettings, candidates_for, choose, select

NO_MARKS = pl.DataFrame(schema={"image_id": pl.String, "mark": pl.String})


@pytest.fixture(autouse=True)
def as_if_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools of any size are looked at four images at a time, in cells of about five."""
    monkeypatch.setattr(redundancy, "EXACT_ROWS", 0)
    monkeypatch.setattr(redundancy, "_BLOCK", 4)
    monkeypatch.setattr(redundancy, "_CELL_ROWS", 5)


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    """60 images in the pool, about a third near-duplicates of better ones."""
    made = hostile_run(tmp_path)
    pooled = tables.read(made.pooled, tables.POOLED).sort("image_id")
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 66)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    tables.write(pooled.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, 2))), made.pooled)
    return made


def both(
    run: Run, cosine: float = 0.999, alike: float | None = None, **settings: object
) -> tuple[list[str], int | None]:
    """The chosen images, which have to be those of having compared all; and how many were compared."""
    asked = SelectSettings(method="layout", duplicate_cosine=cosine, **settings)  # type: ignore[arg-type]
    candidates = replace(candidates_for(OpenedRun(run), asked), alike=alike)
    early, whole = choose(candidates, asked, NO_MARKS), choose(candidates, asked, NO_MARKS, compare_all=True)
    assert whole.compared is None
    assert early.chosen.equals(whole.chosen) and early.decided.equals(whole.decided)
    assert early.unmet == whole.unmet
    gone = early.steps.filter(step="near-duplicate")
    assert gone.join(whole.steps, on=["image_id", "reason"], how="semi").height == gone.height
    return early.chosen["image_id"].to_list(), early.compared


def test_few_are_compared_where_few_are_chosen(run: Run) -> None:
    chosen, compared = both(run, budget="3")
    assert len(chosen) == 3 and compared is not None and compared <= 8
    _, more = both(run, budget="3", coverage="images", shortlist="4x")
    assert more is not None and compared < more < 40
    summary = select(run, SelectSettings("layout", "3", name="few", duplicate_cosine=0.999)).summary
    assert summary["near_duplicates_looked_for_among"] == compared


@pytest.mark.parametrize("coverage", ["off", "images", "clusters", "by_class"])
def test_what_wishes_take_from_further_down_is_compared_too(run: Run, coverage: str) -> None:
    images = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool")
    name = images["dataset"].sort()[0]
    _, plain = both(run, budget="4", coverage=coverage, shortlist="6")
    _, capped = both(run, budget="4", coverage=coverage, shortlist="6", at_most=f"dataset:{name}=0")
    assert plain is not None and (capped is None or capped >= plain)
    last = OpenedRun(run).scores.sort("layout")["image_id"][0]
    listed = run.folder / "last.txt"
    listed.write_text(last)
    chosen, _ = both(run, budget="4", coverage=coverage, shortlist="6", keep=str(listed))
    assert last in chosen


@pytest.mark.parametrize(
    "settings", [{"budget": "10%"}, {"budget": "3", "coverage": "images", "shortlist": "20%"}, {"budget": "60%"}]
)
def test_all_are_compared_where_shares_are_asked_for(run: Run, settings: dict[str, str]) -> None:
    assert both(run, **settings)[1] is None


def test_a_wish_that_only_the_last_image_can_meet_is_met(run: Run) -> None:
    asked = SelectSettings("layout", "3", duplicate_cosine=0.999)
    last = choose(candidates_for(OpenedRun(run), asked), asked, NO_MARKS, compare_all=True).candidates["image_id"][-1]
    table = run.folder / "mine.csv"
    ids = OpenedRun(run).scores.select("image_id")
    ids.with_columns(odd=pl.col("image_id") == last).write_csv(table)
    chosen, compared = both(run, budget="3", columns=table, at_least="odd:true=1")
    assert last in chosen and compared is None  # only after all were compared is it known to be no near-duplicate


@pytest.mark.parametrize("alike", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("cosine", [0.999, 0.99])  # of the frames of a drive few stay
def test_the_share_that_is_alike_is_one_of_those_that_stay(run: Run, alike: float, cosine: float) -> None:
    for count in (1, 2, 4):
        chosen, _ = both(run, cosine, alike, budget=str(count), coverage="images")
        assert len(chosen) == count


def test_wishes_are_judged_on_what_is_no_near_duplicate(run: Run) -> None:
    asked = SelectSettings("layout", "6", duplicate_cosine=0.99)
    candidates = candidates_for(OpenedRun(run), asked)
    ids = OpenedRun(run).scores.select("image_id")
    gone = choose(candidates, asked, NO_MARKS, compare_all=True).steps.filter(step="near-duplicate")["image_id"]
    table = run.folder / "drives.csv"
    last = gone[-1]  # a drive of its own, whose one image is a near-duplicate of a better one
    drives = pl.when(pl.col("image_id") == last).then(pl.lit("copy")).otherwise(pl.lit("other"))
    rare = pl.col("image_id").is_in([*gone.tail(3), ids["image_id"][0]])
    ids.with_columns(drive=drives, rare=rare).write_csv(table)
    both(run, 0.99, budget="6", columns=table, at_least="drive:*=1")
    both(run, 0.99, budget="6", columns=table, at_least="rare:true=4?")
    with pytest.raises(SettingsError) as early:
        select(run, replace(asked, name="x", columns=table, at_least="rare:true=4"))
    with pytest.raises(SettingsError) as whole:
        hard = replace(asked, columns=table, at_least="rare:true=4")
        choose(candidates_for(OpenedRun(run), hard), hard, NO_MARKS, compare_all=True)
    assert str(early.value) == str(whole.value)


@pytest.mark.parametrize("more", [{}, {"coverage": "images"}, {"at_least": {"rare:true": 2}}])
def test_arrays_of_ones_own_are_chosen_from_likewise(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ids, near, vectors = [f"{number:03}" for number in range(300)], rng.random(300), rng.normal(size=(300, 3))
    rare = pl.DataFrame({"image_id": ids, "rare": near < np.sort(near)[30]})
    looked_at = []
    real = redundancy.leaders
    monkeypatch.setattr(redundancy, "leaders", lambda *args: looked_at.append(real(*args)) or looked_at[-1])
    given: dict[str, Any] = {"ids": ids, "vectors": vectors, "duplicate_cosine": 0.99, "columns": rare} | more
    early = thresher.choose({"near": near}, 5, **given)
    assert len(looked_at[0].rows) < 100
    monkeypatch.setattr(redundancy, "EXACT_ROWS", 300)  # as in small pools
    assert early.equals(thresher.choose({"near": near}, 5, **given))


def test_how_many_are_enough() -> None:
    def enough(alike: float | None = None, **settings: str) -> int | None:
        return enough_of(SelectSettings(method="layout", **settings), 10_000, alike)  # type: ignore[arg-type]

    assert enough(budget="100") == 100
    assert enough(budget="100", coverage="images") == 500
    # A fifth of 2,500 that stay are 500, the shortlist; a twentieth of all 10,000 may be fewer.
    assert enough(budget="100", coverage="images", alike=0.2) == 2_500
    assert enough(budget="100", coverage="images", alike=0.05) is None
    assert enough(budget="100", coverage="images", alike=0.05, shortlist="5x") == 500
    assert enough(budget="5%") is enough(budget="100", coverage="modes") is None


def test_the_first_are_decided_as_if_all_were_and_the_line_says_how_far() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 2))
    whole, early = leaders(vectors, 0.99, 1), leaders(vectors, 0.99, 1, 5)
    assert len(early.rows) < 50 and early.kept.sum() >= 5
    assert early.rows.tolist() == whole.rows[: len(early.rows)].tolist()
    ids = pl.DataFrame({"image_id": [f"{number:02}" for number in range(50)]})
    order = ids.with_columns(rank=pl.int_range(1, 51, dtype=pl.Int64), score=-pl.int_range(50).cast(pl.Float64))
    apart = Apart.of(Line(order), Near(ids, vectors, 0.99, np.zeros(50, bool)), 2)
    assert apart.enough == 2 and apart.allows(ids.head(2)) and not apart.allows(ids.tail(1))
    while apart.enough is not None:
        apart = apart.further()
    full = Apart.of(Line(order), Near(ids, vectors, 0.99, np.zeros(50, bool)))
    assert apart.line.order.equals(full.line.order) and full.allows(ids)
    assert Apart.of(Line(order), None, 3).line.order.equals(order)
