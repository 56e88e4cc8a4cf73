"""Images that vanish or change, a second process, clocks that jump, tables that are damaged."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from thresher import tables
from thresher.cli.run_file import load_run_file
from thresher.errors import DataError
from thresher.run.folder import Run
from thresher.run.state import UNFINISHED
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.export import export
from thresher.stages.index import IndexSettings, index

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.faults.conftest import Job, Undisturbed


@pytest.fixture
def own(tmp_path: Path, scenes: Path, jobs: Callable[[Path], Job]) -> tuple[Path, Run, IndexSettings, EmbedSettings]:
    """Scenes of this test's own, to be spoilt."""
    copy = tmp_path / "scenes"
    shutil.copytree(scenes, copy)
    settings = load_run_file(jobs(tmp_path / "job").folder / "job.toml")
    sources = IndexSettings((f"cityscapes:{copy / 'cityscapes'}#train",), (f"open_images:{copy / 'open_images'}",))
    return copy / "open_images" / "images", Run(tmp_path / "run"), sources, settings.embed


def test_an_image_deleted_after_index_costs_only_itself(own: tuple) -> None:
    images, run, sources, settings = own
    index(run, sources)
    gone = sorted(images.glob("*.jpg"))[3]
    gone.unlink()
    result = embed(run, settings)
    assert result.failed_items == 2  # one was broken from the start
    problems = tables.read(run.problems, tables.PROBLEMS).filter(pl.col("stage") == "embed")
    reasons = dict(problems.select("path", "detail").iter_rows())
    assert reasons[str(gone)] == f"{gone}: the file is not there"
    assert tables.read(run.pooled, tables.POOLED).height == tables.read(run.images, tables.INDEXED_IMAGES).height - 2


def test_a_changed_image_is_what_embed_finds_and_counts_once(own: tuple) -> None:
    """embed watches the files, not their names alone."""
    images, run, sources, settings = own
    index(run, sources)
    first, second = sorted(images.glob("*.jpg"))[:2]
    first.write_bytes(second.read_bytes())  # after index, before embed: its pixels now are what counts
    embed(run, settings)

    def vector(path: Path) -> list[float]:
        pooled = tables.read(run.pooled, tables.POOLED).filter(pl.col("image_id").str.ends_with(path.stem))
        return pooled["vector"][0].to_list()

    assert vector(first) == vector(second)
    third = sorted(images.glob("*.jpg"))[2]
    third_vector = vector(third)
    first.write_bytes(third.read_bytes())
    assert index(run, sources).status == "done"  # index notices the file; its tables come out the same
    assert embed(run, settings).summary["embedded_now"] == 1
    assert vector(first) == third_vector
    assert embed(run, settings).status == "unchanged"


def test_a_second_process_is_turned_away_and_the_first_is_not_disturbed(job: Job, undisturbed: Undisturbed) -> None:
    process = job.started()
    deadline = time.monotonic() + 60
    while not (job.run / "slices").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    with pytest.raises(DataError, match="another thresher process works in this folder. Wait for it"):
        embed(Run(job.run), load_run_file(job.folder / "job.toml").embed)
    assert process.communicate(timeout=60)[0]
    assert process.returncode == 4
    assert job.results() == undisturbed.results


def test_the_command_turned_away_leaves_with_3(job: Job) -> None:
    with Run(job.run).locked():
        code, out, err = job.done()
    assert code == 3
    assert out == ""
    assert err == f"thresher: {job.run}: another thresher process works in this folder. Wait for it.\n"


@pytest.mark.parametrize("shift_s", [-40 * 365 * 86400, 10 * 365 * 86400])
def test_a_clock_that_jumped_changes_nothing(undisturbed: Undisturbed, tmp_path: Path, shift_s: int) -> None:
    job = undisturbed.copied(tmp_path / "job")
    for path in [job.run, *job.run.rglob("*")]:
        os.utime(path, (time.time() + shift_s,) * 2)
    (job.run / "pooled.parquet").unlink()
    code, out, err = job.done()
    assert code == 4, err
    assert "embed: done" in out
    assert "fit: unchanged" in out
    assert job.results() == undisturbed.results


def test_touched_sources_are_read_again_to_the_same_tables(own: tuple) -> None:
    images, run, sources, settings = own
    index(run, sources)
    embed(run, settings)
    before = run.images.read_bytes()
    for number, path in enumerate(images.iterdir()):
        os.utime(path, (number, 10**10 + number))
    assert index(run, sources).status == "done"
    assert run.images.read_bytes() == before
    assert embed(run, settings).summary["embedded_now"] == 0


def test_after_a_failed_change_of_settings_the_old_ones_are_not_taken_for_done(own: tuple, tmp_path: Path) -> None:
    _, run, sources, settings = own
    index(run, sources)
    whole = {path: path.read_bytes() for path in (run.images, run.boxes)}
    smaller = IndexSettings(sources.target, sources.pool, limit=5)

    # The images are written before the labels, whose place is taken: the folder then holds some of both settings.
    labels = run.labels.rename(tmp_path / "labels")
    run.labels.mkdir()
    with pytest.raises(DataError, match="Is a directory .* What was finished is kept"):
        index(run, smaller)
    run.labels.rmdir()
    labels.rename(run.labels)
    assert run.images.read_bytes() != whole[run.images]
    with pytest.raises(
        DataError,
        match="index is unfinished: it was interrupted, so tables may mix old and new settings. Run .thresher run ",
    ):
        embed(run, settings)
    assert index(run, sources).status == "done"
    assert {path: path.read_bytes() for path in whole} == whole


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_shard_is_made_again_and_a_damaged_table_is_named(own: tuple, content: bytes | None) -> None:
    _, run, sources, settings = own
    index(run, sources)
    embed(run, settings)
    shard = run.slices / "part-00002.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2] if content is None else content)
    run.pooled.unlink()
    assert embed(run, settings).status == "done"
    assert shard.read_bytes() == whole
    run.images.write_bytes(run.images.read_bytes()[:100] if content is None else content)
    with pytest.raises(
        DataError, match="images.parquet: not a readable Parquet file .* Delete it and run .thresher index .* again"
    ):
        embed(run, settings)


def test_a_selection_that_was_broken_off_is_not_exported(undisturbed: Undisturbed, tmp_path: Path) -> None:
    job = undisturbed.copied(tmp_path / "job")
    run = Run(job.run)
    recorded = run.recorded()
    recorded["select:both"] = UNFINISHED
    run.manifest.write_text(json.dumps(recorded))
    with pytest.raises(DataError, match="select:both is unfinished: it was interrupted.* Run .thresher run "):
        export(run, "both", "csv", job.folder / "b.csv")
    assert job.done()[0] == 4
    assert export(run, "both", "csv", job.folder / "b.csv").summary["images"] == 10
