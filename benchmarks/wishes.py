"""How long a selection with wishes takes, and how much memory, on a made-up pool.

Run:     python benchmarks/wishes.py [--images 1740000] [--budget 100000] [--case all]
Prints:  a line per case: seconds of the clock and of the processor, whether the wishes are met, whether the choice is
         known to be the best, the mean rank against that of the greedy way; at the end the most memory.
Cost:    about 3 minutes on 2 cores, 3 GB.

The pool: eight data sets, 60,000 sequences of very different lengths, six classes held by 30 % to 0.1 % of the images
(rare ones together with frequent ones), near-duplicates: a fifth of the images are in clusters of two to five.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from thresher.selection.bounds import greedy
from thresher.selection.choose import Wishes, chosen_from
from thresher.selection.conditions import parsed_conditions
from thresher.selection.facts import Facts
from thresher.selection.filters import Line, renumbered
from thresher.selection.methods import ranking
from thresher.selection.wishes import Kind, Places, all_wishes, bounds_of

HELD = {"car": 0.3, "person": 0.1, "truck": 0.03, "bus": 0.01, "bicycle": 0.003, "train": 0.001}
SEQUENCES = 60_000


def pool(images: int, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Tables of images, of scores and of objects per class."""
    sequence = np.sort((SEQUENCES * rng.beta(0.5, 2, images)).astype(np.int64))
    ids = pl.DataFrame({"dataset": sequence * 8 // SEQUENCES, "sequence": sequence, "frame": np.arange(images)}).select(
        image_id=pl.format("set{}/drive{}_{}", "dataset", "sequence", pl.col("frame").cast(pl.String).str.zfill(7)),
        dataset=pl.format("set{}", "dataset"),
        width_px=pl.Series(rng.choice([640, 1280, 1920], images)).cast(pl.Int32),
    )
    counts, common = {}, rng.random(images) < 0.5
    for name, share in HELD.items():
        held = rng.random(images) < np.where(common, 1.5 * share, 0.5 * share)
        counts[name] = np.where(held, rng.integers(1, 9, images), 0)
    objects = pl.DataFrame(counts).with_columns(ids["image_id"]).select("image_id", *counts)
    likeness = rng.normal(size=images) + 0.8 * rng.normal(size=SEQUENCES)[sequence]  # of one drive all are alike
    diversity = np.log2(1 + objects.drop("image_id").to_numpy()).sum(1)
    scores = ids.select("image_id").with_columns(layout=pl.Series(likeness), diversity=pl.Series(diversity))
    return ids, scores, objects.filter(pl.sum_horizontal(pl.col(list(counts))) > 0)


def without_duplicates(line: Line, images: pl.DataFrame, rng: np.random.Generator) -> Line:
    """The line without all but the best of each made-up cluster of near-duplicates."""
    cluster = np.arange(images.height)
    cluster[rng.random(images.height) < 0.2] //= 5
    order = line.order.join(images.select("image_id", cluster=pl.Series(cluster)), on="image_id", maintain_order="left")
    first = pl.col("rank") == pl.col("rank").min().over("cluster")
    gone = order.filter(~first).select("image_id", reason=pl.lit("near-duplicate"))
    return line.without(gone, "near-duplicate")


def cases(budget: int) -> Mapping[str, Mapping[Kind, Sequence[str]]]:
    """The wishes of each case."""
    least = [f"{name}={round(2 * share * budget)}" for name, share in HELD.items() if name != "car"]
    return {
        "none": {},
        "quotas": {"at_least": least},
        "caps": {"at_most": ["sequence:*=20"]},
        "quotas and caps": {"at_least": least, "at_most": ["sequence:*=20", "dataset:*=30000"]},
        "objects": {"at_least": [f"objects:train={budget // 100}"], "at_most": [f"objects:person={budget}"]},
        "shares": {"share": ["dataset:*=uniform", "car=40%", "bus=3%"]},
        "soft": {"at_least": [*least, f"train={budget}?"], "at_most": ["dataset:*=30000"]},
    }


def main() -> None:
    """Make the pool, and print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_740_000)
    parser.add_argument("--budget", type=int, default=100_000)
    parser.add_argument("--case", default="all")
    given = parser.parse_args()
    images, scores, counts = pool(given.images, np.random.default_rng(0))
    facts = Facts((images, scores), tuple(HELD), lambda: counts)
    for name, texts in cases(given.budget).items():
        if given.case not in ("all", name):
            continue
        clock, processor = time.perf_counter(), time.process_time()
        line = Line(ranking(scores, "layout", 0).order)
        line = line.without(facts.failing(line.order, parsed_conditions(["width_px >= 1280"])), "where")
        line = without_duplicates(line, images, np.random.default_rng(1))
        wishes = all_wishes(texts, (), facts)
        made = chosen_from(line, Wishes(given.budget, facts, wishes))
        seconds = f"{time.perf_counter() - clock:.1f} s ({time.process_time() - processor:.1f} s of processor)"
        places = Places(line.order, facts, given.budget, lambda _: {})
        bounds = bounds_of(wishes, places)
        taken = line.order["image_id"].is_in(made.chosen["image_id"].implode()).to_numpy()
        missed = sum(each.off_by(taken) > 1e-6 for each in bounds if not each.soft)
        plain = greedy(line.order.height, given.budget, np.zeros(len(taken), bool), bounds)
        ranks = renumbered(line.order)["rank"].to_numpy()
        mean = ranks[taken].mean() / ranks[plain].mean()
        print(
            f"{name}: {seconds}, {made.chosen.height:,} of {line.order.height:,} candidates, wishes missed {missed} of "
            f"{len(bounds):,}, best {made.exact}, mean rank {mean:.4f} of greedy's "
            f"({sum(each.off_by(plain) > 1e-6 for each in bounds if not each.soft)} missed)",
            flush=True,
        )
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
