"""A pool that grows by 5 %: time of the growth over the time of the first run, and whether a fresh run gives the same.

    python benchmarks/growth.py FOLDER [--images 20000] [--share 0.05] [--short-side 96] [--json growth.json]

Made-up pictures (small JPEGs of smooth noise, one box each on average in four) go through the whole line: index, embed
(EfficientNet-Lite0, two workers), fit, score and select. Then the share of new pictures is added and the line is run
again. At last a fresh run over all of them, with the same projection and the same evidence, must give the same tables
byte for byte. Expected on two cores: at most 8 % of the first run's time, and "equal" for every table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from thresher import Run, tables
from thresher.features.shards import slices_of
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import score
from thresher.stages.select import SelectSettings, select

TARGET_IMAGES, WIDTH_PX, HEIGHT_PX = 400, 320, 240
STAGES = ("index", "embed", "fit", "score", "select")
#: Of so many images the slices are compared, besides all tables.
COMPARED = 2000


def write_pictures(folder: Path, first: int, last: int) -> None:
    """Pictures of smooth noise, each by its own seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, last):
        small = np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        picture = Image.fromarray(small).resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:06d}.jpg", quality=80)


def write_annotations(folder: Path, images: int) -> None:
    """COCO boxes of cars, buses and persons on every fourth picture."""
    rng = np.random.default_rng(0)
    names = ["car", "bus", "person"]
    rows = [
        {"id": number, "file_name": f"{number:06d}.jpg", "width": WIDTH_PX, "height": HEIGHT_PX}
        for number in range(images)
    ]
    boxes = [
        {"id": number, "image_id": number, "category_id": int(kind), "bbox": [*map(float, corner), 60.0, 40.0]}
        for number in range(0, images, 4)
        for kind, corner in ((rng.integers(0, 3), rng.integers(0, 180, 2)),)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    content = {"images": rows, "annotations": boxes, "categories": categories}
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / "instances_all.json").write_text(json.dumps(content))


def run_line(run: Run, data: Path, short_side: int) -> dict[str, float]:
    """Seconds of each stage."""
    seconds = {}
    source = IndexSettings(f"folder:{data}/target", f"coco:{data}/pool#all")
    steps = {
        "index": lambda: index(run, source),
        "embed": lambda: embed(run, EmbedSettings(short_side=short_side)),
        "fit": lambda: fit(run, FitSettings(components=16)),
        "score": lambda: score(run),
        "select": lambda: select(run, SelectSettings(budget="5%", name="best")),
    }
    for name in STAGES:
        started = time.perf_counter()
        result = steps[name]()
        seconds[name] = time.perf_counter() - started
        told = {
            key: result.summary[key]
            for key in ("embedded_now", "scored_now", "kept", "removed")
            if key in result.summary
        }
        print(f"  {name:7s} {seconds[name]:8.1f} s  {result.status} {told or ''}", flush=True)
    return seconds


def digest_seconds(run: Run) -> float:
    """What it takes to check the digests of all shards, their files in memory already."""
    contents = [path.read_bytes() for path in run.slices.glob("part-*.parquet")]
    started = time.perf_counter()
    for content in contents:
        hashlib.sha256(content).hexdigest()
    return time.perf_counter() - started


def fresh_run(run: Run, data: Path, short_side: int) -> Run:
    """A run over the same pictures from nothing but the projection and the evidence."""
    fresh = Run(run.folder.with_name("fresh"))
    fresh.folder.mkdir()
    shutil.copy(run.projection, fresh.projection)
    index(fresh, IndexSettings(f"folder:{data}/target", f"coco:{data}/pool#all"))
    embed(fresh, EmbedSettings(short_side=short_side))
    for path in (run.mixture, run.mixture.with_suffix(".json"), run.evidence):
        shutil.copy(path, fresh.folder / path.name)
    score(fresh)
    select(fresh, SelectSettings(budget="5%", name="best"))
    return fresh


def equal(run: Run, fresh: Run) -> dict[str, bool]:
    """Whether each table is the same in both, byte for byte; scores as values, since their metadata name the shards."""
    found = {
        path.name: path.read_bytes() == (fresh.folder / path.relative_to(run.folder)).read_bytes()
        for path in (run.images, run.boxes, run.pooled, run.problems, run.selection_path("best"))
    }
    scores, others = (pl.read_parquet(each.scores_path) for each in (run, fresh))
    found["scores.parquet"] = scores.equals(others) and all(
        scores[name].to_numpy().tobytes() == others[name].to_numpy().tobytes()
        for name, kind in scores.schema.items()
        if kind.is_numeric()
    )
    ids = tables.read(run.pooled, tables.POOLED)["image_id"]
    some = set(ids.gather_every(max(1, len(ids) // COMPARED)))
    ours, theirs = (slices_of(each.slices, some) for each in (run, fresh))
    found["slices"] = ours.slices.tobytes() == theirs.slices.tobytes()
    return found


def main() -> None:
    """Print every figure and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--short-side", type=int, default=96)
    parser.add_argument("--json", default="growth.json")
    asked = parser.parse_args()
    data, run = asked.folder / "data", Run(asked.folder / "run")
    grown = round(asked.images * (1 + asked.share))
    write_pictures(data / "target", 10_000_000, 10_000_000 + TARGET_IMAGES)
    write_pictures(data / "pool", 0, asked.images)
    write_annotations(data / "pool", asked.images)
    print(f"first run, {asked.images:,} images")
    first = run_line(run, data, asked.short_side)
    checking = digest_seconds(run)
    print(f"digests of all shards: {checking:.3f} s, {checking / first['score']:.1%} of score")
    write_pictures(data / "pool", asked.images, grown)
    write_annotations(data / "pool", grown)
    print(f"growth to {grown:,} images")
    growth = run_line(run, data, asked.short_side)
    share = sum(growth.values()) / sum(first.values())
    print(f"growth / first run: {share:.3f} ({sum(growth.values()):.1f} s / {sum(first.values()):.1f} s)")
    same = equal(run, fresh_run(run, data, asked.short_side))
    print("equal to a fresh run:", ", ".join(f"{name} {'yes' if yes else 'NO'}" for name, yes in same.items()))
    with open(asked.json, "w") as file:
        json.dump({"first": first, "growth": growth, "share": share, "equal": same}, file, indent=1)


if __name__ == "__main__":
    main()
