"""A disk that is full or cannot be written costs one line, and what was finished counts on a larger one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thresher.features.shards import shard_files

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.faults.conftest import Job, Undisturbed


def one_line(err: str) -> str:
    lines = [line for line in err.strip().splitlines() if line]
    assert len(lines) == 1, err
    return lines[0]


@pytest.mark.parametrize("free_kb", [0, 40, 200])
def test_a_full_disk_is_one_line_and_a_larger_one_goes_on(
    jobs: Callable[[Path], Job], undisturbed: Undisturbed, tmpfs: Path, tmp_path: Path, free_kb: int
) -> None:
    job = jobs(tmpfs / "job")
    (tmpfs / "ballast").write_bytes(b"\0" * (shutil.disk_usage(tmpfs).free - free_kb * 1024))
    code, out, err = job.done()
    assert code == 3, err + out
    assert "No space left on device" in one_line(err)
    kept = {path: path.read_bytes() for path in job.run.rglob("part-*.parquet")}
    larger = jobs(tmp_path / "larger")
    if job.run.exists():
        shutil.copytree(job.run, larger.run)
    assert [path for path in larger.folder.rglob(".*") if path.name != ".lock"] == []
    code, _, err = larger.done()
    assert code == 4, err
    assert larger.results() == undisturbed.results
    assert len(kept) <= len(shard_files(larger.run / "slices"))


def test_a_read_only_folder_is_named(jobs: Callable[[Path], Job], tmpfs: Path) -> None:
    job = jobs(tmpfs / "job")
    # Root writes past permission bits, so the whole disk is made read-only.
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    code, _, err = job.done()
    assert code == 3
    assert one_line(err) == f"thresher: {job.run}: cannot be written (Read-only file system). Choose another folder."


def test_a_finished_run_on_a_read_only_disk_says_so(undisturbed: Undisturbed, tmpfs: Path) -> None:
    job = undisturbed.copied(tmpfs / "job")
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    for arguments in (
        ("sheet", job.run, "both"),
        ("export", job.run, "both", "--format", "csv", "--out", tmpfs / "b.csv"),
        ("export", job.run, "both", "--format", "coco", "--out", tmpfs / "coco"),
    ):
        code, _, err = job.done(*arguments)
        assert code == 3
        assert "Read-only file system" in one_line(err)


def test_a_folder_below_a_file_is_named(job: Job) -> None:
    (job.folder / "run").write_text("a file where the run's folder should be")
    code, _, err = job.done()
    assert code == 3
    assert "run: cannot be written" in one_line(err)
