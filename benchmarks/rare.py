"""What brings rare modes of the target early: nights, a tenth of the target and of the pool's streets.

Run:     python benchmarks/rare.py [--cache FOLDER]
Prints:  a line per way to choose: the share of nights and of streets among the first 20, 40, 80 and 160 chosen, mean
         over three seeds of made-up scenes (100 target scenes; 160 streets in a pool of 800).
Cost:    about 2 minutes on 2 cores; --cache keeps the scenes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from pairs import Pair, made_up
from ranking import evidence_of

from thresher.density.layout import QuerySettings
from thresher.density.scorers import SCORERS, FittedScorers, ScorerInput, SliceBlock
from thresher.density.sphere import fit_sphere
from thresher.vectors import unit_length

BUDGETS = (20, 40, 80, 160)
SEEDS = (7, 11, 12)
NIGHTS = 0.1


def orders(pair: Pair) -> Iterator[tuple[str, np.ndarray]]:
    """(Name, pool rows in the order they are chosen) for every way."""
    target, pool = pair.data.subset(pair.target), pair.data.subset(pair.pool)
    evidence = evidence_of(target, pool, pair.data.origin, QuerySettings())
    ranked = {}
    for name in ("layout", "cosine", "rows", "nearest", "pooled_sphere"):
        ranked[name] = np.argsort(-SCORERS[name](ScorerInput(evidence, pool)), kind="stable")
        yield name, ranked[name]
    for other in ("nearest", "pooled_sphere"):
        yield f"layout and {other} in turn", in_turn(ranked["layout"], ranked[other])
    for components in (4, 8, 16):
        yield f"quotas of {components} components", by_quota(evidence, pool, components)


def in_turn(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The best of one, then the best of the other that is not yet taken, and so on."""
    both = np.stack([one, other], axis=1).ravel()
    return both[np.sort(np.unique(both, return_index=True)[1])]


def by_quota(evidence: FittedScorers, pool: SliceBlock, components: int) -> np.ndarray:
    """Each component of the target's pooled vectors in proportion to its images; its own nearest pool images first."""
    axes = fit_sphere(evidence.pooled, components, np.random.default_rng(0)).sphere.directions.astype(np.float32)
    share = np.bincount((unit_length(evidence.pooled) @ axes.T).argmax(axis=1), minlength=len(axes)) / len(
        evidence.pooled
    )
    cosine = unit_length(pool.pooled) @ axes.T
    owner, best = cosine.argmax(axis=1), cosine.max(axis=1)
    waiting = [list(rows[np.argsort(best[rows])]) for rows in (np.flatnonzero(owner == k) for k in range(len(axes)))]
    taken, chosen = np.zeros(len(axes)), []
    for count in range(1, BUDGETS[-1] + 1):
        behind = np.where([bool(rows) for rows in waiting], share * count - taken, -np.inf)
        component = int(behind.argmax())
        chosen.append(waiting[component].pop())
        taken[component] += 1
    return np.array(chosen)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    cache, found = parser.parse_args().cache, {}
    with tempfile.TemporaryDirectory() as fresh:
        for seed in SEEDS:
            pair = made_up(f"nights {seed}", NIGHTS, seed, (cache or Path(fresh)) / f"nights_{seed}")
            streets, nights = pair.truths["street"][pair.pool], pair.rare[pair.pool]
            print(f"seed {seed}: nights are {nights.sum() / streets.sum():.3f} of the streets")
            for name, order in orders(pair):
                shares = [(nights[order[:n]].mean(), streets[order[:n]].mean()) for n in BUDGETS]
                found.setdefault(name, []).append(shares)
    for name, shares in found.items():
        means = np.mean(shares, axis=0)
        told = "  ".join(f"{n}: {night:.3f} {street:.2f}" for n, (night, street) in zip(BUDGETS, means, strict=True))
        print(f"{name:32s} {told}")


if __name__ == "__main__":
    main()
