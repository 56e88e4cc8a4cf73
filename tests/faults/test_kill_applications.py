"""Killed while it trains, compares, reports, exports or saves: the same command then ends as if it had been left alone.

Compared is every file that the command writes, without times. The normal run kills an export, a report and a save once,
at a file that they put in place; THRESHER_KILLS=40 kills each several times, trainings and comparisons too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.faults.conftest import Undisturbed

KILLS = int(os.environ.get("THRESHER_KILLS", "6"))
#: The command, dying at the n-th file that it puts in place: just before or just after.
DIES = """
import os, signal, sys
left, when = int(sys.argv[1]), sys.argv[2]
def dying(real):
    def put(old, new, **more):
        global left
        left -= 1
        if left == 0 and when == "before": os.kill(os.getpid(), signal.SIGKILL)
        real(old, new, **more)
        if left == 0: os.kill(os.getpid(), signal.SIGKILL)
    return put
os.replace, os.rename = dying(os.replace), dying(os.rename)
"""
#: Counts the files that are put in place.
COUNTS = """
import atexit, os, sys
placed = 0
def counting(real):
    def put(old, new, **more):
        global placed
        placed += 1
        real(old, new, **more)
    return put
os.replace, os.rename = counting(os.replace), counting(os.rename)
atexit.register(lambda: print(f"placed {placed}", file=sys.stderr))
"""
MAIN = "from thresher.cli.main import main\nmain(sys.argv[3:])"
SAVE = """
from thresher import Run, SelectSettings
from thresher.explorer.explore import ExploreSettings, explorer
from thresher.explorer.review import Review
from thresher.explorer.saving import save
review = Review("ada")
review.mark([(Run(sys.argv[3]).selection("both")["image_id"][0], "rejected")])
log = review.table().with_columns(at=pl.datetime(2026, 1, 1, time_unit="us", time_zone="UTC"))
save(Run(sys.argv[3]), SelectSettings("random", 7, name="mine", review="mine"), log, replace=True)
"""
SMALL = ["--height-px", "64", "--width-px", "96", "--strong-batch", "2", "--weak-batch", "2", "--epochs", "2"]


@dataclass(frozen=True)
class Action:
    """A command on a run, and how often it is killed when 40 kills are asked for."""

    code: str
    words: tuple[str, ...]
    kills: int


ACTIONS: Mapping[str, Action] = {
    "train": Action(MAIN, ("train", "RUN", "--selection", "both", "--checkpoint-epochs", "1", *SMALL), 8),
    "compare": Action(MAIN, ("compare", "RUN", "--methods", "random", "--budgets", "10", "--seeds", "1", *SMALL), 4),
    "report": Action(MAIN, ("report", "RUN", "--map-images", "8"), 6),
    "export": Action(MAIN, ("export", "RUN", "both", "--format", "coco", "--out", "RUN/coco"), 4),
    "save": Action("import polars as pl" + SAVE, ("RUN",), 6),
}


def command(action: Action, before: str, run: Path, *first: str) -> subprocess.CompletedProcess[str]:
    words = [word.replace("RUN", str(run)) for word in action.words]
    code = [sys.executable, "-c", f"{before}\n{action.code}", *(first or ("0", "-")), *words]
    # With one thread a network trained again has the same weights to the last bit.
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(code, capture_output=True, text=True, check=False, timeout=600, env=one_thread)


def results(run: Path) -> dict[str, object]:
    """What the files of a run hold, without times."""
    found: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        timed = path.name in (".lock", "manifest.json", "metrics.jsonl") or path.name.startswith("events.")
        if path.is_file() and not timed:
            name = str(path.relative_to(run))
            found[name] = path.read_bytes()
            if path.suffix == ".parquet" and "seconds" in pl.read_parquet_schema(path):
                # The order of rows carries no meaning: it is that in which the trainings ended.
                found[name] = sorted(map(str, pl.read_parquet(path).drop("seconds").iter_rows()))
    return found


@pytest.mark.parametrize("name", [name for name in ACTIONS if KILLS >= 40 or name not in ("train", "compare")])
def test_killed_while_putting_a_file_in_place(undisturbed: Undisturbed, tmp_path: Path, name: str) -> None:
    action = ACTIONS[name]
    calm = undisturbed.copied(tmp_path / "a" / "job").run
    ended = command(action, COUNTS, calm)
    assert ended.returncode == 0, ended.stderr
    placed = int(ended.stderr.rsplit("placed ", 1)[1])
    assert placed
    rng = np.random.default_rng(len(name))
    moments = [(number, when) for number in range(1, placed + 1) for when in ("before", "after")]
    for moment in rng.permutation(len(moments))[: action.kills if KILLS >= 40 else 1]:
        number, when = moments[moment]
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        (tmp_path / "a").rename(tmp_path / "calm")  # the run lies at the same path, which exports and reports name
        job = undisturbed.copied(tmp_path / "a" / "job")
        killed = command(action, DIES, job.run, str(number), when)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        ended = command(action, "import sys", job.run)
        assert ended.returncode == 0, f"killed {when} file {number} of {placed}: {ended.stderr}"
        found = results(job.run)
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "calm").rename(tmp_path / "a")
        expected = results(calm)
        assert sorted(found) == sorted(expected), f"killed {when} file {number} of {placed}"
        differ = [each for each in found if found[each] != expected[each]]
        assert differ == [], f"killed {when} file {number} of {placed}"
