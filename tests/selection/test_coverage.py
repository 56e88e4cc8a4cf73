"""Coverage: facility location against plain greedy and brute force, and the ways to cover on made-up looks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import SettingsError
from thresher.selection import facility
from thresher.selection.coverage import BY_IMAGE, Looks, covered, shortlist_count
from thresher.selection.facility import best_cosines, facility_location


def cosines(candidates: np.ndarray, points: np.ndarray) -> np.ndarray:
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (candidates, points)]
    return np.maximum(unit[0] @ unit[1].T, 0)


def plain_greedy(alike: np.ndarray, weights: np.ndarray, count: int) -> list[int]:
    taken: list[int] = []
    best = np.zeros(alike.shape[1])
    for _ in range(count):
        gains = np.maximum(alike - best, 0) @ weights
        gains[taken] = -1
        taken.append(int(np.flatnonzero(gains >= gains.max() - 1e-6)[0]))
        best = np.maximum(best, alike[taken[-1]])
    return taken


@pytest.mark.parametrize("loop", ["compiled", "numpy"])
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4))
def test_lazy_greedy_takes_what_plain_greedy_takes_and_keeps_the_bound(
    loop: str, seed: int, candidates: int, points: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    given_, known = rng.normal(size=(candidates, 3)), rng.normal(size=(points, 3))
    given_ = given_[rng.integers(0, candidates, candidates)]  # some are there twice
    weights = rng.random(points)
    alike, count = cosines(given_, known), min(count, candidates)
    with pytest.MonkeyPatch.context() as patch:
        if loop == "numpy":
            patch.setattr(facility, "_loop", lambda: facility._gains)
        made = facility_location(given_, known, count, weights)
    assert made.rows.tolist() == plain_greedy(alike, weights, count)
    assert (np.diff(made.gains) <= 1e-6).all()
    value = alike[made.rows].max(axis=0) @ weights
    assert made.gains.sum() == pytest.approx(value, abs=1e-5)
    best = max(alike[list(each)].max(axis=0) @ weights for each in itertools.combinations(range(candidates), count))
    assert value >= (1 - 1 / math.e) * best - 1e-5


def test_a_larger_choice_contains_the_smaller_and_equals_go_by_row() -> None:
    rng = np.random.default_rng(3)
    vectors = np.repeat(rng.normal(size=(40, 16)), 3, axis=0).astype(np.float16)
    rows = facility_location(vectors, count=60).rows.tolist()
    assert rows[:25] == facility_location(vectors, count=25).rows.tolist()
    assert [row % 3 for row in rows[:40]] == [0] * 40  # each look once, its first row
    assert sorted(facility_location(vectors, count=999).rows.tolist()) == list(range(120))


def test_what_is_covered_beforehand_needs_no_more_cover() -> None:
    vectors = np.array([[1.0, 0, 0], [0.98, -0.2, 0], [0.97, 0, 0.2], [0, 1, 0]])
    assert facility_location(vectors, count=1).rows.tolist() == [0]
    before = best_cosines(vectors, vectors[:1])
    np.testing.assert_allclose(before, cosines(vectors, vectors[:1])[:, 0], atol=1e-6)
    assert facility_location(vectors, count=1, covered=before).rows.tolist() == [3]


def test_cell_by_cell_reaches_nearly_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 24))[rng.integers(0, 30, 900)] + 0.6 * rng.normal(size=(900, 24))
    exact = facility_location(vectors, count=120)
    monkeypatch.setattr(facility, "EXACT_COSINES", 1)
    monkeypatch.setattr(facility, "CELL_ROWS", 200)
    made = facility_location(vectors, count=120)
    assert len(set(made.rows.tolist())) == 120
    reached = cosines(vectors[made.rows], vectors).max(axis=0).sum()
    assert reached >= 0.98 * exact.gains.sum()


def order_of(count: int) -> pl.DataFrame:
    return pl.DataFrame({"image_id": [f"i{n:03}" for n in range(count)]}).with_columns(
        rank=pl.int_range(1, count + 1, dtype=pl.Int64), score=-pl.int_range(count).cast(pl.Float64)
    )


def looks_of(pool: np.ndarray, target: np.ndarray) -> Looks:
    return Looks(order_of(len(pool)).select("image_id"), pool, target)


def numbers(order: pl.DataFrame, count: int) -> list[int]:
    return [int(each[1:]) for each in order["image_id"][:count]]


#: Forty images of one street, then one each of three other places, then another forty of the street.
PLACES = np.array([0] * 40 + [1, 2, 3] + [0] * 40)


def scenes(seed: int = 0) -> np.ndarray:
    return np.eye(8)[PLACES] + 0.05 * np.random.default_rng(seed).normal(size=(len(PLACES), 8))


@pytest.mark.parametrize("coverage", ["images", "clusters"])
def test_few_of_a_shortlist_show_every_place(coverage: str) -> None:
    looks = looks_of(scenes(), np.zeros((0, 8)))
    order = order_of(len(PLACES))
    made = covered(order, coverage, 4, 60, looks)
    assert sorted(PLACES[numbers(made, 4)]) == [0, 1, 2, 3]
    assert sorted(made["image_id"]) == sorted(order["image_id"])
    assert made["rank"].to_list() == list(range(1, len(PLACES) + 1))
    rest = numbers(made, len(PLACES))[60:]
    assert rest == sorted(rest)
    # A place behind the shortlist is not chosen, however different.
    assert set(PLACES[numbers(covered(order, coverage, 4, 40, looks), 4)]) == {0}


def test_the_target_says_what_to_cover() -> None:
    """Of four places with many images each, only the target's two are worth an image where there is room for two."""
    pool = np.eye(8)[np.repeat([0, 1, 2, 3], 10)]
    looks = looks_of(pool, np.eye(8)[[2, 2, 3]])
    assert sorted(np.repeat([0, 1, 2, 3], 10)[numbers(covered(order_of(40), "images", 2, 40, looks), 2)]) == [2, 3]


