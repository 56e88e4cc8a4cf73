"""index, fit, score and select at the size of Open Images: seconds and peak memory of the real stages.

Run:     python benchmarks/scale.py FOLDER [--of 10 20 40] [--whole] [--json FILE]
Needs:   disk in FOLDER for the largest part: 1.2 GB of slices for a tenth, 15 GB for the whole; deleted at the end.
Prints:  one line per stage and size: images, seconds, seconds of all processors together, peak MB of a process that
         does nothing else.

`--of N` takes the N-th part of 1.74 million images and their boxes. Slices are made up (7 × 7 cells of 64 numbers in
float16, as embed writes them for square pictures), of a few clusters that target and pool share in other proportions.
Whether time is linear and memory flat shows between the parts. `--whole` is full size: 14.6 million boxes, as
many empty image files (a few minutes to write), 11 GB of slices.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from open_images_sized import BOXES, IMAGES, write

from thresher import tables
from thresher.features.projection import Projection, save_projection
from thresher.features.shard_tables import list_shards
from thresher.features.shards import ImageFeatures, write_shard
from thresher.run.folder import Run
from thresher.run_files import shard_path

TARGET_IMAGES, SHARD_IMAGES = 500, 512
GRID, WIDTH, CHANNELS = 7, 64, 320
STAGES = ("index", "fit", "score", "select")
#: What select is asked for, of the whole.
BUDGET = 100_000


def write_slices(run: Run, seed: int = 0) -> None:
    """Shards, pooled vectors and projection for every image of the run's index, as embed leaves them."""
    rng = np.random.default_rng(seed)
    images = tables.read(run.images, tables.INDEXED_IMAGES).sort("image_id")
    axes = np.linalg.qr(rng.normal(size=(CHANNELS, WIDTH)))[0].T.astype(np.float32)
    projection = Projection(rng.normal(size=CHANNELS).astype(np.float32) * 0.05, axes, 0.9)
    save_projection(projection, run.projection)
    centres = rng.normal(size=(12, WIDTH)) * 0.1
    for number, part in enumerate(images.iter_slices(SHARD_IMAGES)):
        owner = rng.integers(0, 12, (part.height, GRID * GRID))
        near = part["role"].to_numpy() == "target"
        owner[near] //= 3
        slices = (centres[owner] + rng.normal(size=(1, GRID * GRID, WIDTH)) * 0.05).astype(np.float16)
        slices += rng.normal(size=(part.height, 1, WIDTH)).astype(np.float16) * np.float16(0.02)
        pooled = (slices.astype(np.float32).mean(axis=1) @ axes + projection.mean).astype(np.float16)
        features = [
            ImageFeatures(image_id, GRID, GRID, 640, 640, slices[row], pooled[row])
            for row, image_id in enumerate(part["image_id"])
        ]
        write_shard(shard_path(run.slices, number), features, [], "made up", projection)
    nothing = pl.lit(None, pl.Int64)
    files = images.select("image_id", "path", size_bytes=nothing, mtime_ns=nothing)
    list_shards(run, range(number + 1), files, {})


def one(stage: str, folder: Path, images: int) -> None:
    """Run one stage and print what it took."""
    from thresher.stages.fit import FitSettings, fit
    from thresher.stages.index import IndexSettings, index
    from thresher.stages.score import score
    from thresher.stages.select import SelectSettings, select

    run = Run(folder / "run")
    budget = str(BUDGET * images // IMAGES)
    sources = IndexSettings((f"folder:{folder / 'target'}",), (f"open_images:{folder / 'pool'}",))
    works = {
        "index": lambda: index(run, sources),
        "fit": lambda: fit(run, FitSettings(components="16")),
        "score": lambda: score(run),
        "select": lambda: select(run, SelectSettings("layout_and_diversity", budget, name="benchmark")),
    }
    started, spent = time.perf_counter(), time.process_time()
    result = works[stage]()
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    assert result.status == "done", f"{stage}: {result.status}"
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    print(json.dumps({"seconds": seconds, "processor seconds": spent, "peak MB": peak}))


def measured(part: int, folder: Path, stages: tuple[str, ...], figures: dict[str, float]) -> None:
    """One size: write it, run the stages each in a process of its own, delete it."""
    images = IMAGES // part
    write(folder / "pool", images, BOXES // part, files=True)
    (folder / "target").mkdir(exist_ok=True)
    for number in range(TARGET_IMAGES):
        (folder / "target" / f"{number:04d}.png").touch()
    for stage in stages:
        if stage == "fit":
            write_slices(Run(folder / "run"))
        command = [sys.executable, __file__, str(folder), "--stage", stage, "--images", str(images)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for name, value in found.items():
            figures[f"{stage} {images:,} images, {name}"] = value
        wall, spent, peak = found["seconds"], found["processor seconds"], found["peak MB"]
        print(f"{stage:7s} {images:10,} images {wall:7.1f} s {spent:7.1f} s of processors {peak:6.0f} MB", flush=True)
    shutil.rmtree(folder)


def main() -> None:
    """Print every figure and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of", type=int, nargs="*", default=[40, 20, 10])
    parser.add_argument("--whole", action="store_true", help="all of it too, and 14 GB of disk")
    parser.add_argument("--json", default="scale.json")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage:
        one(asked.stage, asked.folder, asked.images)
        return
    figures: dict[str, float] = {}
    for part in asked.of:
        measured(part, asked.folder / f"part_{part}", STAGES, figures)
    if asked.whole:
        measured(1, asked.folder / "whole", STAGES, figures)
    with open(asked.json, "w") as file:
        json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
