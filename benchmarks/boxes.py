"""Diversity of 14.6 million boxes on 1.74 million images: seconds and peak memory against pandas, interleaved.

Run:     python benchmarks/boxes.py FOLDER [--quick] [--rounds 3] [--json FILE]
Needs:   pandas; 2 GB of disk in FOLDER, where the made-up annotations stay (open_images_sized.py). --quick: a tenth.
Prints:  one line `name ratio` per pair (pandas' median seconds reading the CSV / ours), then peaks in MB. Processor
         seconds of all threads are told beside them: on a machine that others use, they say how much work it is.

Each measurement is a process of its own that reads a file and makes the table of objects, classes, entropy and
diversity of every image, to the same numbers. Ours goes by what index and score call: `open_images_csv.scan_rows` or
Parquet, then `class_counts`, `class_frequencies`, `diversity_scores`. The area covered, which pandas has no means for,
is measured beside it (`with area`, by `counts_and_areas`). numba is imported before the clock starts; its loops were
compiled by an earlier run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from open_images_sized import BOXES, CSV, IMAGES, PARQUET, write

#: What must come out the same.
TOTALS = ("objects", "classes", "class_entropy_bits", "diversity")
FLOORS = {"csv": 3.5, "parquet": 6.0, "csv, with area": 3.0, "parquet, with area": 6.0}
MOST_MB = 1200


def meanings() -> tuple[dict[str, str], list[str]]:
    """The class of interest that each label of Open Images means, and all classes of interest."""
    from thresher.data.taxonomy import load_taxonomy

    taxonomy = load_taxonomy("cityscapes")
    classes = list(taxonomy.classes_of_interest)
    return {label: node for label, node in taxonomy.meaning.items() if node in classes}, classes


def ours(folder: Path, source: str, area: bool) -> dict[str, float]:
    """The library's own path."""
    import polars as pl

    from thresher.data.readers.open_images_csv import FLAGS, scan_rows
    from thresher.selection.diversity import (
        class_counts,
        class_frequencies,
        counts_and_areas,
        diversity_scores,
    )

    meaning, classes = meanings()
    if source == "csv":
        rows = scan_rows(folder / CSV).rename({"named": "image_id"})
    else:
        corners = {"XMin": "x0", "XMax": "x1", "YMin": "y0", "YMax": "y1"}
        flags = [(pl.col(name) == 1).alias(to) for name, to in FLAGS.items()]
        rows = pl.scan_parquet(folder / PARQUET).with_columns(*flags)
        rows = rows.rename({"ImageID": "image_id", "LabelName": "label", **corners})
    # In this order, so that nothing else is worked out for rows that do not count.
    boxes = rows.filter(pl.col("label").is_in(list(meaning))).with_columns(
        pl.col("label").replace_strict(meaning).alias("class")
    )
    if area:
        counts, areas = counts_and_areas(boxes, classes)
    else:
        counts = class_counts(boxes, classes)
        areas = pl.DataFrame(schema={"image_id": pl.String, "covered_area": pl.Float64})
    frequencies = class_frequencies(counts, counts.height)
    scored = diversity_scores(counts, areas, counts.select("image_id"), frequencies.weights)
    return {name: float(scored[name].sum()) for name in TOTALS}


def theirs(folder: Path) -> dict[str, float]:
    """The same with pandas, as one would write it: only the columns needed, all of it vectorised."""
    import pandas as pd

    meaning, _ = meanings()
    names = ["ImageID", "LabelName", "IsGroupOf", "IsDepiction", "IsInside"]
    frame = pd.read_csv(folder / CSV, usecols=names)
    frame["class"] = frame["LabelName"].map(meaning)
    frame = frame[frame["class"].notna() & (frame["IsDepiction"] != 1) & (frame["IsInside"] != 1)]
    frame = frame.assign(n=np.where(frame["IsGroupOf"] == 1, 5, 1))
    per_class = frame.groupby(["ImageID", "class"])["n"].sum().reset_index()
    images = per_class["ImageID"].nunique()
    weights = np.log((1 + images) / (1 + per_class.groupby("class").size()))
    per_class["worth"] = per_class["class"].map(weights / weights.mean()) * np.log2(1 + per_class["n"])
    share = per_class["n"] / per_class.groupby("ImageID")["n"].transform("sum")
    per_class["entropy"] = -share * np.log2(share)
    scored = per_class.groupby("ImageID").agg(
        objects=("n", "sum"), classes=("n", "size"), class_entropy_bits=("entropy", "sum"), diversity=("worth", "sum")
    )
    return {name: float(total) for name, total in scored.sum().items()}


WORKS = {
    "csv": lambda folder: ours(folder, "csv", False),
    "parquet": lambda folder: ours(folder, "parquet", False),
    "csv, with area": lambda folder: ours(folder, "csv", True),
    "parquet, with area": lambda folder: ours(folder, "parquet", True),
    "pandas": theirs,
}


def measured(work: str, folder: Path) -> dict[str, float]:
    """One process's seconds, without those for importing, its peak memory in MB, and the totals it found."""
    command = [sys.executable, __file__, str(folder), "--work", work]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def one(work: str, folder: Path) -> None:
    """What such a process does."""
    library = "pandas" if work == "pandas" else "polars"
    __import__(library)
    if work.endswith("area"):
        __import__("numba")
    started, spent = time.perf_counter(), time.process_time()
    totals = WORKS[work](folder)
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    print(json.dumps({"seconds": seconds, "processor seconds": spent, "peak MB": peak, **totals}))


def main() -> None:
    """Print every figure and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tenth of the boxes and images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="boxes.json")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        one(asked.work, asked.folder)
        return
    share = 10 if asked.quick else 1
    folder = asked.folder / ("tenth" if asked.quick else "full")
    write(folder, IMAGES // share, BOXES // share)
    rounds = [{work: measured(work, folder) for work in WORKS} for _ in range(asked.rounds)]
    figures: dict[str, float] = {}
    for name, total in rounds[0]["pandas"].items():
        if name in TOTALS:
            for work in WORKS:
                assert np.isclose(rounds[0][work][name], total, rtol=1e-9), f"{work}: {name} differs from pandas'"
    for kind, words in (("seconds", "times faster"), ("processor seconds", "times less work")):
        middle = {work: statistics.median(r[work][kind] for r in rounds) for work in WORKS}
        for work in WORKS:
            figures[f"{kind}, {work}"] = middle[work]
            figures[f"{words} than pandas on CSV, {work}"] = middle["pandas"] / middle[work]
    for work in WORKS:
        figures[f"peak MB, {work}"] = max(r[work]["peak MB"] for r in rounds)
    for name, value in sorted(figures.items()):
        print(f"{name:55s} {value:.2f}")
    for source, floor in FLOORS.items():
        reached = figures[f"times faster than pandas on CSV, {source}"]
        print(f"floor {source}: {reached:.2f} of {floor}, {figures[f'peak MB, {source}']:.0f} MB of {MOST_MB}")
    with open(asked.json, "w") as file:
        json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
