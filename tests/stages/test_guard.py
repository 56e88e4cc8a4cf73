"""Images that judge: nothing is learnt from them, and what nearly is one of them is not chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.features.shards import read_blocks
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, selected
from thresher.run.perform import StageResult
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select

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


def test_boxes_and_masks_of_the_guard_are_not_read(guarded: tuple[Run, StageResult]) -> None:
    assert tables.read(guarded[0].boxes, tables.BOXES).is_empty()
    assert tables.read(guarded[0].masks, tables.MASKS).is_empty()
