"""How well each scorer finds what is like the target, over many pairs of target and pool.

Run:     python benchmarks/ranking.py runs/camvid [--pairs camvid,sequences,weak,street,narrow,turned,synthetic]
         [--cache FOLDER]
         (after: thresher run experiments/camvid.toml). No scorer sees a label; the truth is only for measuring.
Prints:  a line `pair/scorer name value name value …` each: AUC with its 95 % bootstrap interval over runs of ten,
         precision at 50, 100, 500, 1,000 and at the number of positives, the sets among the first 500; then per scorer
         in how many of all AUCs it is at least as good (within 0.0005) as the best simple baseline, in how many it is
         below by more than 0.005 (precision: 0.03), and the worst shortfalls; JSON beside the run.
Cost:    about 15 minutes on 2 cores, --quick (layout and the simple baselines alone) two; --cache keeps made-up scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))
from pairs import PAIRS, Pair, embedded, synthetic

from thresher import Run
from thresher.density.em import MixtureSettings, fit_mixture
from thresher.density.held_out import held_out_similarity
from thresher.density.layout import QuerySettings, bands, dots, uncentred
from thresher.density.scorers import (
    NEIGHBOURS,
    SCORERS,
    FittedScorers,
    ScorerInput,
    SliceBlock,
    layouts_of,
    queries,
)
from thresher.density.similarity import cosine_to_mean
from thresher.density.sphere import fit_sphere
from thresher.vectors import nearest_rows, random_rows

BUDGETS = (50, 100, 500, 1000)
SIMPLE = ("cosine", "nearest", "rows")
RESAMPLES, SEED, RUN = 400, 0, 10
#: Fixed for all pairs: 8 is what held-out likelihood chooses for CamVid.
COMPONENTS, SLICE_DIRECTIONS, POOLED_DIRECTIONS = 8, 32, 4
SAMPLED_SLICES = 20_000


def evidence_of(target: SliceBlock, pool: SliceBlock, origin: np.ndarray, settings: QuerySettings) -> FittedScorers:
    """All that the scorers need, fitted the same way for every pair."""
    rng = np.random.default_rng(SEED)
    quick = MixtureSettings(tolerance=1e-2, max_slices=SAMPLED_SLICES)
    pool_layouts = layouts_of(pool, origin, settings.pooled_share)
    rows_query, query = queries(target, pool_layouts, origin, settings)
    drawn, pool_drawn = (random_rows(each.slices, SAMPLED_SLICES, rng) for each in (target, pool))
    held = held_out_similarity(target.slices, target.starts, COMPONENTS, quick, rng)
    return FittedScorers(
        mixture=fit_mixture(drawn.astype(np.float32), COMPONENTS, quick, rng).mixture,
        pool_mixture=fit_mixture(pool_drawn.astype(np.float32), COMPONENTS, quick, rng).mixture,
        sphere=fit_sphere(uncentred(drawn, origin), SLICE_DIRECTIONS, rng).sphere,
        pooled_sphere=fit_sphere(target.pooled, POOLED_DIRECTIONS, rng).sphere,
        pooled=target.pooled,
        origin=origin,
        rows_query=rows_query,
        query=query.direction,
        held_out_nats=held.similarities,
        query_settings=settings,
    )


def quick_scores(
    target: SliceBlock, pool: SliceBlock, origin: np.ndarray, settings: QuerySettings
) -> dict[str, np.ndarray]:
    """Layout and the simple baselines, which need no mixture."""
    share = settings.pooled_share
    theirs = layouts_of(pool, origin, share)
    rows_query, query = queries(target, theirs, origin, settings)
    banded = bands(uncentred(pool.slices, origin), pool.starts, pool.grids)
    return {
        "layout": dots(theirs, query.direction),
        "cosine": cosine_to_mean(pool.pooled, target.pooled),
        "nearest": nearest_rows(pool.pooled, target.pooled, NEIGHBOURS)[1].mean(axis=1),
        "rows": dots(banded, rows_query),
    }


def domain_classifier(target: SliceBlock, pool: SliceBlock, origin: np.ndarray) -> np.ndarray:
    """Target against pool by logistic regression on layouts; each fifth of the pool by one that did not see it."""
    from sklearn.linear_model import LogisticRegression

    share = QuerySettings().pooled_share
    ours, theirs = (layouts_of(each, origin, share).astype(np.float32) for each in (target, pool))
    fold = np.random.default_rng(SEED).permutation(len(theirs)) % 5
    score = np.empty(len(theirs))
    for held in range(5):
        seen = theirs[fold != held]
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=200)
        model.fit(np.concatenate([ours, seen]), np.arange(len(ours) + len(seen)) < len(ours))
        score[fold == held] = model.decision_function(theirs[fold == held])
    return score


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive stands above a negative; equal scores count half."""
    ranks = pl.Series(score).rank("average").to_numpy()
    positives = int(positive.sum())
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * (len(score) - positives)))


def interval(score: np.ndarray, positive: np.ndarray, runs: list[np.ndarray], rng: np.random.Generator) -> list[float]:
    """95 % bootstrap interval of the AUC over runs of neighbouring images: frames of one drive are alike."""
    draws = [np.concatenate([runs[n] for n in rng.integers(len(runs), size=len(runs))]) for _ in range(RESAMPLES)]
    values = [auc(score[drawn], positive[drawn]) for drawn in draws if 0 < positive[drawn].sum() < len(drawn)]
    return [round(float(np.quantile(values, q)), 4) for q in (0.025, 0.975)]


