"""The network that is shown boxes: where its crops lie, which output speaks for which box, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thresher.data.taxonomy import load_taxonomy
from thresher.pretrained import pretrained_weights
from thresher.segmentation.box_shown import (
    ANY,
    CROP_PX,
    Scene,
    ShownSettings,
    box_shown,
    crop_window,
    in_box,
    output_of_nodes,
    outputs_of,
    trained_on_boxes,
)
from thresher.segmentation.tree import class_tree

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TREE = class_tree(load_taxonomy("camvid"))
CAR = TREE.classes.index("Car")


def test_a_crop_may_reach_beyond_the_image_and_is_never_empty() -> None:
    assert crop_window(np.array([0.0, 0.0, 0.5, 0.5], np.float32), (40, 80)) == (-5, -10, 30, 60)
    assert crop_window(np.array([0.5, 0.5, 0.5, 0.5], np.float32), (40, 80)) == (20, 40, 2, 2)


def test_the_mask_of_a_crop_comes_back_where_it_was_cut_out() -> None:
    """A crop twice as wide as its box, whose left half is the object's: the box's left half is it."""
    mask = np.zeros((CROP_PX, CROP_PX), np.float32)
    mask[:, : CROP_PX // 2] = 1
    corners = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    found = in_box(mask, corners, (slice(10, 30), slice(20, 60)), (400, 800), (40, 80))
    assert found.shape == (20, 40)
    assert (found[:, :19] > 0.9).all() and (found[:, 21:] < 0.1).all()


def test_few_objects_leave_a_class_to_its_group_and_a_group_to_any_object() -> None:
    objects = np.zeros(len(TREE.classes), np.int64)
    objects[TREE.classes.index("Pedestrian")] = 10
    objects[CAR] = 9
    names, found = outputs_of(TREE), output_of_nodes(TREE, objects)
    told = {name: names[found[place]] for place, name in enumerate(TREE.nodes)}
    assert told["Pedestrian"] == "Pedestrian"
    assert told["Bicyclist"] == told["human"] == "human"
    assert told["Car"] == told["vehicle"] == told["SignSymbol"] == ANY


def scenes(count: int, seed: int) -> list[Scene]:
    """A bright disc on dark noise, with a tight box."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        rows, columns = np.mgrid[:96, :128]
        radius, row, column = rng.integers(12, 30), rng.integers(32, 64), rng.integers(32, 96)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        pixels = rng.integers(0, 90, (96, 128, 3)).astype(np.uint8)
        pixels[disc] += np.uint8(150)
        labels = np.where(disc, CAR, 0).astype(np.uint8)
        ends = (column - radius, row - radius, column + radius + 1, row + radius + 1)
        corners = (np.array([ends]) / [128, 96, 128, 96]).clip(0, 1).astype(np.float32)
        made.append(Scene(pixels, labels, corners, np.array([CAR])))
    return made


def learnt(steps: int) -> bytes:
    def still(corners: Any, rng: np.random.Generator) -> Any:
        return corners

    settings = ShownSettings(steps=steps, batch=8)
    weights = pretrained_weights(settings.encoder, None)
    return trained_on_boxes(scenes(8, 0), TREE, weights, settings, still, lambda numbers: numbers)


def test_it_learns_what_in_a_box_is_the_object() -> None:
    network = box_shown(learnt(20), output_of_nodes(TREE, np.full(len(TREE.classes), 10)))
    node, ious = np.array([TREE.nodes.index("Car")]), []
    for scene in scenes(4, 1):
        (mask,) = network.masks(scene.pixels, scene.corners, node)
        x0, y0, x1, y1 = (scene.corners[0] * [128, 96, 128, 96]).round().astype(int)
        place = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
        found = in_box(mask, scene.corners[0], place, (96, 128), (96, 128)) > 0.5
        truth = scene.labels[place] == CAR
        ious.append((found & truth).sum() / (found | truth).sum())
    # The whole box would have π / 4.
    assert np.mean(ious) > 0.9


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert learnt(2) == learnt(2)
