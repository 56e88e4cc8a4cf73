import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.data.boxes import clean_boxes
from thresher.data.dataset import images_table
from thresher.tables import BOXES, PROBLEMS


def sized(width=100, height=50):
    return images_table([("a", "/pool/a.jpg", None, width, height)], "d")[0]


def raw(*corners, image_id="d/a"):
    rows = [(image_id, "car", *each) for each in corners]
    return pl.DataFrame(rows, schema=["image_id", "label", "x0", "y0", "x1", "y1"], orient="row")


@pytest.mark.parametrize(
    ("corners", "word"),
    [
        ((0.1, 0.2, 0.3, 0.4), None),
        ((0.0, 0.0, 1.0, 1.0), None),
        ((-0.014, 0.0, 1.014, 1.0), None),  # 1.4 pixels of 100: someone counted from one
        ((0.0, -0.02, 1.0, 1.02), None),  # one pixel of 50
        ((-0.02, 0.0, 0.5, 0.5), "box_clipped"),
        ((0.5, 0.5, 0.7, 1.5), "box_clipped"),
        ((0.3, 0.2, 0.3, 0.4), "box_empty"),
        ((0.3, 0.4, 0.5, 0.2), "box_empty"),
        ((0.3, 0.2, 0.3 + 1e-12, 0.4), "box_empty"),  # less than Float32 can tell apart
        ((1.0, 0.0, 1.2, 0.5), "box_outside"),
        ((0.1, -0.5, 0.2, 0.0), "box_outside"),
        ((math.nan, 0.0, 0.5, 0.5), "box_not_finite"),
        ((0.0, 0.0, math.inf, 0.5), "box_not_finite"),
        ((0.0, None, 0.5, 0.5), "box_not_finite"),
    ],
)
def test_each_kind_of_box(corners, word):
    boxes, problems, *_ = clean_boxes(raw(corners), sized())
    assert problems["problem"].to_list() == ([word] if word else [])
    assert boxes.height == (word in (None, "box_clipped"))
    if word:
        assert problems["detail"][0].startswith("car box at x ")
        assert problems["path"].to_list() == ["/pool/a.jpg"]


def test_clipping_keeps_what_is_inside():
    boxes, *_ = clean_boxes(raw((-0.5, 0.25, 0.5, 1.5)), sized())
    assert boxes.select("x0", "y0", "x1", "y1").row(0) == (0.0, 0.25, 0.5, 1.0)


def test_without_sizes_half_a_percent_is_no_news():
    unsized = sized(None, None)
    assert clean_boxes(raw((-0.004, 0.0, 0.5, 0.5)), unsized)[1].is_empty()
    assert clean_boxes(raw((-0.006, 0.0, 0.5, 0.5)), unsized)[1]["problem"].to_list() == ["box_clipped"]


@pytest.mark.parametrize("image_id", ["d/unknown", None])
def test_a_box_of_no_image_is_dropped(image_id):
    frame = pl.concat([raw((0.1, 0.1, 0.2, 0.2)), raw((0.1, 0.1, 0.2, 0.2), image_id=image_id)], how="vertical_relaxed")
    boxes, problems, *_ = clean_boxes(frame, sized())
    assert boxes["image_id"].to_list() == ["d/a"]
    assert problems.select("image_id", "problem").rows() == [(image_id, "box_without_image")]


def test_of_many_problems_of_one_kind_some_are_listed_and_all_are_counted():
    frame = pl.concat([raw((0.1, 0.1, 0.2, 0.2)), *[raw((0.5, 0.5, 0.5, 0.9))] * 7, *[raw((2.0, 0.5, 3.0, 0.9))] * 2])
    cleaned = clean_boxes(frame, sized(), most_rows=3)
    assert cleaned.counts == {"box_empty": 7, "box_outside": 2}
    assert cleaned.problems["problem"].to_list() == ["box_empty"] * 3 + ["box_outside"] * 2
    assert (cleaned.boxes.height, cleaned.placed) == (1, 10)


def test_flags_stay_and_missing_ones_are_unknown():
    frame = raw((0.1, 0.1, 0.2, 0.2)).with_columns(is_group=True, is_inside=False)
    row = clean_boxes(frame, sized())[0].row(0, named=True)
    assert (row["is_group"], row["is_inside"], row["is_occluded"], row["class"]) == (True, False, None, None)


def test_no_boxes_are_two_empty_tables():
    boxes, problems, *_ = clean_boxes(raw().clear(), sized())
    assert (dict(boxes.schema), dict(problems.schema)) == (dict(BOXES), dict(PROBLEMS))


anything = st.one_of(st.floats(-2, 3), st.floats(), st.none())


@given(st.lists(st.tuples(anything, anything, anything, anything), max_size=20), st.sampled_from([None, 1, 100]))
def test_kept_boxes_lie_inside_and_every_box_is_kept_or_listed(corners, size):
    schema = {"image_id": pl.String, "label": pl.String, **dict.fromkeys(("x0", "y0", "x1", "y1"), pl.Float64)}
    frame = pl.DataFrame([("d/a", "car", *each) for each in corners], schema=schema, orient="row")
    boxes, problems, *_ = clean_boxes(frame, sized(size, size))
    for x0, y0, x1, y1 in boxes.select("x0", "y0", "x1", "y1").iter_rows():
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
    dropped = problems.filter(pl.col("problem") != "box_clipped")
    assert boxes.height + dropped.height == len(corners)
