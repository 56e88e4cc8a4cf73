"""Outlines and brushes of every labelling tool: the same left half of a picture of 4 × 2 pixels, said in each."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.data.drawn_masks import Meanings, mask_of_shape, with_drawn_masks
from thresher.data.label_maps import class_numbers, label_map
from thresher.data.readers import READERS
from thresher.data.readers.label_studio_brush import painted_mask
from thresher.data.run_lengths import as_text, bounds, placed
from thresher.data.taxonomy import LabelMap, load_taxonomy

CITYSCAPES = load_taxonomy("cityscapes")
ROAD, CAR, VOID = 0, 13, 19
POINTS = [[0, 0], [2, 0], [2, 2], [0, 2]]
FLAT = [value for point in POINTS for value in point]
RUNS = {"size": [2, 4], "counts": [0, 4, 4]}
PATCH = np.ones((2, 2), bool)


def drawn(form: str, root: Path) -> dict[str, list[int]]:
    """The first row of the label map of each image."""
    read = with_drawn_masks(READERS[form](root, None, "d"), Meanings(CITYSCAPES, LabelMap({}, {})), root / "drawn")
    numbers = class_numbers(CITYSCAPES, "class_index")
    rows = read.masks.select("image_id", "path").iter_rows()
    return {name: label_map(Path(path), numbers)[0].tolist() for name, path in rows}


def packed(values: np.ndarray) -> list[int]:
    """Label Studio's brush: a run of one repeated value, and then the values one by one."""
    first = int(np.argmax(values != values[0]))
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{15:04b}" for _ in range(4))
    bits += f"1{0:02b}{first - 1:016b}{values[0]:08b}"
    bits += f"0{3:02b}{len(values) - first - 1:016b}" + "".join(f"{value:08b}" for value in values[first:])
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def painted() -> list[int]:
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[:, :2] = (1, 2, 3, 255)
    return packed(pixels.ravel())


def picture_of(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme(**shape: object) -> tuple[str, str]:
    content = {"imagePath": "a.jpg", "imageWidth": 4, "imageHeight": 2, "shapes": [{"label": "car", **shape}]}
    return "a.json", json.dumps(content)


def label_studio(value: dict[str, object]) -> tuple[str, str]:
    region = {"id": "r", "original_width": 4, "original_height": 2, "value": value}
    return "tasks.json", json.dumps([{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [region]}]}])


def cvat(shape: str) -> tuple[str, str]:
    return "a.xml", f'<annotations><image name="a.jpg" width="4" height="2">{shape}</image></annotations>'


def datumaro(**shape: object) -> tuple[str, str]:
    item = {"id": "a", "image": {"path": "a.jpg", "size": [2, 4]}, "annotations": [{"label_id": 0, **shape}]}
    return "a.json", json.dumps({"categories": {"label": {"labels": [{"name": "car"}]}}, "items": [item]})


def bdd100k(**label: object) -> tuple[str, str]:
    return "bdd.json", json.dumps([{"name": "a.jpg", "labels": [{"category": "car", **label}]}])


