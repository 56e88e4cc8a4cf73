"""How many are worth taking, on pools whose worth is known, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.selection.saturation import saturation, smallest_within_noise, standard_error_of_best
from thresher.selection.worth import knee, log_grid, target_nearness, worth


def planted() -> tuple[np.ndarray, np.ndarray]:
    """40 target images around 8 directions; of 500 candidates the first 80 are of the same directions, the rest noise.

    The last 100 repeat earlier ones.
    """
    rng = np.random.default_rng(0)
    modes = np.eye(32)[:8]
    target = np.repeat(modes, 5, axis=0)[rng.permutation(40)] + 0.05 * rng.normal(size=(40, 32))
    good = np.tile(modes, (10, 1)) + 0.05 * rng.normal(size=(80, 32))
    noise = np.concatenate([np.zeros((320, 8)), rng.normal(size=(320, 24))], axis=1)
    ordered = np.concatenate([good, noise])
    return np.concatenate([ordered, ordered[80:180] * 2]), target


def test_the_knee_is_where_the_planted_images_end() -> None:
    ordered, target = planted()
    found = worth(ordered, target, log_grid(500), 0.95)
    assert 8 <= found.knee <= 80, "the target is covered once, and better and better up to 80"
    at_80 = int(np.flatnonzero(found.images >= 80)[0])
    assert found.covered[at_80] >= 0.9
    assert found.near[-1] == found.near[at_80], "what comes after is not like the target"
    assert found.images[-3:].tolist() == [320, 460, 500]
    assert found.repeated[-3:].tolist() == pytest.approx([0, 60 / 140, 1]), "from 400 on they repeat"
    assert np.all(np.diff(found.nearness) >= 0)


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 40), st.integers(2, 12), st.integers(0, 1000))
def test_it_is_what_a_plain_loop_finds(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ordered, target = rng.normal(size=(n, 4)), rng.normal(size=(m, 4))
    grid = np.unique(np.array([1, n // 2 + 1, n]))
    found = worth(ordered, target, grid, 0.5)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (ordered, target)]
    cosines = unit[0] @ unit[1].T
    among = unit[0] @ unit[0].T
    start = 0
    for place, end in enumerate(grid):
        best = cosines[:end].max(axis=0)
        assert found.nearness[place] == pytest.approx(best.mean(), abs=1e-5)
        assert found.near[place] == (cosines[:end].max(axis=1) >= found.threshold).sum()
        alike = [any(among[row, other] >= 0.5 for other in range(row)) for row in range(start, end)]
        assert found.repeated[place] == pytest.approx(np.mean(alike))
        start = int(end)


def test_a_target_is_not_near_to_itself_by_the_next_frame() -> None:
    drives = np.repeat(np.eye(10), 4, axis=0)  # ten drives of four equal frames
    assert target_nearness(drives) == pytest.approx(0)
    assert target_nearness(np.tile(np.eye(10), (4, 1))) == pytest.approx(1)


def test_the_knee_of_a_straight_line_is_its_start_and_of_a_step_its_top() -> None:
    assert knee(np.linspace(0, 1, 50)) in (1, 50)
    assert knee(np.r_[np.linspace(0, 1, 20), np.ones(200)]) == 20


@pytest.mark.parametrize("most", [2, 9, 10, 99, 3410, 100_000])
def test_the_grid_ends_at_the_end_and_rises(most: int) -> None:
    grid = log_grid(most)
    assert grid[-1] == most and np.all(np.diff(grid) > 0) and len(grid) <= 32


N = np.array([50, 100, 200, 400, 800, 1600])


def curves(seeds: int, noise: float, seed: int = 0) -> np.ndarray:
    truth = 0.66 - 1.2 * N**-0.6
    found: np.ndarray = truth + noise * np.random.default_rng(seed).normal(size=(seeds, len(N)))
    return found


def test_a_curve_without_noise_is_found_again() -> None:
    found = saturation(N, curves(3, 0.0), np.random.default_rng(0))
    assert found.limit == pytest.approx(0.66, abs=0.002)
    assert found.exponent == pytest.approx(0.6, abs=0.05)
    assert found.at(N.astype(float)) == pytest.approx(curves(1, 0.0)[0], abs=1e-3)
    assert found.enough == found.low == found.high == 1600, "without noise nothing less is as good"


def test_enough_is_where_the_truth_is_within_the_noise_and_its_interval_holds_it() -> None:
    held = 0
    for seed in range(60):
        measured = curves(8, 0.01, seed)
        found = saturation(N, measured, np.random.default_rng(0), resamples=200)
        assert found.low <= found.enough <= found.high
        between = np.arange(50, 1601)
        truth = 0.66 - 1.2 * between**-0.6
        enough = between[truth >= truth[-1] - found.noise][0]
        held += found.low <= enough <= found.high
    assert held >= 48, "of 95 % intervals from eight seeds at least four of five hold"


def test_results_that_do_not_rise_need_the_fewest() -> None:
    flat = np.tile([0.6, 0.59, 0.6, 0.59, 0.6, 0.59], (3, 1)) + np.array([[0.01], [0.0], [-0.01]])
    assert saturation(N, flat, np.random.default_rng(0)).enough == 50
    assert smallest_within_noise(N, flat) == 50
    assert standard_error_of_best(flat) == pytest.approx(0.01 / np.sqrt(3))
