from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.data.taxonomy import load_taxonomy
from thresher.segmentation.tree import class_tree
from thresher.segmentation.weak_labels import yield_area

pytestmark = pytest.mark.slow

TREE = class_tree(load_taxonomy("camvid"))
ROOT, NODES = TREE.root.outputs, TREE.nodes
PARENTS = TREE.outputs_of_nodes(TREE.root)
VEHICLE, ROAD = ROOT.index("vehicle"), ROOT.index("Road")


def sure(columns: int, vehicle_columns: int) -> np.ndarray:
    """A network that is sure of vehicle in the left columns and of road in the others, on 4 rows."""
    found = np.zeros((len(ROOT), 4, columns), np.float32)
    found[VEHICLE, :, :vehicle_columns] = 1
    found[ROAD, :, vehicle_columns:] = 1
    return found


def measured(probabilities: np.ndarray, *boxes: tuple[str, tuple[float, float, float, float]]) -> float:
    corners = np.array([corners for _, corners in boxes], np.float32).reshape(-1, 4)
    return yield_area(probabilities, corners, PARENTS[[NODES.index(name) for name, _ in boxes]])


def test_a_box_half_filled_counts_half() -> None:
    # The right half of 8 columns; vehicle fills the left 6 of 8, so half of the box.
    assert measured(sure(8, 6), ("Car", (0.5, 0, 1, 1))) == pytest.approx(0.5 * 0.5)
    # An unsure network: a quarter of the picture at 0.8.
    unsure = np.zeros((len(ROOT), 4, 8), np.float32)
    unsure[VEHICLE], unsure[ROAD] = 0.8, 0.2
    assert measured(unsure, ("Car", (0, 0, 0.5, 0.5))) == pytest.approx(0.25 * 0.8)


def test_the_parent_is_the_group_or_the_class_itself() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    found = sure(8, 2)
    assert measured(found, ("Car", whole)) == pytest.approx(0.25)
    assert measured(found, ("vehicle", whole)) == pytest.approx(0.25)  # the label "Vehicle"
    assert measured(found, ("Road", whole)) == pytest.approx(0.75)  # no group: its own root class
    assert measured(found, ("Pedestrian", whole)) == 0
    assert measured(found, ("void", whole)) == 0  # a region to be ignored has no parent


def test_boxes_add_up_even_where_they_overlap() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    assert measured(sure(8, 4), ("Car", whole), ("Car", whole), ("Road", whole)) == pytest.approx(1.5)
    assert measured(sure(8, 4)) == 0


def test_thin_boxes_and_boxes_without_area() -> None:
    # Between two columns' centres: the middle line's column, at the box's own area.
    assert measured(sure(4, 1), ("Car", (0.02, 0, 0.1, 1))) == pytest.approx(0.08)
    assert measured(sure(4, 1), ("Car", (0.5, 0, 0.5, 1))) == 0


sides = st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)).map(sorted)


@given(sides, sides, st.integers(0, 2**32 - 1))
def test_never_more_than_the_area_and_as_a_loop_counts(x: list[float], y: list[float], seed: int) -> None:
    probabilities = np.random.default_rng(seed).random((len(ROOT), 5, 7), np.float32)
    corners = (x[0], y[0], x[1], y[1])
    found = measured(probabilities, ("Car", corners))
    area = (x[1] - x[0]) * (y[1] - y[0])
    # Areas below the smallest normal number are rounded coarsely.
    assert 0 <= found <= area * (1 + 1e-5) + np.finfo(np.float32).tiny
    rows = [row for row in range(5) if y[0] * 5 <= row + 0.5 < y[1] * 5]
    columns = [column for column in range(7) if x[0] * 7 <= column + 0.5 < x[1] * 7]
    inside = [probabilities[VEHICLE, row, column] for row in rows for column in columns]
    if inside:
        assert found == pytest.approx(area * np.mean(inside), rel=1e-4, abs=1e-7)
