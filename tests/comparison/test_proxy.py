"""Comparisons by proxy on made-up streets."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.comparison import again
from thresher.comparison.compare import compare
from thresher.comparison.proxy.store import Store, filled
from thresher.comparison.settings import CompareSettings
from thresher.comparison.trained import Comparison
from thresher.data.images import image_size
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.perform import StageResult, untracked
from thresher.training.settings import TrainSettings
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

pytest.importorskip("altair", reason="the charts are an extra")

SMALL = TrainSettings(height_px=64, width_px=96, strong_batch=2, weak_batch=2, epochs=4)
GRID = CompareSettings(
    methods=("random",),
    budgets=("6",),
    modes=("hierarchical", "labels"),
    baselines=("none", "unlabelled", "all", "true"),
    true_masks="masks:TRUE",
    seeds=2,
    proxy=True,
    label_routes=("gate", "fill"),
)
ONE = EngineSettings(workers=1)


@pytest.fixture(scope="module")
def grid(run: Run, tmp_path_factory: pytest.TempPathFactory) -> CompareSettings:
    """The grid with true masks of all images of the pool but the last, which becomes unreadable."""
    root = tmp_path_factory.mktemp("true")
    pool = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").sort("image_id")
    *known, lost = pool.select("image_id", "path").iter_rows()
    for image_id, path in known:
        name = image_id.partition("/")[2]
        for folder in ("images", "masks"):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / f"{name}.jpg").symlink_to(path)
        Image.new("L", image_size(Path(path))).save(root / "masks" / f"{name}.png")
    Path(lost[1]).write_bytes(b"no image")
    return dataclasses.replace(GRID, true_masks=f"masks:{root}")


@pytest.fixture(scope="module")
def ended(run: Run, grid: CompareSettings) -> StageResult:
    return compare(run, grid, SMALL, engine=ONE)


def results(run: Run) -> pl.DataFrame:
    return tables.read(run.comparison("comparison-proxy") / "results.parquet", tables.RESULTS)


def test_every_arm_of_every_seed_is_trained_and_named_a_proxy(run: Run, ended: StageResult) -> None:
    assert ended.failed_items == 0, ended.summary
    assert ended.summary["name"] == "comparison-proxy"
    means = results(run).filter(pl.col("class").is_null())
    arms = ["hierarchical", "labels-fill", "labels-gate"]
    kinds = {row for row in means.select("method", "mode").unique().iter_rows()}
    assert {mode for method, mode in kinds if method == "random"} == set(arms)
    assert {mode for method, mode in kinds if method == "all"} == set(arms)
    assert means.group_by("method", "mode").len()["len"].unique().to_list() == [2]
    assert {mode for method, mode in kinds if method == "unlabelled"} == {"labels"}
    assert means.filter(method="none")["weak_images"].unique().to_list() == [0]
    assert means.filter(method="random", mode="labels-fill")["weak_images"].max() <= 6
    assert means["iou"].is_between(0, 1).all()
    pairs = tables.read(run.comparison("comparison-proxy") / "differences.parquet", tables.DIFFERENCES)
    against = pairs.filter(pl.col("class").is_null() & (pl.col("against") == "unlabelled"))
    assert set(against.filter(method="random")["mode"]) == {"labels-fill", "labels-gate"}
    assert not list((run.folder / "trainings").glob("*"))


def test_an_image_that_cannot_be_read_is_listed_and_left_out(run: Run, ended: StageResult) -> None:
    problems = tables.read(run.comparison("comparison-proxy") / "problems.parquet", tables.PROBLEMS)
    assert problems["problem"].to_list() == ["image_unreadable"]
    means = results(run).filter(pl.col("class").is_null())
    assert means.filter(method="all", mode="labels-fill")["weak_images"].max() <= 11


def test_true_masks_are_learnt_from_where_an_image_has_one(run: Run, ended: StageResult) -> None:
    means = results(run).filter(pl.col("class").is_null() & (pl.col("method") == "true"))
    assert means["weak_images"].is_between(5, 6).all()


def test_a_second_time_nothing_is_trained_and_the_tables_are_the_same(
    run: Run, grid: CompareSettings, ended: StageResult
) -> None:
    before = results(run)
    assert compare(run, grid, SMALL, engine=ONE).summary["trained_now"] == 0
    assert results(run).equals(before)
    features = sum(path.stat().st_size for path in run.folder.glob("frozen/*/*.npy"))
    assert features > 0


def test_a_training_that_is_missing_is_done_again_with_the_same_numbers(
    run: Run, grid: CompareSettings, ended: StageResult
) -> None:
    before = results(run)
    lost = next((run.comparison("comparison-proxy") / "proxy").glob("*random*labels-fill-seed1"))
    shutil.rmtree(lost)
    again = compare(run, grid, SMALL, engine=ONE)
    assert again.summary["trained_now"] == 1
    assert results(run).drop("seconds").equals(before.drop("seconds"))


def test_a_dry_run_says_how_long_it_takes(run: Run, grid: CompareSettings, ended: StageResult) -> None:
    more = dataclasses.replace(grid, seeds=4)
    planned = compare(run, more, SMALL, engine=ONE, dry_run=True)
    assert planned.status == "planned"
    assert planned.summary["done"] == planned.summary["trainings"] / 2
    assert planned.summary["seconds"] >= 0


def test_trainings_that_are_done_again_are_told_with_the_reason(
    run: Run, grid: CompareSettings, ended: StageResult
) -> None:
    longer = Comparison(run, grid, dataclasses.replace(SMALL, epochs=5))
    assert again.trained_before(longer, longer.trials) == {"other settings: epochs": len(longer.trials)}
    # The label weight counts where labels made from boxes are learnt from, and only there.
    heavier = Comparison(run, grid, dataclasses.replace(SMALL, label_weight=0.9, box_weight=3.0))
    using = [trial for trial in heavier.trials if trial.mode.startswith("labels") and trial.method != "none"]
    assert again.trained_before(heavier, heavier.trials) == {"other settings: label_weight": len(using)}
    assert [trial for trial in heavier.trials if not heavier.is_done(trial)] == using
    random = [trial for trial in longer.trials if trial.method == "random"]
    path = run.selection_path(random[0].selection)
    kept = path.read_bytes()
    try:
        tables.write(tables.read(path, tables.SELECTION).head(3), path)
        told = again.trained_before(Comparison(run, grid, SMALL), random)
    finally:
        path.write_bytes(kept)
    same = sum(trial.selection == random[0].selection for trial in random)
    assert told == {"changed since: selection": same}


def test_modes_without_a_proxy_are_refused() -> None:
    with pytest.raises(SettingsError, match="a proxy learns in the modes hierarchical and labels"):
        CompareSettings(modes=("box_head",), proxy=True)
    with pytest.raises(SettingsError, match="label_routes: 'gat' is unknown. Did you mean 'gate'"):
        CompareSettings(modes=("labels",), proxy=True, label_routes=("gat",))


def test_a_store_makes_each_array_once_and_anew_when_its_file_changes(tmp_path: Path) -> None:
    made: list[str] = []
    files = [tmp_path / f"{name}.txt" for name in "abc"]
    for number, path in enumerate(files):
        path.write_text(str(number) * (number + 1))

    def make(path: str) -> tuple[np.ndarray, tuple[int, ...]]:
        made.append(path)
        text = Path(path).read_text()
        if text == "bad":
            raise DataError(f"{path}: bad")
        return np.array([int(each) for each in text], np.uint8), (1, len(text))

    def fill() -> Store:
        return filled(tmp_path / "store", list(map(str, files)), lambda: make, untracked, "making")

    assert [fill()[str(path)][0].tolist() for path in files] == [[0], [1, 1], [2, 2, 2]]
    assert len(made) == 3
    fill()
    assert len(made) == 3
    files[1].write_text("77777")
    files[2].write_text("bad")
    store = fill()
    assert made[3:] == [str(files[1]), str(files[2])]
    assert store[str(files[1])][1] == (1, 5)
    assert store[str(files[0])][0].tolist() == [0]
    assert store.problems(map(str, files)) == {str(files[2]): f"{files[2]}: bad"}
