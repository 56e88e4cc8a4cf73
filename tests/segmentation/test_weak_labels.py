from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thresher.segmentation.tree import ABSENT, UNSAID
from thresher.segmentation.weak_labels import box_shares

pytestmark = pytest.mark.slow

CAR, BUS, VOID, COUNT = 0, 1, 2, 3


def shares(boxes: list[tuple[int, tuple[float, float, float, float]]], size: tuple[int, int] = (4, 6)) -> torch.Tensor:
    corners = torch.tensor([corners for _, corners in boxes], dtype=torch.float32).reshape(-1, 4)
    return box_shares(corners, torch.tensor([output for output, _ in boxes], dtype=torch.int64), COUNT, size)


def test_two_cars_and_a_bus_over_one_pixel_are_two_thirds_and_one_third() -> None:
    found = shares([(CAR, (0, 0, 2, 2)), (CAR, (1, 1, 3, 3)), (BUS, (1, 1, 5, 4))])
    assert found[:, 1, 1].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert found[:, 0, 0].tolist() == [1, 0, 0]
    assert found[:, 2, 2].tolist() == [0.5, 0.5, 0]
    assert found[:, 3, 4].tolist() == [0, 1, 0]
    assert found[:, 0, 5].tolist() == [0, 0, 1]


def test_without_a_box_all_is_void() -> None:
    assert torch.equal(shares([])[VOID], torch.ones(4, 6))
    assert torch.equal(shares([(ABSENT, (0, 0, 6, 4))]), shares([]))


def test_a_group_name_alone_leaves_no_label_and_takes_nothing_from_other_boxes() -> None:
    found = shares([(UNSAID, (0, 0, 4, 4)), (CAR, (2, 0, 6, 4))])
    assert found[:, 0, 0].tolist() == [0, 0, 0]
    assert found[:, 0, 3].tolist() == [1, 0, 0]
    assert found[:, 0, 5].tolist() == [1, 0, 0]


def test_a_car_and_two_persons_are_a_third_car_and_two_thirds_void_in_the_paper() -> None:
    corners = torch.tensor([[0, 0, 2, 1], [1, 0, 3, 1], [1, 0, 3, 1], [3, 0, 5, 1]], dtype=torch.float32)
    outputs = torch.tensor([CAR, ABSENT, ABSENT, UNSAID])
    found = box_shares(corners, outputs, COUNT, (1, 6), others_are_void=True)
    assert found[:, 0].T.tolist() == [
        [1, 0, 0],
        pytest.approx([1 / 3, 0, 2 / 3]),
        [0, 0, 1],
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 1],
    ]
    assert box_shares(corners, outputs, COUNT, (1, 6))[:, 0, 1].tolist() == [1, 0, 0]


def test_what_reaches_over_the_border_is_cut_off() -> None:
    found = shares([(CAR, (-3, -2, 1, 1)), (BUS, (5, 3, 60, 40)), (CAR, (7, 0, 9, 4)), (CAR, (-5, 0, -1, 4))])
    assert (found[CAR] > 0).nonzero().tolist() == [[0, 0]]
    assert (found[BUS] > 0).nonzero().tolist() == [[3, 5]]


def test_a_pixel_is_covered_where_its_centre_is() -> None:
    found = shares([(CAR, (0.4, 0.6, 2.6, 2.4))])
    assert (found[CAR] > 0).nonzero().tolist() == [[1, 0], [1, 1], [1, 2]]
    thin = shares([(CAR, (2.6, 0.0, 2.9, 4.0))])
    assert (thin[CAR] > 0).nonzero().tolist() == [[row, 2] for row in range(4)]
    assert torch.equal(shares([(CAR, (0, 0, 0, 4)), (CAR, (1, 2, 5, 2))]), shares([]))


@given(st.lists(st.tuples(st.sampled_from([CAR, BUS, UNSAID, ABSENT]), *[st.floats(-3, 9, width=32)] * 4), max_size=6))
def test_equal_to_a_loop_over_pixels(drawn: list[tuple[int, float, float, float, float]]) -> None:
    boxes = [(o, (min(a, b), min(c, d), max(a, b) + 1, max(c, d) + 1)) for o, a, b, c, d in drawn]
    found = shares(boxes)
    for y in range(4):
        for x in range(6):
            over = [o for o, b in boxes if o != ABSENT and b[0] <= x + 0.5 < b[2] and b[1] <= y + 0.5 < b[3]]
            said = [o for o in over if o != UNSAID]
            expected = [said.count(o) / max(1, len(said)) for o in (CAR, BUS)] + [float(not over)]
            assert found[:, y, x].tolist() == pytest.approx(expected)