def runs_of(pair: Pair) -> list[np.ndarray]:
    """Rows of the pool in runs of `RUN` neighbouring ids of one set."""
    ids, sets = pair.data.ids[pair.pool], pair.data.dataset[pair.pool]
    order = np.lexsort((ids, sets))
    borders = np.flatnonzero(sets[order][1:] != sets[order][:-1]) + 1
    parts = np.split(order, borders)
    return [part[first : first + RUN] for part in parts for first in range(0, len(part), RUN)]


def measured(pair: Pair, scorer: str, score: np.ndarray) -> dict[str, Any]:
    """One line of the table."""
    order, runs = np.argsort(-score, kind="stable"), runs_of(pair)
    row: dict[str, Any] = {"pair": pair.name, "scorer": scorer, "ranked": len(score)}
    for name, mask in pair.truths.items():
        positive = mask[pair.pool]
        row[f"auc_{name}"] = round(auc(score, positive), 4)
        row[f"auc_{name}_95"] = interval(score, positive, runs, np.random.default_rng(SEED))
        row[f"{name}_at_all"] = round(float(positive[order[: positive.sum()]].mean()), 3)
        row |= {f"{name}_at_{n}": round(float(positive[order[:n]].mean()), 3) for n in BUDGETS if n <= len(score)}
    if pair.rare is not None:
        street, rare = pair.truths["street"][pair.pool], pair.rare[pair.pool]
        row["rare_planted"] = round(float(rare.sum() / street.sum()), 3)
        for share in (4, 2, 1):
            chosen = order[: int(street.sum()) // share]
            chosen = chosen[street[chosen]]
            row[f"rare_among_{len(chosen)}_streets"] = round(float(rare[chosen].mean()), 3)
    row["sets_at_500"] = dict(Counter(pair.data.dataset[pair.pool][order[:500]].tolist()).most_common())
    return row


def measured_pair(pair: Pair, settings: QuerySettings, quick: bool) -> list[dict[str, Any]]:
    """Every scorer on one pair."""
    target, pool = pair.data.subset(pair.target), pair.data.subset(pair.pool)
    if quick:
        scores = quick_scores(target, pool, pair.data.origin, settings)
    else:
        view = ScorerInput(evidence_of(target, pool, pair.data.origin, settings), pool)
        scores = {name: scorer(view) for name, scorer in SCORERS.items()}
        scores["classifier"] = domain_classifier(target, pool, pair.data.origin)
    scores["random"] = np.random.default_rng(SEED).random(len(pool.grids))
    return [measured(pair, name, score) for name, score in scores.items()]


def against_the_best_baseline(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per scorer: AUCs in which it reaches the best of the simple baselines, and its worst shortfall."""
    keys = [(row["pair"], name) for row in rows if row["scorer"] == "cosine" for name in row if _is_auc(name)]
    value = {
        (row["scorer"], row["pair"], name): row[name]
        for row in rows
        for name in row
        if _is_auc(name) or name.endswith("_at_all")
    }
    summary = []
    for scorer in dict.fromkeys(row["scorer"] for row in rows):
        gaps = [value[scorer, *key] - max(value[simple, *key] for simple in SIMPLE) for key in keys]
        exact = [(pair_name, name.removeprefix("auc_") + "_at_all") for pair_name, name in keys]
        precision = [value[scorer, *key] - max(value[simple, *key] for simple in SIMPLE) for key in exact]
        reached = sum(gap >= -5e-4 for gap in gaps)
        mean = float(np.mean([value[scorer, *key] for key in keys]))
        summary.append(
            {
                "scorer": scorer,
                "reached": reached,
                "of": len(keys),
                "worst_gap": round(min(gaps), 4),
                "mean_auc": round(mean, 4),
                "below_by_5_thousandths": sum(gap < -5e-3 for gap in gaps),
                "precision_below_by_3_hundredths": sum(gap < -0.03 for gap in precision),
                "worst_precision_gap": round(min(precision), 3),
            }
        )
    return summary


def _is_auc(name: str) -> bool:
    return name.startswith("auc_") and not name.endswith("_95")


def shown(row: dict[str, Any]) -> str:
    """A row as words on one line."""
    return " ".join(f"{name} {value}" for name, value in row.items() if name not in ("pair", "scorer"))


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", default="camvid,sequences,weak,synthetic")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file; ranking.json in the run's folder by default")
    parser.add_argument("--pooled-share", type=float, default=QuerySettings().pooled_share)
    parser.add_argument("--quick", action="store_true", help="only layout and the simple baselines")
    given = parser.parse_args()
    settings = QuerySettings(pooled_share=given.pooled_share)
    data, rows = embedded(Run(given.folder)), []
    for choice in given.pairs.split(","):
        for pair in synthetic(given.cache) if choice == "synthetic" else PAIRS[choice](data):
            for row in measured_pair(pair, settings, given.quick):
                rows.append(row)
                print(f"{row['pair'].replace(' ', '_')}/{row['scorer']} {shown(row)}", flush=True)
    summary = against_the_best_baseline(rows)
    for row in summary:
        print(f"summary/{row['scorer']} {shown(row)}")
    out = given.out or given.folder / "ranking.json"
    out.write_text(json.dumps({"pairs": rows, "summary": summary}, indent=1) + "\n")


if __name__ == "__main__":
    main()
