"""Quotas, pins and budgets against choices made by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import SettingsError
from thresher.selection.constraints import constrained, parsed_quotas


def ordered(ids: str) -> pl.DataFrame:
    scores = [float(-number) for number in range(len(ids))]
    return pl.DataFrame({"image_id": list(ids), "rank": range(1, len(ids) + 1), "score": scores}).with_columns(
        pl.col("rank").cast(pl.Int64)
    )


def holding(ids: str, holders: str) -> np.ndarray:
    return np.array([each in holders for each in ids])


def test_without_wishes_it_is_the_head_of_the_order() -> None:
    made = constrained(ordered("abcdef"), 3, {}, {})
    assert made.chosen.rows() == [("a", 1, 0.0), ("b", 2, -1.0), ("c", 3, -2.0)]
    assert not made.unmet


def test_a_quota_takes_the_best_that_hold_the_class_and_no_more() -> None:
    made = constrained(ordered("abcdef"), 3, {"bus": holding("abcdef", "bdf")}, {"bus": 2})
    assert made.chosen["image_id"].to_list() == ["a", "b", "d"]
    assert made.chosen["rank"].to_list() == [1, 2, 3]


def test_an_image_counts_for_each_class_that_it_holds_rarest_first() -> None:
    ids = "abcdef"
    holders = {"bus": holding(ids, "ef"), "car": holding(ids, "abcde")}
    # The bus quota takes e, which holds a car too: so only one more car is needed, and a is the best.
    made = constrained(ordered(ids), 2, holders, {"car": 2, "bus": 1})
    assert made.chosen["image_id"].to_list() == ["a", "e"]


def test_pins_come_along_also_unranked_and_count_for_quotas() -> None:
    holders = {"bus": holding("abcd", "d")}
    made = constrained(ordered("abcd"), 3, holders, {"bus": 1}, pinned=["d", "zz"])
    assert made.chosen.rows() == [("a", 1, 0.0), ("d", 2, -3.0), ("zz", 3, None)]


def test_what_cannot_be_had_is_told() -> None:
    made = constrained(ordered("abcd"), 4, {"bus": holding("abcd", "d")}, {"bus": 3})
    assert made.unmet == {"bus": (1, 3)}
    assert made.chosen.height == 4


def test_more_asked_for_than_the_budget_has_words() -> None:
    with pytest.raises(SettingsError, match="ask for 2 images; the budget is 1. Raise the budget or ask for less"):
        constrained(ordered("abcd"), 1, {}, {}, pinned=["a", "b"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_budget_pins_and_quotas_hold_whatever_is_asked(data: st.DataObject) -> None:
    ids = "abcdefghijkl"[: data.draw(st.integers(1, 12))]
    subset = st.sets(st.sampled_from(ids))
    holders = {name: holding(ids, "".join(data.draw(subset))) for name in ("bus", "car")}
    quotas = {name: data.draw(st.integers(0, 6)) for name in holders}
    pinned = data.draw(subset)
    count = data.draw(st.integers(1, len(ids)))
    try:
        made = constrained(ordered(ids), count, holders, quotas, pinned)
    except SettingsError:
        # Never refused where even the plainest reading fits: pins and every quota on images of their own.
        assert len(pinned) + sum(quotas.values()) > count
        return
    taken = made.chosen["image_id"].to_list()
    assert len(taken) == len(set(taken)) == count
    assert taken == sorted(taken)  # in the order's order
    assert set(pinned) <= set(taken)
    for name, quota in quotas.items():
        held = sum(each in taken for each, holds in zip(ids, holders[name], strict=True) if holds)
        if name in made.unmet:
            assert made.unmet[name] == (int(holders[name].sum()), quota) and held == made.unmet[name][0] < quota
        else:
            assert held >= quota


def test_quotas_are_spelt_class_and_number() -> None:
    assert parsed_quotas(["traffic light=3", "a=b=2"], ["traffic light", "a=b"]) == {"traffic light": 3, "a=b": 2}
    with pytest.raises(SettingsError, match="quotas 'bus': expected CLASS=NUMBER"):
        parsed_quotas(["bus"], ["bus"])
    with pytest.raises(SettingsError, match="expected CLASS=NUMBER"):
        parsed_quotas(["bus=-1"], ["bus"])
    with pytest.raises(SettingsError, match="no class of interest is called 'tram'. Known: bus, car"):
        parsed_quotas(["tram=1"], ["bus", "car"])
    with pytest.raises(SettingsError, match="'bus' is named twice"):
        parsed_quotas(["bus=1", "bus=2"], ["bus"])
