"""The choice with wishes against all choices there are, and the words for what cannot be had."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import SettingsError
from thresher.selection.bounds import Bound
from thresher.selection.programme import best_choice


def bound(text: str, rows: list[int], least: float = 0, most: float = np.inf, soft: bool = False) -> Bound:
    return Bound(text, np.array(rows, np.int64), np.ones(len(rows)), least, most, soft)


def none(rows: int) -> np.ndarray:
    return np.zeros(rows, bool)


def chosen(rows: int, count: int, bounds: list[Bound], fixed: np.ndarray | None = None) -> list[int]:
    return np.flatnonzero(best_choice(rows, count, none(rows) if fixed is None else fixed, bounds).taken).tolist()


def test_quotas_that_only_images_with_both_can_meet_are_met() -> None:
    rng = np.random.default_rng(0)
    both = rng.permutation(300)[:63]
    car = np.union1d(both, rng.permutation(300)[:80]).tolist()
    bicyclist = np.union1d(both, rng.permutation(300)[:60]).tolist()
    taken = set(chosen(300, 40, [bound("at_least Car=39", car, 39), bound("at_least Bicyclist=39", bicyclist, 39)]))
    assert len(taken) == 40 and len(taken & set(car)) >= 39 and len(taken & set(bicyclist)) >= 39


def test_caps_take_the_best_of_each_group() -> None:
    assert chosen(8, 4, [bound("a", [0, 1, 2, 3], most=2), bound("b", [4, 5, 6, 7], most=2)]) == [0, 1, 4, 5]


def test_soft_wishes_are_met_as_far_as_the_hard_ones_allow() -> None:
    bounds = [bound("at_most bus=1", [3, 4], most=1), bound("at_least bus=2", [3, 4], 2, soft=True)]
    assert chosen(5, 2, bounds) == [0, 3]


def test_what_cannot_be_had_says_which_and_by_how_much() -> None:
    some, others = bound("at_least a=3", [0, 1, 2], 3), bound("at_least b=3", [3, 4, 5], 3)
    with pytest.raises(SettingsError, match="cannot all be met: at best at_least [ab]=3 is missed by 2. Ask for less"):
        chosen(6, 4, [some, others])
    with pytest.raises(SettingsError, match="at best the budget is missed by 2 images"):
        chosen(6, 4, [bound("at_most x=2", list(range(6)), most=2)])
    with pytest.raises(SettingsError, match="2 images are pinned or kept; the budget is 1"):
        chosen(3, 1, [], np.array([True, True, False]))


def test_kinds_beyond_the_number_of_variables_go_in_blocks() -> None:
    rng = np.random.default_rng(1)
    rows = 60_000
    held = [np.flatnonzero(rng.random(rows) < share) for share in (0.3, 0.02, 0.01)]
    bounds = [bound(f"at_least {n}", each.tolist(), len(each) // 4) for n, each in enumerate(held)]
    made = best_choice(rows, 6000, none(rows), bounds)
    assert made.exact and made.taken.sum() == 6000
    assert all(each.off_by(made.taken) == 0 for each in bounds)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_other_choice_that_meets_the_wishes_has_better_ranks(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 9))
    count = data.draw(st.integers(1, rows))
    fixed = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))) & (np.arange(rows) % 3 == 0)
    bounds = []
    for number in range(data.draw(st.integers(0, 4))):
        own = np.array(sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=1))), np.int64)
        amounts = np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(own), max_size=len(own))), np.float64)
        least, room = data.draw(st.integers(0, 4)), data.draw(st.one_of(st.none(), st.integers(0, 3)))
        bounds.append(Bound(f"w{number}", own, amounts, least, np.inf if room is None else least + room))
    possible = []
    for some in itertools.combinations(range(rows), count):
        taken = none(rows)
        taken[list(some)] = True
        if not (fixed & ~taken).any() and not any(each.off_by(taken) for each in bounds):
            possible.append(sum(some))
    if not possible:
        with pytest.raises(SettingsError, match="cannot all be met|pinned or kept"):
            best_choice(rows, count, fixed, bounds)
        return
    made = best_choice(rows, count, fixed, bounds)
    assert made.taken.sum() == count and not (fixed & ~made.taken).any()
    assert not any(each.off_by(made.taken) for each in bounds)
    assert np.flatnonzero(made.taken).sum() == min(possible)
