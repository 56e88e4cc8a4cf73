"""`index --download-later` from the CSVs of Open Images alone: seconds, processor seconds and peak memory.

Run:     python benchmarks/csvs_first.py FOLDER [--of 10]
Needs:   FOLDER takes 1.2 GB for the whole (made up: 1.74 million images, 14.6 million boxes); --of N: the N-th part.
Prints:  one line; the process is thresher's own, with its imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from open_images_sized import BOXES, IMAGES, write
from PIL import Image


def target(root: Path) -> None:
    """Two tiny images with masks."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(2):
        Image.new("RGB", (64, 48), (number, 9, 9)).save(root / "images" / f"{number}.jpg")
        Image.new("L", (64, 48), number).save(root / "masks" / f"{number}.png")


def main() -> None:
    """Write what is read, unless it is there, and measure one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of", type=int, default=1)
    asked = parser.parse_args()
    data, run, own = asked.folder / f"csvs-{asked.of}", asked.folder / "run", asked.folder / "target"
    write(data, IMAGES // asked.of, BOXES // asked.of, parquet=False)
    target(own)
    shutil.rmtree(run, ignore_errors=True)
    words = ["index", str(run), "--target", f"t=masks:{own}", "--pool", f"oi=open_images:{data}", "--download-later"]
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "thresher", *words, "--json"], stdout=subprocess.PIPE, check=True)
    seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    (told,) = json.loads(done.stdout)["stages"]
    print(f"{told['images']:,} images, {told['boxes']:,} boxes: {seconds:.1f} s, ", end="")
    print(f"{used.ru_utime + used.ru_stime:.1f} of one processor, {used.ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
