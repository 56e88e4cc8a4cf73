import itertools
import json

import pytest

from thresher.data.readers import open_images
from thresher.errors import DataError

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
ROW = "a,xclick,/m/0k4j,1,0.1,0.3,0.2,0.6,-1,0,1,0,0"


@pytest.fixture
def pool(tmp_path, picture, text):
    """Two images and a box file of the given rows."""

    def make(*rows, header=HEADER, name="train-annotations-bbox.csv", end="\n"):
        picture("images/a.jpg")
        picture("images/b.jpg")
        text(name, end.join([header, *rows, ""]))
        return tmp_path

    return make


def test_columns_in_their_real_order_and_flags(pool, corners, words):
    read = open_images.read(pool(ROW), None, "oi")
    assert corners(read) == [("oi/a", "/m/0k4j", 0.1, 0.2, 0.3, 0.6)]
    box = read.boxes.row(0, named=True)
    flags = [box[f"is_{name}"] for name in ("occluded", "truncated", "group", "depiction", "inside")]
    assert flags == [None, False, True, False, False]
    assert read.images.select("image_id", "split", "width_px").rows() == [
        ("oi/a", "train", None),
        ("oi/b", "train", None),
    ]
    assert words(read) == {}


@pytest.mark.parametrize("order", list(itertools.permutations(("XMin", "XMax", "YMin", "YMax")))[::5])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_order_separator_and_line_end(pool, corners, order, separator, end):
    values = {"XMin": "0.1", "XMax": "0.3", "YMin": "0.2", "YMax": "0.6"}
    header = separator.join(["", "LabelName", *order, " ImageID "])
    row = separator.join(["0", "/m/0k4j", *(values[name] for name in order), "a"])
    read = open_images.read(pool(row, row, header=header, end=end), None, "oi")
    assert corners(read) == [("oi/a", "/m/0k4j", 0.1, 0.2, 0.3, 0.6)] * 2
    assert read.boxes["is_group"].to_list() == [None, None]


def test_ids_that_look_like_numbers_stay_as_they_are(pool, picture):
    picture("images/000000000000001e5.jpg")
    root = pool("000000000000001e5,,12,1,0,1,0,1,,,,,")
    read = open_images.read(root, None, "oi")
    assert read.boxes.select("image_id", "label").rows() == [("oi/000000000000001e5", "12")]


@pytest.mark.parametrize("image", ["a.jpg", "./images/a.JPG", r"images\a.jpg", "somewhere/else/a.png", "/a"])
def test_ids_written_as_paths_find_their_image(pool, image, words):
    read = open_images.read(pool(ROW.replace("a,", f"{image},", 1)), None, "oi")
    assert read.boxes["image_id"].to_list() == ["oi/a"]
    assert words(read) == {}


def test_a_stem_that_two_images_share_finds_none(pool, picture, words):
    for width, name in enumerate(("images/1/c.jpg", "images/2/c.jpg")):
        picture(name, (20 + width, 10))
    rows = [ROW, ROW.replace("a,", "1/c,", 1), ROW.replace("a,", "3/c,", 1)]
    read = open_images.read(pool(*rows), None, "oi")
    assert sorted(read.boxes["image_id"]) == ["oi/1/c", "oi/a"]
    assert words(read) == {"image_missing": 1}


def test_each_fault_costs_only_itself(pool, words):
    blank = "," * 12
    gone = [ROW.replace("a,", "gone,", 1)] * 3
    bad = [ROW.replace("0.3", "wide"), ROW.replace("a,", ",", 1), "a,xclick"]
    off = [ROW.replace("0.3", "0.05"), ROW.replace("0.3", "1.2")]
    read = open_images.read(pool(ROW, ROW, blank, blank, *gone, *bad, *off, ROW, ROW), None, "oi")
    assert read.boxes.height == 5
    assert words(read) == {
        "blank_rows": 1,
        "annotation_malformed": 3,
        "image_missing": 1,
        "box_empty": 1,
        "box_clipped": 1,
    }
    details = dict(read.problems.select("problem", "detail").iter_rows())
    assert "2 blank rows were left out" in details["blank_rows"]
    assert "3 boxes of train-annotations-bbox.csv were left out with it" in details["image_missing"]
    assert read.problems.filter(problem="image_missing")["image_id"].to_list() == ["oi/gone"]
    assert "row 9:" in read.problems.filter(problem="annotation_malformed")["detail"][0]


