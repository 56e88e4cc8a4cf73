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
from thresher.comparison.statistics import differences, holm, mean_interval, mean_over_classes, summary
from thresher.comparison.trained import phases


def rows_of(found: dict[tuple[str, str | None, str], list[float | None]], name: str | None = None) -> pl.DataFrame:
    """A results table: method, budget and mode, and the IoU of each seed."""
    row = {"set": "validation", "class": name, "weak_images": 5, "seconds": 1.0, "precision": 0.5, "recall": None}
    rows: list[dict[str, object]] = [
        {**row, "images": int(budget) if budget and budget.isdigit() else 0}
        | {"method": method, "mode": mode, "budget": budget, "seed": seed, "iou": iou}
        for (method, budget, mode), ious in found.items()
        for seed, iou in enumerate(ious)
    ]
    return tables.from_rows(rows, tables.RESULTS)


def test_the_grid_by_hand() -> None:
    trials = CompareSettings(
        ("layout", "random"), ("3%",), modes=("hierarchical", "box_head"), seeds=2, name="first"
    ).trials()
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


def test_the_grid_of_mode_labels_by_hand() -> None:
    settings = CompareSettings(
        ("layout", "random"), ("9",), ("mine",), ("labels", "hierarchical"), 2, ("none", "unlabelled", "all", "true"),
        true_masks="masks:there", name="c",
    )  # fmt: skip
    trials = settings.trials()
    found = {trial.training: trial.labels for trial in trials if trial.seed == 1}
    assert found == {
        "c.none-strong-seed1": "",
        "c.none-labels-seed1": "",
        "c.all-labels-seed1": "c.labels-seed1",
        "c.all-hierarchical-seed1": "",
        "c.layout-9-labels-seed1": "c.labels-seed1",
        "c.random-9-seed1-labels-seed1": "c.labels-seed1",
        "c.mine-labels-seed1": "c.labels-seed1",
        "c.layout-9-hierarchical-seed1": "",
        "c.random-9-seed1-hierarchical-seed1": "",
        "c.mine-hierarchical-seed1": "",
        "c.layout-9-unlabelled-seed1": "c.unlabelled-seed1",
        "c.layout-9-true-seed1": "c.true",
    }
    saved = next(trial for trial in trials if trial.method == "mine")
    assert (saved.selection, saved.budget) == ("mine", "saved")
    twin = next(trial for trial in trials if trial.method == "unlabelled")
    assert (twin.selection, twin.budget, twin.mode) == ("layout-9", "9", "labels")


def test_what_learns_from_labels_comes_after_the_teacher_of_its_seed() -> None:
    trials = CompareSettings(("layout",), ("9",), (), ("labels", "hierarchical"), 3, ("none",), name="c").trials()
    groups = phases(trials, 1)
    assert sorted(each.training for group in groups for each in group) == sorted(each.training for each in trials)
    place = {trial.training: number for number, group in enumerate(groups) for trial in group}
    for seed in range(3):
        assert place[f"c.layout-9-labels-seed{seed}"] == place[f"c.none-labels-seed{seed}"] + 1
    assert [place[f"c.layout-9-hierarchical-seed{seed}"] for seed in range(3)] == [0, 1, 2]
    without = CompareSettings(("layout",), ("9",), seeds=3).trials()
    assert phases(without, 2) == [without]


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
        assert seen["p"] == pytest.approx(stats.ttest_rel(own, other).pvalue)
        assert seen["sd"] == pytest.approx(np.std(np.subtract(own, other), ddof=1))
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


def test_modes_are_paired_with_the_none_of_their_loss_and_saved_selections_by_their_size() -> None:
    results = rows_of(
        {
            ("none", None, "strong"): [0.40, 0.41],
            ("none", None, "labels"): [0.30, 0.33],
            ("random", "10%", "labels"): [0.50, 0.52],
            ("unlabelled", "10%", "labels"): [0.35, 0.36],
            ("holds_class", "10%", "labels"): [0.55, 0.56],
            ("mine", "saved", "labels"): [0.60, 0.61],
            ("theirs", "saved", "labels"): [0.70, 0.71],
            ("layout", "10%", "hierarchical"): [0.45, 0.47],
        }
    ).with_columns(images=pl.when(method="theirs").then(9).when(method="none").then(0).otherwise(5).cast(pl.Int64))
    found = differences(results)
    of = {(row["method"], row["mode"], row["against"]): row["iou_difference"] for row in found.iter_rows(named=True)}
    assert of["layout", "hierarchical", "none"] == pytest.approx(0.055)
    assert of["mine", "labels", "none"] == pytest.approx(0.29)
    assert of["mine", "labels", "random"] == pytest.approx(0.095)
    assert of["mine", "labels", "unlabelled"] == pytest.approx(0.25)
    assert of["random", "labels", "holds_class"] == pytest.approx(-0.045)
    # There is no random selection of nine images, and none in mode hierarchical.
    assert {key for key in of if key[0] == "theirs"} == {("theirs", "labels", "none")}
    assert ("layout", "hierarchical", "random") not in of


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=9))
def test_holm_rejects_what_its_procedure_rejects(p: list[float]) -> None:
    """Step down: reject the smallest while it is below alpha / (tests left)."""
    corrected = holm(np.array(p))
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for place, number in enumerate(np.argsort(p, kind="stable")):
            if p[number] * (len(p) - place) > alpha:
                break
            rejected.add(number)
        assert {number for number in range(len(p)) if corrected[number] <= alpha} == rejected


def test_the_corrected_interval_leaves_out_nought_just_if_the_corrected_p_is_small() -> None:
    rng = np.random.default_rng(0)
    none = list(rng.normal(0.4, 0.02, 6))
    methods = {(f"m{n}", "5", "m"): list(np.array(none) + rng.normal(0.004 * n, 0.01, 6)) for n in range(8)}
    methods["m8", "5", "m"] = list(np.add(none, [0.001, 0.012, 0.004, 0.013, -0.002, 0.009]))  # p of 0.04
    found = differences(rows_of({("none", None, "strong"): none, **methods}))
    assert found.height == 9
    assert found["p_holm"].to_list() == pytest.approx(holm(found["p"].to_numpy()).tolist())
    outside = (found["low_holm"] > 0) | (found["high_holm"] < 0)
    assert outside.to_list() == (found["p_holm"] < 0.05).to_list()
    assert 0 < outside.sum() < ((found["low"] > 0) | (found["high"] < 0)).sum()
    assert (found["low_holm"] <= found["low"]).all()


def test_as_many_teachers_as_workers_start_together() -> None:
    trials = CompareSettings(methods="random", budgets="5", modes="labels", baselines="none", seeds=3).trials()
    groups = phases(trials, 2)
    told = [[(trial.method, trial.seed) for trial in group] for group in groups]
    assert told == [[("none", 0), ("none", 1)], [("random", 0), ("random", 1), ("none", 2)], [("random", 2)]]
