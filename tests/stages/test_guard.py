"""Images that judge: nothing is learnt from them, and what nearly is one of them is not chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.comparison.proxy.plan import ProxyPlan
from thresher.comparison.settings import CompareSettings
from thresher.errors import SettingsError
from thresher.features.shards import read_blocks
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, selected
from thresher.run.perform import StageResult
from thresher.run.state import RunState
from thresher.settings import restored
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select
from thresher.training.images import _selected
from thresher.training.settings import TrainSettings

IMAGES = {"target": 20, "pool": 12, "guard": 3}


def made_run(root: Path, guards: bool) -> tuple[Run, StageResult]:
    """A run in which images 4 and 7 of the pool nearly are images of the guard."""
    for role, count in IMAGES.items():
        (root / "data" / role).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, len(role), 0)).save(root / "data" / role / f"{number:02d}.png")
    run = Run(root / f"run{guards}")
    roles = {role: (f"{role}=folder:{root / 'data' / role}",) for role in IMAGES if guards or role != "guard"}
    told = index(run, IndexSettings(**roles))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    vectors = {role: rng.normal(size=(count, 16)) for role, count in IMAGES.items()}
    vectors["pool"][[4, 7]] = vectors["guard"][:2] + 0.01
    rows = [
        {"image_id": f"{role}/{number:02d}", "vector": vector.tolist()}
        for role, found in vectors.items()
        for number, vector in enumerate(found)
    ]
    pl.DataFrame(rows).write_parquet(root / "vectors.parquet")
    embed(run, EmbedSettings(vectors=root / "vectors.parquet"))
    fit(run, FitSettings(components="1"))
    score(run, ScoreSettings())
    return run, told


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def guarded(root: Path) -> tuple[Run, StageResult]:
    return made_run(root, guards=True)


def test_near_duplicates_of_the_guard_are_left_out_and_counted(guarded: tuple[Run, StageResult]) -> None:
    run, told = guarded
    assert (told.summary["guard_images"], told.summary["pool_images"]) == (3, 12)
    made = select(run, SelectSettings(method="layout", budget="100%", name="all"))
    assert made.summary["left_out_by_guard"] == 2
    chosen = {image_id for image_id in selected(run, "all")["image_id"]}
    assert chosen == {f"pool/{number:02d}" for number in range(12) if number not in (4, 7)}


def test_nothing_is_learnt_from_the_guard(guarded: tuple[Run, StageResult], root: Path) -> None:
    run, _ = guarded
    without, _ = made_run(root, guards=False)
    assert OpenedRun(run).scores.equals(OpenedRun(without).scores)
    assert run.projection.read_bytes() == without.projection.read_bytes()
    embedded = {image_id for block in read_blocks(run.slices) for image_id in block.image_ids}
    assert {"guard/00", "guard/01", "guard/02"} <= embedded


def test_the_whole_pool_is_trained_on_without_what_the_guard_judges(guarded: tuple[Run, StageResult]) -> None:
    run, _ = guarded
    rest = {f"pool/{number:02d}" for number in range(12) if number not in (4, 7)}
    assert set(_selected(OpenedRun(run), "all")["image_id"]) == rest
    arms = compared_arms(run, CompareSettings(methods=(), baselines=("none", "all"), seeds=1, proxy=True))
    assert [set(arm) for arm in arms] == [set(), rest]


def compared_arms(run: Run, settings: CompareSettings) -> list[tuple[str, ...]]:
    """The images of each training of a comparison by proxy."""
    plan = ProxyPlan(run, settings, TrainSettings())
    return [tuple(plan.images(trial)["image_id"]) for trial in settings.trials()]


def test_the_cosine_of_the_guard_is_told_to_index_and_a_change_is_seen(tmp_path: Path) -> None:
    run, _ = made_run(tmp_path, guards=True)
    asked = SelectSettings(method="layout", budget="100%", name="all")
    select(run, asked)
    settings = restored(IndexSettings, run.recorded()["index"]["settings"])
    index(run, replace(settings, guard_cosine=1.0))
    assert RunState(run).of("select:all").in_words() == "outdated: the guard's cosine has changed"
    assert select(run, asked).summary["left_out_by_guard"] == 0  # the nearest has 0.9999
    with pytest.raises(SettingsError, match="guard_cosine = 0.0: expected above 0, at most 1"):
        replace(settings, guard_cosine=0.0)


def test_boxes_and_masks_of_the_guard_are_not_read(guarded: tuple[Run, StageResult]) -> None:
    assert tables.read(guarded[0].boxes, tables.BOXES).is_empty()
    assert tables.read(guarded[0].masks, tables.MASKS).is_empty()
