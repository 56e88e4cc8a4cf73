"""Embeddings made elsewhere: the same tables, rankings that numpy confirms, and a word on each thing that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher.errors import DataError, SettingsError
from thresher.features.given_vectors import given_vectors
from thresher.features.shards import has_grid, read_blocks
from thresher.run.folder import Run
from thresher.run.perform import as_json
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import score
from thresher.stages.select import SelectSettings, select

pytestmark = pytest.mark.slow

TARGET, POOL, CHANNELS = 6, 30, 384


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("given")
    for number in range(TARGET + POOL):
        place = folder / ("target" if number < TARGET else "pool")
        place.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (number, 0, 0)).save(place / f"{number:02}.png")
    run = Run(folder / "run")
    index(run, IndexSettings(f"folder:{folder / 'target'}", f"folder:{folder / 'pool'}"))
    return run


@pytest.fixture(scope="module")
def ids(indexed: Run) -> list[str]:
    """The target's first; pool image k is planted k + 1 steps away from them."""
    images = pl.read_parquet(indexed.images).sort("path")
    return [*images.filter(role="target")["image_id"], *images.filter(role="pool")["image_id"]]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Unnormalised, as networks give them: lengths of 10 to 100. The pool turns away from the target step by step."""
    rng = np.random.default_rng(0)
    near, far = np.linalg.qr(rng.normal(size=(CHANNELS, 2)))[0].T
    steps = np.concatenate([np.zeros(TARGET), np.arange(1, POOL + 1)])
    turned = np.outer(np.cos(steps / 25), near) + np.outer(np.sin(steps / 25), far)
    noise = 0.002 * rng.normal(size=turned.shape)
    return ((turned + noise) * rng.uniform(10, 100, (len(steps), 1))).astype(np.float32)


def parquet(path: Path, ids: list[str], values: Any) -> Path:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    pl.DataFrame({"image_id": ids, "embedding": listed}).write_parquet(path)
    return path


def array(path: Path, ids: list[str], values: np.ndarray) -> EmbedSettings:
    np.save(path, values)
    path.with_suffix(".txt").write_text("\n".join(ids) + "\n")
    return EmbedSettings(vectors=path, ids=path.with_suffix(".txt"))


def tables_of(run: Run) -> list[pl.DataFrame]:
    drop = ["fingerprint", "bytes"]
    return [
        pl.read_parquet(run.pooled),
        pl.read_parquet(run.shards).drop(drop),
        *(pl.read_parquet(path) for path in sorted(run.slices.glob("*.parquet"))),
    ]


def test_the_ranking_by_cosine_is_numpys(indexed: Run, ids: list[str], vectors: np.ndarray, tmp_path: Path) -> None:
    done = embed(indexed.folder, EmbedSettings(vectors=parquet(tmp_path / "v.parquet", ids, vectors)))
    assert done.summary["images_embedded"] == len(ids)
    assert done.summary["slices"] == len(ids)
    fit(indexed, FitSettings(components=1, towards_top=0, from_bottom=0))
    score(indexed)
    select(indexed, SelectSettings(method="cosine", budget=10))
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = unit[:TARGET].mean(axis=0)
    cosines = unit[TARGET:] @ mean / np.linalg.norm(mean)
    scores = pl.read_parquet(indexed.scores_path).sort("image_id")
    known = dict(zip(ids[TARGET:], cosines, strict=True))
    np.testing.assert_allclose(scores["cosine"], [known[each] for each in scores["image_id"]], atol=2e-3)
    best = [ids[TARGET + place] for place in np.argsort(-cosines)[:10]]
    assert pl.read_parquet(indexed.selection_path("cosine-10")).sort("rank")["image_id"].to_list() == best
    # Of a grid of 1 × 1, every part of the picture is the whole: the layout's order is the cosine's.
    by_layout = scores.sort("layout", descending=True)["image_id"].to_list()
    assert by_layout[:10] == best
    # Unnormalised vectors of this length would have log-densities of −10⁸.
    assert scores["similarity"].abs().max() < 1e6  # type: ignore[operator]
    assert scores["similarity"].is_finite().all()


def test_fit_tells_of_a_pool_that_holds_hardly_anything_alike(
    indexed: Run, ids: list[str], vectors: np.ndarray, tmp_path: Path
) -> None:
    settings = FitSettings(components=1, seed=1)
    embed(indexed, EmbedSettings(vectors=parquet(tmp_path / "far.parquet", ids, vectors)))
    told = fit(indexed, settings).summary
    assert told["pool_as_near_as_the_target"] == f"0 of {POOL}"
    assert told["foreign_pool"].startswith(f"0 of {POOL} pool images are as near to the target as its own")
    alike = vectors.copy()
    alike[TARGET : TARGET + 20] = np.repeat(vectors[:TARGET], 4, axis=0)[:20]
    embed(indexed, EmbedSettings(vectors=parquet(tmp_path / "near.parquet", ids, alike)))
    told = fit(indexed, settings, refit=True).summary
    assert 10 <= int(told["pool_as_near_as_the_target"].split()[0]) <= 20
    assert "foreign_pool" not in told


def test_a_vector_is_a_grid_of_one(indexed: Run, ids: list[str], vectors: np.ndarray, tmp_path: Path) -> None:
    embed(indexed, EmbedSettings(vectors=parquet(tmp_path / "v.parquet", ids, vectors)))
    pooled = pl.read_parquet(indexed.pooled)
    assert not has_grid(pooled)
    assert pooled.select("width_px", "height_px").unique().rows() == [(40, 30)]
    kept = pooled.sort("image_id")["vector"].to_numpy().astype(np.float64)
    order = np.argsort(ids)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(kept, unit[order], atol=1e-3)
    manifest = json.loads(indexed.manifest.read_text())["embed"]
    assert set(manifest["inputs"]) == {"images", "vectors"}
    assert manifest["settings"]["vectors"].endswith("v.parquet")


def test_every_form_gives_the_same_tables(indexed: Run, ids: list[str], vectors: np.ndarray, tmp_path: Path) -> None:
    embed(indexed, EmbedSettings(vectors=parquet(tmp_path / "v.parquet", ids, vectors)))
    expected = tables_of(indexed)
    wide = pl.DataFrame({"image_id": ids} | {f"v{place}": vectors[:, place] for place in range(CHANNELS)})
    wide.write_parquet(tmp_path / "wide.parquet")
    csv = tmp_path / "ids.csv"
    csv.write_text("row,image_id\n" + "".join(f"{row},{each}\n" for row, each in enumerate(ids)))
    settings = array(tmp_path / "v.npy", ids, vectors)
    for each in (
        settings,
        EmbedSettings(vectors=tmp_path / "v.npy", ids=csv),
        EmbedSettings(vectors=tmp_path / "wide.parquet"),
        array(tmp_path / "double.npy", ids, vectors.astype(np.float64)),
    ):
        assert embed(indexed, each).status == "done"
        for ours, theirs in zip(tables_of(indexed), expected, strict=True):
            assert ours.equals(theirs)
        assert embed(indexed, each).status == "unchanged"


def test_grids_keep_their_places(indexed: Run, ids: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    grids = rng.normal(size=(len(ids), 2, 3, 8)).astype(np.float32)
    embed(indexed, array(tmp_path / "g.npy", ids, grids))
    expected = tables_of(indexed)
    assert has_grid(pl.read_parquet(indexed.pooled))
    block = next(read_blocks(indexed.slices))
    assert block.grids.tolist() == [[2, 3]] * len(block.image_ids)
    embed(indexed, EmbedSettings(vectors=parquet(tmp_path / "g.parquet", ids, grids)))
    for ours, theirs in zip(tables_of(indexed), expected, strict=True):
        assert ours.equals(theirs)
    # Slices at unit length, in a PCA that keeps all 8 axes: distances within an image are the same as before.
    first = block.slices[:6].astype(np.float64)
    unit = grids[ids.index(block.image_ids[0])].reshape(6, 8)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    apart = np.linalg.norm(first[:, None] - first[None], axis=2)
    np.testing.assert_allclose(apart, np.linalg.norm(unit[:, None] - unit[None], axis=2), atol=5e-3)


def test_grids_may_differ_in_size(indexed: Run, ids: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    grids = [rng.normal(size=(1 + number % 3, 2, 5)).tolist() for number in range(len(ids))]
    embed(indexed, EmbedSettings(vectors=parquet(tmp_path / "g.parquet", ids, grids)))
    sizes = pl.read_parquet(indexed.pooled).group_by("grid_h", "grid_w").len().sort("grid_h").rows()
    assert sizes == [(1, 2, 12), (2, 2, 12), (3, 2, 12)]


def test_an_image_that_has_no_usable_vector_costs_only_itself(
    indexed: Run, ids: list[str], vectors: np.ndarray, tmp_path: Path
) -> None:
    spoilt = vectors.copy()
    spoilt[7, 3], spoilt[8, 0], spoilt[9] = np.nan, np.inf, 0
    there = [*ids[:10], *ids[11:], "somebody else's"]
    done = embed(indexed, array(tmp_path / "v.npy", there, np.vstack([spoilt[:10], spoilt[11:], spoilt[:1]])))
    assert done.failed_items == 4
    assert done.summary["vectors_not_in_index"] == 1
    problems = pl.read_parquet(indexed.problems).filter(stage="embed").sort("path")
    assert problems["image_id"].to_list() == ids[7:11]
    assert problems["problem"].unique().to_list() == ["vector_missing"]
    assert [detail.partition(": ")[2] for detail in problems["detail"]] == [
        "NaN or infinite numbers",
        "NaN or infinite numbers",
        "a vector is zero, so it has no direction",
        "no vector of this image",
    ]


def saved(name: str, values: Any) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        np.save(folder / name, values, allow_pickle=True)
        return folder / name

    return save


def framed(name: str, columns: dict[str, Any]) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        pl.DataFrame(columns).write_parquet(folder / name)
        return folder / name

    return save


@pytest.mark.parametrize(
    ("file", "ids", "words"),
    [
        (saved("v.npy", np.zeros(3)), "a", "v.npy: float64 of shape (3,); expected numbers of shape (n, c) or (n,"),
        (saved("v.npy", np.array(["a"])), "a", "v.npy: <U1 of shape (1,); expected numbers"),
        (saved("v.npy", np.array([{}])), "a", "v.npy: not an array of numbers ("),
        (saved("v.npy", np.ones((2, 3))), "a", "v.npy: 2 vectors, but 1 image ids in "),
        (saved("v.npy", np.ones((2, 3))), "a\na", "v.npy: image id 'a' appears twice. Keep one vector per image."),
        (framed("v.parquet", {"id": ["a"], "v": [[1.0]]}), None, "v.parquet: no column image_id. Found: id, v."),
        (framed("v.parquet", {"image_id": ["a"]}), None, "v.parquet: no vectors. Expected a column of lists"),
        (framed("v.parquet", {"image_id": ["a"], "v": [[1.0]], "w": [[1.0]]}), None, "v.parquet: several columns of"),
        (framed("v.parquet", {"image_id": ["a"], "v": [[[1.0]]]}), None, "v.parquet: the first image has shape (1, 1)"),
        (framed("v.parquet", {"image_id": ["a", None], "v": [[1.0]] * 2}), None, "v.parquet: image_id is missing"),
    ],
)
def test_words_about_a_file_of_vectors(
    tmp_path: Path, file: Callable[[Path], Path], ids: str | None, words: str
) -> None:
    path = file(tmp_path)
    if ids is not None:
        (tmp_path / "ids.txt").write_text(ids)
    with pytest.raises(DataError) as error:
        given_vectors(path, None if ids is None else tmp_path / "ids.txt")
    assert str(error.value).startswith(f"{tmp_path}/{words}")
    assert "\n" not in str(error.value)


def test_words_about_settings(tmp_path: Path, indexed: Run, ids: list[str]) -> None:
    with pytest.raises(SettingsError, match="ids = 'a.txt': only used with vectors = FILE.npy"):
        EmbedSettings(ids="a.txt")
    with pytest.raises(SettingsError, match=r"expected a \.parquet or \.npy file"):
        given_vectors(tmp_path / "v.csv")
    np.save(tmp_path / "v.npy", np.ones((1, 2)))
    with pytest.raises(SettingsError, match="has no image ids. Give ids = FILE with one image id per line"):
        given_vectors(tmp_path / "v.npy")
    parquet(tmp_path / "v.parquet", ids, np.ones((len(ids), 3)))
    with pytest.raises(SettingsError, match="v.parquet already has image ids in its column image_id. Leave ids out"):
        given_vectors(tmp_path / "v.parquet", tmp_path / "ids.txt")
    with pytest.raises(SettingsError, match="shard = '1/2': cannot be combined with vectors"):
        embed(indexed, EmbedSettings(vectors=tmp_path / "v.parquet"), shard="1/2")
    with pytest.raises(DataError, match="nowhere.npy: no such file"):
        embed(indexed, EmbedSettings(vectors="nowhere.npy", ids="a.txt"))


def test_ids_that_are_not_the_indexs_are_shown_beside_its_own(indexed: Run, ids: list[str], tmp_path: Path) -> None:
    path = parquet(tmp_path / "v.parquet", ["images/a.jpg"], np.ones((1, 3)))
    with pytest.raises(
        DataError, match=r"none of its 1 image ids is in the index. Its first is 'images/a.jpg'; the index"
    ):
        embed(indexed, EmbedSettings(vectors=path))


def test_a_dry_run_counts_and_writes_nothing(indexed: Run, ids: list[str], tmp_path: Path) -> None:
    before = indexed.manifest.read_bytes()
    path = parquet(tmp_path / "v.parquet", [*ids, "other"], np.ones((len(ids) + 1, 3)))
    told = embed(indexed, EmbedSettings(vectors=path), dry_run=True).summary
    assert told == {"images": len(ids), "vectors": len(ids) + 1, "vectors_not_in_index": 1, "channels": 3}
    assert indexed.manifest.read_bytes() == before


def test_runs_made_before_there_were_own_vectors_stay_current() -> None:
    assert not {"vectors", "ids"} & set(as_json(EmbedSettings()))
