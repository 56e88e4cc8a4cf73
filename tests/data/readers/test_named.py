"""Formats whose files name their images: the same two boxes of one picture of 64 × 48 pixels, said in each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from thresher.data.readers import READERS
from thresher.data.readers.named_files import ImageFiles
from thresher.errors import DataError

#: car at x 16..32, y 12..24 of a.jpg, and the box around a triangle of the label bus, x 8..40, y 6..30.
CAR, BUS = (0.25, 0.25, 0.5, 0.5), (0.125, 0.125, 0.625, 0.625)
TRIANGLE = [[8, 6], [40, 6], [8, 30]]
FLAT = [value for point in TRIANGLE for value in point]
SHARES = {"x": 25, "y": 25, "width": 25, "height": 25, "rotation": 0, "rectanglelabels": ["car"]}
PERCENT = {"points": [[12.5, 12.5], [62.5, 12.5], [12.5, 62.5]], "polygonlabels": ["bus"]}
TASK = {
    "id": 1,
    "data": {"image": "/data/upload/1/0123abcd-a.jpg"},
    "annotations": [
        {"id": 1, "was_cancelled": True, "result": [{"id": "x", "type": "rectanglelabels", "value": SHARES}] * 9},
        {
            "id": 2,
            "result": [
                {"id": "r", "type": "rectanglelabels", "value": SHARES, "original_width": 64, "original_height": 48},
                {"id": "p", "type": "polygonlabels", "value": PERCENT},
                {"id": "c", "type": "choices", "value": {"choices": ["sunny"]}},
                {"id": "k", "type": "keypointlabels", "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["car"]}},
            ],
        },
    ],
    "predictions": [{"result": [{"id": "q", "value": SHARES}]}],
}
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>t</name></task></meta>
<image id="0" name="a.jpg" subset="train" width="64" height="48">
<box label="car" occluded="1" source="manual" xtl="16" ytl="12" xbr="32" ybr="24" z_order="0"/>
<polygon label="bus" occluded="0" points="8,6;40,6;8,30"/><points label="car" points="1,1"/><tag label="sunny"/>
</image></annotations>"""
VIA = {
    "a.jpg123": {
        "filename": "a.jpg",
        "size": 123,
        "regions": [
            {
                "shape_attributes": {"name": "rect", "x": 16, "y": 12, "width": 16, "height": 12},
                "region_attributes": {"class": "car", "colour": "red"},
            },
            {
                "shape_attributes": {"name": "polygon", "all_points_x": [8, 40, 8], "all_points_y": [6, 6, 30]},
                "region_attributes": {"class": {"bus": True, "car": False}},
            },
            {"shape_attributes": {"name": "point", "cx": 1, "cy": 1}, "region_attributes": {}},
        ],
        "file_attributes": {},
    }
}
VIA_CSV = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    'a.jpg,1,"{}",2,0,"{""name"":""rect"",""x"":16,""y"":12,""width"":16,""height"":12}","{""class"":""car""}"\n'
    'a.jpg,1,"{}",2,1,"{""name"":""ellipse"",""cx"":24,""cy"":18,""rx"":16,""ry"":12}","{""class"":""bus""}"\n'
)
LABELME = {
    "version": "5.0",
    "imagePath": "..\\images\\a.jpg",
    "imageWidth": 64,
    "imageHeight": 48,
    "shapes": [
        {"label": "car", "shape_type": "rectangle", "points": [[32, 24], [16, 12]]},
        {"label": "bus", "shape_type": "polygon", "points": TRIANGLE},
        {"label": "car", "shape_type": "linestrip", "points": [[1, 1], [9, 9]]},
    ],
}
DATUMARO = {
    "info": {},
    "categories": {"label": {"labels": [{"name": "bus", "parent": ""}, {"name": "car", "parent": ""}]}},
    "items": [
        {
            "id": "a",
            "image": {"path": "a.jpg", "size": [48, 64]},
            "annotations": [
                {"type": "bbox", "label_id": 1, "bbox": [16, 12, 16, 12], "attributes": {"occluded": True}},
                {"type": "polygon", "label_id": 0, "points": FLAT},
                {"type": "label", "label_id": 0},
            ],
        }
    ],
}
LABELS = [
    {"category": "car", "box2d": {"x1": 16, "y1": 12, "x2": 32, "y2": 24}, "attributes": {"occluded": True}},
    {"category": "bus", "poly2d": [{"vertices": TRIANGLE, "types": "LLL", "closed": True}]},
    {"category": "lane/single white", "poly2d": [{"vertices": TRIANGLE}]},
]
NUIMAGES = {
    "category.json": [{"token": "C", "name": "car"}, {"token": "B", "name": "bus"}],
    "sample_data.json": [
        {"token": "f", "filename": "images/a.jpg", "width": 64, "height": 48, "is_key_frame": True},
        {"token": "s", "filename": "sweeps/b.jpg", "width": 64, "height": 48, "is_key_frame": False},
    ],
    "object_ann.json": [
        {"token": "1", "sample_data_token": "f", "category_token": "C", "bbox": [16, 12, 32, 24]},
        {"token": "2", "sample_data_token": "f", "category_token": "B", "bbox": [8, 6, 40, 30]},
    ],
}
#: What a source is called → its format and its files beside images/a.jpg.
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bdd100k": ("bdd100k", {"labels/det_20/det_train.json": [{"name": "a.jpg", "labels": LABELS}]}),
    "bdd100k, a file per image": ("bdd100k", {"labels/a.json": {"name": "a.jpg", "frames": [{"objects": LABELS}]}}),
    "cvat": ("cvat", {"annotations.xml": CVAT}),
    "datumaro": ("datumaro", {"annotations/train.json": DATUMARO}),
    "label_studio": ("label_studio", {"project-1.json": [TASK]}),
    "label_studio, the short form": (
        "label_studio",
        {"min.json": [{"image": "s3://pool/a.jpg", "id": 1, "annotator": 1, "label": [SHARES], "area": [PERCENT]}]},
    ),
    "labelme": ("labelme", {"json/a.json": LABELME}),
    "nuimages": ("nuimages", {f"v1.0-mini/{name}": rows for name, rows in NUIMAGES.items()}),
    "via": ("via", {"via.json": {"_via_settings": {}, "_via_img_metadata": VIA, "_via_attributes": {}}}),
    "via, annotations alone": ("via", {"via_region_data.json": VIA}),
    "via, csv": ("via", {"via.csv": VIA_CSV}),
    "table": ("table", {"a.csv": "path,class,xmin,ymin,xmax,ymax\na.jpg,car,16,12,32,24\na.jpg,bus,8,6,40,30\n"}),
    "table of TensorFlow": (
        "table",
        {
            "a.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,car,16,12,32,24\n"
            "a.jpg,64,48,bus,8,6,40,30\n"
        },
    ),
    "table of shares": (
        "table",
        {"a.csv": "image;label;x;y;w;h\na;car;.25;.25;.25;.25\na.jpg;bus;.125;.125;.5;.5\n"},
    ),
}


