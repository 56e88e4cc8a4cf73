"""Images and masks that lie elsewhere: told in the source, by `?images=…&masks=…`, or beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.data.readers import READERS
from thresher.data.source_text import parsed_sources, read_source, with_places
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, source_roots
from thresher.stages.index import IndexSettings, index

BOX = [16, 12, 16, 12]
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": BOX}],
    "categories": [{"id": 1, "name": "car"}],
}
CVAT = (
    '<annotations><image name="a.jpg" width="64" height="48">'
    '<box label="car" xtl="16" ytl="12" xbr="32" ybr="24"/></image></annotations>'
)
VOC = (
    "<annotation><size><width>64</width><height>48</height></size><object><name>car</name>"
    "<bndbox><xmin>17</xmin><ymin>13</ymin><xmax>32</xmax><ymax>24</ymax></bndbox></object></annotation>"
)
OPEN_IMAGES = "ImageID,LabelName,XMin,XMax,YMin,YMax\na,car,0.25,0.5,0.25,0.5\n"
TASKS = [
    {
        "data": {"image": "a.jpg"},
        "annotations": [
            {"result": [{"value": {"x": 25, "y": 25, "width": 25, "height": 25, "rectanglelabels": ["car"]}}]}
        ],
    }
]
FORMS = {
    "coco": ("set/annotations/instances_train.json", json.dumps(COCO)),
    "cvat": ("set/annotations.xml", CVAT),
    "label_studio": ("set/tasks.json", json.dumps(TASKS)),
    "open_images": ("set/train-annotations-bbox.csv", OPEN_IMAGES),
    "table": ("set/boxes.csv", "image,label,x0,y0,x1,y1\na.jpg,car,16,12,32,24\n"),
    "voc": ("set/Annotations/a.xml", VOC),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["../photos", "{}/photos"])
def test_boxes_of_images_in_a_folder_elsewhere(tmp_path: Path, picture, text, corners, form: str, place: str) -> None:
    picture("photos/a.jpg", (64, 48))
    text(*FORMS[form])
    read = read_source(f"d={form}:{tmp_path}/set?images={place.format(tmp_path)}")
    assert read.images["path"].to_list() == [str(tmp_path / "photos" / "a.jpg")]
    assert corners(read) == [("d/a", "car", 0.25, 0.25, 0.5, 0.5)]
    with pytest.raises(DataError, match="nowhere: expected a folder"):
        read_source(f"{form}:{tmp_path}/set?images=nowhere")


@pytest.mark.parametrize(
    ("images", "masks", "files"),
    [
        ("photos", "gt", ("photos/x/1.jpg", "gt/x/1_mask.png")),
        ("photos/{}.jpg", "gt/{}_color_id.png", ("photos/x/1.jpg", "gt/x/1_color_id.png")),
        ("{}_rgb.jpg", "{}_label*.png", ("x/1_rgb.jpg", "x/1_label_v2.png")),
        ("cam/*/{}.jpg", "seg/{}/labels.png", ("cam/front/x/1.jpg", "seg/x/1/labels.png")),
        ("{split}/rgb/{}.jpg", "{split}/seg/{}.png", ("val/rgb/x/1.jpg", "val/seg/x/1.png")),
    ],
)
def test_masks_by_any_two_patterns(tmp_path: Path, picture, images: str, masks: str, files: tuple[str, str]) -> None:
    picture(f"set/{files[0]}")
    mask = picture(f"set/{files[1]}")
    split = "val" if "{split}" in images else None
    read = READERS["masks"](tmp_path / "set", split, "d", images=images, masks=masks)
    name = "d/val/x/1" if split else "d/x/1"
    assert read.masks.select("image_id", "path").rows() == [(name, str(mask))]
    assert read.images["path"].to_list() == [str(tmp_path / "set" / files[0])]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("masks:{}?images=a/{{}}.jpg", "belong together"),
        ("masks:{}?images=a&masks=b/{{}}.png", "two folders, or two patterns"),
        ("masks:{}?images={{}}/{{}}.jpg&masks={{}}.png", "two folders, or two patterns"),
        ("masks:{}?images={{split}}/{{}}.jpg&masks={{}}.png", "which split"),
        ("parquet:{}?images=a", "format 'parquet' has its images in one place. Formats that take images=: .*coco"),
        ("coco:{}?masks=a", "Formats that take masks=: masks"),
    ],
)
def test_places_that_say_too_little_are_refused(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_source(source.format(tmp_path))


def test_places_beside_the_sources_are_of_those_named_or_of_all_that_take_them() -> None:
    sources = parsed_sources(["cam=masks:/a"], ["one=coco:/b", "two=parquet:/c", "three=cvat:/d"])
    placed = with_places(sources, ["one=/x=1", "cam=p/{}.jpg"], ["m/{}.png"])
    assert [each.images for each in placed] == ["p/{}.jpg", "/x=1", None, None]
    assert [each.masks for each in placed] == ["m/{}.png", None, None, None]
    assert [each.images for each in with_places(sources, ["/x"], [])] == ["/x", "/x", None, "/x"]
    with pytest.raises(SettingsError, match="no such source takes it. Sources that do: cam, one, three"):
        with_places(sources, ["two=/x"], [])


def test_an_index_with_places_is_watched_and_its_images_may_be_shown(tmp_path: Path, picture, text) -> None:
    picture("photos/a.jpg", (64, 48))
    picture("frames/t.jpg")
    Image.new("L", (20, 10)).save(picture("labels/t.png"))
    text(*FORMS["coco"])
    (tmp_path / "cam").mkdir()
    settings = IndexSettings(
        (f"cam=masks:{tmp_path}/cam",),
        (f"coco:{tmp_path}/set",),
        images=("cam=../frames", f"set={tmp_path}/photos"),
        masks=("../labels",),
    )
    run = Run(tmp_path / "run")
    result = index(run, settings)
    assert (result.summary["images"], result.summary["masks"], result.summary["boxes"]) == (2, 1, 1)
    roots = [folder.resolve() for folder in source_roots(OpenedRun(run))]
    assert {tmp_path / name for name in ("photos", "frames", "labels")} <= set(roots)
    picture("photos/b.jpg", (64, 48))
    assert index(run, settings).status == "done"
    assert index(run, settings).status == "unchanged"


@pytest.mark.parametrize("folder", ["v2.0/", "v1.2/", ""])
def test_vistas_instances_of_16_bits_are_masks_where_there_are_no_others(
    tmp_path: Path, picture, text, folder: str
) -> None:
    picture("training/images/a.jpg", (4, 2))
    values = np.array([[256, 257, 0, 3]] * 2, np.uint16)
    path = tmp_path / "training" / folder / "instances" / "a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(values).save(path)
    with pytest.raises(DataError, match="no config"):
        READERS["masks"](tmp_path, None, "d")
    labels = [{"readable": "Road"}, {"readable": "Car"}]
    text("config_v2.0.json", json.dumps({"labels": labels}))
    (drawing,) = READERS["masks"](tmp_path, None, "d").drawings
    assert (drawing.path, drawing.divisor, dict(drawing.labels)) == (str(path), 256, {0: "Road", 1: "Car"})


def test_via_of_version_3(tmp_path: Path, picture, text, corners, words) -> None:
    picture("a.jpg", (64, 48))
    options = {"0": "car", "1": "bus"}
    shapes = {
        "r": ([2, 16, 12, 16, 12], "0", []),
        "p": ([7, 8, 6, 40, 6, 8, 30], "1", []),
        "c": ([3, 32, 24, 8], "0", []),
        "point": ([1, 5, 5], "0", []),
        "video": ([2, 0, 0, 9, 9], "0", [1.5]),
        "odd": ([9, 0, 0, 9, 9], "0", []),
    }
    project = {
        "project": {"pname": "p"},
        "attribute": {"1": {"aname": "class", "options": options}},
        "file": {"1": {"fid": "1", "fname": "a.jpg", "src": "a.jpg"}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {key: {"vid": "1", "xy": xy, "av": {"1": av}, "z": z} for key, (xy, av, z) in shapes.items()},
    }
    text("project.json", json.dumps(project))
    read = READERS["via"](tmp_path, None, "d")
    assert sorted(row[1:] for row in corners(read)) == [
        ("bus", 0.125, 0.125, 0.625, 0.625),
        ("car", 0.25, 0.25, 0.5, 0.5),
        ("car", 0.375, pytest.approx(16 / 48, abs=1e-5), 0.625, pytest.approx(32 / 48, abs=1e-5)),
    ]
    assert words(read) == {"annotation_malformed": 1}
    assert len(read.drawings[0].things) == 3


@pytest.mark.parametrize(
    ("part", "odd"),
    [("metadata", {"vid": "9", "xy": [2, 1, 1, 5, 5], "av": {}}), ("metadata", {"vid": "1", "xy": [2, 1], "av": {}})]
    + [("metadata", odd) for odd in ("x", {"vid": "1", "xy": 7, "av": {}}, {"vid": "1", "xy": [7, 1, 2, 3]})]
    + [("file", odd) for odd in (None, [], {"fid": "9"})],
)
def test_a_region_or_file_of_a_via_3_project_costs_itself(tmp_path, picture, part, odd):
    picture("a.jpg")
    region = {"vid": "1", "xy": [2, 2, 3, 8, 4], "z": [], "av": {"1": "0"}}
    content = {
        "file": {"1": {"fid": "1", "fname": "a.jpg"}},
        "view": {"1": {"fid_list": ["1"]}},
        "attribute": {"1": {"aname": "class", "options": {"0": "car"}}},
        "metadata": {"m": region, "n": region},
    }
    content[part]["9"] = odd
    (tmp_path / "project.json").write_text(json.dumps(content))
    data = READERS["via"](tmp_path, None, "d")
    assert data.boxes["label"].to_list() == ["car", "car"]
    assert data.problems["problem"].to_list() == ["annotation_malformed"]