def test_splits_by_folder_and_by_file_name(tmp_path, picture, text, words):
    for split, name in (("train", "a"), ("validation", "v"), ("test", "t")):
        picture(f"images/{split}/{name}.jpg")
    text("annotations/oidv6-train-annotations-bbox.csv", f"{HEADER}\n{ROW}\n")
    text("annotations/validation-annotations-bbox.csv", f"{HEADER}\n{ROW.replace('a,', 'v,', 1)}\n")
    every = open_images.read(tmp_path, None, "oi")
    assert sorted(every.images.select("image_id", "split").rows()) == [
        ("oi/a", "train"),
        ("oi/t", "test"),
        ("oi/v", "validation"),
    ]
    train = open_images.read(tmp_path, "train", "oi")
    assert (train.images["image_id"].to_list(), train.boxes.height, words(train)) == (["oi/a"], 1, {})
    with pytest.raises(DataError, match=r"no box file of split 'test'. Found oidv6-train-annotations-bbox.csv, valid"):
        open_images.read(tmp_path, "test", "oi")


def test_splits_of_one_folder_by_the_file_that_names_the_image(pool, text, words):
    root = pool(ROW)
    text("validation-annotations-bbox.csv", f"{HEADER}\n{ROW.replace('a,', 'b,', 1)}\n{ROW}\n")
    every = open_images.read(root, None, "oi")
    assert every.images.select("image_id", "split").rows() == [("oi/a", "train"), ("oi/b", "validation")]
    assert sorted(every.boxes["image_id"]) == ["oi/a", "oi/b"]
    assert words(every) == {"duplicate_id": 1}
    assert open_images.read(root, "train", "oi").images["image_id"].to_list() == ["oi/a"]


def test_split_folders_beside_the_files(tmp_path, picture, text):
    picture("train/train_0/a.jpg")
    text("train-annotations-bbox.csv", f"{HEADER}\n{ROW}\n")
    read = open_images.read(tmp_path, None, "oi")
    assert read.images.select("image_id", "split").rows() == [("oi/train_0/a", "train")]
    assert read.boxes["image_id"].to_list() == ["oi/train_0/a"]


TREE = {
    "LabelName": "/m/root",
    "Subcategory": [
        {
            "LabelName": "/m/vehicle",
            "Subcategory": [
                {"LabelName": "/m/land", "Subcategory": [{"LabelName": "/m/car"}, {"LabelName": "/m/toycar"}]}
            ],
            "Part": [{"LabelName": "/m/wheel", "Subcategory": [{"LabelName": "/m/rim"}]}],
        },
        {"LabelName": "/m/toy", "Subcategory": [{"LabelName": "/m/toycar"}]},
    ],
}
NAMES = {"/m/vehicle": "Vehicle", "/m/land": "Land vehicle", "/m/car": "Car, or automobile", "/m/toy": "Toy"}


@pytest.mark.parametrize("header", ["", "label,name\n", "LabelName,DisplayName\n"])
@pytest.mark.parametrize(
    "name", ["class-descriptions-boxable.csv", "annotations/class-descriptions.csv", "oidv6-class-descriptions.csv"]
)
def test_vocabulary_holds_names_and_all_wider_labels(pool, text, header, name):
    root = pool(ROW)
    text(name, header + "".join(f'{label},"{word}"\n' for label, word in NAMES.items()))
    text("bbox_labels_600_hierarchy.json", json.dumps(TREE))
    vocabulary = {row[0]: row[1:] for row in open_images.read(root, None, "oi").vocabulary.iter_rows()}
    assert vocabulary == {
        "/m/vehicle": ("Vehicle", []),
        "/m/land": ("Land vehicle", ["/m/vehicle", "Vehicle"]),
        "/m/car": ("Car, or automobile", ["/m/land", "Land vehicle", "/m/vehicle", "Vehicle"]),
        "/m/toycar": (None, ["/m/land", "Land vehicle", "/m/toy", "Toy", "/m/vehicle", "Vehicle"]),
        "/m/toy": ("Toy", []),
        "/m/wheel": (None, []),  # a part of a vehicle is no vehicle
        "/m/rim": (None, ["/m/wheel"]),
    }


