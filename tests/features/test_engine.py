"""Workers that die, fail or are taken away; jobs of an array."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from thresher import Run, tables
from thresher.errors import DataError, SettingsError
from thresher.features.engine import workers
from thresher.features.worker import Task, WorkerSettings
from thresher.stages.embed import EmbedSettings, embed, merge
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

SETTINGS = EmbedSettings(short_side=32, width=8, shard_images=8)


def contents(run: Run) -> dict[str, bytes]:
    files = [run.pooled, run.shards, run.projection, run.problems, *run.slices.iterdir()]
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, noise_run: Callable[[Path, int, int], Run]) -> Run:
    run = noise_run(tmp_path_factory.mktemp("embedded"), 6, 40)
    embed(run, SETTINGS, engine=EngineSettings(workers=1))
    return run


def elsewhere(run: Run, folder: Path) -> Run:
    """A fresh run over the same images."""
    again = Run(folder)
    for path in (run.images, run.boxes, run.taxonomy, run.problems):
        again.folder.mkdir(exist_ok=True)
        (again.folder / path.name).write_bytes(path.read_bytes())
    return again


def test_every_shard_has_a_row_that_says_what_it_holds(embedded: Run) -> None:
    shards = tables.read(embedded.shards, tables.SHARDS, key="number")
    assert shards["images"].sum() == 46
    assert shards["images"].to_list() == [8, 8, 8, 8, 8, 6]
    assert shards["slices"].to_list() == [images * 2 for images in shards["images"]]  # 1 × 2 cells each
    assert shards["fingerprint"].n_unique() == 1
    for number, size, digest in shards.select("number", "bytes", "sha256").iter_rows():
        content = (embedded.slices / f"part-{number:05d}.parquet").read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, digest)


def test_jobs_of_an_array_and_a_merge_give_the_bytes_of_one_run(embedded: Run, tmp_path: Path) -> None:
    run = elsewhere(embedded, tmp_path / "jobs")
    engine = EngineSettings(workers=1)
    embed(run, SETTINGS, engine=engine, shard="0/3")
    made = [embed(run, SETTINGS, engine=engine, shard=f"{job}/3").summary["shards"] for job in (1, 3)]
    assert made == [2, 2]
    with pytest.raises(DataError, match=r"2 of 6 shards are missing .*\(numbers 1, 4; shard s belongs to job s mod N"):
        merge(run, SETTINGS)
    embed(run, SETTINGS, engine=engine, shard="2/3")
    assert merge(run, SETTINGS).summary["images_embedded"] == 46
    assert contents(run) == contents(embedded)
    assert embed(run, SETTINGS).status == "unchanged"


def test_a_shard_that_is_no_share_is_refused(embedded: Run) -> None:
    for wrong in ("4/3", "1", "a/b", "0/0"):
        with pytest.raises(SettingsError, match=r"expected I/N, such as 3/8"):
            embed(embedded, SETTINGS, shard=wrong)


def test_merging_what_nobody_prepared_says_so(embedded: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Run .thresher embed .* --shard 0/N"):
        merge(elsewhere(embedded, tmp_path / "nothing"), SETTINGS)


#: A stand-in for an image that takes all memory or crashes a decoder: reading this file ends the process.
_DEADLY = """
import os, signal
from thresher.features import pixels
read = pixels.network_pixels
def deadly(path, *rest):
    if path.name == "013.png" and path.parent.name == "pool" and not os.path.exists(os.environ["ONCE"]):
        if os.environ["ONCE"] != "/never":
            open(os.environ["ONCE"], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path, *rest)
pixels.network_pixels = deadly
"""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every worker process started from here on dies at pool/013, once or always."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), *sys.path]))
    return tmp_path


def test_a_worker_that_dies_once_costs_nothing(
    embedded: Run, deadly: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ONCE", str(deadly / "died"))
    run = elsewhere(embedded, deadly / "run")
    embed(run, SETTINGS, engine=EngineSettings(workers=2))
    assert (deadly / "died").exists()
    assert caplog.text.count("a worker died") == 1
    assert contents(run) == contents(embedded)


def test_an_image_that_always_kills_its_worker_costs_only_itself(
    embedded: Run, deadly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCE", "/never")
    run = elsewhere(embedded, deadly / "run")
    result = embed(run, SETTINGS, engine=EngineSettings(workers=2))
    assert result.summary["images_embedded"] == 45
    problems = tables.read(run.problems, tables.PROBLEMS).filter(pl.col("stage") == "embed")
    assert problems["image_id"].to_list() == ["pool/013"]
    assert "ended the process, twice" in problems["detail"][0]
    assert not list(run.slices.glob("*.alone"))


def test_a_worker_that_cannot_write_says_so_and_blames_no_image(embedded: Run, tmp_path: Path) -> None:
    run = elsewhere(embedded, tmp_path / "run")
    run.slices.write_text("a file where the folder of slices should be")
    with pytest.raises(DataError, match=r"(File exists|Not a directory).*What was finished is kept"):
        embed(run, SETTINGS)


def test_a_bug_in_a_worker_shows_its_trace(embedded: Run, tmp_path: Path) -> None:
    settings = WorkerSettings(str(embedded.backbone), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 32)
    task = Task("shard", 0, [], str(tmp_path / "s"), projection=str(tmp_path / "no projection"))
    with (
        workers(settings, EngineSettings(workers=1)) as work,
        pytest.raises(RuntimeError, match=r"(?s)a worker failed"),
    ):
        list(work([task]))


def test_workers_end_with_the_process_that_asked(tmp_path: Path, noise_run: Callable[[Path, int, int], Run]) -> None:
    run = noise_run(tmp_path, 6, 400)
    code = f"from thresher import *; embed(Run({str(run.folder)!r}), EmbedSettings(width=8, shard_images=16))"
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.time() + 300
    while not list(run.slices.glob("part-*")) and time.time() < deadline:
        time.sleep(0.05)
    workers = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == parent.pid]
    assert workers
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.time() + 30
    while any(_parent(pid) is not None for pid in workers) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(_parent(pid) is not None for pid in workers)


def _parent(pid: int) -> int | None:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)
