from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import SettingsError
from thresher.selection.methods import (
    COMBINED,
    budget_count,
    pareto_fronts,
    rankable,
    ranking,
    weighted_ranks,
)
from thresher.tables import SCORES, from_rows


def scores_table(similarity: list[float | None], diversity: list[float | None]) -> pl.DataFrame:
    rows = [
        {"image_id": f"i{n:02d}", "similarity": s, "cosine": s, "layout": s, "diversity": d}
        for n, (s, d) in enumerate(zip(similarity, diversity, strict=True))
    ]
    return from_rows(rows, SCORES)


def order(scores: pl.DataFrame, method: str, seed: int = 0) -> list[str]:
    return ranking(scores, method, seed).order["image_id"].to_list()


SCORED = scores_table([5.0, 4.0, 3.0, None], [0.0, 2.0, 1.0, 9.0])


def test_each_method_orders_by_what_its_name_says() -> None:
    assert order(SCORED, "similarity") == ["i00", "i01", "i02"]
    assert order(SCORED, "diversity") == ["i03", "i01", "i02", "i00"]
    assert order(SCORED, "cosine") == ["i00", "i01", "i02"]
    # Ranks by similarity 1, 2, 3 and by diversity 3, 1, 2: means 2, 1.5, 2.5.
    assert order(SCORED, "both") == ["i01", "i00", "i02"]
    assert order(SCORED, "layout_and_diversity") == order(SCORED, "both")
    # Half of the diversities are at least the median of those with a similarity (1.0).
    assert order(SCORED, "similar_among_diverse") == ["i01", "i02"]


def test_both_has_the_mean_rank_as_score() -> None:
    assert ranking(SCORED, "both", 0).order["score"].to_list() == [-1.5, -2.0, -2.5]
    assert ranking(SCORED, "both", 0).not_ranked == 1


def test_ties_break_by_image_id() -> None:
    assert order(scores_table([1.0] * 4, [1.0] * 4), "both") == ["i00", "i01", "i02", "i03"]


def test_random_is_a_permutation_that_only_the_seed_decides() -> None:
    scores = scores_table([0.0] * 30, [0.0] * 30)
    assert order(scores, "random", 1) == order(scores.sample(fraction=1, shuffle=True, seed=5), "random", 1)
    assert order(scores, "random", 1) != order(scores, "random", 2)
    assert sorted(order(scores, "random", 1)) == scores["image_id"].to_list()


def test_holds_class_is_random_among_those_with_a_box_of_a_class_of_interest() -> None:
    scores = scores_table([0.0] * 30, [0.0] * 30).with_columns(objects=pl.Series([n % 3 for n in range(29)] + [None]))
    found = order(scores, "holds_class", 1)
    holding = scores.filter(pl.col("objects") > 0)["image_id"]
    assert found == [name for name in order(scores, "random", 1) if name in holding]
    assert len(found) == 19
    assert ranking(scores, "holds_class", 1).not_ranked == 11


values = st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 9)), min_size=2, max_size=25)


@given(values, st.sampled_from([*COMBINED, "similarity", "diversity", "layout"]), st.integers(0, 3))
def test_row_order_does_not_matter_and_ranks_count_from_one(
    pairs: list[tuple[float, float]], method: str, seed: int
) -> None:
    scores = scores_table([s for s, _ in pairs], [d for _, d in pairs])
    found = ranking(scores, method, seed).order
    assert found.equals(ranking(scores.reverse(), method, seed).order)
    assert found["rank"].to_list() == list(range(1, found.height + 1))
    assert found["score"].is_sorted(descending=True)


def test_budgets_and_words_of_errors() -> None:
    assert [budget_count(text, 200) for text in ("1", " 200 ", "0.1%", "2.5%", "100%")] == [1, 200, 1, 5, 200]
    for text in ("0", "-3", "0%", "101%", "many", "%", "1.5"):
        with pytest.raises(SettingsError, match="expected a number of images"):
            budget_count(text, 200)
    with pytest.raises(SettingsError, match="only 200 images can be chosen"):
        budget_count("201", 200)
    with pytest.raises(SettingsError, match="method 'best': unknown. Known: random, holds_class, both.* any numeric"):
        ranking(SCORED, "best", 0)
    with pytest.raises(SettingsError, match="method 'diversty': unknown. Did you mean 'diversity'"):
        ranking(SCORED, "diversty", 0)


def test_any_numeric_column_can_be_ranked_by() -> None:
    scores = SCORED.with_columns(mine=pl.Series([1, None, 3, 2]), words=pl.lit("a"))
    assert order(scores, "mine") == ["i02", "i03", "i00"]
    assert "mine" in rankable(scores)
    assert "words" not in rankable(scores)


def test_weighted_ranks_of_one_column_are_its_ranks_and_weights_need_not_sum_to_one() -> None:
    values = {"a": pl.Series([3.0, 1.0, 2.0]), "b": pl.Series([1.0, 2.0, None])}
    assert weighted_ranks({"a": values["a"]}, {"a": 7.0}).to_list() == [-1.0, -3.0, -2.0]
    # b is null for the third, which then ranks nowhere and moves nobody: a ranks 1, 2 and b 2, 1.
    assert weighted_ranks(values, {"a": 3.0, "b": 1.0}).to_list() == [-1.25, -1.75, None]


def test_columns_together_are_a_mean_of_ranks_or_fronts() -> None:
    assert order(SCORED, "0.5*similarity + 0.5*diversity") == order(SCORED, "both")
    assert order(SCORED, "similarity+diversity") == order(SCORED, "both")
    assert order(SCORED, "0.9*similarity + 0.1*diversity") == ["i00", "i01", "i02"]
    # (5, 0) and (4, 2) are beaten by none, (3, 1) only by (4, 2); among the first two the mean ranks are 2 and 1.5.
    assert order(SCORED, "pareto(similarity, diversity)") == ["i01", "i00", "i02"]
    assert ranking(SCORED, "pareto(similarity, diversity)", 0).not_ranked == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_fronts_are_those_of_peeling(pairs: list[tuple[int, int]]) -> None:
    left, expected, number = set(range(len(pairs))), {}, 0
    while left:
        number += 1
        beaten = {
            n for n in left for m in left
            if pairs[m] != pairs[n] and pairs[m][0] >= pairs[n][0] and pairs[m][1] >= pairs[n][1]
        }  # fmt: skip
        expected |= dict.fromkeys(left - beaten, number)
        left = beaten
    first, second = (np.array(each, np.float64) for each in zip(*pairs, strict=True))
    assert pareto_fronts(first, second).tolist() == [expected[n] for n in range(len(pairs))]


def test_words_for_combinations_that_are_none() -> None:
    for method in (
        "2*similarity +",
        "pareto(similarity)",
        "pareto(2*layout, cosine)",
        "cosine + cosine",
        "0*cosine + 0*layout",
    ):
        with pytest.raises(SettingsError, match="expected WEIGHT.COLUMN . WEIGHT.COLUMN, such as 0.7.layout"):
            ranking(SCORED, method, 0)
    with pytest.raises(SettingsError, match="no column is called 'layuot'. Did you mean 'layout'"):
        ranking(SCORED, "0.7*layuot + 0.3*diversity", 0)
