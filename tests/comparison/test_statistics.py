"""The grid by hand, means and intervals against scipy, differences in pairs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thresher import tables
from thresher.comparison.settings import CompareSettings, Trial
from thresher.comparison.statistics import differences, mean_interval, mean_over_classes, summary


def rows_of(found: dict[tuple[str, str | None, str], list[float | None]], name: str | None = None) -> pl.DataFrame:
    """A results table: method, budget and mode, and the IoU of each seed."""
    row = {"set": "validation", "class": name, "weak_images": 5, "seconds": 1.0, "precision": 0.5, "recall": None}
    rows: list[dict[str, object]] = [
        {**row, "method": method, "mode": mode, "budget": budget, "images": int(budget or 0), "seed": seed, "iou": iou}
        for (method, budget, mode), ious in found.items()
        for seed, iou in enumerate(ious)
    ]
    return tables.from_rows(rows, tables.RESULTS)


def test_the_grid_by_hand() -> None:
    trials = CompareSettings(("layout", "random"), ("3%",), ("hierarchical", "box_head"), 2, name="first").trials()
    assert [trial.training for trial in trials[:7]] == [
        "first.none-strong-seed0",
        "first.all-hierarchical-seed0",
        "first.all-box_head-seed0",
        "first.layout-3pct-hierarchical-seed0",
        "first.random-3pct-seed0-hierarchical-seed0",
        "first.layout-3pct-box_head-seed0",
        "first.random-3pct-seed0-box_head-seed0",
    ]
    assert len(trials) == 14
    assert {trial.seed for trial in trials[:7]} == {0}
    assert trials[0] == Trial("none", None, "strong", 0, "none", "first.none-strong-seed0")
    # The baseline without weak images is trained once per seed; random draws anew for each seed, layout does not.
    selections = [trial.selection for trial in trials if trial.seed == 1 and trial.mode == "hierarchical"]
    assert selections == ["all", "layout-3pct", "random-3pct-seed1"]
    assert sum(trial.method == "none" for trial in trials) == 2
    assert len({trial.training for trial in trials}) == 14


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_is_students(values: list[float]) -> None:
    found = mean_interval(np.array(values))
    assert found.mean is not None
    spread = stats.sem(values)
    if spread < 1e-9:
        assert found.low == pytest.approx(found.high, abs=1e-7)
        return
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_seed_has_no_interval_and_none_has_no_mean() -> None:
    one, none = mean_interval(np.array([0.4])), mean_interval(np.empty(0))
    assert (one.seeds, one.mean, one.low, one.high) == (1, 0.4, None, None)
    assert (none.seeds, none.mean, none.low, none.high) == (0, None, None, None)


def test_the_summary_is_of_each_row_and_leaves_absent_classes_out() -> None:
    ious = [0.1, 0.4, 0.3]
    results = pl.concat(
        [rows_of({("layout", "5", "m"): [*ious]}), rows_of({("layout", "5", "m"): [0.2, None, None]}, "bus")]
    )
    found = summary(results)
    assert tables.checked(found, tables.SUMMARY, "summary").height == 2
    mean, bus = found.filter(pl.col("class").is_null()).row(0, named=True), found.filter(pl.col("class") == "bus")
    expected = stats.t.interval(0.95, 2, np.mean(ious), stats.sem(ious))
    assert (mean["iou_low"], mean["iou_high"]) == pytest.approx(expected)
    assert (mean["seeds"], mean["images"], mean["precision"], mean["recall"]) == (3, 5, 0.5, None)
    assert bus.select("seeds", "iou", "iou_low").row(0) == (1, 0.2, None)


def test_differences_are_those_of_pairs() -> None:
    layout, random = [0.50, 0.55, 0.61], [0.48, 0.50, 0.60]
    none, everything = [0.40, 0.45, 0.52], [0.49, 0.56, 0.58]
    results = rows_of(
        {
            ("none", None, "strong"): [*none],
            ("all", None, "m"): [*everything],
            ("layout", "5", "m"): [*layout],
            ("random", "5", "m"): [*random],
            ("layout", "9", "m"): [0.7],  # no random of this budget, and one seed
        }
    )
    found = differences(results.sample(fraction=1, shuffle=True, seed=3))  # row order carries no meaning
    tables.checked(found, tables.DIFFERENCES, "differences")

    def row(method: str, budget: str | None, against: str) -> dict[str, object]:
        here = found.filter(
            (pl.col("method") == method) & pl.col("budget").eq_missing(budget) & (pl.col("against") == against)
        )
        assert here.height == 1
        return here.row(0, named=True)

    for own, other, against in ((layout, random, "random"), (layout, none, "none"), (layout, everything, "all")):
        expected = stats.ttest_rel(own, other).confidence_interval(0.95)
        seen = row("layout", "5", against)
        assert seen["seeds"] == 3
        assert seen["iou_difference"] == pytest.approx(np.mean(np.subtract(own, other)))
        assert (seen["low"], seen["high"]) == pytest.approx((expected.low, expected.high))
    assert row("all", None, "none")["iou_difference"] == pytest.approx(np.mean(np.subtract(everything, none)))
    alone = row("layout", "9", "none")
    assert (alone["seeds"], alone["low"], alone["high"]) == (1, None, None)
    assert alone["iou_difference"] == pytest.approx(0.3)
    against_random = found.filter(against="random")
    assert against_random.select("method", "budget").rows() == [("layout", "5")]
    assert found.filter((pl.col("against") == "all") & (pl.col("method") == "none")).is_empty()


def test_what_differs_between_seeds_alone_falls_out_of_a_pair() -> None:
    of_seed = np.array([0.1, 0.5, 0.3])
    results = rows_of({("a", "5", "m"): [*(of_seed + 0.02)], ("random", "5", "m"): [*of_seed]})
    pair = differences(results).filter(against="random").row(0, named=True)
    assert (pair["low"], pair["high"]) == pytest.approx((0.02, 0.02))
    wide = summary(results).filter(method="a").row(0, named=True)
    assert wide["iou_high"] - wide["iou_low"] > 0.5


def test_the_mean_is_over_classes_that_have_one() -> None:
    metrics = tables.from_rows(
        [
            {"class": "a", "iou": 0.2, "precision": 0.5, "recall": 0.3, "labelled_px": 5, "decided_px": 1},
            {"class": "b", "iou": 0.4, "precision": None, "recall": 0.5, "labelled_px": 7, "decided_px": 0},
            {"class": "c", "iou": None, "precision": None, "recall": None, "labelled_px": 0, "decided_px": 0},
        ],
        tables.CLASS_METRICS,
    )
    found = mean_over_classes(metrics)
    assert found == pytest.approx({"iou": 0.3, "precision": 0.5, "recall": 0.4, "labelled_px": 12})
