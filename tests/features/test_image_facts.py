"""Sharpness, brightness and contrast: known answers, scipy's Laplacian, and their way into a run and a selection."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageFilter

from thresher import tables
from thresher.errors import DataError
from thresher.features.image_facts import image_facts
from thresher.features.shards import FACTS
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.stages.candidates import facts_of, image_fact
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.index import IndexSettings, index
from thresher.workers.settings import EngineSettings


def test_the_laplacian_is_scipys() -> None:
    from scipy.ndimage import laplace

    pixels = np.random.default_rng(0).integers(0, 255, (12, 9, 3), np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    found = image_facts(pixels)
    assert found.sharpness == pytest.approx(laplace(luma)[1:-1, 1:-1].var(), rel=1e-4)
    assert found.brightness == pytest.approx(luma.mean() / 255, rel=1e-5)
    assert found.contrast == pytest.approx(luma.std() / 255, rel=1e-4)


def test_half_black_half_white_has_the_most_contrast_and_one_pixel_no_sharpness() -> None:
    halves = np.zeros((4, 6, 3), np.uint8)
    halves[:, 3:] = 255
    found = image_facts(halves)
    assert (found.brightness, found.contrast) == (pytest.approx(0.5), pytest.approx(0.5))
    assert image_facts(np.full((1, 1, 3), 255, np.uint8)).sharpness == 0


def test_a_run_knows_them_and_an_older_shard_does_not(tmp_path: Path, tiny_network: Path) -> None:
    sharp = Image.effect_noise((64, 64), 60).convert("RGB")
    for side, number in (("target", 0), ("pool", 0), ("pool", 1)):
        (tmp_path / side).mkdir(exist_ok=True)
        image = sharp.filter(ImageFilter.GaussianBlur(3)) if number else sharp
        image.save(tmp_path / side / f"{number}.png")
    run = Run(tmp_path / "run")
    settings = EmbedSettings(backbone=str(tiny_network), short_side=64, width=4)
    index(run, IndexSettings(f"folder:{tmp_path}/target", f"folder:{tmp_path}/pool"))
    embed(run, settings, engine=EngineSettings(workers=1))
    facts = tables.read(run.facts, tables.IMAGE_FACTS, key="image_id")
    assert facts.null_count().sum_horizontal()[0] == 0
    assert facts.filter(image_id="target/0").row(0)[1:] == facts.filter(image_id="pool/0").row(0)[1:]
    values = dict(facts.select("image_id", "sharpness").iter_rows())
    assert values["pool/0"] > 5 * values["pool/1"]
    opened = OpenedRun(run)
    known = facts_of(opened, pl.DataFrame({"image_id": ["pool/0"]}))
    assert known.of(opened.pool, ["sharpness"]).drop_nulls().height == 2

    # As an older release would have written it.
    for path in run.slices.glob("part-*.parquet"):
        metadata = pl.read_parquet_metadata(path)
        metadata.pop("ARROW:schema", None)
        pl.read_parquet(path).drop(FACTS).write_parquet(path, metadata=metadata)
    run.shards.unlink()
    embed(run, settings, engine=EngineSettings(workers=1))
    with pytest.raises(DataError, match="facts.parquet: sharpness is not known of any image.*delete .*slices and run"):
        image_fact(OpenedRun(run), "sharpness")
    shutil.rmtree(run.slices)
    embed(run, settings, engine=EngineSettings(workers=1))
    assert tables.read(run.facts, tables.IMAGE_FACTS).sort("image_id").equals(facts.sort("image_id"))
