"""How the layout's weights were chosen: a grid, and leave one target out.

Run:     python benchmarks/choosing.py runs/camvid   (after: thresher run experiments/camvid.toml)
Prints:  the settings best on all pairs; for each target those best on the *other* targets' pairs, and what they reach
         on its own; then in how many AUCs such blind choices reach the best simple baseline, and their worst shortfall.
         Best = highest mean AUC, a mean shortfall below the best baseline counting threefold. CamVid whole and
         without each of its drives is one target.
Cost:    about a minute on one core.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from pairs import PAIRS, Embedded, Pair, embedded
from ranking import auc

from thresher import Run
from thresher.density.layout import (
    QuerySettings,
    bands,
    dots,
    layout_query,
    layouts,
    mean_direction,
    uncentred,
)
from thresher.density.scorers import NEIGHBOURS
from thresher.density.similarity import cosine_to_mean
from thresher.vectors import nearest_rows

#: pooled_share, towards_top, from_bottom, top_of_target, top_of_pool.
GRID = tuple(itertools.product((0.2, 0.25, 0.3), (1.5, 2.0, 2.5, 3.0), (0.7, 1.0), (0.5, 1.0), (0.05, 0.075, 0.1)))


def aucs(pair: Pair, score: np.ndarray) -> list[float]:
    """One AUC per truth."""
    return [auc(score, mask[pair.pool]) for mask in pair.truths.values()]


def best_baseline(pair: Pair, rows: np.ndarray) -> list[float]:
    """The best of cosine, nearest and rows, per truth."""
    target, pool = pair.data.images.pooled[pair.target], pair.data.images.pooled[pair.pool]
    scores = (
        cosine_to_mean(pool, target),
        nearest_rows(pool, target, NEIGHBOURS)[1].mean(axis=1),
        dots(rows[pair.pool], mean_direction(rows[pair.target])),
    )
    return np.max([aucs(pair, score) for score in scores], axis=0).tolist()


def over_the_grid(data: Embedded, pairs: list[Pair]) -> np.ndarray:
    """AUCs: a row per setting, a column per pair and truth."""
    images, slices = data.images, uncentred(data.images.slices, data.origin)
    whole = images.pooled.shape[1]
    found = np.empty((len(GRID), sum(len(pair.truths) for pair in pairs)))
    for share in sorted({given[0] for given in GRID}):
        vectors = layouts(slices, images.starts, images.grids, images.pooled, share)
        ours = [(vectors[pair.target], vectors[pair.pool]) for pair in pairs]
        for row, given in enumerate(GRID):
            if given[0] == share:
                settings = QuerySettings(*given)
                queries = [layout_query(target, pool, settings, whole).direction for target, pool in ours]
                scores = [dots(pool, query) for (_, pool), query in zip(ours, queries, strict=True)]
                found[row] = np.concatenate([aucs(pair, score) for pair, score in zip(pairs, scores, strict=True)])
    return found


def worth(found: np.ndarray, best: np.ndarray) -> np.ndarray:
    """What is chosen by: a number per setting, higher is better."""
    worths: np.ndarray = found.mean(axis=1) + 2 * np.minimum(found - best, 0).mean(axis=1)
    return worths


def told(values: np.ndarray, best: np.ndarray) -> str:
    """How a row of AUCs stands against the best baseline."""
    gaps = values - best
    return f"reached {(gaps >= -5e-4).sum()} of {len(gaps)} worst_gap {gaps.min():.4f} mean_auc {values.mean():.4f}"


def main() -> None:
    """Print the choices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    data = embedded(Run(parser.parse_args().folder))
    pairs = [pair for choice in ("camvid", "sequences", "weak") for pair in PAIRS[choice](data)]
    images = data.images
    rows = bands(uncentred(images.slices, data.origin), images.starts, images.grids)
    best = np.concatenate([best_baseline(pair, rows) for pair in pairs])
    found = over_the_grid(data, pairs)
    target = np.array([pair.name.split(" ")[0] for pair in pairs for _ in pair.truths])
    for row in np.argsort(-worth(found, best))[:5]:
        print(f"best/{GRID[row]} {told(found[row], best)} camvid {found[row][:2].round(4).tolist()}")
    blind = np.empty(len(best))
    for name in dict.fromkeys(target):
        own = target == name
        row = int(np.argmax(worth(found[:, ~own], best[~own])))
        blind[own] = found[row, own]
        print(f"without_{name}/{GRID[row]} {told(blind[own], best[own])} aucs {blind[own].round(4).tolist()}")
    print(f"leave_one_target_out {told(blind, best)}")


if __name__ == "__main__":
    main()
