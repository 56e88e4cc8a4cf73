import pytest

from thresher.data.readers import yolo
from thresher.errors import DataError

NAMES = "names: [person, car]\n"


def test_centre_and_size_become_corners(tmp_path, picture, text, corners, words):
    picture("images/train/a.jpg")
    text("labels/train/a.txt", "1 0.5 0.4 0.2 0.4\n0 0.25 0.5 0.5 1.0\n")
    text("data.yaml", NAMES)
    read = yolo.read(tmp_path, None, "y")
    assert corners(read) == [("y/train/a", "car", 0.4, 0.2, 0.6, 0.6), ("y/train/a", "person", 0.0, 0.0, 0.5, 1.0)]
    assert read.images["split"].to_list() == ["train"]
    assert words(read) == {}


def test_a_polygon_becomes_the_box_around_it(tmp_path, picture, text, corners):
    picture("images/a.jpg")
    text("labels/a.txt", "0 0.1 0.5 0.3 0.2 0.6 0.4 0.2 0.9\n")
    text("data.yaml", NAMES)
    assert corners(yolo.read(tmp_path, None, "y")) == [("y/a", "person", 0.1, 0.2, 0.6, 0.9)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", "path: .\nnames:\n  0: person\n  1: car\n"),
        ("my.yml", NAMES),
        ("classes.txt", "person\ncar\n"),
        ("obj.names", "person\r\ncar\r\n"),
        ("labels/classes.txt", "person\ncar"),
    ],
)
def test_class_names_from_each_kind_of_file(tmp_path, picture, text, name, content, words):
    picture("images/a.jpg")
    text("labels/a.txt", "1 0.5 0.5 0.2 0.4")
    text("extra.yaml", "nothing: of interest")
    text(name, content)
    read = yolo.read(tmp_path, None, "y")
    assert read.boxes["label"].to_list() == ["car"]
    assert words(read) == {}


def test_roboflow_and_darknet_layouts(tmp_path, picture, text):
    for start, image, label in (
        ("roboflow", "train/images/a.jpg", "train/labels/a.txt"),
        ("darknet", "obj/a.jpg", "obj/a.txt"),
    ):
        picture(f"{start}/{image}")
        text(f"{start}/{label}", "1 0.5 0.5 0.2 0.4")
        text(f"{start}/classes.txt", "person\ncar")
    roboflow, darknet = (yolo.read(tmp_path / name, None, "y") for name in ("roboflow", "darknet"))
    assert (roboflow.images["image_id"][0], roboflow.boxes.height) == ("y/train/a", 1)
    assert (darknet.images["image_id"][0], darknet.boxes.height) == ("y/obj/a", 1)


def test_each_fault_costs_only_itself(tmp_path, picture, text, words):
    for name in ("a", "background", "test", "not_text"):
        picture(f"images/{name}.jpg")
    bad = ["7 .5 .5 .1 .1", "0 .5 .5 .1", "0 .5 .5 .1 .1 .9 .9 .9", "car .5 .5 .1 .1", "0.5 .5 .5 .1 .1", "nan 0 0 1 1"]
    text("labels/a.txt", "\n".join([*bad, "", *["0 .5 .5 .1 .1"] * 5]))
    text("labels/test.txt", "0 .5 .5 .1 .1")
    text("labels/lost.txt", "0 .5 .5 .1 .1\n0 .5 .5 .1 .1\n")
    (tmp_path / "labels" / "not_text.txt").write_bytes(b"\xff\xff")
    text("data.yaml", NAMES)
    read = yolo.read(tmp_path, None, "y")
    assert read.images.height == 4
    assert sorted(read.boxes["image_id"]) == ["y/a"] * 5 + ["y/test"]
    assert words(read) == {"annotation_malformed": 6, "image_missing": 1, "annotation_unreadable": 1}
    details = " ".join(read.problems["detail"])
    assert "line 1: class 7 has no name; there are 2 (0..1)" in details
    assert "2 boxes were left out with it" in details


def test_a_split_leaves_the_others_alone(tmp_path, picture, text, words):
    for split in ("train", "val"):
        picture(f"images/{split}/a.jpg")
        text(f"labels/{split}/a.txt", "0 .5 .5 .1 .1")
    text("labels/val/lost.txt", "0 .5 .5 .1 .1")
    text("data.yaml", NAMES)
    train, val = (yolo.read(tmp_path, split, "y") for split in ("train", "val"))
    assert (train.images["image_id"].to_list(), words(train)) == (["y/train/a"], {})
    assert (val.images["image_id"].to_list(), words(val)) == (["y/val/a"], {"image_missing": 1})
    with pytest.raises(DataError, match=r"no images of split 'test'. Found splits train, val"):
        yolo.read(tmp_path, "test", "y")


def test_errors_say_what_is_missing(tmp_path, picture, text):
    with pytest.raises(DataError, match=r"no image files. Found nothing; expected images/ and labels/"):
        yolo.read(tmp_path, None, "y")
    picture("images/a.jpg")
    with pytest.raises(DataError, match=r"no class names. Found images/; expected data.yaml with `names:`"):
        yolo.read(tmp_path, None, "y")
    text("data.yaml", "names: [a")
    with pytest.raises(DataError, match=r"data.yaml: not readable as YAML"):
        yolo.read(tmp_path, None, "y")
    text("data.yaml", "names: 3")
    with pytest.raises(DataError, match=r"`names` is not as expected \(it is '3'\). Expected a list"):
        yolo.read(tmp_path, None, "y")
    text("data.yaml", NAMES)
    with pytest.raises(DataError, match=r"no label file for any of 1 images. Expected .*labels/a.txt"):
        yolo.read(tmp_path, None, "y")
