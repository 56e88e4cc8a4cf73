"""Masks as people have them, and the label map that each must become."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.data.dataset import Coded, Outlined
from thresher.data.drawn_masks import Meanings, with_drawn_masks
from thresher.data.label_maps import class_numbers, label_map
from thresher.data.readers import READERS
from thresher.data.run_lengths import as_text
from thresher.data.taxonomy import LabelMap, Taxonomy, load_taxonomy, taxonomy_of
from thresher.errors import DataError

CITYSCAPES = load_taxonomy("cityscapes")
ROAD, SIDEWALK, BUILDING, PERSON, CAR, BUS, BICYCLE, VOID = 0, 1, 2, 11, 13, 15, 18, 19
#: 4 × 2 pixels: the left half, as COCO has it.
LEFT = [[0, 0, 2, 0, 2, 2, 0, 2]]


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., None]:
    def make(*names: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 2), "grey").save(tmp_path / name)

    return make


@pytest.fixture
def text(tmp_path: Path) -> Callable[[str, str], None]:
    def make(name: str, content: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, "utf-8")

    return make


@pytest.fixture
def values(tmp_path: Path) -> Callable[..., None]:
    """Writes a label image of 4 × 2 pixels with two equal rows."""

    def make(name: str, row: list[object], kind: type = np.uint8) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([row, row], kind)).save(tmp_path / name)

    return make


def drawn(form: str, root: Path, taxonomy: Taxonomy = CITYSCAPES, split: str | None = None) -> dict[str, list[int]]:
    """The first row of the label map of each image."""
    read = with_drawn_masks(READERS[form](root, split, "d"), Meanings(taxonomy, LabelMap({}, {})), root / "drawn")
    masks = read.masks.sort("image_id").select("image_id", "path", "encoding")
    found = {}
    for name, path, encoding in masks.iter_rows():
        labels = label_map(Path(path), class_numbers(taxonomy, encoding))
        assert (labels[0] == labels[1]).all()
        found[name] = labels[0].tolist()
    return found


def coco_file(*annotations: dict[str, object]) -> str:
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}, {"id": 3, "name": "piano"}]
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 2}],
            "annotations": [{"image_id": 1, "bbox": [0, 0, 2, 2], **each} for each in annotations],
            "categories": categories,
        }
    )


@pytest.mark.parametrize(
    "segmentation",
    [
        LEFT,
        [[0, 0, 1, 0, 1, 2, 0, 2], [1, 0, 2, 0, 2, 2, 1, 2]],
        {"size": [2, 4], "counts": [0, 4, 4]},
        {"size": [2, 4], "counts": as_text([0, 4, 4])},
    ],
)
def test_coco_polygons_and_run_lengths_of_every_kind(tmp_path, photo, text, segmentation):
    photo("images/a.jpg")
    crowd = int(isinstance(segmentation, dict))
    text(
        "annotations/instances_train.json",
        coco_file({"category_id": 1, "segmentation": segmentation, "iscrowd": crowd}),
    )
    assert drawn("coco", tmp_path) == {"d/images/a": [CAR, CAR, VOID, VOID]}


def test_of_coco_objects_the_smaller_is_seen_and_one_with_a_box_alone_is_void(tmp_path, photo, text):
    photo("images/a.jpg")
    whole, right = [[0, 0, 4, 0, 4, 2, 0, 2]], {"category_id": 2, "bbox": [2, 0, 2, 2], "segmentation": []}
    annotations = ({"category_id": 2, "segmentation": LEFT}, {"category_id": 1, "segmentation": whole})
    text("annotations/instances_train.json", coco_file(*annotations))
    assert drawn("coco", tmp_path) == {"d/images/a": [PERSON, PERSON, CAR, CAR]}
    text("annotations/instances_train.json", coco_file(annotations[0], right))
    ground = taxonomy_of(
        "void_id = 9\n[classes.background]\nid = 0\ncolour = [0, 0, 0]\n[classes.person]\nid = 1\ncolour = [1, 0, 0]",
        "t",
    )
    assert drawn("coco", tmp_path, ground) == {"d/images/a": [1, 1, 2, 2]}
    text("annotations/instances_train.json", coco_file(annotations[0]))
    assert drawn("coco", tmp_path, ground) == {"d/images/a": [1, 1, 0, 0]}


def test_labels_without_a_class_are_void_and_said_once_and_a_label_map_names_them(tmp_path):
    outlined = [Outlined(f"d/{name}", name, (4, 2), [("piano", LEFT)]) for name in "ab"]
    empty = READERS["folder"]
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg")
    read = empty(tmp_path, None, "d")
    for map_, row, said in (
        (LabelMap({}, {}), [VOID] * 4, ["'piano' in 2 masks is no class of taxonomy 'cityscapes', so it is void"]),
        (LabelMap({}, {"d": {"piano": "car"}}), [CAR, CAR, VOID, VOID], []),
    ):
        found = with_drawn_masks(
            type(read)(read.images, drawings=outlined), Meanings(CITYSCAPES, map_), tmp_path / "masks"
        )
        labels = label_map(Path(found.masks["path"][0]), class_numbers(CITYSCAPES, "class_index"))
        assert labels[1].tolist() == row
        assert found.problems["detail"].to_list() == said


def test_yolo_polygons(tmp_path, photo, text):
    photo("images/a.jpg", "images/b.jpg")
    text("labels/a.txt", "1 0 0 .5 0 .5 1 0 1\n0 .75 .5 .25 1\n")
    text("labels/b.txt", "0 .75 .5 .25 1\n")
    text("data.yaml", "names: [person, car]")
    assert drawn("yolo", tmp_path) == {"d/a": [CAR, CAR, VOID, VOID]}


VOC_XML = (
    "<annotation><size><width>4</width><height>2</height></size><object><name>car</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>"
)


@pytest.mark.parametrize("form", ["voc", "masks"])
def test_voc_in_palette_and_in_the_colours_of_a_labelmap(tmp_path, photo, text, values, form):
    photo("JPEGImages/a.jpg", "JPEGImages/b.jpg")
    text("Annotations/a.xml", VOC_XML)
    text("Annotations/b.xml", VOC_XML)
    (tmp_path / "SegmentationClass").mkdir()
    picture = Image.fromarray(np.array([[0, 7, 15, 255]] * 2, np.uint8)).convert("P")
    picture.putpalette([value % 256 for value in range(768)])
    picture.save(tmp_path / "SegmentationClass/a.png")
    assert drawn(form, tmp_path) == {"d/a": [VOID, CAR, PERSON, VOID]}
    text("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:9,8,7:door:\nroad:1,2,3::\n")
    values("SegmentationClass/a.png", [[9, 8, 7], [0, 0, 0], [1, 2, 3], [1, 2, 3]])
    assert drawn(form, tmp_path) == {"d/a": [CAR, VOID, ROAD, ROAD]}
    text("ImageSets/Segmentation/val.txt", "a\n")
    text("ImageSets/Main/val.txt", "a\n")
    assert drawn(form, tmp_path, split="val") == {"d/a": [CAR, VOID, ROAD, ROAD]}


def test_roboflow_s_semantic_masks(tmp_path, photo, text, values):
    for split in ("train", "valid"):
        photo(f"{split}/a.rf.12.jpg")
        values(f"{split}/a.rf.12_mask.png", [0, 1, 2, 255])
        text(f"{split}/_classes.csv", "Pixel Value, Class\n0, background\n1, bus\n2, bicycle\n")
    row = [VOID, BUS, BICYCLE, VOID]
    assert drawn("masks", tmp_path) == {"d/train/a.rf.12": row, "d/valid/a.rf.12": row}
    assert drawn("masks", tmp_path, split="valid") == {"d/valid/a.rf.12": row}


def test_masks_in_the_taxonomy_s_colours_and_in_those_of_a_class_dict(tmp_path, photo, text, values):
    photo("images/a.jpg")
    values("masks/a.png", [[128, 64, 128], [0, 0, 142], [0, 0, 0], [0, 0, 142]])
    assert drawn("masks", tmp_path) == {"d/a": [ROAD, CAR, VOID, CAR]}
    text("class_dict.csv", "name,r,g,b\nbus,0,0,142\nroad, 128, 64, 128\nvoid,0,0,0\n")
    assert drawn("masks", tmp_path) == {"d/a": [ROAD, BUS, VOID, BUS]}
    values("masks/a.png", [[128, 64, 128], [0, 0, 142], [0, 0, 0], [5, 6, 7]])
    with pytest.raises(
        DataError, match=r"1 of 1 masks cannot be drawn .*colours \(5, 6, 7\) have no name in class_dict"
    ):
        drawn("masks", tmp_path)


def test_bdd100k_kitti_and_idd(tmp_path, photo, values):
    photo("b/images/10k/val/a.jpg", "k/training/image_2/1.png", "i/leftImg8bit/val/0/1_leftImg8bit.png")
    values("b/labels/sem_seg/masks/val/a.png", [0, 1, 13, 255])
    values("k/training/semantic/1.png", [7, 8, 26, 0])
    values("i/gtFine/val/0/1_gtFine_labellevel3Ids.png", [0, 2, 9, 255])
    row = [ROAD, SIDEWALK, CAR, VOID]
    assert drawn("masks", tmp_path / "b") == {"d/val/a": row}
    assert drawn("masks", tmp_path / "k") == {"d/training/1": row}
    assert drawn("cityscapes", tmp_path / "i") == {"d/val/0/1": row}


@pytest.mark.parametrize("version", ["v1.2", "v2.0"])
def test_mapillary_vistas(tmp_path, photo, text, values, version):
    photo("training/images/a.jpg", "validation/images/b.jpg", "testing/images/c.jpg")
    for split, name in (("training", "a"), ("validation", "b")):
        values(f"{split}/{version}/labels/{name}.png", [0, 1, 2, 3])
    names = ("Bird", "Sidewalk", "Car", "Road")
    text(f"config_{version}.json", json.dumps({"labels": [{"name": "x--y", "readable": name} for name in names]}))
    row = [VOID, SIDEWALK, CAR, ROAD]
    assert drawn("masks", tmp_path) == {"d/training/a": row, "d/validation/b": row}


def test_ade20k(tmp_path, photo, text, values):
    photo("images/training/a.jpg")
    values("annotations/training/a.png", [0, 1, 2, 3])
    rows = "1\t0.1\t9\t1\t1\tbuilding, edifice\n2\t0.1\t9\t1\t0\tcar, auto, automobile\n3\t0\t9\t1\t1\troute, road"
    text("objectInfo150.txt", f"Idx\tRatio\tTrain\tVal\tStuff\tName\n{rows}\n")
    assert drawn("masks", tmp_path) == {"d/training/a": [VOID, BUILDING, CAR, ROAD]}


def test_sixteen_bits_whose_upper_byte_is_the_class(tmp_path, values):
    values("a.png", [0, 256, 2 * 256 + 7, 2 * 256 + 8], np.uint16)
    coded = Coded("d/a", str(tmp_path / "a.png"), {0: "road", 1: "sidewalk", 2: "car"}, divisor=256)
    read = READERS["folder"](tmp_path, None, "d")
    found = with_drawn_masks(
        type(read)(read.images, drawings=[coded]), Meanings(CITYSCAPES, LabelMap({}, {})), tmp_path / "masks"
    )
    labels = label_map(Path(found.masks["path"][0]), class_numbers(CITYSCAPES, "class_index"))
    assert labels[0].tolist() == [ROAD, SIDEWALK, CAR, CAR]


def test_a_mask_that_cannot_be_drawn_costs_itself_and_nothing_is_drawn_twice(tmp_path):
    bad = [[0, 0, 1, 1]], {"counts": [1, 2], "size": [2, 4]}, [[0, 0, float("nan"), 1, 1, 1]], {"counts": ["x"]}
    outlined = [Outlined(f"d/{n}", "a.jpg", (4, 2), [("car", shape)]) for n, shape in enumerate((*bad, *[LEFT] * 4))]
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg")
    read = READERS["folder"](tmp_path, None, "d")
    before = {}
    for _ in range(2):
        found = with_drawn_masks(
            type(read)(read.images, drawings=outlined), Meanings(CITYSCAPES, LabelMap({}, {})), tmp_path / "masks"
        )
        assert found.problems["problem"].to_list() == ["mask_unreadable"] * 4
        assert found.masks["image_id"].to_list() == ["d/4", "d/5", "d/6", "d/7"]
        files = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").rglob("*.png")}
        assert before in ({}, files)
        before = files
