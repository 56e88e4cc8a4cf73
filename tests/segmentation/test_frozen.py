"""Heads on features of a frozen encoder, on made-up features that tell the class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from thresher.data.taxonomy import load_taxonomy
from thresher.segmentation.frozen import (
    Example,
    Head,
    HeadSettings,
    channel_statistics,
    class_probabilities,
    grid_labels,
    grid_shares,
    head_confusion,
    trained_head,
)
from thresher.segmentation.frozen_encoder import Levels, covering_size
from thresher.segmentation.tree import ClassTree, class_tree

pytestmark = pytest.mark.slow

WINDOW = HeadSettings(steps=80, strong_batch=2, weak_batch=2, window=(32, 32))


@pytest.fixture(scope="module")
def tree() -> ClassTree:
    return class_tree(load_taxonomy("camvid"))


def made_up(labels: np.ndarray, seed: int) -> Levels:
    """Features of three levels, which have a channel for each class, with noise."""
    rng = np.random.default_rng(seed)
    grids = [np.eye(12)[labels[::step, ::step]] for step in (1, 2, 4)]
    return tuple((each + rng.normal(0, 0.1, each.shape)).astype(np.float16) for each in grids)


def example(seed: int, *classes: int, told: bool = True, void: int = 11) -> Example:
    """An image whose columns are of these classes; labels are void if they are not told."""
    labels = np.repeat(np.array(classes, np.uint8), 8 // len(classes))[None].repeat(8, 0)
    return Example(made_up(labels, seed), labels if told else np.full_like(labels, void))


def test_a_head_finds_the_classes_that_features_tell(tree: ClassTree) -> None:
    strong = [example(seed, *classes) for seed, classes in enumerate(((0, 3), (3, 8), (8, 0)))]
    head = trained_head(strong, [], tree, WINDOW)
    unseen = example(9, 0, 3, 8, 0)
    matrix = head_confusion(head, [(unseen.levels, np.kron(unseen.labels, np.ones((8, 8), np.uint8)))], tree)
    assert np.trace(matrix) > 0.8 * 64 * 64
    assert matrix.sum() == 64 * 64


def test_weak_labels_teach_a_class_that_no_strong_image_has(tree: ClassTree) -> None:
    strong = [example(seed, 0, 3) for seed in range(3)]
    weak = [example(5, 3, 8), example(6, 8, 0)]
    shown = example(7, 8, 8).levels
    with_them = trained_head(strong, weak, tree, WINDOW)
    assert class_probabilities(with_them, shown, tree)[8].mean() > 0.5
    assert class_probabilities(trained_head(strong, [], tree, WINDOW), shown, tree)[8].mean() < 0.2


def test_boxes_teach_the_class_within_its_group_by_the_papers_loss(tree: ClassTree) -> None:
    pedestrian, bicyclist = tree.classes.index("Pedestrian"), tree.classes.index("Bicyclist")
    # Strong images have both, but call all of them pedestrians; the boxes of weak ones say which is which.
    strong = [replace(example(n, 0, pedestrian, bicyclist, pedestrian)) for n in range(2)]
    strong = [replace(each, labels=np.where(each.labels == bicyclist, pedestrian, each.labels)) for each in strong]
    whole = np.array([[0, 0, 1, 1]], np.float32)
    shares = grid_shares(whole, np.array([tree.nodes.index("Bicyclist")]), tree, (8, 8))
    weak = [replace(example(n, bicyclist, bicyclist, told=False), shares=shares) for n in (3, 4)]
    paper = replace(WINDOW, loss="hierarchical", group_weight=1.0)
    shown = example(7, bicyclist, bicyclist).levels
    without, with_boxes = (trained_head(strong, each, tree, paper) for each in ([], weak))
    assert class_probabilities(without, shown, tree)[bicyclist].mean() < 0.2
    assert class_probabilities(with_boxes, shown, tree)[bicyclist].mean() > 0.5


def test_heads_of_one_seed_start_alike_and_training_is_a_pure_function(tree: ClassTree) -> None:
    strong = [example(seed, 0, 3) for seed in range(3)]
    started = replace(WINDOW, steps=0)

    def weights(weak: list[Example], settings: HeadSettings) -> list[np.ndarray]:
        return [each.detach().numpy() for each in trained_head(strong, weak, tree, settings).parameters()]

    for one, other in zip(
        weights([], started), weights([example(4, 8, 8)], replace(started, loss="hierarchical")), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(weights([], WINDOW), weights([], WINDOW), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        (one != other).any()
        for one, other in zip(weights([], started), weights([], replace(started, seed=1)), strict=True)
    )


def test_features_are_standardised_by_the_weights(tree: ClassTree) -> None:
    levels = example(0, 0, 3).levels
    means, stds = channel_statistics([levels, example(1, 8, 8).levels])
    both = np.concatenate([each[1].reshape(-1, 12).astype(np.float64) for each in (levels, example(1, 8, 8).levels)])
    np.testing.assert_allclose(means[1], both.mean(0))
    np.testing.assert_allclose(stds[1], both.std(0))
    torch.manual_seed(0)
    head = Head(tree, means, stds)
    plain = Head(tree, [np.zeros_like(each) for each in means], [np.ones_like(each) for each in stds])
    plain.load_state_dict({key: each for key, each in head.state_dict().items() if key[-1].isalpha()}, strict=False)
    given = [torch.from_numpy(level)[None].float() for level in levels]
    scaled = [
        (each - torch.from_numpy(mean).float()) / torch.from_numpy(std).float()
        for each, mean, std in zip(given, means, stds, strict=True)
    ]
    for one, other in zip(head(given), plain(scaled), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_grid_takes_the_label_at_the_centre_of_each_cell() -> None:
    labels = np.arange(36, dtype=np.uint8).reshape(6, 6)
    assert grid_labels(labels, (2, 2)).tolist() == [[7, 10], [25, 28]]


def test_an_image_covers_its_window_in_multiples_of_the_coarsest_stride() -> None:
    for image in ((360, 480), (500, 333), (100, 1000), (31, 33)):
        found = covering_size(image, (64, 96))
        assert all(side % 32 == 0 and side >= least for side, least in zip(found, (64, 96), strict=True))
    assert covering_size((100, 1000), (64, 64)) == (64, 256)
