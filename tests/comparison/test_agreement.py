from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from thresher import tables
from thresher.comparison.agreement import rank_agreement, spearman
from thresher.errors import DataError
from thresher.run.folder import Run


def written(run: Run, name: str, miou: dict[str, list[float]]) -> None:
    rows: list[dict[str, object]] = [
        {"method": method, "mode": "labels", "budget": "40", "seed": seed, "set": "validation", "iou": value}
        for method, values in miou.items()
        for seed, value in enumerate(values)
    ]
    tables.write(tables.from_rows(rows, tables.RESULTS), run.comparison(name) / "results.parquet")


def test_the_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(0, 6, (2, 9)).astype(np.float64)
        assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)


def test_agreement_counts_the_arms_that_both_have_and_its_interval_the_chance_of_seeds(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written(run, "full", {"a": [0.1, 0.12], "b": [0.2, 0.22], "c": [0.3, 0.32], "d": [0.4, 0.42], "only": [0.9, 0.9]})
    written(run, "sure-proxy", {"a": [0.5, 0.51], "b": [0.6, 0.61], "c": [0.7, 0.71], "d": [0.8, 0.81]})
    written(run, "turned-proxy", {"a": [0.9, 0.9], "b": [0.8, 0.8], "c": [0.7, 0.7]})
    written(run, "noisy-proxy", {"a": [0.5, 0.51], "b": [0.55, 0.54], "c": [0.7, 0.2], "d": [0.4, 0.9]})
    sure = rank_agreement(run, "full", "sure-proxy")
    assert (sure.arms, sure.spearman, sure.low, sure.high) == (4, 1.0, 1.0, 1.0)
    assert rank_agreement(run, "full", "turned-proxy").spearman == -1.0
    noisy = rank_agreement(run, "full", "noisy-proxy")
    assert -1 <= noisy.low < noisy.spearman <= noisy.high < 1
    assert noisy == rank_agreement(run, "full", "noisy-proxy")


def test_fewer_than_three_arms_in_common_have_no_order(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written(run, "full", {"a": [0.1], "b": [0.2]})
    written(run, "some-proxy", {"a": [0.1], "c": [0.2]})
    with pytest.raises(DataError, match="1 arms in common"):
        rank_agreement(run, "full", "some-proxy")
