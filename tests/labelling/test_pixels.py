"""What the rules make of a teacher's probabilities and of boxes, pixel by pixel, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.data.taxonomy import load_taxonomy
from thresher.labelling.pixels import ImageBoxes, confident, fill, gate, kin, opened_classes, shown, window
from thresher.segmentation.tree import class_tree

TAXONOMY = load_taxonomy("camvid")
TREE = class_tree(TAXONOMY)
VOID = "void"
THINGS = np.array([each.thing for each in TAXONOMY.classes])


def row(*pixels: dict[str, float]) -> np.ndarray:
    """Probabilities of an image of one row; what a pixel leaves is the sky's."""
    found = np.zeros((len(TREE.classes), 1, len(pixels)), np.float32)
    for place, shares in enumerate(pixels):
        for name, share in shares.items():
            found[TREE.classes.index(name), 0, place] = share
        found[TREE.classes.index("Sky"), 0, place] += 1 - sum(shares.values())
    return found


def boxes(*drawn: tuple[str, float, float], exhaustive: np.ndarray = THINGS) -> ImageBoxes:
    """Boxes over the whole height: node, left and right end as shares of the width."""
    corners = np.array([[x0, 0, x1, 1] for _, x0, x1 in drawn], np.float32).reshape(-1, 4)
    return ImageBoxes(corners, np.array([TREE.nodes.index(name) for name, *_ in drawn], np.int64), exhaustive)


def names(labels: np.ndarray) -> list[str]:
    return [(*TREE.classes, VOID)[number] for number in labels[0]]


def rates(value: float) -> np.ndarray:
    return np.full(len(TREE.nodes), value)


def test_self_training_labels_what_is_sure() -> None:
    assert names(confident(row({"Road": 0.8}, {"Road": 0.79}, {"Car": 1.0}))) == ["Road", VOID, "Car"]


def test_the_gate_takes_from_a_promised_class_what_lies_outside_its_boxes() -> None:
    pixels = row({"Car": 0.6, "Road": 0.4}, {"Car": 0.6, "Road": 0.4}, {"Car": 0.9, "Road": 0.1})
    # In the box car is 0.6 of all that is allowed, which is not sure; outside it only road is left.
    assert names(gate(pixels, boxes(("Car", 0, 1 / 3)), TREE)) == [VOID, "Road", "Road"]


def test_the_gate_leaves_a_class_that_is_not_promised_where_it_is() -> None:
    nobody = np.zeros(len(TREE.classes), np.bool_)
    assert names(gate(row({"Car": 0.9}, {"Car": 0.9}), boxes(("Car", 0, 0.5), exhaustive=nobody), TREE)) == ["Car"] * 2


def test_where_the_teacher_sees_only_what_the_boxes_forbid_there_is_no_label() -> None:
    assert names(gate(row({"Car": 1.0}, {"Car": 1.0}), boxes(("Car", 0, 0.5)), TREE)) == ["Car", VOID]


def test_without_boxes_the_gate_allows_what_is_not_promised() -> None:
    pixels = row({"Road": 0.5, "Car": 0.5}, {"Car": 1.0})
    assert names(gate(pixels, boxes(), TREE)) == ["Road", VOID]
    assert names(fill(pixels, boxes(), TREE, rates(0.5))) == ["Road", VOID]


def test_a_box_of_a_group_opens_its_children() -> None:
    pixels = row({"Pedestrian": 0.9}, {"Bicyclist": 0.9}, {"Car": 0.9})
    assert names(gate(pixels, boxes(("human", 0, 1)), TREE)) == ["Pedestrian", "Bicyclist", "Sky"]


def test_in_overlapping_boxes_each_class_is_allowed() -> None:
    pixels = row({"Car": 0.9}, {"Pedestrian": 0.9}, {"Pedestrian": 0.9})
    drawn = boxes(("Car", 0, 2 / 3), ("Pedestrian", 1 / 3, 1))
    assert names(gate(pixels, drawn, TREE)) == ["Car", "Pedestrian", "Pedestrian"]


