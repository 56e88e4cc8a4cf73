"""A pool that grows, shrinks and changes: embed works on the difference alone, and gives what a fresh run gives."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import Run, tables
from thresher.features.shards import slices_of
from thresher.features.worker import Task, Worker, WorkerSettings
from thresher.run.digests import damaged_shards
from thresher.run.perform import StageResult
from thresher.stages.embed import EmbedSettings, embed, merge
from thresher.stages.embedding import making, sweep_making
from thresher.stages.index import IndexSettings, index
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

TARGET, POOL = 6, 30


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path, format="BMP")  # of one size, whatever they show


class Pool:
    """A folder of pictures, the run over it, and what is asked of it."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.folder, self.run = folder, Run(folder / "run")
        self.settings = EmbedSettings(backbone=str(network), short_side=64, width=4, shard_images=8)
        for side, count in (("target", TARGET), ("pool", POOL)):
            (folder / side).mkdir(parents=True)
            for number in range(count):
                picture(self.path(side, number), number if side == "pool" else 1000 + number)

    def path(self, side: str, number: int) -> Path:
        return self.folder / side / f"{number:03d}.bmp"

    def indexed(self, run: Run | None = None) -> None:
        index(run or self.run, IndexSettings(f"folder:{self.folder}/target", f"folder:{self.folder}/pool"))

    def embedded(self, run: Run | None = None) -> StageResult:
        self.indexed(run)
        return embed(run or self.run, self.settings, engine=EngineSettings(workers=1))

    def fresh(self) -> Run:
        """A new run over the same pictures, with the same projection."""
        run = Run(self.folder / "fresh")
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir()
        shutil.copy(self.run.projection, run.projection)
        self.embedded(run)
        return run


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, tiny_network: Path) -> Pool:
    pool = Pool(tmp_path_factory.mktemp("pool"), tiny_network)
    (pool.folder / "pool" / "broken.jpg").write_bytes(b"no image")
    pool.embedded()
    return pool


