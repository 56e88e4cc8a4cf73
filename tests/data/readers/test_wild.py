"""Kinds of files that were met in public repositories and issue trackers: each is read rightly, or refused in words."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher.data.readers import READERS
from thresher.errors import DataError

NAMES = "names: [person, car]\n"
CAR = {"category_id": 1, "bbox": [1, 2, 11, 22]}
#: CAR in a picture of 64 × 48 pixels.
CAR_CORNERS = (1 / 64, 2 / 48, 12 / 64, 24 / 48)


@pytest.fixture
def photo(picture) -> Callable[..., Path]:
    return lambda name, size=(64, 48): picture(name, size)


@pytest.fixture
def coco(text) -> Callable[..., Path]:
    """Writes a COCO file of the category 1, car."""

    def write(name: str, images: list[object], annotations: list[object]) -> Path:
        categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
        return text(name, json.dumps({"images": images, "annotations": annotations, "categories": categories}))

    return write


def image(number: object, name: str, **more: object) -> dict[str, object]:
    return {"id": number, "file_name": name, "width": 64, "height": 48, **more}


def corners_of(form: str, root: Path) -> list[tuple[float, ...]]:
    read = READERS[form](root, None, "d")
    return [tuple(row) for row in read.boxes.select("x0", "y0", "x1", "y1").iter_rows()]


def test_coco_ids_as_numbers_here_and_text_there(tmp_path, photo, coco, words):
    """The VGG Image Annotator writes image_id as text."""
    photo("images/a.jpg")
    photo("images/b.jpg")
    annotations = [{**CAR, "image_id": "0"}, {**CAR, "image_id": "1", "category_id": "2"}]
    coco("annotations/instances_train.json", [image(0, "a.jpg"), image(1, "b.jpg")], annotations)
    read = READERS["coco"](tmp_path, None, "d")
    assert read.boxes.select("image_id", "label").rows() == [("d/images/a", "car"), ("d/images/b", "person")]
    assert words(read) == {}


def test_coco_of_two_images_with_one_id_gives_neither_the_other_s_boxes(tmp_path, photo, coco, words):
    for name in "abc":
        photo(f"images/{name}.jpg")
    images = [image(1, "a.jpg"), image(1, "b.jpg"), image(2, "c.jpg")]
    file = coco("annotations/instances_x.json", images, [{**CAR, "image_id": 1}, {**CAR, "image_id": 2}])
    read = READERS["coco"](tmp_path, None, "d")
    assert read.images.height == 3
    assert read.boxes["image_id"].to_list() == ["d/images/c"]
    assert words(read) == {"annotation_malformed": 1}
    file.unlink()
    coco("annotations/instances_x.json", images, [{**CAR, "image_id": 1}])
    with pytest.raises(DataError, match=r"2 images have the id 1 \(a.jpg, b.jpg\): which is meant"):
        READERS["coco"](tmp_path, None, "d")


@pytest.mark.parametrize("attributes", [["red"], [3, 5], "red", 7, None, {}, {"occluded": ["yes"]}])
def test_coco_attributes_that_are_no_flags_say_nothing(tmp_path, photo, coco, words, attributes):
    photo("a.jpg")
    coco("x.json", [image(1, "a.jpg")], [{**CAR, "image_id": 1, "attributes": attributes}])
    read = READERS["coco"](tmp_path, None, "d")
    assert read.boxes.select("label", "is_occluded").rows() == [("car", None)]
    assert words(read) == {}


@pytest.mark.parametrize(("written", "meant"), [("0", False), ("1", True), ("false", False), (0.0, False), ("?", None)])
def test_coco_iscrowd_as_text(tmp_path, photo, coco, written, meant):
    photo("a.jpg")
    coco("x.json", [image(1, "a.jpg")], [{**CAR, "image_id": 1, "iscrowd": written}])
    assert READERS["coco"](tmp_path, None, "d").boxes["is_group"].to_list() == [meant]


def test_coco_of_polygons_alone_has_the_boxes_around_them(tmp_path, photo, coco):
    photo("a.jpg")
    polygons = [[1, 2, 12, 2, 12, 24], [5, 5, 6, 6, 7, 5]]
    coco("x.json", [image(1, "a.jpg")], [{"image_id": 1, "category_id": 1, "segmentation": polygons}])
    assert corners_of("coco", tmp_path) == [pytest.approx(CAR_CORNERS)]


def test_coco_as_fiftyone_and_lvis_lay_it_out(tmp_path, photo, coco):
    photo("data/a.jpg")
    labels = coco("labels.json", [image(1, "a.jpg")], [{**CAR, "image_id": 1}])
    assert corners_of("coco", tmp_path) == [pytest.approx(CAR_CORNERS)]
    labels.unlink()
    photo("val2017/000000397133.jpg")
    entry = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg", "width": 64, "height": 48}
    coco("annotations/lvis_v1_val.json", [entry], [{**CAR, "image_id": 1}])
    assert corners_of("coco", tmp_path) == [pytest.approx(CAR_CORNERS)]


@pytest.mark.parametrize("stray", ["annotations/._train.json", ".vscode/settings.json", ".ipynb_checkpoints/x.json"])
def test_coco_passes_over_hidden_files(tmp_path, photo, coco, text, stray):
    photo("images/a.jpg")
    coco("annotations/train.json" if "annot" in stray else "all.json", [image(1, "a.jpg")], [{**CAR, "image_id": 1}])
    text(stray, "\0\5\26\7 // no JSON")
    assert corners_of("coco", tmp_path) == [pytest.approx(CAR_CORNERS)]


def test_coco_of_shares_is_refused(tmp_path, photo, coco):
    photo("a.jpg")
    shares = [{"image_id": 1, "category_id": 1, "bbox": [0.1, 0.2, 0.3, 0.4]}] * 2
    coco("x.json", [image(1, "a.jpg")], [*shares, {**CAR, "image_id": 1}])
    with pytest.raises(DataError, match=r"2 of 3 boxes lie within the first pixel .* are these shares of the image"):
        READERS["coco"](tmp_path, None, "d")


@pytest.mark.parametrize(
    ("shape", "behind"),
    [("", " 0.87"), ("kpt_shape: [4, 2]", " .1 .1 .2 .2 .3 .3 .4 .4"), ("kpt_shape: [17, 3]", " .1 .1 2" * 17)],
)
def test_yolo_lines_with_a_confidence_or_keypoints_behind_the_box(tmp_path, photo, text, words, shape, behind):
    photo("images/a.jpg")
    text("labels/a.txt", f"0 .5 .5 .2 .2{behind}\n")
    text("data.yaml", f"{NAMES}{shape}\n")
    read = READERS["yolo"](tmp_path, None, "d")
    assert corners_of("yolo", tmp_path) == [pytest.approx((0.4, 0.4, 0.6, 0.6))]
    assert words(read) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 320 240 100 50", "boxes are empty or outside their image .*Expected centre and size as shares"),
        (
            "0 0,5 0,5 0,2 0,2",
            "label lines cannot be read .*found '0 0,5 0,5 0,2 0,2', expected class x y w h as shares",
        ),
        ("car .5 .5 .2 .2", "label lines cannot be read .*could not convert string to float: 'car'"),
        ("7 .5 .5 .2 .2", "label lines cannot be read .*class 7 has no name"),
    ],
)
def test_yolo_that_would_lose_its_boxes_is_refused(tmp_path, photo, text, line, said):
    photo("images/a.jpg")
    text("labels/a.txt", f"{line}\n" * 3)
    text("data.yaml", NAMES)
    with pytest.raises(DataError, match=f"3 of 3 {said}"):
        READERS["yolo"](tmp_path, None, "d")


def test_yolo_passes_over_what_is_no_label_file(tmp_path, photo, text, words):
    photo("a.jpg")
    text("a.txt", "1 .5 .5 .2 .2\n")
    text("classes.txt", "person\ncar\n")
    text("README.txt", "Exported by a tool.\nSee its website.\n")
    for hidden in ("._a.txt", ".ipynb_checkpoints/a-checkpoint.txt"):
        text(hidden, "0 .5 .5 .2 .2\n")
    read = READERS["yolo"](tmp_path, None, "d")
    assert (read.images.height, read.boxes["label"].to_list(), words(read)) == (1, ["car"], {})


def test_yolo_names_as_one_text_are_refused(tmp_path, photo, text):
    photo("images/a.jpg")
    text("labels/a.txt", "0 .5 .5 .2 .2\n")
    text("data.yaml", "names: person\n")
    with pytest.raises(DataError, match=r"`names` is not as expected \(it is 'person'\). Expected a list of names"):
        READERS["yolo"](tmp_path, None, "d")


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JFIF"])
def test_images_by_every_ending_that_is_decoded(tmp_path, photo, text, words, suffix):
    photo("a.jpg").rename(tmp_path / f"a{suffix}")
    text("a.txt", "0 .5 .5 .2 .2\n")
    text("classes.txt", "person")
    read = READERS["yolo"](tmp_path, None, "d")
    assert (read.images.height, read.boxes.height, words(read)) == (1, 1, {})


@pytest.mark.parametrize(
    ("photos", "masks"),
    [
        ("images/{}.jpg", "masks/{}_mask.png"),
        ("images/10k/train/{}.jpg", "labels/sem_seg/masks/train/{}.png"),
        ("train/{}.jpg", "trainannot/{}_L.png"),
        ("train/{}.jpg", "train/{}_mask.png"),
    ],
)
def test_masks_pair_by_the_one_rule(tmp_path, photo, words, photos, masks):
    for number in range(3):
        photo(photos.format(number))
        photo(masks.format(number))
    photo("labels/sem_seg/colormaps/train/0.png")
    read = READERS["masks"](tmp_path, None, "d")
    assert read.images["path"].to_list() == [str(tmp_path / photos.format(number)) for number in range(3)]
    assert read.masks["path"].to_list() == [str(tmp_path / masks.format(number)) for number in range(3)]
    assert words(read) == {}


def test_masks_that_pair_with_nothing_are_refused(tmp_path, photo):
    for number in range(3):
        photo(f"images/{number}.jpg")
        photo(f"masks/{number}_other.png")
    with pytest.raises(DataError, match=r"none of 3 images has a mask. Found 3 masks .*or with one of _mask, "):
        READERS["masks"](tmp_path, None, "d")


def test_cityscapes_whose_labels_are_of_another_set_is_refused(tmp_path, photo):
    photo("leftImg8bit/train/0/024541_leftImg8bit.png")
    photo("gtFine/train/0/024541_gtFine_labellevel3Ids.png")
    with pytest.raises(DataError, match=r"none of 1 frames has a label file. Found 024541_gtFine_labellevel3Ids.png"):
        READERS["cityscapes_polygons"](tmp_path, None, "d")
    assert READERS["cityscapes"](tmp_path, None, "d").drawings[0].labels[9] == "car"


def test_kitti_whose_label_files_are_of_other_images_is_refused(tmp_path, photo, text):
    photo("image_2/000001.png")
    text("label_2/1.txt", "Car 0 0 0 1 1 9 9\n")
    with pytest.raises(DataError, match=r"none of 1 label files has the name of an image \(first: 1.txt, 000001.png\)"):
        READERS["kitti"](tmp_path, None, "d")


HEADER = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf,IsDepiction"


def test_open_images_flags_as_words(tmp_path, photo, text):
    photo("images/a.jpg")
    text("train-annotations-bbox.csv", f"{HEADER}\na,/m/0k4j,.1,.3,.2,.6,True,false,TRUE\n")
    flags = READERS["open_images"](tmp_path, None, "d").boxes.select("is_occluded", "is_group", "is_depiction").rows()
    assert flags == [(True, False, True)]


def test_open_images_with_one_image_in_the_folders_of_two_classes(tmp_path, photo, text, words):
    photo("train/Car/0001.jpg")
    photo("train/Person/0001.jpg")
    photo("train/Car/0002.jpg", (60, 48))
    rows = ["0001,Car,.1,.3,.2,.6,0,0,0", "0001,Person,.1,.3,.2,.6,0,0,0", "0002,Car,.1,.3,.2,.6,0,0,0"]
    text("train-annotations-bbox.csv", "\n".join([HEADER, *rows]))
    read = READERS["open_images"](tmp_path, None, "d")
    assert sorted(read.boxes["image_id"]) == ["d/Car/0001", "d/Car/0001", "d/Car/0002"]
    assert words(read) == {"duplicate_id": 1}


def test_open_images_with_decimal_commas_is_refused(tmp_path, photo, text):
    photo("images/a.jpg")
    header = "ImageID;LabelName;XMin;XMax;YMin;YMax"
    text("train-annotations-bbox.csv", f"{header}\na;/m/0k4j;0,1;0,3;0,2;0,6\n")
    with pytest.raises(DataError, match=r"1 of 1 rows of boxes cannot be read .*'a;/m/0k4j;0,1;0,3;0,2;0,6'"):
        READERS["open_images"](tmp_path, None, "d")


def encoded(form: str = "JPEG", grey: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), grey, np.uint8)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("key", ["category", "label", "category_id"])
def test_parquet_categories_by_number_get_their_names_whatever_the_key(tmp_path, key):
    objects = {"bbox": [[1.0, 2.0, 11.0, 22.0]], key: [1]}
    table = pl.DataFrame({"image": [{"bytes": encoded()}], "objects": [objects]})
    features = {"objects": {"bbox": {"feature": {"dtype": "float32"}}, key: {"feature": {"names": ["person", "car"]}}}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table.write_parquet(tmp_path / "a.parquet", metadata=metadata)
    assert READERS["parquet"](tmp_path, None, "d").boxes["label"].to_list() == ["car"]


@pytest.mark.parametrize("column", ["annotations", "faces"])
def test_parquet_boxes_in_a_column_of_another_name(tmp_path, column):
    objects = {"category_id": [3], "category_name": ["car"], "bbox": [[1.0, 2.0, 11.0, 22.0]]}
    pl.DataFrame({"image": [encoded()], column: [objects]}).write_parquet(tmp_path / "a.parquet")
    read = READERS["parquet"](tmp_path, None, "d")
    assert read.boxes["label"].to_list() == ["car"]
    assert corners_of("parquet", tmp_path) == [pytest.approx(CAR_CORNERS)]


def test_webdataset_boxes_under_annotations_and_a_mask_before_its_photo(tmp_path, words):
    sidecar = json.dumps({"annotations": [{"bbox": [1, 2, 11, 22], "category": "car"}]}).encode()
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, content in (("k.png", encoded("PNG")), ("k.jpg", encoded()), ("k.json", sidecar)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    read = READERS["webdataset"](tmp_path, None, "d")
    assert [path.rsplit("/", 1)[1] for path in read.images["path"]] == ["k.jpg"]
    assert corners_of("webdataset", tmp_path) == [pytest.approx(CAR_CORNERS)]
    assert words(read) == {}
