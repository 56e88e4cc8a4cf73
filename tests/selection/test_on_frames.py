"""diversity and choose on tables of one's own: by hand, and the same as the functions that the stages call."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher import choose, diversity
from thresher.errors import DataError, SettingsError
from thresher.selection.methods import combination_of

BOXES = pl.DataFrame(
    {
        "image_id": ["a", "a", "a", "b", "b", "c"],
        "class": ["car", "car", "bus", "car", "tree", None],
        "x0": [0.0, 0.0, 0.5, 0.0, 0.0, 0.0],
        "y0": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "x1": [0.5, 0.5, 1.0, 0.1, 1.0, 1.0],
        "y1": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    }
)


def by_id(found: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["image_id"]: row for row in found.iter_rows(named=True)}


def test_diversity_by_hand() -> None:
    found = by_id(diversity(BOXES, classes=["car", "bus"], weights={"car": 1.0, "bus": 2.0}))
    assert list(found) == ["a", "b", "c"]
    # Two cars and a bus: log2(3) + 2 log2(2), an entropy of 2/3 and 1/3, and the whole picture.
    assert found["a"]["diversity"] == pytest.approx(math.log2(3) + 2)
    assert found["a"]["class_entropy_bits"] == pytest.approx(-(2 / 3) * math.log2(2 / 3) - (1 / 3) * math.log2(1 / 3))
    assert (found["a"]["objects"], found["a"]["classes"], found["a"]["covered_area"]) == (3, 2, 1.0)
    assert found["b"]["diversity"] == 1.0
    assert found["b"]["covered_area"] == pytest.approx(0.1)
    assert (found["c"]["diversity"], found["c"]["objects"]) == (0.0, 0)


def test_rare_classes_weigh_more_by_default() -> None:
    boxes = {"image_id": ["a", "b", "c", "d"], "class": ["car", "car", "car", "bus"]}
    found = by_id(diversity(boxes))
    assert found["d"]["diversity"] > found["a"]["diversity"] == found["c"]["diversity"]  # type: ignore[operator]


def test_images_without_a_box_are_scored_where_their_ids_are_given() -> None:
    found = by_id(diversity(BOXES, image_ids=["a", "z"]))
    assert list(found) == ["a", "z"]
    assert found["z"]["diversity"] == 0.0


def test_flags_count_and_absent_ones_are_unknown() -> None:
    boxes = {"image_id": ["a", "a", "b", "c"], "class": ["car"] * 4}
    flags = {"is_group": [True, None, None, None], "is_depiction": [None, None, True, None]}
    objects = {name: row["objects"] for name, row in by_id(diversity({**boxes, **flags})).items()}
    assert objects == {"a": 6, "b": 0, "c": 1}  # a crowd counts as five, a drawing not at all
    assert by_id(diversity(boxes))["a"]["covered_area"] is None  # there are no corners


def test_pandas_and_arrow_give_what_polars_gives() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: BOXES[name].to_list() for name in BOXES.columns})
    assert diversity(frame).equals(diversity(BOXES))
    arrow = pytest.importorskip("pyarrow", reason="Arrow tables without pyarrow come from elsewhere")
    assert diversity(arrow.table(BOXES.to_dict(as_series=False))).equals(diversity(BOXES))


def test_choose_by_two_scores_by_hand() -> None:
    scores = {"near": [0.9, 0.8, 0.1, 0.2], "rich": [1.0, 3.0, 2.0, None]}
    found = choose(scores, 2, ids=["a", "b", "c", "d"])
    # Ranks near 1, 2, 3 and rich 3, 1, 2 (d has no richness): means 2, 1.5, 2.5.
    assert found.select("image_id", "rank", "score").rows() == [("b", 1, -1.5), ("a", 2, -2.0)]
    assert found["why"].to_list()[0] == {"near_rank": 2, "rich_rank": 1}
    heavy = choose(scores, 1, ids=["a", "b", "c", "d"], weights={"near": 1.0})
    assert heavy["image_id"].to_list() == ["a"]


def test_budgets_as_people_write_them() -> None:
    scores = {"near": np.arange(40.0)}
    assert [choose(scores, budget).height for budget in (3, "3", "10%", 0.1, 1.0)] == [3, 3, 4, 4, 40]


def test_quotas_pins_and_exclusions() -> None:
    scores = pl.DataFrame({"image_id": ["a", "b", "c", "d"], "near": [4.0, 3.0, 2.0, 1.0]})
    boxes = {"image_id": ["d", "a", "b", "c"], "class": ["bus", "car", "car", "car"]}
    found = choose(scores, 2, boxes=boxes, quotas={"bus": 1}, excluded=["a"])
    assert found["image_id"].to_list() == ["b", "d"]
    assert [row["rare_classes"] for row in found["why"]] == [[], ["bus"]]
    assert choose(scores, 2, pinned=["d"])["image_id"].to_list() == ["a", "d"]


def test_the_order_of_rows_does_not_matter_and_ties_break_by_id() -> None:
    scores = pl.DataFrame({"image_id": ["b", "a", "c"], "near": [1.0, 1.0, 1.0]})
    assert choose(scores, 3)["image_id"].to_list() == ["a", "b", "c"]
    assert choose(scores.reverse(), 3).equals(choose(scores, 3))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 5)), min_size=2, max_size=20))
def test_equal_weights_are_the_method_layout_and_diversity(values: list[tuple[float, float]]) -> None:
    table = pl.DataFrame({"image_id": [f"{n:02}" for n in range(len(values))]}).with_columns(
        layout=pl.Series([a for a, _ in values]), diversity=pl.Series([b for _, b in values])
    )
    found = choose(table, "100%")
    expected = table.with_columns(score=combination_of("layout_and_diversity").values(table)).sort(
        "score", "image_id", descending=[True, False]
    )
    assert found["image_id"].to_list() == expected["image_id"].to_list()
    assert found["score"].to_list() == pytest.approx(expected["score"].to_list())


def test_what_comes_back_goes_to_pandas() -> None:
    pytest.importorskip("pandas")
    assert diversity(BOXES).to_pandas()["image_id"].tolist() == ["a", "b", "c"]
    assert choose({"near": [1.0, 2.0]}, 1).to_pandas()["why"][0] == {"near_rank": 1}


def test_words_of_errors() -> None:
    near = {"near": [1.0, 2.0]}
    with pytest.raises(DataError, match="boxes: column 'class' is missing. Found image_id"):
        diversity({"image_id": ["a"]})
    with pytest.raises(DataError, match="boxes: expected a table"):
        diversity(3)
    with pytest.raises(DataError, match="scores 'near': 2 numbers for 1 ids"):
        choose(near, 1, ids=["a"])
    with pytest.raises(DataError, match=r"scores: 2 ids are null or repeated \(first: a\)"):
        choose(near, 1, ids=["a", "a"])
    with pytest.raises(SettingsError, match="budget = -3: expected a number of images"):
        choose(near, -3)
    with pytest.raises(SettingsError, match="only 2 images can be chosen"):
        choose(near, 3)
    with pytest.raises(SettingsError, match="quotas need boxes"):
        choose(near, 1, quotas={"bus": 1})
    with pytest.raises(SettingsError, match=r"weights = \{'far': 1.0\}: expected 0 or more for each of near"):
        choose(near, 1, weights={"far": 1.0})
    with pytest.raises(DataError, match=r"1 pinned images are not in the pool \(first: z\)"):
        choose(near, 1, pinned=["z"])


def test_one_text_is_one_item_and_numbers_are_ids() -> None:
    boxes = {"image_id": ["a", "b"], "class": ["car", "bus"]}
    assert diversity(boxes, classes="car", weights={"car": 1.0})["diversity"].to_list() == [1.0, 0.0]
    scores = {"near": [3.0, 2.0, 1.0]}
    assert choose(scores, 1, ids=["aa", "bb", "cc"], excluded="aa")["image_id"].to_list() == ["bb"]
    assert choose(scores, 2, ids=[7, 8, 9], pinned=9)["image_id"].to_list() == ["7", "9"]


def test_minus_one_is_unknown_as_in_open_images() -> None:
    boxes = {"image_id": ["a", "b"], "class": ["car"] * 2, "is_depiction": [-1, 1], "is_group": [-1, 0]}
    assert diversity(boxes)["objects"].to_list() == [1, 0]


def test_no_boxes_at_all_are_no_diversity() -> None:
    found = diversity({"image_id": [], "class": []}, image_ids=["a"])
    assert found.select("image_id", "diversity", "objects").rows() == [("a", 0.0, 0)]


def test_columns_without_numbers_rank_nothing() -> None:
    scores = pl.DataFrame(
        {"image_id": ["a", "b"], "near": [1.0, 2.0], "ratio": pl.Series([None, None], dtype=pl.Float64)}
    )
    assert choose(scores, 1)["image_id"].to_list() == ["b"]


def test_quotas_that_cannot_be_met_are_a_warning() -> None:
    boxes = {"image_id": ["0", "1"], "class": ["bus", "car"]}
    with pytest.warns(UserWarning, match="only 1 of 3 for 'bus' can be chosen"):
        assert choose({"near": [1.0, 2.0, 3.0, 4.0]}, 4, boxes=boxes, quotas={"bus": 3}).height == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"excluded": ["z"]}, r"1 excluded images are not in the pool \(first: z\)"),
        ({"pinned": ["0"], "excluded": ["0"]}, "'0' is both pinned and excluded"),
        ({"weights": {"near": float("nan")}}, r"weights = \{'near': nan\}: expected 0 or more"),
        ({"boxes": {"image_id": ["z"], "class": ["bus"]}, "quotas": {"bus": 1}}, "none of their images has a score"),
    ],
)
def test_contradictions_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises((DataError, SettingsError), match=words):
        choose({"near": [1.0, 2.0]}, 1, **arguments)  # type: ignore[arg-type]


def test_arrays_of_other_forms_are_refused() -> None:
    with pytest.raises(DataError, match="scores 'm': 2 numbers for 3 ids"):
        choose({"n": [1.0, 2.0, 3.0], "m": [1.0, 2.0]}, 1)
    with pytest.raises(DataError, match=r"an array of shape \(3, 2\); expected one number per image"):
        choose({"n": np.ones((3, 2))}, 1)
    with pytest.raises(DataError, match="scores 'n': not numbers"):
        choose({"n": ["a", "b"]}, 1)


def test_corners_in_pixels_are_refused() -> None:
    corners = {"x0": [0], "y0": [0], "x1": [640], "y1": [480]}
    with pytest.raises(DataError, match="1 boxes have corners outside 0..1 .* divide pixels by its width and height"):
        diversity({"image_id": ["a"], "class": ["car"], **corners})
    with pytest.raises(SettingsError, match="weights: 'bus' = 1: expected a class"):
        diversity({"image_id": ["a"], "class": ["car"]}, weights={"bus": 1})


def test_wishes_on_ones_own_tables() -> None:
    ids = [f"d/s{n // 3}_{n:03}" for n in range(9)]
    scores = {"near": [-float(n) for n in range(9)]}
    boxes = {"image_id": ids[3:5] * 2, "class": ["bus"] * 4}
    mine = pl.DataFrame({"image_id": ids, "city": ["ulm", "bonn", None] * 3, "width_px": range(9)})

    def numbers(budget: int = 3, **wishes: object) -> list[int]:
        found = choose(scores, budget, ids=ids, boxes=boxes, columns=mine, **wishes)  # type: ignore[arg-type]
        return [ids.index(each) for each in found["image_id"]]

    assert numbers(where="width_px >= 2 and city in ulm, bonn") == [3, 4, 6]
    assert numbers(at_least={"objects:bus": 4}) == [0, 3, 4]
    assert numbers(at_most={"sequence:*": 1}) == [0, 3, 6]
    assert numbers(4, share={"city:*": "uniform"}, pinned=ids[7]) == [0, 1, 3, 7]
    assert numbers(where="near < -4") == [5, 6, 7]
    with pytest.warns(UserWarning, match="only 2 of 3 for 'at_least bus=3' can be chosen"):
        assert numbers(at_least={"bus": "3?"}) == [0, 3, 4]
    with pytest.raises(SettingsError, match="share bus=target: there is no target here"):
        numbers(share={"bus": "target"})
    with pytest.raises(DataError, match="columns: column 'image_id' holds an id twice"):
        choose(scores, 3, ids=ids, columns=pl.concat([mine, mine]))
