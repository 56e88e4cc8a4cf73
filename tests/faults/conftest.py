"""A small job that runs in seconds, and the command as a process that can be killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from thresher.synthetic.dataset import SyntheticSettings, write_dataset

JOB = """
run = "run"
[index]
target = "cityscapes:{scenes}/cityscapes#train"
pool = "open_images:{scenes}/open_images"
[embed]
backbone = "{scenes}/tiny.onnx"
short_side = 64
width = 8
shard_images = 4
projection_images = 12
[fit]
components = 2
[[select]]
method = "both"
budget = 10
name = "both"
[[select]]
method = "random"
budget = 10
name = "random"
[[export]]
name = "both"
format = "csv"
out = "run/both.csv"
"""


@dataclass(frozen=True)
class Job:
    """A folder with a job.toml in it, and the run that the job makes."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def started(self, *arguments: object) -> subprocess.Popen[str]:
        words = [str(each) for each in arguments or ("run", self.folder / "job.toml")]
        return subprocess.Popen(
            [sys.executable, "-m", "thresher", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"},
        )

    def done(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = self.started(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def results(self) -> dict[str, bytes]:
        """Every file of the run but the lock; of the manifest all but when and how long the stages took.

        Contact sheets and the exported CSV are among them.
        """
        found = {
            str(path.relative_to(self.run)): path.read_bytes()
            for path in sorted(self.run.rglob("*"))
            if path.is_file() and path.name not in (".lock", "manifest.json")
        }
        recorded = json.loads((self.run / "manifest.json").read_text())
        for entry in recorded.values():
            assert entry.pop("seconds") >= 0
            assert entry.pop("finished") > 0
            entry.pop("sha256")
            # What there was already is kept, and told so.
            for name in ("embedded_now", "scored_now", "kept"):
                entry.get("summary", {}).pop(name, None)
        return found | {"manifest.json": json.dumps(recorded, sort_keys=True).encode()}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory, tiny_network: Path) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    write_dataset(root, SyntheticSettings(target_images=12, val_images=1, pool_images=40))
    (root / "open_images" / "images" / "broken.jpg").write_bytes(b"no image")
    shutil.copy(tiny_network, root / "tiny.onnx")
    return root


def new_job(folder: Path, scenes: Path) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.toml").write_text(JOB.format(scenes=scenes))
    return Job(folder)


@pytest.fixture
def jobs(scenes: Path) -> Callable[[Path], Job]:
    """Makes the job in the folder that it is given."""
    return lambda folder: new_job(folder, scenes)


@pytest.fixture
def job(tmp_path: Path, scenes: Path) -> Job:
    return new_job(tmp_path / "job", scenes)


@dataclass(frozen=True)
class Undisturbed:
    """What the job makes when nothing goes wrong, and how long it takes."""

    job: Job
    results: dict[str, bytes]
    seconds: float

    def copied(self, folder: Path) -> Job:
        """The finished job in another place; its sources lie where they were."""
        shutil.copytree(self.job.folder, folder)
        return Job(folder)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Undisturbed:
    calm = new_job(tmp_path_factory.mktemp("calm"), scenes)
    calm.done("run", calm.folder / "job.toml", "--dry-run")  # compiled code is cached by now
    started = time.monotonic()
    code, _, err = calm.done()
    assert code == 4, err
    return Undisturbed(calm, calm.results(), time.monotonic() - started)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB of its own; needs root."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
