from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from thresher.data.taxonomy import load_taxonomy
from thresher.segmentation.losses import decision, hierarchical_loss, label_loss
from thresher.segmentation.tree import ClassTree, class_tree

pytestmark = pytest.mark.slow

ROAD, CAR, BUS, VOID = range(4)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ClassTree:
    """Root: road, vehicle, void; vehicle: car, bus, void."""
    path: Path = tmp_path_factory.mktemp("taxonomy") / "three.toml"
    entries = "".join(
        f"[classes.{name}]\nid = {number}\ncolour = [0, 0, 0]\n{group}"
        for number, (name, group) in enumerate({"road": "", "car": 'group = "v"\n', "bus": 'group = "v"\n'}.items())
    )
    path.write_text(f"void_id = 9\n[groups]\nv = []\n{entries}")
    return class_tree(load_taxonomy(str(path)))


def pixels(*probabilities: tuple[float, ...]) -> torch.Tensor:
    """Logits of images of one pixel each."""
    return torch.tensor(probabilities).log()[:, :, None, None]


def labels(*classes: int) -> torch.Tensor:
    return torch.tensor(classes, dtype=torch.int64)[:, None, None]


NO_WEAK = torch.zeros(0, 3, 1, 1)
IS_ROAD, IS_VEHICLE, IS_VOID = (0.6, 0.3, 0.1), (0.3, 0.6, 0.1), (0.3, 0.1, 0.6)


def test_strong_pixels_teach_the_root_and_a_tenth_their_group(tree: ClassTree) -> None:
    logits = (pixels(IS_ROAD, IS_ROAD), pixels((0.2, 0.7, 0.1), (0.5, 0.3, 0.2)))
    found = hierarchical_loss(logits, labels(ROAD, BUS), [NO_WEAK], tree)
    root, group = -(math.log(0.6) + math.log(0.3)) / 2, -math.log(0.3)
    assert found.parts["root_loss"].item() == pytest.approx(root)
    assert found.parts["v_loss"].item() == pytest.approx(group)  # the road pixel is void to it
    assert found.total.item() == pytest.approx(root + 0.1 * group)


def test_a_weak_pixel_counts_only_where_the_root_gives_it_to_the_group(tree: ClassTree) -> None:
    strong, car = (0.8, 0.1, 0.1), (0.25, 0.5, 0.25)
    shares = torch.tensor([2 / 3, 1 / 3, 0.0])[None, :, None, None]
    weak = -(2 / 3 * math.log(0.25) + 1 / 3 * math.log(0.5))
    for root, taught in ((IS_VEHICLE, True), (IS_ROAD, False), (IS_VOID, False)):
        logits = (pixels(IS_VEHICLE, root), pixels(strong, car))
        found = hierarchical_loss(logits, labels(CAR), [shares], tree)
        expected = (-math.log(0.8) + weak) / 2 if taught else -math.log(0.8)
        assert found.parts["v_loss"].item() == pytest.approx(expected)
        assert found.parts["v_weak_pixels"] == int(taught)
        assert found.parts["root_loss"].item() == pytest.approx(-math.log(0.6))


def test_no_box_and_a_box_of_the_group_alone_teach_nothing(tree: ClassTree) -> None:
    for nothing in ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0)):
        logits = (pixels(IS_VEHICLE, IS_VEHICLE), pixels((0.8, 0.1, 0.1), (0.2, 0.2, 0.6)))
        found = hierarchical_loss(logits, labels(CAR), [torch.tensor(nothing)[None, :, None, None]], tree)
        assert found.parts["v_loss"].item() == pytest.approx(-math.log(0.8))


def test_void_alone_is_a_loss_of_nothing_with_a_gradient_of_nothing(tree: ClassTree) -> None:
    logits = tuple(part.requires_grad_() for part in (pixels(IS_ROAD), pixels(IS_ROAD)))
    found = hierarchical_loss(logits, labels(VOID), [NO_WEAK], tree)
    found.total.backward()
    assert found.total.item() == 0
    assert all(torch.equal(part.grad, torch.zeros_like(part)) for part in logits)


def test_gradients_of_weak_pixels_reach_the_group_and_not_the_root(tree: ClassTree) -> None:
    root, group = pixels(IS_ROAD, IS_VEHICLE).requires_grad_(), pixels(IS_ROAD, (0.5, 0.3, 0.2)).requires_grad_()
    shares = torch.tensor([0.0, 1.0, 0.0])[None, :, None, None]
    hierarchical_loss((root, group), labels(ROAD), [shares], tree).total.backward()
    assert torch.equal(root.grad[1], torch.zeros(3, 1, 1))
    # softmax − target, times λ: "car" has no box here and is only pushed down.
    assert group.grad[1].flatten().tolist() == pytest.approx([0.05, 0.1 * (0.3 - 1), 0.02])


def test_without_weak_images_the_loss_is_the_strong_one(tree: ClassTree) -> None:
    logits = (pixels(IS_VEHICLE), pixels((0.8, 0.1, 0.1)))
    found = hierarchical_loss(logits, labels(CAR), [NO_WEAK], tree)
    assert found.total.item() == pytest.approx(-math.log(0.6) - 0.1 * math.log(0.8))


def test_the_root_decides_then_the_group(tree: ClassTree) -> None:
    children = ((0.1, 0.2, 0.7), (0.2, 0.1, 0.7), (0.2, 0.1, 0.7), (0.1, 0.2, 0.7))
    found = decision((pixels(IS_VEHICLE, IS_VEHICLE, IS_ROAD, IS_VOID), pixels(*children)), tree)
    assert found.flatten().tolist() == [BUS, CAR, ROAD, ROAD]


def test_pixel_labels_teach_the_class_through_root_and_group(tree: ClassTree) -> None:
    """p(car) = p(vehicle) · p(car among vehicles), void left out: 2/3 · 5/8 where the root says 0.3, 0.6."""
    logits = (pixels(IS_ROAD, IS_VEHICLE, IS_VEHICLE), pixels((0.2, 0.7, 0.1), (0.5, 0.3, 0.2), (0.5, 0.3, 0.2)))
    found = label_loss(logits, labels(ROAD), labels(CAR, VOID), tree, label_weight=0.5)
    road, car = -math.log(0.6 / 0.9), -math.log(0.6 / 0.9 * 0.5 / 0.8)
    assert {name: part.item() for name, part in found.parts.items()} == pytest.approx(
        {"strong_loss": road, "weak_loss": car, "weak_pixels": 1}
    )
    assert found.total.item() == pytest.approx(road + 0.5 * car)


def test_pixel_labels_of_void_are_a_loss_of_nothing(tree: ClassTree) -> None:
    logits = tuple(part.requires_grad_() for part in (pixels(IS_ROAD, IS_ROAD), pixels(IS_ROAD, IS_ROAD)))
    found = label_loss(logits, labels(VOID), labels(VOID), tree)
    found.total.backward()
    assert found.total.item() == 0
    assert all(torch.equal(part.grad, torch.zeros_like(part)) for part in logits)


def test_void_shares_push_a_group_towards_void_where_the_paper_does(tree: ClassTree) -> None:
    """A car and two persons: car 1/3, void 2/3."""
    shares = torch.tensor([1 / 3, 0.0, 2 / 3])[None, :, None, None]
    logits = (pixels(IS_VEHICLE, IS_VEHICLE), pixels((0.8, 0.1, 0.1), (0.25, 0.5, 0.25)))
    found = hierarchical_loss(logits, labels(CAR), [shares], tree)
    assert found.parts["v_loss"].item() == pytest.approx((-math.log(0.8) - math.log(0.25)) / 2)
