"""insight on a run whose slices are planted: the upper row of each target image is sky, the other two are road."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.cli.main import main
from thresher.data.file_states import with_states
from thresher.density.mixture import load_mixture
from thresher.density.similarity import mean_log_density
from thresher.errors import DataError, SettingsError
from thresher.features.projection import Projection, save_projection
from thresher.features.shard_tables import list_shards
from thresher.features.shards import ImageFeatures, read_blocks, write_shard
from thresher.run.folder import Run
from thresher.run_files import shard_path
from thresher.stages.fit import FitSettings, fit
from thresher.stages.insight import InsightSettings, insight

pytestmark = pytest.mark.slow

D, CELLS = 4, 12
SKY, ROAD, ROOM = (30 * np.eye(D)[n] for n in range(3))
SETTINGS = InsightSettings(map_images=40, slices_per_component=3, heat_maps=2, resamples=50)


def planted_image(rng: np.random.Generator, name: str, street: bool) -> ImageFeatures:
    centres = np.stack([SKY] * 4 + [ROAD] * 8) if street else np.stack([ROOM] * CELLS)
    slices = (centres + rng.normal(size=(CELLS, D))).astype(np.float16)
    return ImageFeatures(name, 3, 4, 64, 48, slices, slices.mean(axis=0).astype(np.float16))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rng = np.random.default_rng(0)
    run = Run(tmp_path_factory.mktemp("run"))
    street = {f"target/{n:02}": True for n in range(20)} | {f"pool/{n:02}": n % 3 == 0 for n in range(30)}
    features = [planted_image(rng, name, street[name]) for name in sorted(street)]
    rows = []
    for one in features:
        path = run.folder / f"{one.image_id.replace('/', '-')}.png"
        Image.effect_noise((64, 48), 30).convert("RGB").save(path)
        role = one.image_id.split("/")[0]
        rows.append({"image_id": one.image_id, "path": str(path), "dataset": role, "role": role})
    tables.write(tables.from_rows(rows, tables.INDEXED_IMAGES), run.images)
    projection = Projection(np.zeros(D, np.float32), np.eye(D, dtype=np.float32), 1.0)
    save_projection(projection, run.projection)
    write_shard(shard_path(run.slices, 0), features, [], "planted", projection)
    list_shards(run, [0], with_states(pl.read_parquet(run.images)), {})
    tables.write(tables.empty(tables.PROBLEMS), run.problems)
    fit(run, FitSettings(components="2", covariance="diagonal"))
    (block,) = read_blocks(run.slices)
    similar = mean_log_density(load_mixture(run.mixture), block.slices, block.starts)
    scores = [
        {"image_id": name, "similarity": float(value)}
        for name, value in zip(block.image_ids, similar, strict=True)
        if name.startswith("pool")
    ]
    tables.write(tables.from_rows(scores, tables.SCORES), run.scores_path)
    assert insight(run, SETTINGS).status == "done"
    return run


def table(run: Run, name: str) -> pl.DataFrame:
    return pl.read_parquet(run.insight / f"{name}.parquet")


def test_components_are_the_planted_sky_and_road(run: Run) -> None:
    sizes = table(run, "components").sort("weight")
    assert sizes["weight"].to_list() == pytest.approx([1 / 3, 2 / 3], abs=1e-3)
    assert sizes["target_share"].to_list() == pytest.approx([1 / 3, 2 / 3], abs=1e-3)
    assert sizes["pool_share"].sum() == pytest.approx(1.0)
    sky = sizes["component"][0]
    shown = table(run, "component_slices")
    assert shown.filter(component=sky)["row"].unique().to_list() == [0]
    assert shown.filter(pl.col("component") != sky)["row"].min() >= 1
    for own in shown.partition_by("component"):
        assert own["rank"].to_list() == [1, 2, 3]
        assert own["image_id"].n_unique() == 3
        assert own["image_id"].str.starts_with("target").all()


def test_the_planted_streets_are_as_near_as_the_target_and_the_rooms_are_not(run: Run) -> None:
    similar = table(run, "similarities")
    assert similar["role"].value_counts(sort=True).rows() == [("pool", 30), ("target", 20)]
    own = similar.filter(role="target")
    assert own["similarity"].mean() < own["fitted_nats"].mean()
    told = json.loads((run.insight / "summary.json").read_text())
    assert 0.2 <= told["share_of_pool_that_reaches_it"] <= 1 / 3
    assert told["median_nats"]["pool"] < told["median_nats"]["target_held_out"] - 50
    assert told["median_nats"]["target_held_out"] == pytest.approx(own["similarity"].median())
    assert 0.5 < told["domain_gap"]["low"] <= told["domain_gap"]["auc"] <= told["domain_gap"]["high"] <= 1


def test_heat_maps_of_the_pool_hold_what_score_ranked_by(run: Run) -> None:
    heat = table(run, "heat").group_by("name", "image_id").agg(mean=pl.col("log_density_nats").mean(), cells=pl.len())
    assert sorted(heat["name"]) == ["best-1", "best-2", "median-1", "median-2", "worst-1", "worst-2"]
    assert heat["cells"].unique().to_list() == [CELLS]
    joined = heat.join(tables.read(run.scores_path, tables.SCORES), on="image_id")
    np.testing.assert_allclose(joined["mean"], joined["similarity"], rtol=1e-5)
    ordered = dict(joined.select("name", "similarity").iter_rows())
    assert ordered["best-1"] >= ordered["best-2"] > ordered["median-1"] > ordered["worst-2"] >= ordered["worst-1"]
    with Image.open(run.insight / "heat" / "best-1.png") as picture:
        assert picture.width > 800


def test_the_map_holds_half_of_each_side(run: Run) -> None:
    assert table(run, "map")["role"].value_counts(sort=True).rows() in (
        [("target", 20), ("pool", 20)],
        [("pool", 20), ("target", 20)],
    )


def test_a_second_run_does_nothing_and_one_anew_gives_the_same_bytes(run: Run) -> None:
    files = [path for path in run.insight.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".png", ".json"}
    before = {path: path.read_bytes() for path in files}
    assert insight(run, SETTINGS).status == "unchanged"
    for path in files:
        path.unlink()
    assert insight(run, SETTINGS).status == "done"
    assert [path.name for path in files if path.read_bytes() != before[path]] == []


def test_k_given_by_hand_has_no_chart_of_what_was_tried(run: Run) -> None:
    assert table(run, "components_tried").is_empty()
    assert not (run.insight / "components_tried.png").exists()
    assert (run.insight / "components.json").is_file()


def test_asked_for_ids_a_broken_picture_and_stale_maps(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Path(tables.read(run.images, tables.INDEXED_IMAGES).filter(image_id="target/05")["path"][0])
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    arguments = ["--heat-maps", "0", "--heat-ids", "target/05", "--resamples", "5", "--map-images", "8"]
    with pytest.raises(SystemExit) as left:
        main(["insight", str(run.folder), *arguments, "--json"])
    broken.write_bytes(whole)
    assert left.value.code == 4
    assert json.loads(capsys.readouterr().out)["stages"][0]["domain_gap"]["auc"] > 0.5
    assert [path.name for path in (run.insight / "heat").iterdir()] == ["asked-1.png"]
    held_out = table(run, "similarities").filter(image_id="target/05")["similarity"][0]
    assert table(run, "heat")["log_density_nats"].mean() == pytest.approx(held_out)
    problems = tables.read(run.problems, tables.PROBLEMS)
    assert problems.select("image_id", "stage", "problem").rows() == [("target/05", "insight", "image_unreadable")]
    insight(run, SETTINGS)
    assert tables.read(run.problems, tables.PROBLEMS).is_empty()


def test_a_dry_run_tells_and_writes_nothing(run: Run) -> None:
    before = run.manifest.read_bytes()
    told = insight(run, InsightSettings(pool_images=7), dry_run=True)
    assert told.status == "planned"
    assert (told.summary["target_images"], told.summary["pool_images"], told.summary["heat_maps"]) == (20, 7, 12)
    assert run.manifest.read_bytes() == before


def test_words_of_errors(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="pool_images = 1: expected 2 or more"):
        InsightSettings(pool_images=1)
    with pytest.raises(SettingsError, match="heat_ids: no readable image 'x' in this run. Ids look like 'target/00'"):
        insight(run, InsightSettings(heat_ids=("x",)))
    with pytest.raises(DataError, match="images.parquet: no such file. .index. writes it"):
        insight(Run(tmp_path / "new"))
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(SettingsError, match=r"insight needs altair: .*install .*\[report\]"):
        insight(run)