@pytest.fixture
def laid(tmp_path: Path, picture: Callable[..., Path], text: Callable[[str, str], Path]) -> Callable[..., Path]:
    """Writes the files of a case, and images/a.jpg."""

    def write(files: Mapping[str, Any], image: str = "images/a.jpg") -> Path:
        picture(image, (64, 48))
        for name, content in files.items():
            text(name, content if isinstance(content, str) else json.dumps(content))
        return tmp_path

    return write


@pytest.mark.parametrize("case", CASES)
def test_the_boxes_of_every_form(case, laid, corners, words):
    form, files = CASES[case]
    read = READERS[form](laid(files), None, "d")
    named = sorted(corners(read), key=lambda row: str(row[1]), reverse=True)
    assert named == [("d/images/a", "car", *CAR), ("d/images/a", "bus", *BUS)]
    assert words(read) == {}


@pytest.mark.parametrize("case", CASES)
def test_an_image_without_annotation_and_one_without_file_are_listed(case, laid, picture, words):
    form, files = CASES[case]
    root = laid(files)
    picture("images/other.jpg")
    read = READERS[form](root, None, "d")
    assert form in ("nuimages", "table") or words(read) == {"annotation_missing": 1}
    (root / "images/a.jpg").unlink()
    with pytest.raises(DataError, match=r"none of the 1 images|none of the 2 images"):
        READERS[form](root, None, "d")


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][0] not in ("table", "nuimages")])
def test_a_file_of_another_shape_is_refused_with_what_was_seen(case, laid):
    form, files = CASES[case]
    other = {name: '<x/>' if name.endswith("xml") else "a,b\n1,2\n" if name.endswith("csv") else {"x": 1, "y": 2}
             for name in files}  # fmt: skip
    with pytest.raises(DataError, match=r"no file of this format. Found .* with .*; expected"):
        READERS[form](laid(other), None, "d")


@pytest.mark.parametrize("case", ["bdd100k", "cvat", "datumaro", "label_studio", "labelme", "via", "nuimages"])
def test_an_object_that_cannot_be_read_costs_itself_alone(case, laid, corners, words):
    form, files = CASES[case]
    whole = {name: json.dumps(content) if not isinstance(content, str) else content for name, content in files.items()}
    for before, after in (('"x1": 16', '"x1": "?"'), ('xtl="16"', 'xtl="?"'), ("[16, 12, 16, 12]", "[16]")):
        whole = {name: content.replace(before, after) for name, content in whole.items()}
    for before, after in (('"x": 25', '"x": "?"'), ("[[32, 24], [16, 12]]", "[[32]]"), ('"x": 16', '"x": null')):
        whole = {name: content.replace(before, after) for name, content in whole.items()}
    whole = {name: content.replace("[16, 12, 32, 24]", "{}") for name, content in whole.items()}
    read = READERS[form](laid(whole), None, "d")
    assert [row[1] for row in corners(read)] == ["bus"]
    assert words(read) == {"annotation_malformed": 1}
    assert "object" in read.problems["detail"][0]


