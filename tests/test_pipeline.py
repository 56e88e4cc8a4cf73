"""The whole job on made-up street scenes: the claim itself, not its parts."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.data import readers
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.export import export, sheet
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import score
from thresher.stages.select import SelectSettings, select
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

FIT = FitSettings(components="4")
BROKEN = {"empty.jpg": b"", "words.jpg": b"no image", "cut.jpg": None}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    write_dataset(root / "made_up", SyntheticSettings(target_images=30, val_images=2, pool_images=150))
    images = root / "made_up" / "open_images" / "images"
    whole = next(images.iterdir()).read_bytes()
    for name, content in BROKEN.items():
        (images / name).write_bytes(whole[: len(whole) // 3] if content is None else content)
    return root / "made_up"


def index_settings(scenes: Path) -> IndexSettings:
    return IndexSettings((f"cityscapes:{scenes / 'cityscapes'}#train",), (f"open_images:{scenes / 'open_images'}",))


def run_everything(folder: Path, scenes: Path, threads: int) -> Run:
    run = Run(folder)
    index(run, index_settings(scenes))
    embed(run, EmbedSettings(shard_images=64), engine=EngineSettings(workers=threads))
    fit(run, FIT)
    score(run)
    for method in ("similarity", "diversity", "random", "both"):
        select(run, SelectSettings(method, "30", name=method))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Run:
    return run_everything(tmp_path_factory.mktemp("run"), scenes, threads=2)


def precision(run: Run, scenes: Path, name: str) -> float:
    truth = pl.read_parquet(scenes / "truth.parquet")
    chosen = tables.read(run.selection_path(name), tables.SELECTION)
    bare = chosen.select(image_id=pl.col("image_id").str.split("/").list.last())
    assert bare.height == 30
    return float(bare.join(truth, on="image_id")["is_street"].sum()) / 30


def test_the_planted_street_scenes_are_what_is_selected(run: Run, scenes: Path) -> None:
    assert precision(run, scenes, "similarity") >= 0.95
    assert precision(run, scenes, "both") >= 0.95
    assert precision(run, scenes, "random") <= 0.5


def test_nothing_is_lost(run: Run, scenes: Path) -> None:
    files = len(list((scenes / "open_images" / "images").iterdir())) + 30
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    pooled = tables.read(run.pooled, tables.POOLED, key="image_id")
    problems = tables.read(run.problems, tables.PROBLEMS).filter(pl.col("stage") == "embed")
    assert images.height == files
    assert pooled.height + problems.height == files
    assert sorted(Path(path).name for path in problems["path"]) == sorted(BROKEN)
    reasons = dict(zip((Path(path).name for path in problems["path"]), problems["detail"], strict=True))
    assert "the file is empty" in reasons["empty.jpg"]
    assert "not a readable image" in reasons["words.jpg"]
    assert "truncated" in reasons["cut.jpg"]
    scores = tables.read(run.scores_path, tables.SCORES, key="image_id")
    assert scores.height == files - 30 - len(BROKEN)


def files_of(run: Run) -> Iterator[tuple[str, bytes]]:
    for path in [*sorted(run.folder.rglob("*.parquet")), run.mixture, run.projection]:
        yield str(path.relative_to(run.folder)), path.read_bytes()


def test_a_rerun_elsewhere_is_byte_equal_whatever_the_threads(run: Run, scenes: Path, tmp_path: Path) -> None:
    again = run_everything(tmp_path / "again", scenes, threads=1)
    first, second = dict(files_of(run)), dict(files_of(again))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_stage_whose_inputs_are_unchanged_does_nothing(run: Run, scenes: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.parquet")}
    results = [
        index(run, index_settings(scenes)),
        embed(run, EmbedSettings(shard_images=64)),
        fit(run, FIT),
        score(run),
        select(run, SelectSettings("both", "30", name="both")),
    ]
    assert [result.status for result in results] == ["unchanged"] * 5
    assert before == {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.parquet")}


def test_a_changed_setting_does_the_work_again(run: Run, scenes: Path, tmp_path: Path) -> None:
    small = dataclasses.replace(index_settings(scenes), limit=12)
    copy = Run(tmp_path / "run")
    assert index(copy, small).summary["images"] == 24
    assert embed(copy, EmbedSettings()).status == "done"
    assert embed(copy, EmbedSettings(width=16)).summary["width"] == 16
    assert fit(copy, FitSettings(components="1")).summary["components"] == 1


def test_fitting_from_disk_finds_the_streets_as_well(run: Run, scenes: Path, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    reached = {}
    for data in ("sample", "shards", "stepwise"):
        reached[data] = fit(other, FitSettings(components="2", data=data)).summary
        score(other)
        select(other, SelectSettings("similarity", "30", name=data))
        assert precision(other, scenes, data) >= 0.9
    assert reached["shards"]["slices"] == reached["sample"]["slices"] == reached["stepwise"]["slices"]
    assert reached["shards"]["log_likelihood_nats"] == pytest.approx(reached["sample"]["log_likelihood_nats"], abs=2)


def test_a_broken_off_embed_goes_on_with_the_shards_that_are_there(run: Run, scenes: Path, tmp_path: Path) -> None:
    part = Run(tmp_path / "run")
    index(part, index_settings(scenes))
    settings = EmbedSettings(shard_images=64)
    embed(part, settings)
    kept = part.slices / "part-00000.parquet"
    mark = kept.stat().st_mtime_ns
    (part.slices / "part-00001.parquet").unlink()
    part.manifest.unlink()
    assert embed(part, settings).status == "done"
    assert kept.stat().st_mtime_ns == mark
    lost = (part.slices / "part-00001.parquet").read_bytes()
    assert lost == (run.slices / "part-00001.parquet").read_bytes()


def test_larger_budgets_hold_the_smaller_ones(run: Run) -> None:
    for method in ("similarity", "diversity", "random", "both"):
        for budget in ("5", "15", "20%"):
            select(run, SelectSettings(method, budget, name=f"{method}{budget.strip('%')}"))
        five, fifteen, share = (
            tables.read(run.selection_path(f"{method}{budget}"), tables.SELECTION)["image_id"].to_list()
            for budget in ("5", "15", "20")
        )
        assert fifteen[:5] == five
        assert share[:15] == fifteen
    for path in [
        run.selection_path(f"{method}{budget}")
        for method in ("similarity", "diversity", "random", "both")
        for budget in (5, 15, 20)
    ]:
        path.unlink()


def test_every_choice_says_why(run: Run) -> None:
    chosen = tables.read(run.selection_path("both"), tables.SELECTION)
    scores = tables.read(run.scores_path, tables.SCORES).join(chosen, on="image_id")
    targets = set(tables.read(run.images, tables.INDEXED_IMAGES).filter(pl.col("role") == "target")["image_id"])
    for row in chosen.iter_rows(named=True):
        assert len(row["why"]["nearest_ids"]) == 3
        assert set(row["why"]["nearest_ids"]) <= targets
        assert row["why"]["similarity_rank"] >= 1
    assert scores.height == chosen.height
    assert chosen["why"].struct.field("rare_classes").list.len().sum() > 0


@pytest.mark.parametrize("form", ["coco", "open_images"])
def test_an_export_reads_back_to_the_same_table(run: Run, tmp_path: Path, form: str) -> None:
    export(run, "both", form, tmp_path / form)
    back = readers.READERS[form](tmp_path / form, None, "")
    chosen = tables.read(run.selection_path("both"), tables.SELECTION)
    boxes = tables.read(run.boxes, tables.BOXES).join(chosen.select("image_id"), on="image_id", how="semi")
    assert sorted(back.images["image_id"]) == sorted(chosen["image_id"])
    columns = ["image_id", "label", "is_group", "is_depiction", "is_inside", "is_occluded", "is_truncated"]
    order = ["image_id", "label", "x0", "y0", "x1", "y1"]
    for corner in ("x0", "y0", "x1", "y1"):
        found, expected = (
            frame.with_columns(pl.col("x0", "y0", "x1", "y1").round(4)).sort(order) for frame in (back.boxes, boxes)
        )
        assert (found[corner] - expected[corner]).abs().max() <= 2e-4
    assert found.select(columns).sort(columns).equals(expected.select(columns).sort(columns))


def test_the_contact_sheet_is_a_picture_of_the_asked_size(run: Run) -> None:
    result = sheet(run, "both", images=10, columns=5)
    from PIL import Image

    with Image.open(result.summary["path"]) as picture:
        assert picture.width > 5 * 200
        assert picture.height > 2 * 150


def test_words_of_errors(run: Run, scenes: Path, tmp_path: Path) -> None:
    new = Run(tmp_path / "new")
    with pytest.raises(
        DataError,
        match="images.parquet: no such file. .index. writes it: run .thresher index .*/new --target FORMAT:ROOT",
    ):
        embed(new)
    with pytest.raises(
        SettingsError, match="format 'coc' is unknown. Known: bdd100k, cityscapes, cityscapes_polygons, coco"
    ):
        index(new, IndexSettings(("coc:/x",)))
    with pytest.raises(SettingsError, match=r"expected \[NAME=\]FORMAT:ROOT\[#SPLIT\]"):
        index(new, IndexSettings(("/x/y",)))
    with pytest.raises(DataError, match="no such folder"):
        index(new, IndexSettings((f"coco:{tmp_path / 'nowhere'}",)))
    one = f"cityscapes:{scenes / 'cityscapes'}#val"
    with pytest.raises(DataError, match="share an id with another one, first .* read the same folder"):
        index(new, IndexSettings((one,), (one,)))
    with pytest.raises(SettingsError, match="No selection named 'none' in .* Available: both"):
        sheet(run, "none")
    with run.locked(), pytest.raises(DataError, match="another thresher process works in this folder"):
        fit(run, FIT)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="manifest.json: not JSON"):
        Run(tmp_path / "bad").recorded()


def test_the_manifest_says_what_made_each_table(run: Run) -> None:
    recorded = json.loads(run.manifest.read_text())
    assert recorded["fit"]["settings"]["components"] == "4"
    assert set(recorded["embed"]["inputs"]) == {"images", "files", "backbone"}
    assert recorded["select:both"]["summary"]["images"] == 30
    assert recorded["index"]["versions"]["thresher"]


def test_a_dry_run_of_each_stage_tells_what_it_would_take(run: Run, scenes: Path) -> None:
    settings = SelectSettings("layout", "30", name="planned")
    results = [
        index(run, index_settings(scenes), dry_run=True),
        fit(run, FIT, dry_run=True),
        score(run, dry_run=True),
        select(run, settings, dry_run=True),
    ]
    files = len(list((scenes / "open_images" / "images").iterdir()))
    shards = sum(path.stat().st_size for path in run.slices.iterdir())
    told = {result.stage: result.summary for result in results}
    assert {result.status for result in results} == {"planned"}
    # Cityscapes keeps its label pictures beside the images, and two images of another split.
    assert (told["index"]["target_images"], told["index"]["pool_images"]) == (30, files)
    assert (told["fit"]["read_bytes"], told["score"]["read_bytes"]) == (shards, shards + run.boxes.stat().st_size)
    assert (told["score"]["images"], told["select"]["images"]) == (files, 30)
    for plan in told.values():
        for name in ("bytes", "memory_bytes", "memory_free_bytes", "disk_free_bytes"):
            assert plan[name] > 0, name
        assert plan["seconds"] >= 0
    assert not run.selection_path("planned").exists()


def test_a_dry_run_before_embed_does_not_guess_its_time(tmp_path: Path, scenes: Path) -> None:
    fresh = Run(tmp_path)
    index(fresh, index_settings(scenes))
    assert [stage(fresh, dry_run=True).summary["seconds"] for stage in (fit, score)] == [None, None]
