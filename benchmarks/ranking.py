"""How well each score finds the driving and the street images of the CamVid run's pool.

Run:     python benchmarks/ranking.py runs/camvid        (after: thresher run experiments/camvid.toml)
Prints:  AUC for driving and for street with 95 % bootstrap intervals over pool images; precision at 100, 500, 1,000;
         and writes the same as JSON beside the scores.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import polars as pl

from thresher import Run, tables
from thresher.selection.methods import METHODS, ranking

DRIVING = ("kitti", "dashcam_cn_voc", "adas_peru_coco")
STREET = (*DRIVING, "traffic_vn_coco", "traffic_lights_cn_voc", "cctv_yolo", "pennfudan")
BUDGETS = (50, 100, 500, 1000)
RESAMPLES, SEED = 1000, 0


def truth(images: pl.DataFrame) -> pl.DataFrame:
    """image_id, dataset, driving, street: by data set; the Indian frames of the mixed set by their ids."""
    indian = pl.col("image_id").str.contains("/idd", literal=True)
    return images.select(
        "image_id",
        "dataset",
        driving=pl.col("dataset").is_in(DRIVING) | indian,
        street=pl.col("dataset").is_in(STREET) | indian,
    )


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive stands above a negative; equal scores count half."""
    ranks = pl.Series(score).rank("average").to_numpy()
    positives = int(positive.sum())
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * (len(score) - positives)))


def interval(score: np.ndarray, positive: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of the AUC over images."""
    draws = [rng.integers(len(score), size=len(score)) for _ in range(RESAMPLES)]
    values = [auc(score[drawn], positive[drawn]) for drawn in draws]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def main(folder: str) -> None:
    """Print the table and write it."""
    run = Run(folder)
    scores = tables.read(run.scores, tables.SCORES)
    facts = truth(tables.read(run.images, tables.INDEXED_IMAGES))
    rows = []
    for method in METHODS:
        ranked = ranking(scores, method, SEED).order.join(facts, on="image_id").sort("rank")
        row: dict[str, object] = {"method": method, "ranked": ranked.height}
        for name in ("driving", "street"):
            positive, score = ranked[name].to_numpy(), -ranked["rank"].to_numpy().astype(float)
            row[f"auc_{name}"] = round(auc(score, positive), 4)
            row[f"auc_{name}_95"] = [round(v, 4) for v in interval(score, positive, np.random.default_rng(SEED))]
            row |= {f"{name}_at_{n}": round(float(positive[:n].mean()), 3) for n in BUDGETS}
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    (run.folder / "ranking.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
