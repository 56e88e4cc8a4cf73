"""CamVid as the target, every public weak set as the pool: nothing is lost, and street scenes come first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.cli.run_file import load_run_file
from thresher.run.folder import Run
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import score
from thresher.stages.select import SelectSettings, select

pytestmark = pytest.mark.slow

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "camvid.toml"
DRIVING = ["kitti", "dashcam_cn_voc", "adas_peru_coco"]


@pytest.fixture(scope="module")
def settings(shared_data: Path) -> IndexSettings:
    return load_run_file(EXPERIMENT).index


@pytest.fixture(scope="module")
def indexed(settings: IndexSettings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("camvid"))
    index(run, settings)
    return run


def test_images_and_problems_account_for_every_file(indexed: Run, shared_data: Path) -> None:
    images = tables.read(indexed.images, tables.INDEXED_IMAGES, key="image_id")
    pool = images.filter(pl.col("role") == "pool")
    on_disk = [
        path
        for path in (shared_data / "weak").rglob("*")
        if path.suffix in (".jpg", ".png", ".jpeg") and "Masks" not in path.parent.name
    ]
    assert sorted(pool["path"]) == sorted(str(path) for path in on_disk)
    assert pool.height == 3410
    assert images.height - pool.height == len(list((shared_data / "camvid" / "train").iterdir()))


def test_labels_without_counterpart_are_counted_not_dropped(indexed: Run) -> None:
    labels = tables.read(indexed.labels, tables.LABELS)
    boxes = tables.read(indexed.boxes, tables.BOXES)
    assert labels["boxes"].sum() == boxes.height
    assert labels.filter(pl.col("class").is_null())["boxes"].sum() == boxes["class"].null_count()
    meaning = {(row["dataset"], row["label"]): row["class"] for row in labels.iter_rows(named=True)}
    assert meaning["kitti", "DontCare"] == "void" or ("kitti", "DontCare") not in meaning
    assert meaning["adas_peru_coco", "Vehiculo"] == "vehicle"
    assert meaning["open_images_layout", "/m/07yv9"] == "vehicle"
    assert meaning["car_photos_coco", "side"] == "Car"
    assert meaning["raccoon_voc", "raccoon"] is None


def test_driving_frames_come_first(settings: IndexSettings, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    index(run, dataclasses.replace(settings, limit=24))
    embed(run, EmbedSettings())
    fit(run, FitSettings(components="2"))
    score(run)
    images = tables.read(run.images, tables.INDEXED_IMAGES)
    driving = images.filter(pl.col("dataset").is_in(DRIVING) | pl.col("image_id").str.contains("/idd", literal=True))
    share = {}
    for method in ("similarity", "cosine", "random"):
        select(run, SelectSettings(method, "40", name=method))
        chosen = tables.read(run.selection_path(method), tables.SELECTION)
        share[method] = chosen.join(driving, on="image_id", how="semi").height / chosen.height
    assert share["similarity"] >= 0.8
    assert share["cosine"] >= 0.8
    assert share["random"] <= 0.5
