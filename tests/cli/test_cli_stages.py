"""The command as a user meets it, stage after stage: exit codes, words, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.slow


def test_from_index_to_export(
    photos: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int], indexed: Callable[..., Path]
) -> None:
    run = indexed(photos)
    assert thresher("embed", run, "--short-side", 32, "--width", 8) == 0
    assert thresher("fit", run, "--components", 1, "--covariance", "diagonal") == 0
    assert thresher("score", run) == 0
    assert thresher("select", run, "--method", "similarity", "--budget", 2, "--name", "two") == 0
    assert thresher("sheet", run, "two") == 0
    capsys.readouterr()
    assert thresher("export", run, "two", "--format", "txt", "--out", photos / "two.txt", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 1
    assert told["stages"][0]["images"] == 2
    listed = (photos / "two.txt").read_text().splitlines()
    assert [Path(line).parent.name for line in listed] == ["pool", "pool"]
    assert all(Path(line).is_file() for line in listed)


def test_again_says_unchanged(photos: Path, capsys: pytest.CaptureFixture[str], indexed: Callable[..., Path]) -> None:
    indexed(photos)
    capsys.readouterr()
    indexed(photos)
    assert "index: unchanged since last time, nothing to do" in capsys.readouterr().out


def test_a_dry_run_tells_and_makes_no_table(
    photos: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int], indexed: Callable[..., Path]
) -> None:
    run = photos / "run"
    target = f"folder:{photos / 'target'}"
    assert thresher("index", run, "--target", target, "--dry-run") == 0
    assert not run.exists()
    indexed(photos)
    capsys.readouterr()
    assert thresher("embed", run, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["stages"][0]
    assert plan["status"] == "planned"
    assert plan["images"] == 4
    # 96 × 64 becomes 320 × 224, a grid of 10 × 7, with 64 numbers of 2 bytes each, and one vector of 320.
    assert plan["bytes"] == 4 * (70 * 64 + 320) * 2
    assert plan["seconds"] > 0
    assert not (run / "pooled.parquet").exists()


def test_images_that_fail_are_listed_and_the_exit_code_says_so(
    photos: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int], indexed: Callable[..., Path]
) -> None:
    (photos / "pool" / "broken.jpg").write_bytes(b"")
    run = indexed(photos)
    assert thresher("embed", run, "--short-side", 32) == 4
    assert "1 images failed; each is listed" in capsys.readouterr().err
    problems = pl.read_parquet(run / "problems.parquet")
    assert problems.select("image_id", "problem").rows() == [("pool/broken", "image_unreadable")]


def test_a_run_file_does_it_all_and_paths_are_relative_to_it(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, thresher: Callable[..., int]
) -> None:
    (photos / "job.toml").write_text(
        """
        [index]
        target = "folder:target"
        pool = ["folder:pool"]
        [embed]
        short_side = 32
        [fit]
        components = 1
        tolerance = 1
        [[select]]
        method = "random"
        budget = 2
        name = "pair"
        [[export]]
        name = "pair"
        format = "csv"
        out = "pair.csv"
        """
    )
    monkeypatch.chdir(photos.parent)
    assert thresher("run", photos / "job.toml", "--dry-run") == 0
    assert not (photos / "pair.csv").exists()
    assert thresher("run", photos / "job.toml") == 0
    table = pl.read_csv(photos / "pair.csv")
    assert table["rank"].to_list() == [1, 2]
    assert (photos / "job" / "sheets" / "pair.png").is_file()
    capsys.readouterr()
    assert thresher("run", photos / "job.toml", "--json") == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {stage["stage"]: stage["status"] for stage in stages}["embed"] == "unchanged"
