"""Killed at any moment, a run goes on and ends byte-equal to one that was left alone.

Compared are all files of the run folder, contact sheets and the exported CSV among them; of manifest.json all but
`seconds`. The normal run takes 3 moments in time and 3 of writing; THRESHER_KILLS=20 asks for 20 of both together.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.faults.conftest import Job, Undisturbed

KILLS = int(os.environ.get("THRESHER_KILLS", "6"))
#: The command, dying at the n-th file that it puts in place: just before or just after.
DIES = """
import os, signal, sys
from thresher.cli.main import main
left, real = int(sys.argv[1]), os.replace
def replace(old, new):
    global left
    left -= 1
    if left == 0 and sys.argv[2] == "before": os.kill(os.getpid(), signal.SIGKILL)
    real(old, new)
    if left == 0: os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
main(["run", sys.argv[3]])
"""


def resumed(job: Job, undisturbed: Undisturbed, what: str) -> None:
    code, _, err = job.done()
    assert code == 4, f"{what}: {err}"
    found = job.results()
    assert sorted(found) == sorted(undisturbed.results), what
    assert [name for name in found if found[name] != undisturbed.results[name]] == [], what


def test_killed_at_random_moments(jobs: Callable[[Path], Job], undisturbed: Undisturbed, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    killed, tried = 0, 0
    while killed < KILLS // 2:
        # Before a third of the time has passed only libraries are loaded.
        moment = rng.uniform(0.3, 1.0) * undisturbed.seconds
        job = jobs(tmp_path / str(tried))
        process = job.started()
        time.sleep(moment)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        tried += 1
        assert tried <= 4 * KILLS, "the command always ends before it is killed"
        resumed(job, undisturbed, f"killed after {moment:.2f} s")


def test_killed_while_putting_a_file_in_place(
    jobs: Callable[[Path], Job], undisturbed: Undisturbed, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    # Each file is put in place at least once.
    for number in rng.permutation(np.arange(1, len(undisturbed.results)))[: KILLS - KILLS // 2]:
        when = str(rng.choice(["before", "after"]))
        job = jobs(tmp_path / str(number))
        command = [sys.executable, "-c", DIES, str(number), when, str(job.folder / "job.toml")]
        assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
        resumed(job, undisturbed, f"killed {when} file {number}")


def test_ctrl_c_leaves_with_130_and_the_run_goes_on(job: Job, undisturbed: Undisturbed) -> None:
    process = job.started()
    deadline = time.monotonic() + 60
    while not (job.run / "slices" / "part-00001.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip() == "thresher: interrupted; what was finished is kept. Run the same command to go on."
    assert list(job.run.rglob(".*.parquet.*")) == []
    resumed(job, undisturbed, "interrupted")
