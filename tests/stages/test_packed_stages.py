"""Packed images go the whole way: the same numbers as from files of their own, a sheet, and every export."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.readers import READERS
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.export import export, sheet
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import score
from thresher.stages.select import SelectSettings, select
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

SETTINGS = EmbedSettings(short_side=32, width=8)


def packed(folder: Path, form: str, images: dict[str, bytes]) -> str:
    """Writes the images in this form, and gives the source text of the index settings."""
    folder.mkdir(parents=True)
    if form == "folder":
        for name, content in images.items():
            (folder / "0").mkdir(exist_ok=True)
            (folder / "0" / name).write_bytes(content)
    elif form == "webdataset":
        with tarfile.open(folder / "0.tar", "w") as tar:
            for name, content in images.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        rows = [{"bytes": content, "path": name} for name, content in images.items()]
        boxes = [{"bbox": [[0.0, 0.0, 48.0, 32.0]], "category": ["car"]} for _ in rows]
        frame = pl.DataFrame({"file_name": list(images), "image": rows, "objects": boxes})
        frame.write_parquet(folder / "0.parquet", row_group_size=2)
    return f"{form}:{folder}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    rng = np.random.default_rng(0)
    sets: dict[str, dict[str, bytes]] = {"target": {}, "pool": {}}
    for role, count in (("target", 4), ("pool", 7)):
        for number in range(count):
            buffer = io.BytesIO()
            small = rng.integers(0, 255, (8, 12, 3), np.uint8)
            Image.fromarray(small).resize((96, 64)).save(buffer, "JPEG")
            sets[role][f"{number}.jpg"] = buffer.getvalue()
    sets["pool"]["broken.jpg"] = b"no image"
    sets["pool"]["empty.jpg"] = b""
    made = {}
    for form in ("folder", "webdataset", "parquet"):
        root = tmp_path_factory.mktemp(form)
        run = Run(root / "run")
        texts = {role: packed(root / role, form, images) for role, images in sets.items()}
        index(run, IndexSettings((texts["target"],), (texts["pool"],)))
        if made:  # exporting the network takes longest
            shutil.copy(made["folder"].backbone, run.backbone)
        embed(run, SETTINGS, engine=EngineSettings(workers=2))
        fit(run, FitSettings(components="1", covariance="diagonal"))
        score(run)
        select(run, SelectSettings("similarity", "3", name="three"))
        made[form] = run
    return made


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_packed_images_give_the_same_numbers_as_files(runs: dict[str, Run], form: str) -> None:
    plain, other = runs["folder"], runs[form]
    assert tables.read(other.pooled, tables.POOLED).equals(tables.read(plain.pooled, tables.POOLED))
    for run in (plain, other):
        failed = tables.read(run.problems, tables.PROBLEMS).filter(pl.col("stage") == "embed")
        # A broken image's boxes need a size that it does not state; then the index lists it already.
        assert failed.height == (0 if run is runs["parquet"] else 2)
    chosen, expected = (tables.read(run.selection_path("three"), tables.SELECTION) for run in (other, plain))
    assert chosen.select("image_id", "score").equals(expected.select("image_id", "score"))


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_a_broken_packed_image_is_listed_with_its_address(runs: dict[str, Run], form: str) -> None:
    problems = tables.read(runs[form].problems, tables.PROBLEMS)
    reasons = dict(problems.select("image_id", "detail").iter_rows())
    assert sorted(reasons) == ["pool/0/broken", "pool/0/empty"]
    assert all("!/" in path for path in problems["path"])
    assert "unknown format" in reasons["pool/0/broken"]


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_a_sheet_shows_packed_images(runs: dict[str, Run], form: str) -> None:
    pictures = [np.asarray(Image.open(sheet(runs[name], "three").summary["path"])) for name in ("folder", form)]
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
@pytest.mark.parametrize("kind", ["csv", "txt", "parquet"])
def test_lists_name_the_address(runs: dict[str, Run], tmp_path: Path, form: str, kind: str) -> None:
    out = tmp_path / "out"
    export(runs[form], "three", kind, out)
    images = tables.read(runs[form].images, tables.INDEXED_IMAGES)
    chosen = tables.read(runs[form].selection_path("three"), tables.SELECTION).join(images, on="image_id").sort("rank")
    if kind == "txt":
        found = out.read_text().splitlines()
    else:
        found = (pl.read_csv(out) if kind == "csv" else pl.read_parquet(out))["path"].to_list()
    assert found == chosen["path"].to_list()
    assert all(".tar!/" in path or ".parquet!/" in path for path in found)


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
@pytest.mark.parametrize("kind", ["coco", "open_images"])
def test_folders_get_the_images_copied_out(runs: dict[str, Run], tmp_path: Path, form: str, kind: str) -> None:
    run, out = runs[form], tmp_path / "out"
    with pytest.raises(DataError, match="3 of 3 chosen images are in archives .* --images copy, or only name them"):
        export(run, "three", kind, out)
    assert not out.exists()
    export(run, "three", kind, out, images="copy")
    back = READERS[kind](out, None, "")
    chosen = tables.read(run.selection_path("three"), tables.SELECTION)["image_id"].to_list()
    assert sorted(back.images["image_id"]) == sorted(chosen)
    plain = dict(tables.read(runs["folder"].images, tables.INDEXED_IMAGES).select("image_id", "path").iter_rows())
    for image_id, path in back.images.select("image_id", "path").iter_rows():
        assert path.endswith(".jpg")
        assert Path(path).read_bytes() == Path(plain[image_id]).read_bytes()
    if form == "parquet":
        assert back.boxes["x1"].to_list() == [0.5] * 3


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_atlas_may_hold_the_pool_as_well(runs: dict[str, Run], tmp_path: Path, form: str) -> None:
    run, out = runs[form], tmp_path / "atlas.parquet"
    scores = tables.read(run.scores_path, tables.SCORES).sort("image_id")
    chosen = tables.read(run.selection_path("three"), tables.SELECTION)
    planned = export(run, "three", "atlas", out, pool=True, dry_run=True)
    assert (planned.summary["images"], out.exists()) == (scores.height, False)
    for pool in (True, False):
        result = export(run, "three", "atlas", out, images="copy", pool=pool)
        found = pl.read_parquet(out)
        assert result.summary["images"] == found.height == (scores.height if pool else 3)
        ranked = found.filter("selected").select("image_id", "rank", "score")
        assert ranked.rows() == chosen.sort("rank").select(ranked.columns).rows()
        assert found.filter(~pl.col("selected"))["rank"].null_count() == found.height - 3
        pooled = tables.read(run.pooled, tables.POOLED).join(found.select("image_id"), on="image_id", how="semi")
        vectors = pooled.select("image_id", pl.col("vector").cast(pl.List(pl.Float32)))
        assert dict(found.select("image_id", "vector").iter_rows()) == dict(vectors.iter_rows())
        assert all(row["bytes"][:2] == b"\xff\xd8" for row in found["image"])
        if pool:
            same = found.sort("image_id")
            assert same.select("image_id", "similarity").equals(scores.select("image_id", "similarity"))


def test_other_formats_do_not_hold_the_pool(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="format 'csv' can only hold the chosen images. Use atlas"):
        export(runs["folder"], "three", "csv", tmp_path / "out", pool=True)


@pytest.mark.parametrize("kind", ["fiftyone", "lightly", "hf"])
def test_hand_over_carries_every_score(runs: dict[str, Run], tmp_path: Path, kind: str) -> None:
    run, out = runs["webdataset"], tmp_path / "out"
    export(run, "three", kind, out, images="copy")
    scores = tables.read(run.scores_path, tables.SCORES)
    chosen = tables.read(run.selection_path("three"), tables.SELECTION).join(scores, on="image_id").sort("rank")
    if kind == "fiftyone":
        found = pl.DataFrame(json.loads((out / "samples.json").read_text())["samples"])
    else:
        found = pl.read_csv(out / "scores.csv") if kind == "lightly" else pl.read_parquet(out / "data" / "*.parquet")
    assert found["rank"].to_list() == [1, 2, 3]
    for name in ("image_id", "score", "similarity", "nearest"):
        assert found[name].to_list() == chosen[name].to_list()
    assert all(words.startswith("similarity ") for words in found["why"])


def test_one_file_may_be_a_source_and_its_change_is_noticed(runs: dict[str, Run], tmp_path: Path) -> None:
    home = runs["parquet"].folder.parent
    run = Run(tmp_path / "run")
    settings = IndexSettings((f"parquet:{home / 'target' / '0.parquet'}",), (f"webdataset:{tmp_path / 'p.tar'}",))
    pool = runs["webdataset"].folder.parent / "pool" / "0.tar"
    (tmp_path / "p.tar").write_bytes(pool.read_bytes())
    assert index(run, settings).summary["pool_images"] == 9
    assert index(run, settings).status == "unchanged"
    with tarfile.open(tmp_path / "p.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("new.jpg"))
    assert index(run, settings).summary["pool_images"] == 10
