from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.selection import areas
from thresher.selection.diversity import (
    class_counts,
    class_frequencies,
    counted_boxes,
    counts_and_areas,
    covered_areas,
    diversity_scores,
)
from thresher.tables import BOXES, from_rows


def box(image_id: str, name: str | None, corners: tuple[float, ...] = (0, 0, 0.5, 0.5), **flags: bool) -> dict:
    return {
        "image_id": image_id,
        "label": "x",
        "class": name,
        **dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)),
        **flags,
    }


def boxes_table(*rows: dict) -> pl.LazyFrame:
    return from_rows(list(rows), BOXES).lazy()


def scored(boxes: pl.LazyFrame, weights: dict[str, float]) -> pl.DataFrame:
    counts, areas = class_counts(boxes, list(weights)), covered_areas(counted_boxes(boxes, list(weights)))
    return diversity_scores(counts, areas, LABELLED, weights).sort("image_id")


LABELLED = pl.DataFrame({"image_id": ["a", "b", "c"]})


def test_hand_computed_scores() -> None:
    boxes = boxes_table(box("a", "car"), box("a", "car"), box("a", "car"), box("a", "bus"), box("b", "car"))
    found = scored(boxes, {"car": 0.5, "bus": 1.5})
    assert found["objects"].to_list() == [4, 1, 0]
    assert found["classes"].to_list() == [2, 1, 0]
    assert found["diversity"].to_list() == pytest.approx([0.5 * 2 + 1.5 * 1, 0.5, 0])
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert found["class_entropy_bits"].to_list() == pytest.approx([entropy, 0, 0])
    assert found["covered_area"].to_list() == pytest.approx([0.25, 0.25, 0])


def test_what_counts_as_an_object() -> None:
    boxes = boxes_table(
        box("a", "car", is_group=True),
        box("b", "car", is_depiction=True),
        box("b", "car", is_inside=True),
        box("b", "void"),
        box("b", None),
        box("b", "tree"),
        box("c", "car", is_depiction=False, is_occluded=True),
    )
    assert dict(class_counts(boxes, ["car"]).iter_rows()) == {"a": 5, "c": 1}


def test_weights_are_inverse_document_frequency_with_mean_one() -> None:
    boxes = boxes_table(box("a", "car"), box("a", "car"), box("b", "car"), box("b", "bus"))
    frequencies = class_frequencies(class_counts(boxes, ["car", "bus", "train"]), labelled_images=9)
    raw = {"car": np.log(10 / 3), "bus": np.log(10 / 2)}
    mean = (raw["car"] + raw["bus"]) / 2
    assert frequencies.weights == pytest.approx({name: value / mean for name, value in raw.items()})
    assert frequencies.document_frequency == {"bus": 1, "car": 2}
    assert frequencies.rare == {"bus"}


def test_the_users_own_worth_replaces_it() -> None:
    counts = class_counts(boxes_table(box("a", "car"), box("a", "bus")), ["car", "bus"])
    assert class_frequencies(counts, 1, {"bus": 3.0}).weights == {"car": 0.0, "bus": 3.0}


def test_a_new_class_is_worth_more_than_one_more_car() -> None:
    more_cars = boxes_table(*[box("a", "car")] * 3, *[box("b", "car")] * 2, box("b", "bus"))
    found = scored(more_cars, {"car": 1.0, "bus": 1.0})
    score = dict(found.select("image_id", "diversity").iter_rows())
    assert score["b"] > score["a"]


def test_no_boxes_at_all_score_zero() -> None:
    found = scored(boxes_table(), {"car": 1.0})
    assert found.drop("image_id").sum_horizontal().to_list() == [0, 0, 0]


starts_and_sizes = st.tuples(*[st.integers(0, 15)] * 2, *[st.integers(1, 16)] * 2)
corner_sets = st.lists(
    starts_and_sizes.map(lambda n: (n[0] / 16, n[1] / 16, min(16, n[0] + n[2]) / 16, min(16, n[1] + n[3]) / 16)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("loop", ["compiled", "numpy"])
@given(st.lists(st.tuples(st.sampled_from("ab"), corner_sets), min_size=1, max_size=4))
def test_covered_area_equals_counting_cells(loop: str, drawn: list[tuple[str, list[tuple[float, ...]]]]) -> None:
    grids = {image_id: np.zeros((16, 16), bool) for image_id, _ in drawn}
    rows = [box(image_id, "car", c) for image_id, corners in drawn for c in corners]
    for row in rows:
        grids[row["image_id"]][int(row["y0"] * 16) : int(row["y1"] * 16), int(row["x0"] * 16) : int(row["x1"] * 16)] = 1
    with pytest.MonkeyPatch.context() as patch:
        if loop == "numpy":
            patch.setattr(areas, "_loop", lambda: areas._add_areas)
        found = covered_areas(boxes_table(*rows))
        both = counts_and_areas(boxes_table(*rows), ["car"])
    for areas_of in (found, both[1]):
        assert dict(areas_of.iter_rows()) == pytest.approx({name: grid.mean() for name, grid in grids.items()})
    counted = class_counts(boxes_table(*rows), ["car"])
    assert both[0].sort("image_id").equals(counted.sort("image_id"))


def test_a_box_without_its_corners_covers_nothing_and_counts() -> None:
    rows = boxes_table(box("a", "car"), box("a", "car", (0.5, 0.5, 1, None)), box("b", "car", (0.2, 0.2, 0.2, 0.9)))
    counts, covered = counts_and_areas(rows, ["car"])
    assert dict(covered.iter_rows()) == {"a": 0.25, "b": 0.0}
    assert dict(counts.iter_rows()) == {"a": 2, "b": 1}


def test_the_area_covered_is_the_same_in_any_order_of_boxes_and_images() -> None:
    rng = np.random.default_rng(0)
    rows = [box(str(n % 40), "car", (*(low := rng.random(2) / 2), *(low + rng.random(2) / 2))) for n in range(400)]
    ordered, shuffled = (covered_areas(boxes_table(*each)) for each in (rows, [rows[i] for i in rng.permutation(400)]))
    assert ordered.sort("image_id").equals(shuffled.sort("image_id"))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["car", "bus", "tree", None]), st.booleans())))
def test_counts_and_scores_equal_those_of_a_plain_loop(drawn: list[tuple[str, str | None, bool]]) -> None:
    weights, counts = {"car": 0.5, "bus": 1.5}, {image_id: {"car": 0, "bus": 0} for image_id in "abc"}
    for image_id, name, group in drawn:
        if name in weights and image_id in counts:
            counts[image_id][name] += 5 if group else 1
    found = scored(boxes_table(*[box(image_id, name, is_group=group) for image_id, name, group in drawn]), weights)
    for image_id, row in zip("abc", found.iter_rows(named=True), strict=True):
        n = np.array(list(counts[image_id].values()))
        share = n[n > 0] / max(n.sum(), 1)
        assert (row["image_id"], row["objects"], row["classes"]) == (image_id, n.sum(), (n > 0).sum())
        assert row["class_entropy_bits"] == pytest.approx(-(share * np.log2(share)).sum())
        assert row["diversity"] == pytest.approx(0.5 * np.log2(1 + n[0]) + 1.5 * np.log2(1 + n[1]))