@pytest.fixture
def pool(once: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A copy of the pictures and the run, times and all, under the same path as seen by the run."""
    copy = Pool.__new__(Pool)
    copy.folder, copy.run, copy.settings = tmp_path / "pool", Run(tmp_path / "pool" / "run"), once.settings
    shutil.copytree(once.folder, copy.folder)
    copy.embedded()  # the paths are others, and so is what the index says; the contents are not
    return copy


def told(result: StageResult) -> tuple[int, int, int]:
    return result.summary["embedded_now"], result.summary["kept"], result.summary["removed"]


def equal(one: Run, other: Run) -> bool:
    """Whether tables and slices of two runs are the same, however they are spread over shards."""
    ids = set(tables.read(one.pooled, tables.POOLED)["image_id"])
    ours, theirs = (slices_of(run.slices, ids) for run in (one, other))
    assert ours.slices.tobytes() == theirs.slices.tobytes()
    assert ours.image_ids == theirs.image_ids
    assert [path.name for path in one.slices.glob(".*")] == []
    return (
        one.pooled.read_bytes() == other.pooled.read_bytes()
        and one.problems.read_bytes() == other.problems.read_bytes()
    )


def test_a_run_that_was_moved_with_its_data_works_on_nothing_again(pool: Pool, once: Pool) -> None:
    recorded = pool.run.recorded()["embed"]["summary"]
    assert (recorded["embedded_now"], recorded["kept"], recorded["removed"]) == (0, TARGET + POOL + 1, 0)
    problems = tables.read(pool.run.problems, tables.PROBLEMS).filter(stage="embed")
    assert problems["path"].to_list() == [str(pool.folder / "pool" / "broken.jpg")]
    assert problems["detail"][0].startswith(f"{pool.folder}/pool/broken.jpg: not a readable image")
    assert pool.run.pooled.read_bytes() == once.run.pooled.read_bytes()


def test_new_images_alone_are_embedded(pool: Pool) -> None:
    kept = {path: path.stat().st_mtime_ns for path in pool.run.slices.iterdir()}
    for number in range(POOL, POOL + 5):
        picture(pool.path("pool", number), number)
    assert told(pool.embedded()) == (5, TARGET + POOL + 1, 0)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert equal(pool.run, pool.fresh())
    assert pool.embedded().status == "unchanged"


def test_what_is_gone_leaves_and_what_was_renamed_comes_as_new(pool: Pool) -> None:
    for number in (3, 4, 12):
        pool.path("pool", number).unlink()
    pool.path("pool", 20).rename(pool.path("pool", 99))
    assert told(pool.embedded()) == (1, TARGET + POOL + 1 - 4, 4)
    ids = set(tables.read(pool.run.pooled, tables.POOLED)["image_id"])
    assert "pool/099" in ids
    assert not {"pool/003", "pool/004", "pool/012", "pool/020"} & ids
    assert equal(pool.run, pool.fresh())


def test_a_changed_image_is_seen_though_the_index_says_the_same(pool: Pool) -> None:
    before = pool.run.images.read_bytes()
    picture(pool.path("pool", 7), 777)
    assert pool.path("pool", 7).stat().st_size == pool.path("pool", 8).stat().st_size
    result = pool.embedded()
    assert pool.run.images.read_bytes() == before
    assert told(result) == (1, TARGET + POOL, 0)
    assert equal(pool.run, pool.fresh())


def test_another_time_alone_embeds_nothing(pool: Pool) -> None:
    before = pool.run.pooled.read_bytes(), pool.run.shards.read_bytes()
    os.utime(pool.path("pool", 7))
    result = pool.embedded()
    assert (result.status, told(result)) == ("done", (0, TARGET + POOL + 1, 0))
    assert (pool.run.pooled.read_bytes(), pool.run.shards.read_bytes()) == before
    assert pool.embedded().status == "unchanged"


def test_an_image_that_can_be_read_at_last_is(pool: Pool) -> None:
    picture(pool.folder / "pool" / "broken.jpg", 5)
    assert told(pool.embedded()) == (1, TARGET + POOL, 0)
    assert tables.read(pool.run.problems, tables.PROBLEMS).filter(stage="embed").is_empty()
    assert equal(pool.run, pool.fresh())


def test_another_target_gets_another_projection(pool: Pool) -> None:
    before = pool.run.projection.read_bytes()
    picture(pool.path("target", 2), 4711)
    assert told(pool.embedded()) == (TARGET + POOL + 1, 0, 0)
    assert pool.run.projection.read_bytes() != before
    assert equal(pool.run, pool.fresh())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip])
@pytest.mark.parametrize("side", ["target", "pool"])
def test_a_damaged_shard_is_made_again(pool: Pool, damage: Callable[[Path], None], side: str) -> None:
    embedded = tables.read(pool.run.embedded, tables.EMBEDDED)
    number = embedded.filter(pl.col("image_id").str.starts_with(side))["shard"][0]
    path = pool.run.slices / f"part-{number:05d}.parquet"
    before, pooled = pl.read_parquet(path), pool.run.pooled.read_bytes()
    damage(path)
    result = pool.embedded()
    assert (result.status, result.summary["embedded_now"]) == ("done", embedded.filter(shard=number).height)
    assert pl.read_parquet(path).equals(before)
    assert pool.run.pooled.read_bytes() == pooled
    assert damaged_shards(pool.run.slices) == []


@pytest.mark.parametrize("table", ["shards.parquet", "embedded.parquet", "pooled.parquet"])
def test_a_lost_table_is_made_again_from_the_shards(pool: Pool, table: str) -> None:
    picture(pool.path("pool", POOL), POOL)
    pool.embedded()
    path = pool.run.folder / table
    before = path.read_bytes()
    path.unlink()
    assert told(pool.embedded()) == (0, TARGET + POOL + 2, 0)
    assert path.read_bytes() == before


def test_an_interrupted_growth_goes_on_with_what_was_made(pool: Pool) -> None:
    pool.path("pool", 3).unlink()
    for number in range(POOL, POOL + 20):
        picture(pool.path("pool", number), number)
    pool.indexed()
    engine = EngineSettings(workers=1)
    made = [embed(pool.run, pool.settings, engine=engine, shard=f"{job}/2").summary for job in (0, 1, 2)]
    assert [each["images"] for each in made] == [0, 12, 8]
    assert told(embed(pool.run, pool.settings, engine=engine)) == (0, TARGET + POOL + 20, 1)
    assert equal(pool.run, pool.fresh())


def test_jobs_of_an_array_share_a_growth(pool: Pool) -> None:
    pool.path("pool", 3).unlink()
    for number in range(POOL, POOL + 20):
        picture(pool.path("pool", number), number)
    pool.indexed()
    for job in (0, 2, 1):
        embed(pool.run, pool.settings, engine=EngineSettings(workers=1), shard=f"{job}/2")
    assert told(merge(pool.run, pool.settings)) == (20, TARGET + POOL, 1)
    assert equal(pool.run, pool.fresh())


def test_a_worker_that_has_outlived_its_process_writes_nothing(pool: Pool, tiny_network: Path) -> None:
    worker = Worker(WorkerSettings(str(tiny_network), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 64))
    with making(pool.run) as folder:
        image = ("pool/000", str(pool.path("pool", 0)))
        task = Task("shard", 0, [image], str(folder / "part-00000.parquet"), projection=str(pool.run.projection))
        worker.done(task)
        assert (folder / "part-00000.parquet").is_file()
        sweep_making(pool.run)
        before = sorted(pool.run.folder.rglob("*"))
        with pytest.raises(FileNotFoundError):
            worker.done(task)
        assert sorted(pool.run.folder.rglob("*")) == before
        folder.mkdir()  # for the block's own end


def test_a_network_in_8_bits_stays_as_it_was_calibrated(
    tmp_path: Path, noise_run: Callable[[Path, int, int], Run]
) -> None:
    """What it was calibrated with is drawn from the pool; another draw would mix the features of two networks."""
    run = noise_run(tmp_path, 4, 8)
    settings, engine = EmbedSettings(short_side=32, width=4, mode="fast"), EngineSettings(workers=1)
    embed(run, settings, engine=engine)
    network = run.folder / "backbone.int8.onnx"
    before = network.read_bytes()
    for number in range(100, 140):
        picture(tmp_path / "pool" / f"{number}.bmp", number)
    index(run, IndexSettings(f"folder:{tmp_path}/target", f"folder:{tmp_path}/pool"))
    assert told(embed(run, settings, engine=engine)) == (40, 12, 0)
    assert network.read_bytes() == before
    network.unlink()
    (tmp_path / "pool" / "139.bmp").unlink()
    index(run, IndexSettings(f"folder:{tmp_path}/target", f"folder:{tmp_path}/pool"))
    result = embed(run, settings, engine=engine)
    assert network.read_bytes() != before
    assert told(result) == (51, 0, 1)
