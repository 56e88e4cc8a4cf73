"""How long the report takes to write and to open, and what it weighs, on a pool of any size.

Run:     python benchmarks/report.py [--run RUN] [--images 100000] [--json FILE]
Prints:  seconds to write, peak memory, bytes of the page and of its thumbnails, as one file too; in Chromium, where it
         is installed, seconds until the page and until all charts are there, and requests that were made.

Without --run the pool is made up (`made_up_run`), and deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from browser import opened_page
from made_up_run import made_up_run


def written(run: Path, out: Path, *flags: str) -> tuple[float, float]:
    """Seconds and peak MB of a process that writes the report."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "thresher", "report", str(run), "--out", str(out), *flags],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def opened(page_file: Path, figures: dict[str, float]) -> None:
    """Load the page as a person would."""
    requests: list[str] = []
    with opened_page(requests) as page:
        if page is None:
            return
        started = time.perf_counter()
        page.goto(page_file.as_uri())
        figures["page loaded, s"] = time.perf_counter() - started
        page.evaluate("thresher.drawAll()")
        figures["all charts drawn, s"] = time.perf_counter() - started
        figures["requests made"] = sum(not each.startswith("data:") for each in requests)
        figures["requests to elsewhere"] = sum(not each.startswith(("file:", "data:", "blob:")) for each in requests)


def main() -> None:
    """Print every figure and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--json", default="report.json")
    asked = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = asked.run or made_up_run(folder / "made_up", asked.images).folder
        figures["written, s"], figures["peak MB"] = written(run, folder / "report.html")
        figures["page MB"] = (folder / "report.html").stat().st_size / 1e6
        thumbnails = [path.stat().st_size for path in (folder / "report_files").glob("*.jpg")]
        figures["thumbnails"], figures["thumbnails MB"] = len(thumbnails), sum(thumbnails) / 1e6
        written(run, folder / "alone.html", "--single-file")
        figures["as a single file MB"] = (folder / "alone.html").stat().st_size / 1e6
        opened(folder / "report.html", figures)
    for what, value in figures.items():
        print(f"{what:24s} {value:10.2f}")
    Path(asked.json).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
