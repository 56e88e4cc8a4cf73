import json

import pytest

from thresher.data.readers import coco
from thresher.errors import DataError

CATEGORIES = [{"id": 1, "name": "car", "supercategory": "none"}, {"id": 7}]


def image(number, name, **more):
    return {"id": number, "file_name": name, "width": 20, "height": 10, **more}


def box(number, bbox=(2, 1, 10, 4), category=1, **more):
    return {"id": 1, "image_id": number, "category_id": category, "bbox": list(bbox), **more}


@pytest.fixture
def write(text):
    def written(name, images, annotations, categories=CATEGORIES):
        content = {"images": images, "annotations": annotations, "categories": categories}
        return text(name, json.dumps(content))

    return written


def test_pixels_become_shares_and_categories_labels(tmp_path, picture, write, corners, words):
    picture("train/a.jpg", (99, 99))
    write("annotations/instances_train.json", [image(5, "a.jpg")], [box(5), box(5, (0, 0, 20, 10), 7)])
    read = coco.read(tmp_path, None, "c")
    assert read.images.rows() == [("c/train/a", str(tmp_path / "train/a.jpg"), "c", "train", 20, 10)]
    assert corners(read) == [("c/train/a", "car", 0.1, 0.1, 0.6, 0.5), ("c/train/a", "7", 0.0, 0.0, 1.0, 1.0)]
    assert words(read) == {}


