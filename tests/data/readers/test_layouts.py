"""Folders as other tools and sets lay them out."""

import json

import pytest

from thresher.data.readers import READERS
from thresher.data.source_text import read_source
from thresher.errors import DataError, SettingsError

BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n01,x,/m/0k4j,1,.25,.5,.25,.5\n"
CORNERS = (0.25, 0.25, 0.5, 0.5)
VOC = (
    "<annotation><size><width>64</width><height>48</height></size><object><name>cat</name><bndbox><xmin>17</xmin>"
    "<ymin>13</ymin><xmax>32</xmax><ymax>24</ymax></bndbox></object></annotation>"
)


def test_open_images_as_fiftyone_downloads_it(tmp_path, picture, text, corners, words):
    picture("train/data/01.jpg")
    text("train/labels/detections.csv", BOXES)
    text("train/metadata/classes.csv", "/m/0k4j,Car\n")
    read = READERS["open_images"](tmp_path, None, "d")
    assert corners(read) == [("d/data/01", "/m/0k4j", *CORNERS)]
    assert (read.images["split"].to_list(), words(read)) == (["train"], {})
    assert read.vocabulary["name"].to_list() == ["Car"]


def test_open_images_with_the_csv_in_the_folder_of_oidv4(tmp_path, picture, text, corners, words):
    picture("Dataset/train/Car/01.jpg")
    text("csv_folder/train-annotations-bbox.csv", BOXES)
    read = READERS["open_images"](tmp_path, None, "d")
    assert (corners(read), words(read)) == ([("d/Dataset/train/Car/01", "/m/0k4j", *CORNERS)], {})


def test_oxford_pets(tmp_path, picture, text, corners, words):
    picture("images/Abyssinian_1.jpg", (64, 48))
    text("annotations/xmls/Abyssinian_1.xml", VOC)
    text("annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n")
    picture("annotations/trimaps/Abyssinian_1.png", (64, 48))
    read = READERS["voc"](tmp_path, None, "d")
    assert (corners(read), words(read)) == ([("d/Abyssinian_1", "cat", *CORNERS)], {})


@pytest.mark.parametrize("form", ["folder", "yolo", "coco", "voc", "labelme", "cvat"])
def test_the_hidden_tree_that_macos_puts_into_zips_is_no_data(tmp_path, picture, text, form):
    picture("images/a.tga", (64, 48))
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[16, 12], [32, 24]]}
    image = {"id": 1, "file_name": "a.tga", "width": 64, "height": 48}
    coco = {
        "images": [image],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [16, 12, 16, 12]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    files = {
        "folder": {},
        "yolo": {"labels/a.txt": "0 .5 .5 .2 .2\n", "classes.txt": "cat\n"},
        "coco": {"x/a.json": json.dumps(coco)},
        "voc": {"Annotations/a.xml": VOC},
        "labelme": {"images/a.json": json.dumps({"imagePath": "a.tga", "shapes": [shape]})},
        "cvat": {
            "a.xml": '<annotations><image name="a.tga" width="64" height="48"><box label="cat" xtl="16" ytl="12" '
            'xbr="32" ybr="24"/></image></annotations>'
        },
    }[form]
    for name, content in files.items():
        text(name, content)
        text(f"__MACOSX/{name}", "\0\5\26\7")
        folder, _, bare = name.rpartition("/")
        text(f"{folder or '.'}/._{bare}", "\0\5\26\7")
    text("__MACOSX/images/a.tga", "\0\5\26\7")
    read = READERS[form](tmp_path, None, "d")
    assert (read.images.height, read.boxes.height, read.problems.height) == (1, int(form != "folder"), 0)


TABLE = "pfad;art;l;o;b;h;flag\np/a.jpg;car;16;12;16;12;1\na.jpg;;;;;;\nb.jpg;bus;1;;3;4;0\np/a.jpg;bus;8;6;32;24;0\n"
MAP = "image=pfad,label=art,x=l,y=o,width=b,height=h,is_occluded=flag"


def test_a_table_with_its_columns_told(tmp_path, picture, text, words):
    for name in ("photos/p/a.jpg", "photos/b.jpg", "photos/c.jpg"):
        picture(name, (64, 48))
    text("tables/boxes.csv", TABLE.replace("\na.jpg;", "\nc.jpg;"))
    read = read_source(f"d=table:{tmp_path}/tables/boxes.csv", f"{MAP},images={tmp_path}/photos")
    assert read.images["image_id"].to_list() == ["d/b", "d/c", "d/p/a"]
    told = read.boxes.select("image_id", "label", "is_occluded", "x0", "y0", "x1", "y1").rows()
    assert told == [("d/p/a", "car", True, *CORNERS), ("d/p/a", "bus", False, 0.125, 0.125, 0.625, 0.625)]
    assert words(read) == {"annotation_malformed": 1}
    assert read.problems["detail"][0].startswith("boxes.csv row 4: image, label or a number of the box is missing")


def test_a_table_as_parquet_with_a_split(tmp_path, picture, text, corners):
    import polars as pl

    picture("a.jpg", (64, 48))
    picture("b.jpg", (64, 48))
    rows = {"file_name": ["a.jpg", "b.jpg"], "category": [7, 8], "cx": [24, 9], "cy": [18, 9], "w": [16, 2]}
    pl.DataFrame({**rows, "h": [12, 2], "split": ["train", "val"]}).write_parquet(tmp_path / "x.parquet")
    read = READERS["table"](tmp_path, "train", "d")
    assert corners(read) == [("d/a", "7", *CORNERS)]
    assert read.images.select("image_id", "split").rows() == [("d/a", "train")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("image=nein", "no column 'nein'. Found pfad, art"),
        ("image=pfad", "which column holds label, the box. Found pfad, art, .*say it by --columns"),
        (
            f"{MAP},images=/nowhere",
            r"/nowhere: expected a folder \(with the images\), found nothing",
        ),
        (f"{MAP},unit=shares", "boxes are empty or outside their image"),
    ],
)
def test_a_table_that_is_not_understood_is_refused(tmp_path, picture, text, columns, said):
    picture("p/a.jpg", (64, 48))
    text("boxes.csv", TABLE)
    with pytest.raises(DataError, match=said):
        read_source(f"d=table:{tmp_path}/boxes.csv", columns)


@pytest.mark.parametrize("columns", ["image", "picture=a", "image=a,image=b", "unit=miles", "image="])
def test_columns_that_cannot_be_meant(columns):
    with pytest.raises(SettingsError, match="columns"):
        read_source("table:/nowhere", columns)
