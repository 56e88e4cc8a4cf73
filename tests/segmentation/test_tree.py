from __future__ import annotations

from pathlib import Path

import pytest

from thresher.data.taxonomy import load_taxonomy
from thresher.segmentation.tree import ABSENT, UNSAID, class_tree

pytestmark = pytest.mark.slow


def test_the_tree_of_cityscapes_is_the_papers() -> None:
    tree = class_tree(load_taxonomy("cityscapes"))
    assert [(c.name, len(c.outputs)) for c in tree.classifiers] == [("root", 14), ("vehicle", 7), ("human", 3)]
    assert tree.root.outputs[-3:] == ("vehicle", "human", "void")
    assert tree.groups[0].outputs == ("car", "truck", "bus", "train", "motorcycle", "bicycle", "void")
    assert tree.groups[1].outputs == ("person", "rider", "void")


def test_how_classes_and_boxes_are_spelt_in_each_classifier() -> None:
    tree = class_tree(load_taxonomy("camvid"))
    root, vehicle, human = tree.classifiers
    name = dict(enumerate((*tree.classes, "void")))
    in_root = {name[i]: root.outputs[o] for i, o in enumerate(tree.outputs_of_classes(root))}
    of_others = {"Car": "vehicle", "Pedestrian": "human", "Bicyclist": "human", "void": "void"}
    assert in_root == {c: c for c in tree.classes[:8]} | of_others
    in_human = {name[i]: human.outputs[o] for i, o in enumerate(tree.outputs_of_classes(human))}
    assert {c: o for c, o in in_human.items() if o != "void"} == {"Pedestrian": "Pedestrian", "Bicyclist": "Bicyclist"}
    boxes = dict(zip(tree.nodes, tree.outputs_of_nodes(vehicle).tolist(), strict=True))
    assert boxes.pop("Car") == 0
    assert (boxes.pop("vehicle"), boxes.pop("void")) == (UNSAID, UNSAID)
    assert set(boxes.values()) == {ABSENT}
    of_root = dict(zip(tree.nodes, tree.outputs_of_nodes(root).tolist(), strict=True))
    assert of_root["Car"] == of_root["vehicle"] == root.outputs.index("vehicle")
    assert of_root["void"] == UNSAID
    assert of_root["SignSymbol"] == root.outputs.index("SignSymbol")
    assert tree.classes_of_outputs(human).tolist() == [9, 10, tree.void]


def test_a_group_without_children_has_no_classifier(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("void_id = 9\n[groups]\nanimal = []\n[classes.road]\nid = 0\ncolour = [0, 0, 0]\n")
    tree = class_tree(load_taxonomy(str(path)))
    assert [c.outputs for c in tree.classifiers] == [("road", "void")]
    assert tree.outputs_of_nodes(tree.root).tolist() == [0, ABSENT, UNSAID]