def test_what_is_chosen_in_any_case_covers_already() -> None:
    looks = looks_of(scenes(), np.zeros((0, 8)))
    made = covered(order_of(len(PLACES)), "images", 2, 60, looks, taken=["i040", "i041", "i050"])
    assert PLACES[numbers(made, 1)].tolist() == [3]


def test_classes_take_turns_the_rarest_first() -> None:
    counts = pl.DataFrame({"image_id": [f"i{n:03}" for n in range(60)]}).with_columns(
        car=pl.lit(1), bus=(pl.int_range(60) >= 56).cast(pl.Int32)
    )
    looks = looks_of(np.random.default_rng(0).normal(size=(83, 8)), np.zeros((0, 8)))
    made = numbers(covered(order_of(83), "by_class", 6, 80, looks, counts), 6)
    assert made[0] >= 56 and sum(each >= 56 for each in made) >= 3 and max(made) < 60
    with pytest.raises(SettingsError, match="by_class: there are no boxes of a class of interest. Use images"):
        covered(order_of(83), "by_class", 6, 80, looks, counts.select("image_id"))


def test_modes_of_the_target_get_their_share_however_far_down() -> None:
    rng = np.random.default_rng(1)
    place = np.repeat([0, 1], [300, 60])
    pool = np.eye(8)[place] + 0.1 * rng.normal(size=(360, 8))
    target = np.eye(8)[np.repeat([0, 1], [70, 30])] + 0.1 * rng.normal(size=(100, 8))
    looks = looks_of(pool, target)
    for count in (40, 100):
        share = place[numbers(covered(order_of(360), "modes", count, 2 * count, looks), count)].mean()
        assert share == pytest.approx(0.3, rel=0.2)
    assert place[numbers(covered(order_of(360), "images", 100, 200, looks), 100)].sum() == 0


@pytest.mark.parametrize("coverage", BY_IMAGE)
def test_images_without_a_vector_stay_behind(coverage: str) -> None:
    looks = looks_of(np.random.default_rng(0).normal(size=(30, 8)), np.eye(8))
    counts = pl.DataFrame({"image_id": ["i004", "i005"], "car": [1, 2]})
    order = order_of(40).reverse().with_columns(rank=pl.int_range(1, 41, dtype=pl.Int64))  # the first ten have none
    made = covered(order, coverage, 5, 40, looks, counts)
    assert max(numbers(made, 5 if coverage != "by_class" else 2)) < 30
    assert made.height == 40 and made["image_id"].n_unique() == 40


def test_words_of_a_wrong_shortlist() -> None:
    with pytest.raises(
        SettingsError, match="shortlist = 'many': expected auto, a multiple of the budget .5x., a number"
    ):
        shortlist_count("many", 10, 100)
    with pytest.raises(SettingsError, match="expected images, clusters, by_class, modes"):
        covered(order_of(3), "all", 1, 3, looks_of(np.eye(3), np.eye(3)))


def test_once_prepared_no_choice_compiles_anything() -> None:
    pytest.importorskip("numba", reason="numpy does the loop where numba is not installed")
    from thresher.selection.facility_compiled import gains

    facility.prepare()
    compiled = list(gains.signatures)
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(30, 5)).astype(np.float16)
    facility_location(looks, count=3)
    facility_location(looks, rng.normal(size=(8, 5)), 3, weights=rng.random(8), covered=rng.random(8))
    assert len(compiled) == 1 and list(gains.signatures) == compiled
