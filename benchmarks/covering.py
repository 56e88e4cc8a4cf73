"""Coverage and near-duplicates: how fast, and how much of what the exact choice reaches.

Run:     python benchmarks/covering.py objective [--beside FOLDER]    FOLDER: pip install --target FOLDER apricot-select
         python benchmarks/covering.py many
         python benchmarks/covering.py duplicates [--images 1000000] [--width 64]
         python benchmarks/covering.py planted
Prints:  objective: 1,000 of 20,000 vectors of 64 numbers: wall and processor seconds and the objective (mean cosine of
         each vector with the nearest taken one) of thresher, of exact lazy greedy and, with --beside, of apricot's lazy
         greedy on the same cosines; and the ratios.
         many: the same of 100,000 taken of a shortlist of 400,000, and of as many drawn at random.
         duplicates: seconds, memory, and of how many planted pairs of near-duplicates not both are kept.
         planted: of made-up scenes (150 in the target, 1,500 in the pool), what share of 60 and of 150 chosen are
         nights, of which target and streets have 15 %, and streets; and how many planted near-duplicates are pairs.
Cost:    objective: a minute, 4 GB with apricot; many: minutes, 2 GB; duplicates: minutes, 1 to 3 GB;
         planted: two minutes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

APRICOT = """
import json, sys, time
import numpy as np
from apricot import FacilityLocationSelection
unit, count = np.load(sys.argv[1]), int(sys.argv[2])
few = np.maximum(unit[:50] @ unit[:50].T, 0).astype(np.float64)
FacilityLocationSelection(3, metric="precomputed", optimizer="lazy").fit(few)  # compiles
started, spent = time.monotonic(), time.process_time()
alike = np.maximum(unit @ unit.T, 0).astype(np.float64)
made = FacilityLocationSelection(count, metric="precomputed", optimizer="lazy").fit(alike)
print(json.dumps([[int(row) for row in made.ranking], time.monotonic() - started, time.process_time() - spent]))
"""


def made_up(images: int, width: int, groups: int = 200, spread: float = 0.7) -> np.ndarray:
    """Vectors in groups that share a direction, as pooled features do: most cosines are 0.5 to 0.9."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(groups, width)) + 2 * np.abs(rng.normal(size=width))
    found = np.empty((images, width), np.float16)
    for start in range(0, images, 50_000):
        part = found[start : start + 50_000]
        part[:] = centres[rng.integers(0, groups, len(part))] + spread * rng.normal(size=part.shape)
    return found


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What the work gives, its wall seconds and its processor seconds."""
    started, spent = time.monotonic(), time.process_time()
    found = work()
    return found, time.monotonic() - started, time.process_time() - spent


def told(name: str, vectors: np.ndarray, rows: np.ndarray, wall: float, spent: float) -> float:
    """Prints one line; returns the objective."""
    from thresher.selection.facility import best_cosines

    value = float(best_cosines(vectors, vectors[rows]).mean(dtype=np.float64))
    print(f"{name:24} {wall:8.2f} s {spent:8.2f} s of processor   objective {value:.5f}", flush=True)
    return value


def objective(beside: str) -> None:
    """1,000 of 20,000."""
    from thresher.selection import facility

    vectors = made_up(20_000, 64)
    facility.facility_location(vectors[:100], count=3)  # compiles
    made, *ours = timed(lambda: facility.facility_location(vectors, count=1_000).rows)
    reached = told("thresher", vectors, made, *ours)
    facility.EXACT_COSINES = facility.MOST_COSINES
    made, *times = timed(lambda: facility.facility_location(vectors, count=1_000).rows)
    exact = told("exact greedy (thresher)", vectors, made, *times)
    print(f"objective: {100 * reached / exact:.2f} % of exact greedy; {times[1] / ours[1]:.1f} times as fast")
    if not beside:
        return
    np.save("/tmp/coverage-unit.npy", facility.unit_length(vectors))
    command = [sys.executable, "-c", APRICOT, "/tmp/coverage-unit.npy", "1000"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": beside}, capture_output=True, text=True, check=True)
    rows, *times = json.loads(done.stdout)
    theirs = told("apricot, lazy", vectors, np.array(rows), *times)
    print(f"objective: {100 * reached / theirs:.2f} % of apricot's; processor {times[1] / ours[1]:.1f} times as fast")
    print(f"wall {times[0] / ours[0]:.1f} times as fast")


def many() -> None:
    """100,000 of 400,000."""
    from thresher.selection.facility import facility_location

    vectors = made_up(400_000, 64, 5_000)
    made, *times = timed(lambda: facility_location(vectors, count=100_000).rows)
    print(f"100,000 of 400,000: {times[0]:.0f} s, {times[1]:.0f} s of processor, {_gb():.1f} GB")
    seen = vectors[:: len(vectors) // 5_000]
    drawn = np.random.default_rng(0).permutation(len(vectors))[: len(made)]
    from thresher.selection.facility import best_cosines

    values = [float(best_cosines(seen, vectors[rows]).mean(dtype=np.float64)) for rows in (made, drawn)]
    print(f"objective on 5,000 of them: {values[0]:.5f}; of as many drawn at random: {values[1]:.5f}")


def duplicates(images: int, width: int, cosine: float = 0.95) -> None:
    """A tenth are copies of others, changed to a cosine of about 0.97."""
    from thresher.selection.redundancy import leaders

    rng, first = np.random.default_rng(1), images * 9 // 10
    vectors = made_up(images, width, 2_000, 1.0)
    of = rng.integers(0, first, images - first)
    planted = np.zeros(images - first, bool)
    for start in range(0, len(of), 50_000):
        source = vectors[of[start : start + 50_000]].astype(np.float32)
        length = np.linalg.norm(source, axis=1, keepdims=True)
        copy = (source + 0.25 * length / np.sqrt(width) * rng.normal(size=source.shape)).astype(np.float16)
        vectors[first + start : first + start + len(copy)] = copy
        alike = (source * copy).sum(1) / length[:, 0] / np.linalg.norm(copy.astype(np.float32), axis=1)
        planted[start : start + len(copy)] = alike >= cosine
    made, *times = timed(lambda: leaders(vectors, cosine))
    found = 1 - (made.kept[first:] & made.kept[of])[planted].mean()
    print(f"{images:,} images of {width} numbers: {times[0]:.0f} s, {times[1]:.0f} s of processor, {_gb():.1f} GB")
    print(f"{100 * found:.2f} % of {planted.sum():,} pairs: one is dropped; {made.kept.sum():,} images kept")


def planted() -> None:
    """Whether a selection keeps the target's share of nights."""
    import polars as pl

    from thresher import EmbedSettings, IndexSettings, Run, SelectSettings, embed, fit, index, score, select
    from thresher.selection.methods import DEFAULT_METHOD
    from thresher.synthetic import SyntheticSettings, write_dataset

    with tempfile.TemporaryDirectory() as folder:
        scenes, run = Path(folder) / "scenes", Run(Path(folder) / "run")
        made_up = SyntheticSettings(target_images=150, val_images=0, pool_images=1500)
        made_up = replace(made_up, street_share=0.4, night_share=0.15, duplicate_share=0.1)
        write_dataset(scenes, made_up)
        sources = f"cityscapes:{scenes / 'cityscapes'}#train", f"open_images:{scenes / 'open_images'}"
        index(run, IndexSettings((sources[0],), (sources[1],)))
        embed(run, EmbedSettings())
        fit(run)
        score(run)
        truth = pl.read_parquet(scenes / "truth.parquet")
        for method in ("layout", "layout+images", "layout+clusters", "layout+modes", DEFAULT_METHOD):
            for budget, cosine in itertools.product((60, 150), (0.0, 0.95)):
                select(run, SelectSettings(method, budget, name="chosen", duplicate_cosine=cosine))
                bare = run.selection("chosen").select(image_id=pl.col("image_id").str.split("/").list.last())
                shown = bare.join(truth, on="image_id")
                night, street = (
                    float(shown.select(each.mean()).item())
                    for each in (pl.col("weather") == "night", pl.col("is_street"))
                )
                pairs = shown.filter(pl.col("duplicate_of").is_in(shown["image_id"].to_list())).height
                out = f"{100 * night:.0f} % nights, {100 * street:.0f} % streets, {pairs} pairs"
                print(f"{method}, {budget} images, near-duplicates {'out' if cosine else 'in'}: {out}", flush=True)


def _gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Reads the command line."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("what", choices=["objective", "many", "duplicates", "planted"])
    reader.add_argument("--beside", default="")
    reader.add_argument("--images", type=int, default=1_000_000)
    reader.add_argument("--width", type=int, default=64)
    given = reader.parse_args()
    if given.what == "objective":
        objective(given.beside)
    elif given.what == "many":
        many()
    elif given.what == "planted":
        planted()
    else:
        duplicates(given.images, given.width)


if __name__ == "__main__":
    main()
