"""Every real set, read whole: images against the files on disk, boxes against a parse of their files in a few lines."""

import csv
import json
import os
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from thresher.data.exports import FORMATS
from thresher.data.readers import READERS

DATA = Path(__file__).resolve().parents[3] / "shared/data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data in shared/data is not there"),
]

#: Reader, folder, images by DATA.md, folder of the images if the set has other pictures too, problems that are known.
SETS = [
    ("open_images", "weak/mixed/open_images_layout", 1185, "", {}),
    ("kitti", "weak/street/kitti", 101, "", {}),
    ("voc", "weak/street/dashcam_cn_voc", 98, "", {}),
    ("coco", "weak/street/adas_peru_coco", 175, "", {}),
    ("coco", "weak/street/traffic_vn_coco", 97, "", {}),
    ("voc", "weak/street/traffic_lights_cn_voc", 279, "", {}),
    ("yolo", "weak/street/cctv_yolo", 101, "", {}),
    ("voc", "weak/street/pennfudan", 170, "PNGImages_as_jpg", {}),
    ("yolo", "weak/general/coco128_yolo", 256, "", {"image_missing": 2}),
    ("coco", "weak/general/coco_mini_coco", 156, "", {}),
    ("coco", "weak/general/openimages_mini_coco", 72, "", {}),
    ("coco", "weak/general/amenity_indoor_coco", 90, "", {}),
    ("coco", "weak/general/car_photos_coco", 300, "", {}),
    ("voc", "weak/general/portraits_voc", 100, "", {}),
    ("voc", "weak/general/raccoon_voc", 200, "", {}),
    ("voc", "weak/general/monkeys_voc", 30, "", {}),
]


def labels_open_images(root):
    with (root / "train-annotations-bbox.csv").open() as file:
        return Counter(row["LabelName"] for row in csv.DictReader(file))


def labels_kitti(root):
    return Counter(line.split()[0] for path in root.rglob("*.txt") for line in path.read_text().splitlines())


def labels_voc(root):
    xml = "".join(path.read_text() for path in root.rglob("*.xml"))
    txt = "".join(path.read_text() for path in root.glob("Annotation/*.txt"))
    return Counter(
        re.findall(r"<object>\s*<name>([^<]*)", xml) + re.findall(r'Bounding box for object \d+ "(\w+)"', txt)
    )


def labels_coco(root):
    found = Counter()
    for content in (json.loads(path.read_text()) for path in root.glob("annotations/*.json")):
        names = {each["id"]: each["name"] for each in content["categories"]}
        found += Counter(names[each["category_id"]] for each in content["annotations"])
    return found


def labels_yolo(root):
    names = dict(re.findall(r"^ +(\d+): (.+)$", next(root.glob("*.yaml")).read_text(), re.MULTILINE))
    stems = {path.stem for path in root.rglob("*.jpg")}
    files = [path for path in root.rglob("labels/**/*.txt") if path.stem in stems]  # two have no image
    return Counter(names[line.split()[0]] for path in files for line in path.read_text().splitlines() if line)


@pytest.mark.parametrize(("reader", "folder", "count", "images", "problems"), SETS, ids=[each[1] for each in SETS])
def test_images_boxes_and_labels_are_all_there(reader, folder, count, images, problems):
    root = DATA / folder
    read = READERS[reader](root, None, "set")
    on_disk = [os.path.join(path, name) for path, _, names in os.walk(root / images) for name in names]
    assert sorted(read.images["path"]) == sorted(path for path in on_disk if path.endswith(".jpg"))
    assert read.images.height == count
    assert dict(Counter(read.problems["problem"])) == problems
    assert Counter(read.boxes["label"]) == globals()[f"labels_{reader}"](root)
    assert read.boxes["image_id"].is_in(read.images["image_id"].implode()).all()
    assert read.boxes.filter((pl.col("x0") >= pl.col("x1")) | (pl.col("y0") >= pl.col("y1"))).is_empty()


def test_these_are_all_the_sets():
    assert {str(path.relative_to(DATA)) for path in DATA.glob("weak/*/*")} == {each[1] for each in SETS}
    assert sum(each[2] for each in SETS) == 3410


