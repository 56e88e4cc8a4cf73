from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.selection.diversity import class_frequencies, counted_boxes, covered_areas, diversity_scores
from thresher.tables import BOXES, from_rows


def box(image_id: str, name: str | None, corners: tuple[float, ...] = (0, 0, 0.5, 0.5), **flags: bool) -> dict:
    return {
        "image_id": image_id,
        "label": "x",
        "class": name,
        **dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)),
        **flags,
    }


def boxes_table(*rows: dict) -> pl.DataFrame:
    return from_rows(list(rows), BOXES)


LABELLED = pl.DataFrame({"image_id": ["a", "b", "c"]})


def test_hand_computed_scores() -> None:
    boxes = boxes_table(box("a", "car"), box("a", "car"), box("a", "car"), box("a", "bus"), box("b", "car"))
    counted = counted_boxes(boxes, ["car", "bus"])
    found = diversity_scores(counted, LABELLED, {"car": 0.5, "bus": 1.5}).sort("image_id")
    assert found["objects"].to_list() == [4, 1, 0]
    assert found["classes"].to_list() == [2, 1, 0]
    assert found["diversity"].to_list() == pytest.approx([0.5 * 2 + 1.5 * 1, 0.5, 0])
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert found["class_entropy_bits"].to_list() == pytest.approx([entropy, 0, 0])
    assert found["covered_area"].to_list() == pytest.approx([0.25, 0.25, 0])


def test_what_counts_as_an_object() -> None:
    boxes = boxes_table(
        box("a", "car", is_group=True), box("b", "car", is_depiction=True), box("b", "car", is_inside=True),
        box("b", "void"), box("b", None), box("b", "tree"), box("c", "car", is_depiction=False, is_occluded=True),
    )  # fmt: skip
    counted = counted_boxes(boxes, ["car"])
    assert dict(counted.select("image_id", "count").iter_rows()) == {"a": 5, "c": 1}


def test_weights_are_inverse_document_frequency_with_mean_one() -> None:
    boxes = boxes_table(box("a", "car"), box("a", "car"), box("b", "car"), box("b", "bus"))
    frequencies = class_frequencies(counted_boxes(boxes, ["car", "bus"]), labelled_images=9)
    raw = {"car": np.log(10 / 3), "bus": np.log(10 / 2)}
    mean = (raw["car"] + raw["bus"]) / 2
    assert frequencies.weights == pytest.approx({name: value / mean for name, value in raw.items()})
    assert frequencies.document_frequency == {"bus": 1, "car": 2}
    assert frequencies.rare == {"bus"}


def test_the_users_own_worth_replaces_it() -> None:
    counted = counted_boxes(boxes_table(box("a", "car"), box("a", "bus")), ["car", "bus"])
    assert class_frequencies(counted, 1, {"bus": 3.0}).weights == {"car": 0.0, "bus": 3.0}


def test_a_new_class_is_worth_more_than_one_more_car() -> None:
    more_cars = boxes_table(*[box("a", "car")] * 3, *[box("b", "car")] * 2, box("b", "bus"))
    found = diversity_scores(counted_boxes(more_cars, ["car", "bus"]), LABELLED, {"car": 1.0, "bus": 1.0})
    score = dict(found.select("image_id", "diversity").iter_rows())
    assert score["b"] > score["a"]


def test_no_boxes_at_all_score_zero() -> None:
    found = diversity_scores(counted_boxes(boxes_table(), ["car"]), LABELLED, {})
    assert found.drop("image_id").sum_horizontal().to_list() == [0, 0, 0]


starts_and_sizes = st.tuples(*[st.integers(0, 15)] * 2, *[st.integers(1, 16)] * 2)
corner_sets = st.lists(
    starts_and_sizes.map(lambda n: (n[0] / 16, n[1] / 16, min(16, n[0] + n[2]) / 16, min(16, n[1] + n[3]) / 16)),
    min_size=1,
    max_size=6,
)


@given(corner_sets)
def test_covered_area_equals_counting_cells(corners: list[tuple[float, ...]]) -> None:
    grid = np.zeros((16, 16), bool)
    for x0, y0, x1, y1 in corners:
        grid[int(y0 * 16) : int(y1 * 16), int(x0 * 16) : int(x1 * 16)] = True
    areas = covered_areas(boxes_table(*[box("a", "car", c) for c in corners]))
    assert areas["covered_area"].to_list() == pytest.approx([grid.mean()])