def test_flags(tmp_path, picture, write):
    picture("a.jpg")
    every = {"occluded": True, "truncated": False, "depiction": None, "inside": 1}
    boxes = [
        box(1, iscrowd=1),
        box(1, iscrowd=0, attributes=every),
        box(1),
        box(1, iscrowd=0, attributes={"group": None}),
    ]
    write("annotations/instances_x.json", [image(1, "a.jpg")], boxes)
    flags = ["is_group", "is_occluded", "is_truncated", "is_depiction", "is_inside"]
    assert coco.read(tmp_path, None, "c").boxes.select(flags).rows() == [
        (True, None, None, None, None),
        (False, True, False, None, True),
        (None, None, None, None, None),
        (None, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("json_file", "file", "name", "split", "image_id"),
    [
        ("annotations/instances_val2017.json", "val2017/a.jpg", "a.jpg", "val2017", "c/val2017/a"),
        ("annotations/instances_val.json", "images/val/a.jpg", "a.jpg", "val", "c/images/val/a"),
        ("annotations/instances_val.json", "images/a.jpg", "a.jpg", "val", "c/images/a"),
        ("annotations/instances_val.json", "data/a.jpg", "data/a.jpg", "val", "c/data/a"),
        ("annotations/instances_val.json", "data/a.jpg", r"data\a.jpg", "val", "c/data/a"),
        ("valid/_annotations.coco.json", "valid/a.jpg", "a.jpg", "valid", "c/valid/a"),
        ("labels_test.json", "a.jpg", "a.jpg", "test", "c/a"),
        ("result.json", "a.jpg", "a.jpg", None, "c/a"),
    ],
)
def test_images_and_splits_are_found_where_tools_put_them(
    tmp_path, picture, write, json_file, file, name, split, image_id
):
    picture(file)
    write(json_file, [image(1, name)], [box(1)])
    for asked in {None, split}:
        read = coco.read(tmp_path, asked, "c")
        assert read.images.select("image_id", "split").rows() == [(image_id, split)]
        assert read.boxes.height == 1


def test_absolute_names_and_whole_ids(tmp_path, picture, write, words):
    outside = picture("elsewhere/a.jpg")
    picture("elsewhere/b.jpg")
    write("set/annotations/instances_x.json", [image(1, str(outside), thresher_id="kitti/7")], [box(1)])
    read = coco.read(tmp_path / "set", None, "")
    assert read.images.select("image_id", "dataset", "path").rows() == [("kitti/7", "kitti", str(outside))]
    assert words(read) == {}  # what else lies in a folder outside is none of this set's business


def test_a_missing_size_is_read_from_the_header(tmp_path, picture, write, corners, words):
    picture("a.jpg", (40, 20))
    (tmp_path / "b.jpg").write_bytes(b"no image")
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg", "width": 0, "height": 10}]
    write("all.json", images, [box(1, (4, 2, 8, 4)), box(2), box(2)])
    read = coco.read(tmp_path, None, "c")
    assert corners(read) == [("c/a", "car", 0.1, 0.1, 0.3, 0.3)]
    assert words(read) == {"image_unreadable": 1}
    assert "2 boxes were left out with it" in read.problems["detail"][0]


def test_each_fault_costs_only_itself(tmp_path, picture, write, words):
    for name in ("a.jpg", "same.jpg", "same.png", "unnamed.jpg"):
        picture(f"train/{name}")
    images = [image(1, "a.jpg"), image(2, "same.jpg"), image(3, "same.png"), image(4, "gone.jpg"), {"id": 5}]
    bad = [box(99), box(1, category=2), box(1, (1, 2)), {"id": 3, "image_id": 1, "category_id": 1}]
    good = [box(1), box(2), box(3), box(4), box(4), box(1, (2, 2, 0, 5))]
    write("annotations/instances_train.json", images, bad + good)
    read = coco.read(tmp_path, None, "c")
    assert sorted(read.images["image_id"]) == ["c/train/a", "c/train/same", "c/train/unnamed"]
    assert sorted(read.boxes["image_id"]) == ["c/train/a", "c/train/same"]
    assert words(read) == {
        "annotation_malformed": 4,
        "duplicate_id": 1,
        "box_without_image": 1,
        "image_missing": 2,
        "annotation_missing": 1,
        "box_empty": 1,
    }
    missing = read.problems.filter(image_id="c/gone")
    assert "2 boxes were left out with it" in missing["detail"][0]


def test_an_image_in_two_files_keeps_the_boxes_of_the_first(tmp_path, picture, write, words):
    picture("images/a.jpg")
    picture("images/b.jpg")
    write("annotations/instances_all.json", [image(1, "a.jpg"), image(2, "b.jpg")], [box(1), box(1), box(2)])
    write("annotations/instances_few.json", [image(9, "a.jpg")], [box(9)])
    read = coco.read(tmp_path, None, "c")
    assert sorted(read.boxes["image_id"]) == ["c/images/a", "c/images/a", "c/images/b"]
    assert words(read) == {"duplicate_id": 1}
    few = coco.read(tmp_path, "few", "c")
    assert (few.images.height, few.boxes.height, words(few)) == (1, 1, {})  # b may well be of another split


def test_other_json_is_passed_over(tmp_path, picture, write, text):
    picture("train/a.jpg")
    write("annotations/instances_train.json", [image(1, "a.jpg")], [box(1)])
    write("annotations/captions_train.json", [image(1, "a.jpg")], [{"id": 1, "image_id": 1, "caption": "a car"}])
    text("package.json", "{}")
    assert coco.read(tmp_path, "train", "c").boxes.height == 1


def test_errors_say_what_was_found(tmp_path, picture, write, text):
    with pytest.raises(
        DataError, match=r"no COCO annotations. Found nothing .*expected annotations/instances_SPLIT.json"
    ):
        coco.read(tmp_path, None, "c")
    text("other.json", '{"images": []}')
    with pytest.raises(DataError, match=r"no COCO annotations. Found other.json"):
        coco.read(tmp_path, None, "c")
    write("annotations/instances_train.json", [image(1, "a.jpg")], [box(1)])
    with pytest.raises(
        DataError, match=r"none of the 1 images .* is on disk \(first: 'a.jpg'\). Expected them in train/"
    ):
        coco.read(tmp_path, None, "c")
    with pytest.raises(DataError, match=r"no JSON of split 'val'. Found annotations/instances_train.json"):
        coco.read(tmp_path, "val", "c")
    text("annotations/instances_train.json", '{"images": [')
    with pytest.raises(DataError, match=r"not readable as JSON .* Download or export the file again"):
        coco.read(tmp_path, None, "c")
    write("annotations/instances_train.json", [1], [])
    with pytest.raises(DataError, match="1 of 1 image entries cannot be read .*expected an object with id, file_name"):
        coco.read(tmp_path, None, "c")