def test_camvid_has_a_mask_for_every_frame():
    read = READERS["masks"](DATA / "camvid", None, "camvid")
    counts = {split: len(os.listdir(DATA / "camvid" / split)) for split in ("train", "val", "test")}
    assert dict(Counter(read.images["split"])) == counts == {"train": 367, "val": 101, "test": 233}
    assert read.masks["image_id"].to_list() == read.images["image_id"].to_list()
    assert read.problems.is_empty()
    assert "camvid/train/0001TP_006690" in read.images["image_id"]
    assert READERS["masks"](DATA / "camvid", "val", "camvid").images.height == 101


def test_splits_are_parts_of_the_whole():
    for reader, folder, splits in (
        ("coco", "weak/general/coco_mini_coco", ("train2017", "val2017")),
        ("yolo", "weak/general/coco128_yolo", ("train2017", "val2017")),
        ("coco", "weak/street/adas_peru_coco", ("train", "valid")),
    ):
        whole = READERS[reader](DATA / folder, None, "set")
        parts = [READERS[reader](DATA / folder, split, "set") for split in splits]
        assert sorted(whole.images.rows()) == sorted(row for part in parts for row in part.images.rows())
        assert sorted(whole.boxes["label"]) == sorted(label for part in parts for label in part.boxes["label"])


def test_open_images_flags_and_corners_are_those_of_the_file():
    root = DATA / "weak/mixed/open_images_layout"
    boxes = READERS["open_images"](root, None, "oi").boxes
    truth = {"1": True, "0": False, "-1": None}
    corners = ("XMin", "YMin", "XMax", "YMax")
    flags = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
    columns = ["is_occluded", "is_truncated", "is_group", "is_depiction", "is_inside"]
    with (root / "train-annotations-bbox.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = boxes.select("image_id", "label", "x0", "y0", "x1", "y1", *columns).rows()
    for row, box in zip(rows, found, strict=True):
        assert box[:2] == (f"oi/{row['ImageID']}", row["LabelName"])
        assert box[2:6] == pytest.approx([float(row[name]) for name in corners], abs=1e-6)
        assert box[6:] == tuple(truth[row[name]] for name in flags)


@pytest.mark.parametrize("form", ["coco", "open_images"])
@pytest.mark.parametrize(("reader", "folder"), [each[:2] for each in SETS], ids=[each[1] for each in SETS])
def test_exports_give_back_the_same_images_and_boxes(reader, folder, form, tmp_path):
    source = READERS[reader](DATA / folder, None, "set")
    numbers = pl.int_range(1, pl.len() + 1)
    chosen = source.images.with_columns(rank=numbers, score=1.0 / numbers, why_text=pl.lit(""))
    FORMATS[form](chosen, source.boxes, {}, tmp_path / "out", "link")
    back = READERS[form](tmp_path / "out", None, "")
    assert back.problems.is_empty()
    both = chosen.join(back.images, on=["image_id", "dataset"], how="full", suffix="_back")
    assert both.height == chosen.height == both.drop_nulls(["image_id", "path_back"]).height
    paths = both.select("path", "path_back").iter_rows()
    assert all(Path(link).resolve() == Path(path).resolve() for path, link in paths)
    if form == "coco":
        assert both.filter(
            pl.col("width_px").ne(pl.col("width_px_back")) | pl.col("height_px_back").is_null()
        ).is_empty()
    flags = ["is_group", "is_depiction", "is_inside", "is_occluded", "is_truncated"]
    corners = [pl.col(name).cast(pl.Float64) for name in ("x0", "y0", "x1", "y1")]
    # Boxes of one image and label that lie within rounding of each other may change places: the sum then tells.
    keys = ["image_id", "label", *flags]
    sums = [
        boxes.select(*keys, *corners).group_by(keys).agg(pl.len(), pl.exclude(keys).sum()).sort(keys).rows()
        for boxes in (source.boxes, back.boxes)
    ]
    for want, got in zip(*sums, strict=True):
        assert want[:8] == got[:8]
        assert want[8:] == pytest.approx(got[8:], abs=1e-4 * want[7])
