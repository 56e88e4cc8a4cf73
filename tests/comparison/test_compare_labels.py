"""A comparison in mode labels: the network on masks alone labels the pool, and the rest of its seed learns of that."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.comparison.compare import compare
from thresher.comparison.settings import CompareSettings
from thresher.data.images import image_size
from thresher.labelling.settings import LabelSettings
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult
from thresher.run.record import Record
from thresher.run.state import RunState
from thresher.settings import restored
from thresher.stages.index import IndexSettings, index
from thresher.stages.select import SelectSettings, select
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

pytest.importorskip("altair", reason="the charts are an extra")

SMALL = TrainSettings(height_px=32, width_px=64, strong_batch=2, weak_batch=2, epochs=1, decoder_channels=64)
ONE = EngineSettings(workers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a saved selection, `mine`."""
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    sizes = {"width_px": 128, "height_px": 64}
    write_dataset(root, SyntheticSettings(target_images=4, val_images=2, pool_images=10, street_share=0.6, **sizes))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    pool = OpenedRun(run).pool["image_id"]
    rows: list[dict[str, object]] = [{"image_id": name, "diversity": float(n)} for n, name in enumerate(pool)]
    tables.write(tables.from_rows(rows, tables.SCORES), run.scores_path)
    select(run, SelectSettings("diversity", "3", name="mine"))
    return run


@pytest.fixture(scope="module")
def settings(run: Run, tmp_path_factory: pytest.TempPathFactory) -> CompareSettings:
    true_masks = tmp_path_factory.mktemp("true")
    for folder in ("images", "masks"):
        (true_masks / folder).mkdir()
    for path in map(Path, OpenedRun(run).pool["path"]):
        shutil.copy(path, true_masks / "images")
        width, height = image_size(path)
        Image.fromarray(np.zeros((height, width), np.uint8)).save(true_masks / "masks" / f"{path.stem}.png")
    return CompareSettings(
        methods=("random",),
        budgets=("3",),
        selections=("mine",),
        modes=("labels",),
        seeds=1,
        baselines=("none", "unlabelled", "true"),
        label_route="gate",
        true_masks=f"masks:{true_masks}",
        endpoint=("road", "sky"),
        name="fair",
    )


@pytest.fixture(scope="module")
def planned(run: Run, settings: CompareSettings) -> StageResult:
    return compare(run, settings, SMALL, engine=ONE, dry_run=True)


@pytest.fixture(scope="module")
def ended(run: Run, settings: CompareSettings, planned: StageResult) -> StageResult:
    return compare(run, settings, SMALL, engine=ONE)


def test_the_plan_counts_trainings_and_label_sets(planned: StageResult) -> None:
    assert planned.summary["trainings"] == 5
    assert planned.summary["label_sets_to_make"] == 3
    assert planned.summary["seconds"] > 0


def test_every_arm_learns_from_the_labels_that_are_its_own(run: Run, ended: StageResult) -> None:
    assert ended.failed_items == 0
    assert ended.summary["trained_now"] == 5
    recorded = {
        name: Record(run.training(name)).recorded()["train"]["settings"]
        for name in (path.parent.name for path in run.folder.glob("trainings/*/manifest.json"))
    }
    assert {name: (each["selection"], each["labels"], each["fill_batch"]) for name, each in recorded.items()} == {
        "fair.none-labels-seed0": ("none", "", True),
        "fair.random-3-seed0-labels-seed0": ("random-3-seed0", "fair.labels-seed0", False),
        "fair.mine-labels-seed0": ("mine", "fair.labels-seed0", False),
        "fair.random-3-seed0-unlabelled-seed0": ("random-3-seed0", "fair.unlabelled-seed0", False),
        "fair.random-3-seed0-true-seed0": ("random-3-seed0", "fair.true", False),
    }
    assert {each["mode"] for each in recorded.values()} == {"labels"}
    made = {
        path.parent.name: restored(LabelSettings, Record(path.parent).recorded()["labels"]["settings"])
        for path in run.folder.glob("labels/*/manifest.json")
    }
    teacher = "fair.none-labels-seed0"
    assert {name: (each.selection, each.route, each.teacher) for name, each in made.items()} == {
        "fair.labels-seed0": (("random-3-seed0", "mine"), "gate", teacher),
        "fair.unlabelled-seed0": (("random-3-seed0",), "unlabelled", teacher),
        "fair.true": (("random-3-seed0",), "given", ""),
    }


def test_results_differences_and_words_are_of_every_arm(run: Run, ended: StageResult) -> None:
    folder = run.comparison("fair")
    results = tables.read(folder / "results.parquet", tables.RESULTS)
    assert set(results["method"]) == {"none", "random", "mine", "unlabelled", "true"}
    assert results.filter(method="mine").select("budget", "images").unique().rows() == [("saved", 3)]
    pairs = tables.read(folder / "differences.parquet", tables.DIFFERENCES).filter(pl.col("class").is_null())
    of = {(row["method"], row["against"]) for row in pairs.iter_rows(named=True)}
    assert {("mine", "random"), ("mine", "unlabelled"), ("random", "none"), ("true", "unlabelled")} <= of
    assert results["class"].unique().is_in(["mean of road, sky"]).any()
    assert ended.summary["power"].startswith("Warning: 1 seed, too few to judge by")
    assert "reduction" not in ended.summary  # there is no baseline `all`
    assert (folder / "endpoint.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_trains_nothing_and_labels_nothing(
    run: Run, settings: CompareSettings, ended: StageResult
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.folder.glob("labels/*/images.parquet")}
    again = compare(run, settings, SMALL, engine=ONE)
    assert again.summary["trained_now"] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {state.word for state in RunState(run).all() if state.name.startswith(("train", "labels"))} == {"done"}


def test_what_failed_to_be_labelled_costs_its_trainings_alone(
    run: Run, settings: CompareSettings, ended: StageResult, tmp_path: Path
) -> None:
    other = Run(shutil.copytree(run.folder, tmp_path / "run"))
    with Record(other.label_set("fair.unlabelled-seed0")).locked():
        shutil.rmtree(other.training("fair.random-3-seed0-unlabelled-seed0"))
        hindered = compare(other, settings, SMALL, engine=ONE)
    (failed,) = hindered.summary["failed"]
    assert failed["training"] == "fair.random-3-seed0-unlabelled-seed0"
    assert "its pixel labels (fair.unlabelled-seed0) could not be made" in failed["reason"]
    assert "another thresher process works in this folder" in failed["reason"]
