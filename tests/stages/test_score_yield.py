"""The yield column: which boxes count, who is ranked, and the words where there is no network."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.errors import SettingsError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import untracked
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.score_yield import yield_areas
from thresher.stages.select import SelectSettings, select
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings
from thresher.training.train import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=3, val_images=1, pool_images=10, street_share=0.6))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    embed(run, EmbedSettings(short_side=32, width=8))
    fit(run, FitSettings(components="1", covariance="diagonal"))
    train(run, TrainSettings(height_px=64, width_px=96, strong_batch=2, epochs=2, name="small"))
    return run


def test_score_without_a_network_has_no_yield(run: Run) -> None:
    score(run)
    scores = tables.read(run.scores_path, tables.SCORES, key="image_id")
    assert scores["yield_area"].null_count() == scores.height == 10
    with pytest.raises(
        SettingsError, match=r"method 'yield_area': no image has this score. Run .thresher score RUN --network"
    ):
        select(run, SelectSettings("yield_area", "3"))
    with pytest.raises(SettingsError, match="No training named 'best' in .* Available: small"):
        score(run, ScoreSettings(network="best"))


def test_a_column_beside_the_others_and_a_method(run: Run) -> None:
    score(run)
    before = tables.read(run.scores_path, tables.SCORES, key="image_id")
    assert score(run, ScoreSettings(network="small")).failed_items == 0
    scores = tables.read(run.scores_path, tables.SCORES, key="image_id")
    assert scores.drop("yield_area").equals(before.drop("yield_area"))
    assert scores["yield_area"].null_count() == 0
    assert scores["yield_area"].min() >= 0
    assert scores["yield_area"].max() > 0
    select(run, SelectSettings("yield_area", "3", name="best"))
    best = tables.read(run.selection_path("best"), tables.SELECTION).sort("rank")
    order = scores.sort("yield_area", "image_id", descending=[True, False])
    assert best["image_id"].to_list() == order["image_id"].head(3).to_list()
    assert score(run, ScoreSettings(network="small")).status == "unchanged"


def test_depictions_do_not_count_and_unreadable_images_are_listed(run: Run, tmp_path: Path) -> None:
    labelled = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").select("image_id")
    found, failed = yield_areas(OpenedRun(run), "small", labelled, untracked)
    assert failed == 0
    best = found.sort("yield_area")["image_id"][-1]
    boxes, images = tables.read(run.boxes, tables.BOXES), tables.read(run.images, tables.INDEXED_IMAGES)
    try:
        depicted = pl.when(pl.col("image_id") == best).then(True).otherwise("is_depiction")
        tables.write(boxes.with_columns(is_depiction=depicted), run.boxes)
        again, failed = yield_areas(OpenedRun(run), "small", labelled, untracked)
        assert again.filter(image_id=best)["yield_area"].item() == 0
        assert failed == 0
        assert again.height == found.height
        (tmp_path / "bad.jpg").write_bytes(b"")
        broken = pl.when(pl.col("image_id") == best).then(pl.lit(str(tmp_path / "bad.jpg"))).otherwise("path")
        tables.write(images.with_columns(path=broken), run.images)
        tables.write(boxes, run.boxes)
        without, failed = yield_areas(OpenedRun(run), "small", labelled, untracked)
        assert (failed, best in without["image_id"].to_list()) == (1, False)
        listed = tables.read(run.problems, tables.PROBLEMS).filter(stage="score")
        assert listed["image_id"].to_list() == [best]
    finally:
        tables.write(boxes, run.boxes)
        tables.write(images, run.images)