@pytest.mark.parametrize(
    "text_of_names", ["/m/car;Car\r/m/toy;Toy", "/m/car\tCar\n/m/toy\tToy\n\n", "/m/car,Car\r\n/m/toy,Toy"]
)
def test_names_in_forms_found_in_the_wild(pool, text, text_of_names):
    root = pool(ROW)
    text("class-descriptions-boxable.csv", text_of_names)
    assert open_images.read(root, None, "oi").vocabulary.rows() == [("/m/car", "Car", []), ("/m/toy", "Toy", [])]


def test_hierarchy_of_the_first_releases_by_name(pool, text):
    root = pool(ROW)
    text("dict.csv", '"/m/car","Car"\n"/m/vehicle","Vehicle"\n')
    tree = {"name": "Entity", "children": [{"name": "Vehicle", "children": [{"name": "Car", "size": 1000}]}]}
    text("bbox_hierarchy.json", json.dumps(tree))
    rows = open_images.read(root, None, "oi").vocabulary.rows()
    assert rows == [("/m/car", "Car", ["/m/vehicle", "Vehicle"]), ("/m/vehicle", "Vehicle", [])]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (
            [ROW.replace("0.3", "310").replace("0.6", "200")],
            HEADER,
            "corners are pixels in 1 of 1 rows (first: image a",
        ),
        (
            [ROW.replace("0.3", "0.05")],
            HEADER,
            "XMax < XMin or YMax < YMin in 1 of 1 rows (first: image a). Columns are XMin,XMax,YMin,YMax; "
            "was the file written as XMin,YMin,XMax,YMax?",
        ),
        (["img.png,1,2,3,4,ball"], "image,xmin,ymin,xmax,ymax,label", "no column ImageID, LabelName, XMin, XMax, YMin"),
        ([ROW.replace("a,", "other,", 1)], HEADER, "none of the 1 images in the box files is among the 2 image files"),
    ],
)
def test_files_that_are_not_what_they_say(pool, rows, header, message):
    with pytest.raises(DataError) as error:
        open_images.read(pool(*rows, header=header), None, "oi")
    assert message in str(error.value)
    assert "train-annotations-bbox.csv" in str(error.value) or "box files" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest of a workbook", "zip file, probably an Excel workbook"),
        (b"", "the file is empty"),
        (b"\x1f\x8bpacked", "compressed"),
        ("ImageID,LabelName".encode("utf-16"), "UTF-16"),
    ],
)
def test_files_that_are_no_text(pool, content, message):
    root = pool(ROW)
    (root / "train-annotations-bbox.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_images.read(root, None, "oi")


def test_errors_say_what_is_missing(tmp_path, text):
    with pytest.raises(DataError, match=r"no box file. Found nothing; expected \*annotations-bbox.csv here"):
        open_images.read(tmp_path, None, "oi")
    text("train-annotations-bbox.csv", f"{HEADER}\n{ROW}\n")
    with pytest.raises(DataError, match=r"no image folder found. Found train-annotations-bbox.csv; expected images in"):
        open_images.read(tmp_path, None, "oi")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "class-descriptions.csv",
            "/m/car,Car\n/m/toy\n/m/bus\n",
            "2 of 3 class names cannot be read (first: class-descriptions.csv line 2: one field; found '/m/toy'",
        ),
        ("class-descriptions.csv", "PK\x03\x04", "Excel"),
        ("bbox_hierarchy.json", "{", "not readable as JSON"),
        ("bbox_hierarchy.json", "[]", "expected one object with LabelName and Subcategory; found a list"),
        ("bbox_hierarchy.json", '{"Subcategory": [{}]}', "its root has no name"),
        ("bbox_hierarchy.json", '{"LabelName": "/m/0", "Subcategory": [{}]}', "1 of 1 hierarchy nodes cannot be read"),
    ],
)
def test_errors_of_the_vocabulary_name_its_file(pool, text, name, content, message):
    root = pool(ROW)
    text(name, content)
    with pytest.raises(DataError) as error:
        open_images.read(root, None, "oi")
    assert message in str(error.value)
    assert name in str(error.value)