def coco(**annotation: object) -> tuple[str, str]:
    content = {"images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 2}]}
    annotations = [{"image_id": 1, "category_id": 1, **annotation}]
    return "a.json", json.dumps(content | {"annotations": annotations, "categories": [{"id": 1, "name": "car"}]})


VIA = {"name": "polygon", "all_points_x": FLAT[::2], "all_points_y": FLAT[1::2]}
PERCENT = [[x * 25, y * 50] for x, y in POINTS]
CASES: dict[str, tuple[str, tuple[str, str]]] = {
    "labelme polygon": ("labelme", labelme(shape_type="polygon", points=POINTS)),
    "labelme mask": ("labelme", labelme(shape_type="mask", points=[[0, 0], [2, 2]], mask=picture_of(PATCH))),
    "label_studio polygon": ("label_studio", label_studio({"points": PERCENT, "polygonlabels": ["car"]})),
    "label_studio brush": ("label_studio", label_studio({"rle": painted(), "brushlabels": ["car"]})),
    "cvat polygon": ("cvat", cvat('<polygon label="car" points="0,0;2,0;2,2;0,2"/>')),
    "cvat mask": ("cvat", cvat('<mask label="car" rle="0, 4" left="0" top="0" width="2" height="2"/>')),
    "via polygon": (
        "via",
        (
            "a.json",
            json.dumps(
                {
                    "a": {
                        "filename": "a.jpg",
                        "regions": [{"shape_attributes": VIA, "region_attributes": {"class": "car"}}],
                    }
                }
            ),
        ),
    ),
    "datumaro polygon": ("datumaro", datumaro(type="polygon", points=FLAT)),
    "datumaro mask": ("datumaro", datumaro(type="mask", rle={"size": [2, 4], "counts": as_text([0, 4, 4])})),
    "bdd100k polygon": ("bdd100k", bdd100k(poly2d=[{"vertices": POINTS, "types": "LLLL", "closed": True}])),
    "bdd100k run lengths": ("bdd100k", bdd100k(rle={"size": [2, 4], "counts": as_text([0, 4, 4])})),
    "coco run lengths alone": ("coco", coco(segmentation=RUNS, iscrowd=1)),
    "coco run lengths as text alone": ("coco", coco(segmentation={"size": [2, 4], "counts": as_text([0, 4, 4])})),
}


@pytest.mark.parametrize("case", CASES)
def test_the_mask_and_the_box_of_every_form(tmp_path: Path, case: str) -> None:
    form, (name, content) = CASES[case]
    Image.new("RGB", (4, 2), "grey").save(tmp_path / "a.jpg")
    (tmp_path / name).write_text(content, "utf-8")
    assert drawn(form, tmp_path) == {"d/a": [CAR, CAR, VOID, VOID]}
    box = READERS[form](tmp_path, None, "d").boxes.select("x0", "y0", "x1", "y1").row(0)
    assert box == pytest.approx((0, 0, 0.5, 1))


def test_a_rectangle_is_no_outline_so_what_lies_below_it_is_void(tmp_path: Path) -> None:
    Image.new("RGB", (4, 2), "grey").save(tmp_path / "a.jpg")
    right = '<box label="car" xtl="2" ytl="0" xbr="4" ybr="2"/><polygon label="road" points="0,0;4,0;4,2;0,2"/>'
    name, content = cvat(right)
    (tmp_path / name).write_text(content)
    assert drawn("cvat", tmp_path) == {"d/a": [ROAD] * 4}
    (tmp_path / name).write_text(cvat(right.replace("0,0;4,0;4,2;0,2", "0,0;1,0;1,2;0,2"))[1])
    assert drawn("cvat", tmp_path) == {"d/a": [ROAD, VOID, VOID, VOID]}
    (tmp_path / name).write_text(cvat(right.partition("<polygon")[0])[1])
    assert drawn("cvat", tmp_path) == {}


@pytest.mark.parametrize("form", ["cvat", "via"])
def test_an_ellipse_covers_the_pixels_within(tmp_path: Path, form: str) -> None:
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "a.jpg")
    shape = {"name": "ellipse", "cx": 20, "cy": 15, "rx": 12, "ry": 6, "theta": 0}
    region = {"shape_attributes": shape, "region_attributes": {"class": "car"}}
    files = {
        "cvat": (
            "a.xml",
            cvat('<ellipse label="car" cx="20" cy="15" rx="12" ry="6"/>')[1].replace(
                '"4" height="2"', '"40" height="30"'
            ),
        ),
        "via": ("a.json", json.dumps({"a": {"filename": "a.jpg", "regions": [region]}})),
    }
    (tmp_path / files[form][0]).write_text(files[form][1])
    (drawing,) = READERS[form](tmp_path, None, "d").drawings
    mask = mask_of_shape(drawing.things[0][1], (30, 40))
    y, x = np.mgrid[:30, :40] + 0.5
    inside = ((x - 20) / 12) ** 2 + ((y - 15) / 6) ** 2 < 1
    assert (mask != inside).sum() <= 4


@pytest.mark.parametrize("broken", [[], [0] * 8, painted()[:-3]])
def test_a_brush_that_is_cut_off_is_refused(broken: list[int]) -> None:
    with pytest.raises(ValueError, match="a brush"):
        painted_mask(broken, (4, 2))


def test_a_part_of_a_mask_is_put_in_its_place_and_cut_at_the_border() -> None:
    assert placed(PATCH, 3, 1, (2, 4)) == {"size": [2, 4], "counts": [7, 1]}
    assert bounds(placed(PATCH, -1, -1, (3, 3))) == (0, 0, 1, 1)
    with pytest.raises(ValueError, match="no pixel"):
        bounds({"size": [2, 2], "counts": [4]})
