"""`thresher run FILE --dry-run` on a fresh folder tells the whole job, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher.cli import run_plan
from thresher.cli.run_file import load_run_file, run_all
from thresher.data.source_text import parsed_sources
from thresher.stages import plan
from thresher.synthetic.dataset import SyntheticSettings, write_dataset

pytestmark = pytest.mark.slow

JOB = """
run = "job"
[index]
target = "cityscapes:scenes/cityscapes#train"
pool = "open_images:scenes/open_images"
[embed]
short_side = 64
width = 8
[fit]
components = 2
covariance = "diagonal"
[select]
name = "few"
budget = 4
[[export]]
name = "few"
format = "txt"
out = "few.txt"
[insight]
heat_maps = 0
[train]
selection = "few"
height_px = 64
width_px = 64
decoder_channels = 64
epochs = 1
[report]
"""
STAGES = ["index", "embed", "fit", "score", "select", "sheet", "export", "insight", "train", "report"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    scenes = SyntheticSettings(target_images=6, val_images=2, pool_images=12, width_px=128, height_px=64)
    write_dataset(folder / "scenes", scenes)
    (folder / "job.toml").write_text(JOB)
    return folder


def test_every_stage_is_told_before_there_is_anything_and_then_done(job: Path) -> None:
    settings = load_run_file(job / "job.toml")
    told = {result.stage: result.summary for result in run_all(settings, dry_run=True)}
    assert list(told) == [*STAGES, "run"]
    assert not settings.folder.exists()
    assert (told["index"]["target_images"], told["index"]["pool_images"]) == (6, 12)
    assert told["embed"]["images"] == 18 and told["score"]["images"] == 12 and told["select"]["images"] == 4
    for stage in STAGES:
        assert told[stage]["seconds"] > 0, stage
        assert stage == "train" or told[stage]["memory_bytes"] > 0
    assert told["run"]["seconds"] == pytest.approx(sum(told[stage]["seconds"] for stage in STAGES), abs=0.2)
    assert [result.stage.partition(":")[0] for result in run_all(settings)] == STAGES
    slices = sum(path.stat().st_size for path in (settings.folder / "slices").iterdir())
    assert told["embed"]["bytes"] == pytest.approx(
        pl.read_parquet(settings.folder / "shards.parquet")["slices"].sum() * 16 + 18 * 320 * 2, rel=0.1
    )
    assert told["embed"]["bytes"] < slices  # which hold ids and footers too
    assert (settings.folder / "report.html").is_file() and (settings.folder / "insight" / "summary.json").is_file()


def test_an_index_that_would_take_long_is_not_made_and_the_training_has_no_time(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job / "other.toml").write_text(JOB.replace('run = "job"', 'run = "other"'))
    monkeypatch.setattr(run_plan, "LONGEST_INDEX", 0.0)
    told = {result.stage: result.summary for result in run_all(load_run_file(job / "other.toml"), dry_run=True)}
    assert told["embed"]["images"] == 18 and told["embed"]["seconds"] > 0
    assert told["train"]["seconds"] is None
    assert told["run"]["time_not_known_yet"] == ["train"]


@pytest.mark.parametrize(("split", "images"), [("train", 3), ("val", 2), (None, 5)])
def test_of_a_large_source_the_files_of_the_split_are_counted(
    split: str | None, images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "LITTLE_FILES", 0)
    for name, count in (("train", 3), ("val", 2)):
        for kind, suffix in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            folder = tmp_path / kind / name / "town"
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (8, 8)).save(folder / f"town_{number:06d}_000019_{suffix}.png")
    (source,) = parsed_sources((f"cityscapes:{tmp_path}" + (f"#{split}" if split else ""),))
    told, counted = plan.index_plan([source], None)
    assert (told.images, counted) == (images, {"target": images, "pool": 0})
    assert plan.listed_images([source], 2).height == 2
