"""What a selection is made of, against known counts, scipy's hypergeometric distribution and plain loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from thresher.selection.audit import (
    AUDIT,
    Side,
    Target,
    as_few_by_chance,
    audit_rows,
    chosen_side,
    cohens_h,
    rank_biserial,
)
from thresher.selection.audit_words import Alike, audit_warnings

#: 400 frames of each of five drives of one camera, of which the last has the buses, and 200 pictures of another source.
POOL = pl.DataFrame(
    {
        "image_id": [f"camera/drive{drive}_{frame:04}" for drive in range(5) for frame in range(400)]
        + [f"web/{number}" for number in range(200)],
        "dataset": ["camera"] * 2000 + ["web"] * 200,
        "brightness": np.linspace(0, 1, 2200),
    }
)
COUNTS = pl.DataFrame(
    {
        "image_id": POOL["image_id"][:2000],
        "bus": [0] * 1900 + [2] * 100,
        "car": [3] * 2000,
        "train": [0] * 1999 + [1],
    }
)
RARE = ("bus", "train")
WHOLE = Side(POOL, COUNTS)


def warned(ids: pl.Series, alike: Alike | None = None) -> list[str]:
    return audit_warnings(audit_rows(chosen_side(WHOLE, ids), WHOLE), len(ids), POOL.height, RARE, alike)


def row(rows: pl.DataFrame, aspect: str, name: str) -> dict[str, object]:
    return rows.filter(aspect=aspect, name=name).row(0, named=True)


def test_shares_counts_and_effects_are_those_of_the_tables() -> None:
    chosen = pl.concat([POOL["image_id"][:30], POOL["image_id"][1990:2000], POOL["image_id"][2000:2010]])
    target = Target(POOL.head(0).with_columns(), {"bus": 0.5, "tram": 1.0})
    rows = audit_rows(chosen_side(WHOLE, chosen), WHOLE, target)
    assert rows.schema == dict(AUDIT)
    bus = row(rows, "class", "bus")
    assert (bus["selection"], bus["pool"], bus["target"]) == (10 / 50, 100 / 2200, 0.5)
    assert (bus["selection_count"], bus["pool_count"]) == (10, 100)
    assert bus["difference"] == pytest.approx(10 / 50 - 100 / 2200)
    assert bus["effect"] == pytest.approx(2 * np.arcsin(np.sqrt(0.2)) - 2 * np.arcsin(np.sqrt(100 / 2200)))
    assert bus["target_effect"] == pytest.approx(2 * np.arcsin(np.sqrt(0.2)) - np.pi / 2)
    assert row(rows, "objects", "bus")["selection"] == pytest.approx(20 / (20 + 3 * 40 + 1))
    assert row(rows, "data set", "web")["selection"] == 0.2
    assert row(rows, "sequence", "camera/drive0")["selection_count"] == 30
    assert rows.filter(aspect="folder").is_empty(), "each data set lies in one folder"
    assert row(rows, "measure", "brightness")["pool"] == pytest.approx(0.5)


def test_the_interval_is_as_wide_as_random_draws_scatter() -> None:
    draws = np.random.default_rng(0)
    held, intervals = [], 0
    for _ in range(200):
        ids = POOL["image_id"].gather(draws.choice(2200, 200, replace=False))
        found = row(audit_rows(chosen_side(WHOLE, ids), WHOLE), "class", "bus")
        held.append(found["effect"])
        intervals += found["low"] <= 0 <= found["high"]  # type: ignore[operator]
    assert 0.90 <= intervals / 200 <= 0.99
    assert abs(np.mean(held)) < 0.05  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_as_few_by_chance_is_the_hypergeometric_distribution(pool: int, data: st.DataObject) -> None:
    holders, drawn = data.draw(st.integers(0, pool)), data.draw(st.integers(0, pool))
    held = data.draw(st.integers(max(0, holders + drawn - pool), min(holders, drawn)))
    (found,) = as_few_by_chance(np.array([held]), drawn, np.array([holders]), pool)
    assert found == pytest.approx(hypergeom(pool, holders, drawn).cdf(held), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_rank_biserial_counts_pairs(mine: list[int], others: list[int]) -> None:
    pairs = [(a > b) - (a < b) for a in mine for b in others]
    found, low, high = rank_biserial(np.array(mine, float), np.array(others, float))
    assert found == pytest.approx(np.mean(pairs))
    assert -1 <= low <= found + 1e-12 and found - 1e-12 <= high <= 1


def test_equal_shares_are_no_apart_and_opposite_ones_are_pi_apart() -> None:
    assert cohens_h(np.array([0.3, 1.0]), np.array([0.3, 0.0])).tolist() == [0.0, np.pi]


def test_a_rare_class_below_chance_one_drive_and_one_source_have_words() -> None:
    assert warned(POOL["image_id"][:200]) == [
        "bus (rare) is on 0 of 200 chosen images; a random draw of as many would hold 9.1 (p = 0.00012).",
        "2 of the pool's 3 classes are on no chosen image: bus (on 100 of the pool), train (on 1 of the pool).",
        "100% of the chosen images are of one drive or sequence, camera/drive0 (pool: 18%).",
    ]
    web = warned(POOL["image_id"][2000:2190])
    assert "100% of the chosen images are of one data set, web (pool: 9%)." in web


def test_near_duplicates_have_words() -> None:
    even = POOL["image_id"].gather_every(4)
    found = warned(even, Alike(0.95, 550, 12, 3))
    assert found[-2].startswith("12 of 550 chosen images have a near-duplicate among them (cosine 0.95 or more)")
    assert found[-1].startswith("3 chosen images are near-duplicates of target images")


def test_a_random_draw_is_seldom_warned_of_and_the_whole_pool_never() -> None:
    rng = np.random.default_rng(0)
    rare = [
        any("(rare)" in words for words in warned(POOL["image_id"].gather(rng.choice(2200, 220, replace=False))))
        for _ in range(100)
    ]
    assert sum(rare) <= 8, "5 in 100 are expected at most"
    assert warned(POOL["image_id"]) == []


def test_random_names_make_no_sequences() -> None:
    rng = np.random.default_rng(0)
    ids = [f"open/{number:016x}" for number in rng.integers(0, 2**63, 500).tolist()]
    side = Side(pl.DataFrame({"image_id": ids, "dataset": "open"}), pl.DataFrame(schema={"image_id": pl.String}))
    assert set(audit_rows(chosen_side(side, ids[:50]), side)["aspect"]) == {"data set"}


def test_a_pool_without_boxes_is_audited_too() -> None:
    none = Side(POOL, pl.DataFrame(schema={"image_id": pl.String}))
    rows = audit_rows(chosen_side(none, POOL["image_id"][:10]), none)
    assert set(rows["aspect"]) == {"data set", "sequence", "measure"}
    assert audit_warnings(rows, 10, 2200, ()) == [
        "100% of the chosen images are of one drive or sequence, camera/drive0 (pool: 18%)."
    ]
