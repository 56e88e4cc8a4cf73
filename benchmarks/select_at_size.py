"""How long `thresher select` takes on a pool of the size of Open Images, and how much memory.

Run:     python benchmarks/select_at_size.py FOLDER [--images 1740000] [--budget 100000] [--channels 64]
Prints:  the command, seconds of the clock and of the processor, the most memory, and what the selection says of itself
         (wishes missed, near-duplicates dropped, coverage). With two more lines for the same without coverage, and
         without coverage and near-duplicates.
Cost:    FOLDER gets a made-up run with eight boxes an image (1 GB); some minutes. A run that is there is used again.

Of each ten images of the made-up pool the last one nearly is the first, so a tenth are near-duplicates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from made_up_run import made_up_run

SHARES = {"car": 0.6, "bus": 0.1, "train": 0.04}
DUPLICATES = ("--duplicate-cosine", "0.95")


def quotas(budget: int) -> list[str]:
    """Three lower bounds and a cap, in proportion to the budget."""
    least = [word for name, share in SHARES.items() for word in ("--at-least", f"{name}={int(share * budget)}")]
    return [*least, "--at-most", f"dataset:archive={int(0.4 * budget)}"]


def measured(run: Path, budget: int, *options: str) -> dict[str, Any]:
    """Seconds, memory and summary of one `thresher select`."""
    command = ["select", str(run), "--method", "layout_and_diversity", "--budget", str(budget), "--name", "large"]
    (run / "selections" / "large.parquet").unlink(missing_ok=True)  # or there is nothing to do
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen([sys.executable, "-m", "thresher", *command, *options, "--json"], stdout=told)
        _, status, used = os.wait4(process.pid, 0)  # of this process alone
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            raise SystemExit(f"select ended with {os.waitstatus_to_exitcode(status)}")
        told.seek(0)
        summary = json.load(told)
    return {
        "command": " ".join(["thresher", *command, *options]),
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "gigabytes": round(used.ru_maxrss / 1e6, 2),
        "summary": summary,
    }


def main() -> None:
    """Make the run if it is not there, and select."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_740_000)
    parser.add_argument("--budget", type=int, default=100_000)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--only", action="store_true", help="everything at once alone, not its parts")
    asked = parser.parse_args()
    run = asked.folder / "made_up" / "run"
    if not (run / "scores.parquet").is_file() and not os.fork():
        # In a process of its own: its memory is not that of the selections.
        made_up_run(asked.folder / "made_up", asked.images, channels=asked.channels, selected=False)
        os._exit(0)
    if not (run / "scores.parquet").is_file():
        os.wait()
    wishes = quotas(asked.budget)
    cases = {} if asked.only else {"quotas": wishes, "and near-duplicates": [*wishes, *DUPLICATES]}
    for name, options in (cases | {"and coverage": [*wishes, *DUPLICATES, "--coverage", "images"]}).items():
        found = measured(run, asked.budget, *options)
        seconds = f"{found['seconds']} s, {found['processor_seconds']} s of processor"
        print(f"{name}: {seconds}, at most {found['gigabytes']} GB")
        print(f"  {found['command']}")
        print(f"  {json.dumps(found['summary'])}")


if __name__ == "__main__":
    main()
