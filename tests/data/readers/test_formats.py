"""The readers against fixtures that others made and files found in the wild, which are no part of the repository."""

import shutil
from pathlib import Path

import pytest

from thresher.data.readers import READERS
from thresher.errors import DataError

FORMATS = Path(__file__).resolve().parents[4] / "shared/data/formats"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FORMATS.is_dir(), reason="the folder shared/data/formats is not there"),
]


def csv_pool(tmp_path, picture, source, images, target="train-annotations-bbox.csv"):
    shutil.copyfile(FORMATS / "openimages" / source, tmp_path / target)
    for name in images:
        picture(name)
    return READERS["open_images"](tmp_path, None, "oi")


def test_an_excel_file_is_named_as_one(tmp_path, picture):
    with pytest.raises(DataError, match=r"zip file, probably an Excel workbook \(.xlsx\) under a .csv name"):
        csv_pool(tmp_path, picture, "malformed/xlsx_named_test-annotations-bbox.csv", ["images/a.jpg"])


def test_blank_rows_are_one_problem(tmp_path, picture, words):
    read = csv_pool(tmp_path, picture, "malformed/validation-annotations-bbox.blank_rows.csv", ["images/a.jpg"])
    assert (read.images.height, read.boxes.height) == (1, 0)
    assert words(read) == {"blank_rows": 1}
    assert "117592 blank rows" in read.problems["detail"][0]


def test_names_with_bare_returns_and_semicolons(tmp_path, picture, text):
    text("train-annotations-bbox.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/01j61q,0,1,0,1\n")
    source = "malformed/class-descriptions-boxable.CR_line_endings.csv"
    shutil.copyfile(FORMATS / "openimages" / source, tmp_path / "class-descriptions-boxable.csv")
    picture("images/a.jpg")
    vocabulary = READERS["open_images"](tmp_path, None, "oi").vocabulary
    names = dict(vocabulary.select("label", "name").iter_rows())
    assert (names["/m/011k07"], names["/m/01j61q"]) == ("Tortoise", "Tent")
    assert vocabulary.height == (FORMATS / "openimages" / source).read_bytes().strip().count(b"\r") + 1


@pytest.mark.parametrize("source", ["pixel_coords_train-annotations-bbox.csv", "mini_train-annotations-bbox.csv"])
def test_pixels_are_an_error(tmp_path, picture, source):
    with pytest.raises(DataError, match=r"corners are pixels in \d+ of \d+ rows"):
        csv_pool(tmp_path, picture, f"custom_oi_style/{source}", ["images/out175.png"])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_other_columns_are_an_error(tmp_path, picture, split):
    with pytest.raises(DataError, match=r"no column ImageID, LabelName, .* Found image,xmin,ymin,xmax,ymax,label"):
        csv_pool(tmp_path, picture, f"custom_oi_style/tennisball_{split}-annotations-bbox.csv", ["images/a.jpg"])


def test_ids_that_are_paths(tmp_path, picture, words):
    source = "custom_oi_style/enjoy82_sub-train-annotations-bbox.csv"
    read = csv_pool(tmp_path, picture, source, ["all_images/IMG_8184.JPG", "all_images/IMG_8338.JPG"])
    lines = (FORMATS / "openimages" / source).read_text().splitlines()[1:]
    mine = sum("IMG_8184.JPG" in line or "IMG_8338.JPG" in line for line in lines)
    assert read.images["image_id"].to_list() == ["oi/all_images/IMG_8184", "oi/all_images/IMG_8338"]
    assert read.boxes.height == mine > 0
    assert words(read) == {"image_missing": len({line.split(",")[1] for line in lines}) - 2}


def test_three_files_that_name_the_same_images(tmp_path, picture):
    for split in ("train", "validation", "test"):
        source = FORMATS / f"openimages/custom_oi_style/enjoy82_sub-{split}-annotations-bbox.csv"
        shutil.copyfile(source, tmp_path / source.name)
    picture("all_images/IMG_8184.JPG")
    read = READERS["open_images"](tmp_path, None, "oi")
    test_file = (tmp_path / "enjoy82_sub-test-annotations-bbox.csv").read_text()
    assert read.boxes.height == test_file.count("IMG_8184.JPG")
    assert read.problems.filter(problem="duplicate_id").height == 2


def test_real_rows_without_images_are_an_error():
    with pytest.raises(DataError, match="no image folder found"):
        READERS["open_images"](FORMATS / "openimages/body_parts_subset", None, "oi")


def test_real_rows_with_two_images(tmp_path, picture, text):
    source = FORMATS / "openimages/body_parts_subset"
    text("class-descriptions-boxable.csv", (source / "class-descriptions-boxable.csv").read_text())
    read = csv_pool(
        tmp_path,
        picture,
        "body_parts_subset/train-annotations-bbox.csv",
        [f"images/{i}.jpg" for i in ("00007902a7b96e8c", "0000e2205e460318")],
    )
    lines = (source / "train-annotations-bbox.csv").read_text().splitlines()
    assert read.boxes.height == sum(line.startswith(("00007902a7b96e8c,", "0000e2205e460318,")) for line in lines)
    assert dict(read.vocabulary.select("label", "name").iter_rows())["/m/031n1"] == "Human foot"


