"""budget of a run: which order is followed, what is counted, and what its comparisons say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import thresher
from thresher import tables
from thresher.cli.main import app
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.stages.select import SelectSettings, select


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    """The 6 images of the target lie in 3 directions; of the pool 0 to 5, the best by layout, do too, no others."""
    made = hostile_run(tmp_path)
    pooled = tables.read(made.pooled, tables.POOLED).sort("image_id")
    vectors = np.concatenate([np.zeros((60, 3)), np.eye(60)], axis=1)
    vectors[:6] = np.tile(np.eye(63)[:3], (2, 1))
    target = np.tile(np.eye(63)[:3], (2, 1))
    both = np.concatenate([vectors, target]).astype(np.float16)
    tables.write(pooled.with_columns(vector=pl.Series(both, dtype=pl.Array(pl.Float16, 63))), made.pooled)
    return made


def trained(run: Run, budgets: tuple[int, ...], seeds: int, method: str = "layout") -> None:
    """mIoU of 0.5 at the smallest budget, 0.6 at all others, and twice as much of the test set."""
    rows: list[dict[str, object]] = []
    about = {"method": method, "mode": "hierarchical"}
    for seed in range(seeds):
        for place, budget in enumerate(budgets):
            iou = (0.6 if place else 0.5) + 0.001 * (seed % 3)
            own = {**about, "budget": str(budget), "images": budget, "seed": seed, "iou": iou, "class": None}
            rows += [{**own, "set": "validation"}, {**own, "set": "test", "iou": 2 * iou}]
            rows.append({**own, "set": "validation", "class": "sign", "iou": 0.1})
        rows.append({**about, "method": "none", "images": 0, "seed": seed, "set": "validation", "iou": 0.9})
    folder = run.comparison("tried")
    folder.mkdir(parents=True)
    tables.write(tables.from_rows(rows, tables.RESULTS), folder / "results.parquet")


def test_what_the_first_images_add_is_counted_in_the_order_of_the_method(run: Run) -> None:
    found = thresher.budget(run, thresher.BudgetSettings("layout"))
    assert found.candidates == 60
    assert found.table["images"].to_list() == [10, 15, 22, 32, 46, 60]
    assert found.table["covered"].to_list() == [1.0] * 6
    assert found.table["near"].to_list() == [6] * 6
    # Even images hold 1 to 4 cars, each eighth a sign: 0, 2, 4, 6, 8 hold 1 + 3 + 1 + 3 + 1 cars, and 2 signs.
    assert found.table.row(0, named=True)["objects"] == 11
    assert found.table["classes"].to_list() == [2] * 6
    assert found.table["repeated"].to_list() == [0.3] + [0.0] * 5, "3, 4 and 5 repeat 0, 1 and 2"
    assert found.knee == 3
    assert found.answer.startswith("By what they add, about 3: from there on")
    assert "6 of 60 (10%)." in found.answer
    assert found.trained == ()


def test_an_order_that_takes_the_best_last_has_no_early_knee(run: Run) -> None:
    scores = pl.read_parquet(run.scores_path)
    tables.write(scores.with_columns(backwards=-pl.col("layout")), run.scores_path)
    found = thresher.budget(run, thresher.BudgetSettings("backwards"))
    assert found.table["near"].to_list() == [0] * 5 + [6]
    assert found.table["covered"].to_list() == [0.0] * 5 + [1.0]


def test_the_order_of_a_selection_has_its_filters_and_its_coverage(run: Run) -> None:
    odd = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").sort("image_id")["dataset"][1]
    select(run, SelectSettings("layout", "3", name="odd", datasets=(odd,)))
    found = thresher.budget(run, thresher.BudgetSettings(selection="odd"))
    assert (found.method, found.candidates) == ("selection odd", 30)
    assert found.table["near"].to_list()[-1] == 3, "1, 3 and 5"
    assert found.table["objects"].to_list()[-1] == 0
    with pytest.raises(SettingsError, match="No selection named 'even'"):
        thresher.budget(run, thresher.BudgetSettings(selection="even"))


def test_only_the_first_of_a_long_order_are_looked_at(run: Run) -> None:
    found = thresher.budget(run, thresher.BudgetSettings("layout", most=12))
    assert found.table["images"].to_list() == [10, 12]
    assert "average of the first 12 does" in found.answer


@pytest.mark.parametrize("method", ["layout", "layout+images"])
def test_trainings_have_the_last_word(run: Run, method: str) -> None:
    trained(run, (10, 20, 40, 60), 4, method)
    found = thresher.budget(run, thresher.BudgetSettings("layout"))
    (own,) = found.trained
    assert (own.method, own.images, own.seeds, own.smallest) == (method, (10, 20, 40, 60), 4, 20)
    assert own.means[0] == pytest.approx(0.5 + 0.003 / 4)
    assert own.curve is not None
    assert 10 < own.curve.enough <= 60
    assert "20 are the fewest tried within the noise of the best" in found.answer
    assert "by a saturating curve" in found.answer


@pytest.mark.parametrize(("budgets", "seeds", "count"), [((10,), 4, 0), ((10, 20), 1, 1), ((10, 20), 3, 1)])
def test_too_few_trainings_make_no_curve(run: Run, budgets: tuple[int, ...], seeds: int, count: int) -> None:
    trained(run, budgets, seeds)
    found = thresher.budget(run, thresher.BudgetSettings("layout"))
    assert len(found.trained) == count
    assert all(each.curve is None for each in found.trained)
    assert ("By trainings" in found.answer) == (seeds > 1 and len(budgets) > 1)


def test_the_command_prints_table_and_answer_and_json_has_them(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    trained(run, (10, 20, 40, 60), 4)
    assert app(["budget", str(run.folder), "--method", "layout"], result_action="return_value") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["images", "nearness", "covered", "near", "objects", "classes", "repeated"]
    assert "mIoU in tried (layout, hierarchical, 4 seeds): 10: 50.1, 20: 60.1" in out
    app(["budget", str(run.folder), "--method", "layout", "--json"], result_action="return_value")
    told = json.loads(capsys.readouterr().out)
    assert told["knee"] == 3 and len(told["table"]) == 6 and told["trained"][0]["smallest"] == 20


def test_what_cannot_be_said_has_words(run: Run) -> None:
    with pytest.raises(SettingsError, match="method 'layuot': unknown. Did you mean 'layout'"):
        thresher.budget(run, thresher.BudgetSettings("layuot"))
    with pytest.raises(SettingsError, match="method 'ratio': 0 images with a vector have this score"):
        thresher.budget(run, thresher.BudgetSettings("ratio"))
    with pytest.raises(SettingsError, match=r"method = layout\+images: the order of a coverage depends on how many"):
        thresher.BudgetSettings("layout+images")
    with pytest.raises(SettingsError, match="duplicate_cosine = 0.0: expected above 0, to 1"):
        thresher.BudgetSettings(duplicate_cosine=0)
    images = tables.read(run.images, tables.INDEXED_IMAGES)
    one = images.filter(role="target").head(1)
    tables.write(pl.concat([images.filter(role="pool"), one]), run.images)
    with pytest.raises(DataError, match="the target has 1 readable images; 2 or more are needed"):
        thresher.budget(run, thresher.BudgetSettings("layout"))
    run.pooled.unlink()
    with pytest.raises(DataError, match=r"pooled.parquet: no such file. `embed` writes it"):
        thresher.budget(run, thresher.BudgetSettings("layout"))
