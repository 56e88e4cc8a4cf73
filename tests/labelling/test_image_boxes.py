"""The boxes of a run's images, what the absence of one says, and boxes around the objects of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.data.taxonomy import load_taxonomy
from thresher.labelling.image_boxes import USUAL_RATE, Exhaustive, boxed_classes, boxes_of_mask, fill_rates, image_boxes
from thresher.labelling.pixels import ImageBoxes
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.segmentation.tree import class_tree

TAXONOMY = load_taxonomy("camvid")
TREE = class_tree(TAXONOMY)
BOXED = boxed_classes(TAXONOMY)
CORNERS = {"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.6}


def opened(folder: Path, boxes: list[dict[str, object]], pool: str = "coco:/there/photos") -> OpenedRun:
    """A run with three images of the data set photos, and these boxes."""
    run = Run(folder)
    folder.mkdir(exist_ok=True)
    rows: list[dict[str, object]] = [
        {"image_id": name, "path": f"/{name}.png", "dataset": "photos", "role": "pool"} for name in "abc"
    ]
    tables.write(tables.from_rows(rows, tables.INDEXED_IMAGES), run.images)
    tables.write(tables.from_rows([{"label": "x", **CORNERS, **box} for box in boxes], tables.BOXES), run.boxes)
    run.taxonomy.write_text(Path("src/thresher/data/taxonomies/camvid.toml").read_text("utf-8"), "utf-8")
    run.note("index", {"settings": {"target": [], "pool": [pool]}, "summary": {}})
    return OpenedRun(run)


def found(run: OpenedRun, exhaustive: Exhaustive = "auto") -> dict[str, ImageBoxes]:
    return image_boxes(run, run.pool, TREE, exhaustive)


def nodes(boxes: ImageBoxes) -> list[str]:
    return [TREE.nodes[node] for node in boxes.nodes]


def promised(boxes: ImageBoxes) -> list[str]:
    return [name for name, is_so in zip(TREE.classes, boxes.exhaustive, strict=True) if is_so]


def test_each_image_has_its_boxes_and_what_its_data_set_labels_is_promised_everywhere(tmp_path: Path) -> None:
    boxes = found(
        opened(tmp_path, [{"image_id": "a", "class": "Car"}, {"image_id": "b", "class": "Pedestrian", "x0": 0.3}])
    )
    assert nodes(boxes["a"]) == ["Car"]
    assert boxes["b"].corners.tolist() == [pytest.approx([0.3, 0.2, 0.5, 0.6])]
    assert boxes["c"].corners.shape == (0, 4)
    assert [promised(boxes[name]) for name in "abc"] == [["Car", "Pedestrian"]] * 3


def test_depictions_interiors_stuff_and_unknown_labels_are_left_out(tmp_path: Path) -> None:
    boxes = [
        {"image_id": "a", "class": "Car", "is_depiction": True},
        {"image_id": "a", "class": "Car", "is_inside": True},
        {"image_id": "a", "class": "Road"},
        {"image_id": "a", "class": None},
        {"image_id": "a", "class": "void"},
    ]
    assert nodes(found(opened(tmp_path, boxes))["a"]) == ["void"]
    assert promised(found(opened(tmp_path, boxes))["a"]) == []


def test_a_groups_boxes_speak_for_children_that_are_never_named(tmp_path: Path) -> None:
    group = {"image_id": "a", "class": "human"}
    assert promised(found(opened(tmp_path, [group]))["c"]) == ["Pedestrian", "Bicyclist"]
    assert promised(found(opened(tmp_path, [group, {"image_id": "b", "class": "Bicyclist"}]))["c"]) == ["Bicyclist"]


def test_open_images_promises_what_an_image_has_a_box_of(tmp_path: Path) -> None:
    run = opened(tmp_path, [{"image_id": "a", "class": "Car"}], "open_images:/there/photos")
    assert [promised(found(run)[name]) for name in "abc"] == [["Car"], [], []]
    assert [promised(found(run, "all")[name]) for name in "abc"] == [["Car"]] * 3
    assert [promised(found(run, "none")[name]) for name in "abc"] == [[], [], []]


def test_what_a_box_says_of_itself_goes_first(tmp_path: Path) -> None:
    boxes = [
        {"image_id": "a", "class": "Car", "exhaustive": False},
        {"image_id": "a", "class": "Car", "exhaustive": True},
        {"image_id": "b", "class": "human", "exhaustive": True},
        {"image_id": "c", "class": "Pedestrian"},
    ]
    run = opened(tmp_path, boxes)
    assert [promised(found(run)[name]) for name in "abc"] == [
        ["Pedestrian"],
        ["Car", "Pedestrian", "Bicyclist"],
        ["Car", "Pedestrian"],
    ]


def test_some_images_of_a_run_are_enough(tmp_path: Path) -> None:
    run = opened(tmp_path, [{"image_id": "a", "class": "Car"}, {"image_id": "b", "class": "Pedestrian"}])
    some = image_boxes(run, run.pool.filter(pl.col("image_id") == "b"), TREE)
    assert list(some) == ["b"]
    assert promised(some["b"]) == ["Car", "Pedestrian"]


def scene() -> np.ndarray:
    """Road with a car of 4 × 2, one of 2 × 2, and a pedestrian, cut by pixels without label."""
    labels = np.full((10, 10), TREE.classes.index("Road"), np.uint8)
    labels[1:3, 1:5] = TREE.classes.index("Car")
    labels[6:8, 6:8] = TREE.classes.index("Car")
    labels[5:9, 2] = TREE.classes.index("Pedestrian")
    labels[5:9, 3] = TREE.void
    return labels


def test_objects_of_a_mask_get_tight_boxes() -> None:
    boxes = boxes_of_mask(scene(), TREE, BOXED, np.random.default_rng(0), jitter=0.0)
    tenths = (boxes.corners * 10).round().astype(int).tolist()
    drawn = {(name, *corners) for name, corners in zip(nodes(boxes), tenths, strict=True)}
    assert drawn == {("Car", 1, 1, 5, 3), ("Car", 6, 6, 8, 8), ("Pedestrian", 2, 5, 3, 9)}
    assert boxes.exhaustive.tolist() == BOXED.tolist()


def test_jittered_boxes_stay_in_the_image_keep_an_area_and_repeat() -> None:
    first, again = (boxes_of_mask(scene(), TREE, BOXED, np.random.default_rng(3), jitter=0.4) for _ in range(2))
    assert first.corners.tobytes() == again.corners.tobytes()
    assert (first.corners >= 0).all() and (first.corners <= 1).all()
    assert (first.corners[:, 2:] > first.corners[:, :2]).all()
    assert not np.allclose(first.corners, boxes_of_mask(scene(), TREE, BOXED, np.random.default_rng(3), 0.0).corners)


def test_only_boxed_classes_get_boxes_and_specks_do_not() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[0, 0] = TREE.classes.index("Car")
    assert boxes_of_mask(labels, TREE, BOXED, np.random.default_rng(0)).corners.shape == (0, 4)
    none = boxes_of_mask(scene(), TREE, np.zeros_like(BOXED), np.random.default_rng(0))
    assert none.corners.shape == (0, 4) and not none.exhaustive.any()


def test_fill_rates_are_means_of_the_class_else_of_its_group_else_of_all() -> None:
    labels = scene()
    corners = np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.8, 0.8], [0.2, 0.5, 0.5, 0.9]], np.float32)
    kinds = np.array([TREE.nodes.index(name) for name in ("Car", "Car", "Pedestrian")], np.int64)
    found = fill_rates([(labels, ImageBoxes(corners, kinds, BOXED))], TREE)
    rate = {name: round(float(found[place]), 6) for place, name in enumerate(TREE.nodes)}
    # Cars fill 8 of 16 and 4 of 4 pixels; the pedestrian 4 of the 8 that have a label.
    assert rate["Car"] == rate["vehicle"] == 0.75
    assert rate["Pedestrian"] == rate["Bicyclist"] == rate["human"] == 0.5
    assert rate["SignSymbol"] == round(2 / 3, 6)
    assert rate["void"] == 0


def test_without_any_box_the_fill_rate_is_the_usual_one() -> None:
    assert fill_rates([], TREE)[TREE.nodes.index("Car")] == USUAL_RATE