def test_the_real_hierarchy(tmp_path, picture, text):
    for name in ("class-descriptions-boxable.csv", "bbox_labels_600_hierarchy.json"):
        shutil.copyfile(FORMATS / "openimages/class_descriptions" / name, tmp_path / name)
    text("train-annotations-bbox.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/0k4j,0,1,0,1\n")
    picture("images/a.jpg")
    vocabulary = READERS["open_images"](tmp_path, None, "oi").vocabulary
    ancestors = {row[1]: row[2][1::2] for row in vocabulary.iter_rows()}
    assert ancestors["Car"] == ["Land vehicle", "Vehicle"]
    assert ancestors["Vehicle"] == []
    assert ancestors["Human head"] == []  # a part of a person, not a kind of one
    assert not vocabulary["ancestors"].explode().is_in(["/m/0bl9f"]).any()


def test_the_first_hierarchy_with_todays_names(tmp_path, picture, text):
    shutil.copyfile(FORMATS / "openimages/v1_v2_meta/bbox_hierarchy.json", tmp_path / "bbox_hierarchy.json")
    names = "class-descriptions-boxable.csv"
    shutil.copyfile(FORMATS / "openimages/class_descriptions" / names, tmp_path / names)
    text("train-annotations-bbox.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/0k4j,0,1,0,1\n")
    picture("images/a.jpg")
    vocabulary = READERS["open_images"](tmp_path, None, "oi").vocabulary
    assert vocabulary.filter(label="/m/0k4j").row(0)[2][1::2] == ["Land vehicle", "Vehicle"]


def test_the_first_names(tmp_path, picture, text):
    shutil.copyfile(FORMATS / "openimages/v1_v2_meta/dict.csv", tmp_path / "dict.csv")
    text("train-annotations-bbox.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/0k4j,0,1,0,1\n")
    picture("images/a.jpg")
    vocabulary = READERS["open_images"](tmp_path, None, "oi").vocabulary
    assert vocabulary.filter(label="/m/0k4j").rows() == [("/m/0k4j", "automobile", [])]


def test_datumaro_open_images(words):
    read = READERS["open_images"](FORMATS / "openimages/fixtures_datumaro/v6", None, "v6")
    assert sorted(read.images.select("image_id", "split").rows()) == [
        ("v6/a", "train"),
        ("v6/b", "train"),
        ("v6/c", "test"),
        ("v6/d", "validation"),
    ]
    flags = ["is_occluded", "is_truncated", "is_group", "is_depiction", "is_inside"]
    boxes = {row[0]: row[1:] for row in read.boxes.select("image_id", "label", *flags).iter_rows()}
    assert boxes == {
        "v6/b": ("/m/0", None, None, None, None, None),
        "v6/c": ("/m/3", True, False, True, False, False),
    }
    vocabulary = {row[0]: row[1:] for row in read.vocabulary.iter_rows()}
    assert vocabulary["/m/1"] == ("Generic label #1", ["/m/0", "Generic label #0"])
    assert words(read) == {}
    with pytest.raises(DataError, match="no box file"):
        READERS["open_images"](FORMATS / "openimages/fixtures_datumaro/v5", None, "v5")


@pytest.mark.parametrize(
    ("root", "encodings"),
    [
        ("mmseg/pseudo_cityscapes_dataset", ["cityscapes_train_ids"]),
        ("datumaro/train_dataset", ["cityscapes_train_ids"] * 4),
    ],
)
def test_cityscapes_fixtures(root, encodings):
    read = READERS["cityscapes"](FORMATS / "cityscapes_fixtures" / root, None, "cs")
    assert read.images.height == len(list((FORMATS / "cityscapes_fixtures" / root / "leftImg8bit").rglob("*.png")))
    assert read.masks["encoding"].to_list() == encodings
    assert read.problems["problem"].to_list() == ["annotation_missing"] * (read.images.height - len(encodings))


def test_cityscapes_fixtures_without_labels_of_classes():
    with pytest.raises(DataError, match=r"none of 4 frames has a label file. Found .*_gtFine_instanceIds.png"):
        READERS["cityscapes"](FORMATS / "cityscapes_fixtures/datumaro/dataset", None, "cs")


def test_kitti_fixtures():
    detection = READERS["kitti"](FORMATS / "kitti_fixtures/kitti_detection", None, "k")
    assert detection.boxes.group_by("image_id").len().sort("image_id").rows() == [
        ("k/000030_10", 2),
        ("k/000030_11", 3),
    ]
    assert detection.problems.is_empty()
    segmentation = READERS["kitti"](FORMATS / "kitti_fixtures/kitti_segmentation", None, "k")
    assert (segmentation.images.height, segmentation.boxes.height) == (2, 0)
