"""What a comparison says in words: warnings, power, and the reduction."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from thresher import tables
from thresher.comparison.results import with_endpoint
from thresher.comparison.statistics import differences
from thresher.comparison.verdicts import detectable, gains, power_words, reduction_words


def pairs_of(found: dict[tuple[str, int], list[float]]) -> pl.DataFrame:
    """Differences of methods with so many images, from the IoU of each seed."""
    row = {"set": "test", "class": None, "weak_images": 5, "seconds": 1.0, "mode": "labels"}
    rows: list[dict[str, object]] = [
        {**row, "method": method, "budget": None if method in ("all", "none") else str(images), "images": images}
        | {"seed": seed, "iou": iou}
        for (method, images), ious in found.items()
        for seed, iou in enumerate(ious)
    ]
    return differences(tables.from_rows(rows, tables.RESULTS))


def around(mean: float, seeds: int = 6, spread: float = 0.002) -> list[float]:
    return [mean + spread * (-1) ** seed for seed in range(seeds)]


ALL = {("all", 1000): [0.60] * 6, ("none", 0): [0.50] * 6}


def test_the_reduction_is_the_fewest_images_that_are_not_worse_by_more_than_the_margin() -> None:
    found = {**ALL, ("layout", 10): around(0.58), ("layout", 40): around(0.599), ("layout", 300): around(0.61)}
    pairs = pairs_of({**found, ("unlabelled", 10): around(0.62)})
    (words,) = reduction_words(pairs, 0.01)
    assert words.startswith(
        "labels, reduction: N = 40 is not worse than the whole pool by more than 1 point: layout with 40 images, "
        "difference -0.10 points (-0.33 to +0.13; 6 seeds)."
    )
    # Student's interval by hand: 0.2 points to either side, six seeds.
    half = stats.t.ppf(0.975, 5) * np.std(around(0.0), ddof=1) / np.sqrt(6)
    assert 100 * (-0.001 - half) == pytest.approx(-0.33, abs=0.005)
    assert "corrected for 3 selections tried (Holm): N = 40." in words
    (stricter,) = reduction_words(pairs, 0.001)
    assert "N = 300 is not worse" in stricter


def test_no_reduction_is_said_to_be_none() -> None:
    (words,) = reduction_words(pairs_of({**ALL, ("layout", 10): around(0.55), ("both", 40): around(0.58)}), 0.01)
    assert "no selection is shown to be not worse than the whole pool by more than 1 point." in words
    assert "Closest: both with 40 images, difference -2.00 points" in words
    assert reduction_words(pairs_of({("none", 0): [0.5], ("layout", 10): [0.6]}), 0.01) == []


def test_few_seeds_are_warned_of_and_the_power_is_told() -> None:
    few = power_words(pairs_of({("none", 0): [0.5] * 3, ("layout", 10): around(0.6, 3)}))
    assert few.startswith("Warning: 3 seeds, too few to judge by; from 5 on it is of use. Paired differences scatter")
    many = power_words(pairs_of({("none", 0): [0.5] * 6, ("layout", 10): around(0.6)}))
    assert "Warning" not in many
    assert "scatter over seeds by 0.22 points (median), so 6 seeds find a true difference of 0.31 points" in many
    assert power_words(pairs_of({("none", 0): [0.5], ("layout", 10): [0.6]})).endswith(
        "One seed says nothing of chance."
    )
    assert power_words(pairs_of({("none", 0): [0.5]})) == ""


def test_the_power_is_that_of_a_t_test() -> None:
    """Simulated: 4 of 5 t-tests find a true difference as large as is said."""
    rng = np.random.default_rng(0)
    for seeds in (4, 8):
        drawn = rng.normal(detectable(1.0, seeds), 1.0, (20_000, seeds))
        found = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
        assert 0.75 < found < 0.87


def test_the_endpoint_is_the_mean_over_its_classes() -> None:
    key = {"method": "none", "mode": "strong", "images": 0, "set": "test", "seed": 0, "weak_images": 0, "seconds": 1.0}
    rows: list[dict[str, object]] = [
        {**key, "class": name, "iou": iou, "precision": 0.5, "recall": None, "labelled_px": 4}
        for name, iou in (("car", 0.2), ("bus", 0.6), ("road", 0.9), (None, 0.5))
    ]
    found = with_endpoint(tables.from_rows(rows, tables.RESULTS), ("car", "bus"))
    assert found.height == 5
    own = found.filter(pl.col("class") == "mean of car, bus").row(0, named=True)
    assert (own["iou"], own["precision"], own["recall"], own["labelled_px"]) == (pytest.approx(0.4), 0.5, None, 8)


def test_gains_are_told_with_their_interval_and_not_from_few_seeds() -> None:
    found = {("none", 0): [0.5] * 6, ("random", 40): around(0.53), ("near", 40): [0.55, 0.552] * 3}
    first, second = gains(pairs_of(found), "near", "40")
    assert (first.way, second.way) == (1, 1)
    assert second.text == "+5.1 points over the masks alone (95 % interval 5.0 to 5.2; 6 seeds)"
    assert first.text.startswith("+2.1 points over as many random images (95 % interval ")
    alike = gains(pairs_of({**found, ("random", 40): [0.551, 0.5512] * 3}), "near", "40")[0]
    assert alike.way == 0 and alike.text.startswith("no difference shown over as many random images")
    few = {key: ious[:3] for key, ious in found.items()}
    assert [each.way for each in gains(pairs_of(few), "near", "40")] == [None, None]
    assert gains(pairs_of(found), "near", "80") == []
    (_, worse) = gains(pairs_of({**found, ("near", 40): [0.45, 0.452] * 3}), "near", "40")
    assert worse.way == -1 and worse.text.startswith("-4.9 points over the masks alone")