def test_oidv4_has_each_image_once_with_the_boxes_of_all_its_folders(tmp_path, picture, text, corners, words):
    for folder, lines in (("Car", "Car 16 12 32 24\n"), ("Traffic light", "Traffic light 8 6 40 30\n")):
        picture(f"train/{folder}/01.jpg", (64, 48))
        text(f"train/{folder}/Label/01.txt", lines)
    read = READERS["oidv4"](tmp_path, None, "d")
    assert sorted(corners(read)) == [
        ("d/train/Car/01", "Car", *CAR),
        ("d/train/Car/01", "Traffic light", *BUS),
    ]
    assert (read.images["split"].to_list(), words(read)) == (["train"], {"duplicate_id": 1})


def test_label_studio_rotated_box_has_the_upright_box_around_it(laid, corners):
    # A quarter turn clockwise about its upper left corner: what went right goes down, what went down goes left.
    value = {"x": 50, "y": 0, "width": 25, "height": 25, "rotation": 90, "rectanglelabels": ["car"]}
    region = {"id": "r", "value": value, "original_width": 64, "original_height": 48}
    task = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"id": 1, "result": [region]}]}
    read = READERS["label_studio"](laid({"a.json": [task]}), None, "d")
    assert corners(read) == [("d/images/a", "car", 0.3125, 0.0, 0.5, pytest.approx(16 / 48, abs=1e-5))]


def test_label_studio_says_which_of_several_annotations_was_read(laid, corners, words):
    result = [{"id": "r", "value": SHARES}]
    annotations = [{"id": 1, "result": []}, {"id": 2, "ground_truth": True, "result": result}]
    task = {"id": 7, "data": {"image": "a.jpg"}, "annotations": annotations}
    read = READERS["label_studio"](laid({"a.json": [task]}), None, "d")
    assert (len(corners(read)), words(read)) == (1, {"annotations_several": 1})
    assert "that with id 2 was read" in read.problems["detail"][0]


def test_cvat_of_a_video_is_refused(laid):
    with pytest.raises(DataError, match=r"a.xml with <annotations> of a video \(<track>\), which has no images"):
        READERS["cvat"](laid({"a.xml": "<annotations><track id='0' label='car'/></annotations>"}), None, "d")


def test_cvat_subsets_are_splits(laid):
    root = laid({"annotations.xml": CVAT})
    assert READERS["cvat"](root, "train", "d").boxes.height == 2
    with pytest.raises(DataError, match="no images of subset 'val'. Found train"):
        READERS["cvat"](root, "val", "d")


def test_two_entries_of_one_image_are_both_read_and_said(laid, corners, words):
    frames = [{"name": "a.jpg", "labels": LABELS[:1]}, {"name": "a.jpg", "labels": LABELS[1:2]}]
    read = READERS["bdd100k"](laid({"det_train.json": frames}), None, "d")
    assert [row[1] for row in corners(read)] == ["car", "bus"]
    assert words(read) == {"duplicate_id": 1}
    assert "2 entries name it (det_train.json: a.jpg and det_train.json: a.jpg)" in read.problems["detail"][0]


@pytest.mark.parametrize(
    ("files", "name", "meant"),
    [
        (["a.jpg"], "/mnt/x/images/a.jpg", "a.jpg"),
        (["train/a.jpg", "val/a.jpg"], "val\\a.jpg", "val/a.jpg"),
        (["train/a.jpg", "val/a.jpg"], "/mnt/set/val/a.jpg", "val/a.jpg"),
        (["train/a.jpg", "val/a.jpg"], "a.jpg", "2 files are called so (train/a.jpg, val/a.jpg): which is meant?"),
        (["train/a.jpg"], "val/a.jpg", "there is no image file of that name"),
        (["x/a.jpg"], "https://s.org/b%20c/a.jpg?size=2#x", "x/a.jpg"),
        (["a.b.jpg"], "a.b", "a.b.jpg"),
        (["a.jpg", "a.png"], "a", "2 files are called so (a.jpg, a.png): which is meant?"),
    ],
)
def test_the_file_that_a_name_means(tmp_path, picture, files, name, meant):
    for file in files:
        picture(file)
    [(path, why)] = ImageFiles(tmp_path).located([name])
    assert (path or why).removeprefix(f"{tmp_path}/").removeprefix("and ") == meant


def test_two_names_never_mean_one_file_by_its_bare_name(tmp_path, picture):
    picture("x/a.jpg")
    found = ImageFiles(tmp_path).located(["p/a.jpg", "q/a.jpg"])
    assert [path for path, _ in found] == [None, None]
    assert "2 names end like x/a.jpg: which is meant?" in found[0][1]
