"""How many of the first images that each method of `select` takes are driving frames, and how many street photographs.

Run:     python benchmarks/precision.py runs/camvid        (after: thresher run experiments/camvid.toml)
Prints:  a line per method: share of driving and of street among the first 100, 500 and 1,000.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))
from pairs import DRIVING, STREET

from thresher import Run, tables
from thresher.density.scorers import SCORERS
from thresher.selection.methods import COMBINED, ranking


def main(folder: str) -> None:
    """Print the table."""
    run = Run(folder)
    scores = tables.read(run.scores_path, tables.SCORES, key="image_id")
    indian = pl.col("image_id").str.contains("/idd", literal=True)
    facts = tables.read(run.images, tables.INDEXED_IMAGES).select(
        "image_id",
        driving=pl.col("dataset").is_in(DRIVING) | indian,
        street=pl.col("dataset").is_in(STREET) | indian,
    )
    for method in (*COMBINED, "diversity", *SCORERS):
        found = ranking(scores, method, seed=0).order
        if found.is_empty():  # a similarity that score was not asked for
            continue
        order = found.join(facts, on="image_id", maintain_order="left").sort("rank")
        shares = [
            f"{name}@{first} {order[name].head(first).mean():.3f}"
            for name in ("driving", "street")
            for first in (100, 500, 1000)
        ]
        print(f"{method:24s}", "  ".join(shares))


if __name__ == "__main__":
    main(sys.argv[1])