@pytest.mark.parametrize("rule", ["gate", "fill"])
def test_a_box_to_be_ignored_gets_no_label(rule: str) -> None:
    pixels, drawn = row({"Road": 1.0}, {"Car": 1.0}), boxes((VOID, 0, 0.5), ("Car", 0.5, 1))
    labels = gate(pixels, drawn, TREE) if rule == "gate" else fill(pixels, drawn, TREE, rates(0.9))
    assert names(labels) == [VOID, "Car"]


def test_a_filled_box_gets_its_surest_pixels_and_loses_its_least_sure() -> None:
    pixels = row(*({"Car": share, "Road": 1 - share} for share in (0.9, 0.7, 0.5, 0.45, 0.1, 0.05, 0.02, 0.01, 0, 0)))
    # Rate 0.4 of ten pixels: the best 0.32, so four by rank, are car; those from rank 6 of ten (0.52 behind) are not.
    labels = names(fill(pixels, boxes(("Car", 0, 1)), TREE, rates(0.4)))
    assert labels == ["Car"] * 4 + [VOID] * 2 + ["Road"] * 4


def test_a_network_that_is_shown_the_box_says_what_is_the_object_and_what_is_not() -> None:
    pixels = row({"Road": 1.0}, {"Car": 0.9}, {"Car": 1.0}, {"Road": 1.0}, {"Car": 1.0})
    mask = np.array([[0.71, 0.5, 0.29, 0.29]], np.float32)
    assert names(shown(pixels, [mask], boxes(("Car", 0, 0.8)), TREE)) == ["Car", VOID, VOID, "Road", VOID]


def test_the_box_tells_the_kind_of_what_the_teacher_knows_only_as_human() -> None:
    pixels = row({"Bicyclist": 0.9}, {"Road": 1.0})
    assert names(fill(pixels, boxes(("Pedestrian", 0, 1)), TREE, rates(0.5))) == ["Pedestrian", VOID]


def test_of_a_filled_box_of_a_group_only_sure_children_are_labelled() -> None:
    pixels = row(
        {"Pedestrian": 0.5, "Bicyclist": 0.4}, {"Pedestrian": 0.3, "Bicyclist": 0.01}, {"Road": 1}, {"Road": 1}
    )
    assert names(fill(pixels, boxes(("human", 0, 1)), TREE, rates(0.6))) == [VOID, "Pedestrian", VOID, VOID]


def test_the_smaller_of_two_filled_boxes_wins() -> None:
    both = {"Car": 0.5, "Pedestrian": 0.5}
    drawn = boxes(("Pedestrian", 0.25, 0.5), ("Car", 0, 1))
    assert names(fill(row(both, both, both, both), drawn, TREE, rates(1.0))) == ["Car", "Pedestrian", "Car", "Car"]


def test_a_thin_box_covers_the_pixel_of_its_middle_and_one_outside_none() -> None:
    assert window(np.array([0.3, 0, 0.31, 1], np.float32), (2, 4)) == (slice(0, 2), slice(1, 2))
    assert window(np.array([0.995, 0.995, 1, 1], np.float32), (4, 4)) == (slice(3, 4), slice(3, 4))
    assert names(gate(row({"Car": 1.0}, {"Car": 1.0}), boxes(("Car", 0.9, 0.91)), TREE)) == [VOID, "Car"]


def test_kin_are_the_whole_group() -> None:
    car, walker = TREE.nodes.index("Car"), TREE.nodes.index("Pedestrian")
    assert [name for name, alike in zip(TREE.classes, kin(TREE)[walker], strict=True) if alike] == [
        "Pedestrian",
        "Bicyclist",
    ]
    assert kin(TREE)[car].sum() == 1
    assert not opened_classes(TREE)[TREE.nodes.index(VOID)].any()
