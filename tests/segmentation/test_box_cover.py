"""Where boxes lie, by hand: drawn ones and those around masks, what is known of them, and the loss on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thresher.data.taxonomy import load_taxonomy
from thresher.segmentation.box_cover import BoxCover, drawn_cover, mask_cover
from thresher.segmentation.losses import Losses, with_box_loss
from thresher.segmentation.tree import class_tree

pytestmark = pytest.mark.slow

TREE = class_tree(load_taxonomy("camvid"), box_head=True)
ALL = torch.ones(len(TREE.boxed), dtype=torch.bool)


def row(cover: torch.Tensor, name: str) -> list[int]:
    return cover[TREE.boxed.index(name), 0].int().tolist()


def drawn(*boxes: tuple[str, float, float], labelled: torch.Tensor = ALL) -> BoxCover:
    """Boxes over an image of one row of six pixels: name, first and last column."""
    corners = torch.tensor([[x0, 0.0, x1, 1.0] for _, x0, x1 in boxes]).reshape(-1, 4)
    nodes = torch.tensor([TREE.nodes.index(name) for name, *_ in boxes], dtype=torch.int64)
    return drawn_cover(corners, nodes, labelled, TREE, (1, 6))


def test_the_nodes_with_boxes_are_things_and_groups() -> None:
    assert TREE.boxed == ("SignSymbol", "Car", "Pedestrian", "Bicyclist", "vehicle", "human")
    assert class_tree(load_taxonomy("camvid")).boxed == ()
    assert TREE.classes_of_boxed("human") == (9, 10)
    assert TREE.classes_of_boxed("Car") == (8,)


def test_a_childs_box_is_its_groups_too() -> None:
    cover = drawn(("Pedestrian", 1, 3), ("Bicyclist", 2, 5))
    assert row(cover.inside, "Pedestrian") == [0, 1, 1, 0, 0, 0]
    assert row(cover.inside, "Bicyclist") == [0, 0, 1, 1, 1, 0]
    assert row(cover.inside, "human") == [0, 1, 1, 1, 1, 0]
    assert not cover.inside[TREE.boxed.index("Car")].any()
    assert cover.known.all()


def test_a_box_of_only_the_group_leaves_its_children_open() -> None:
    cover = drawn(("human", 0, 4), ("Pedestrian", 3, 5))
    assert row(cover.inside, "human") == [1, 1, 1, 1, 1, 0]
    assert row(cover.known, "human") == [1] * 6
    assert row(cover.known, "Pedestrian") == [0, 0, 0, 1, 1, 1]
    assert row(cover.known, "Bicyclist") == [0, 0, 0, 0, 1, 1]
    assert row(cover.known, "Car") == [1] * 6


def test_ignored_boxes_and_nodes_nobody_looked_for_are_unknown() -> None:
    labelled = torch.tensor([name != "SignSymbol" for name in TREE.boxed])
    cover = drawn(("void", 1, 3), ("Car", 2, 4), labelled=labelled)
    assert row(cover.known, "Car") == [1, 0, 1, 1, 1, 1]
    assert row(cover.known, "human") == [1, 0, 0, 1, 1, 1]
    assert row(cover.known, "SignSymbol") == [0] * 6


def test_boxes_without_area_and_no_boxes_at_all() -> None:
    assert not drawn(("Car", 2, 2)).inside.any()
    assert not drawn().inside.any()


def test_connected_parts_of_a_mask_have_a_box_each() -> None:
    car, person, rider, road = 8, 9, 10, 3
    labels = torch.full((3, 6), road)
    labels[0, 0] = labels[1, 0] = labels[1, 1] = car  # an L: its box fills the corner
    labels[2, 3] = person
    labels[2, 4] = rider
    labels[0, 5] = TREE.void
    cover = mask_cover(labels, TREE)
    boxes = cover.inside[TREE.boxed.index("Car")].int().tolist()
    assert boxes == [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6]
    assert cover.inside[TREE.boxed.index("vehicle")].int().tolist() == boxes
    assert cover.inside[TREE.boxed.index("human")].int().tolist() == [[0] * 6, [0] * 6, [0, 0, 0, 1, 1, 0]]
    assert cover.inside[TREE.boxed.index("Pedestrian"), 2].int().tolist() == [0, 0, 0, 1, 0, 0]
    assert (~cover.known).nonzero().tolist() == [[node, 0, 5] for node in range(len(TREE.boxed))]


def test_the_loss_is_the_mean_over_what_is_known() -> None:
    losses = Losses(torch.tensor(2.0), {"root_loss": torch.tensor(2.0), "box_loss": torch.zeros(())})
    inside = torch.zeros((1, len(TREE.boxed), 1, 2), dtype=torch.bool)
    known = torch.zeros_like(inside)
    inside[0, 0, 0, 0] = True
    known[0, 0, 0] = True
    logits = torch.full(inside.shape, 100.0)
    logits[0, 0, 0] = torch.tensor([1.0, 1.0])
    expected = (np.log1p(np.exp(-1.0)) + np.log1p(np.exp(1.0))) / 2
    found = with_box_loss(losses, logits, BoxCover(inside, known), 0.5)
    np.testing.assert_allclose(found.parts["box_loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(found.total, 2 + 0.5 * expected, rtol=1e-6)
    nothing = with_box_loss(losses, logits, BoxCover(inside, torch.zeros_like(known)), 0.5)
    assert nothing.parts["box_loss"] == 0 and nothing.total == 2
