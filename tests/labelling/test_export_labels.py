"""A label set for other tools: what is written is read back by hand, object by object."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from thresher import tables
from thresher.data.run_lengths import from_text, mask_of
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError, SettingsError
from thresher.labelling.coco_masks import CocoMasks, coco_label_map, read_coco_masks
from thresher.labelling.export_labels import export_labels
from thresher.labelling.label_tables import LABEL_FILES, LABELLED_BOXES
from thresher.labelling.objects import labelled_objects
from thresher.run.folder import Run
from thresher.segmentation.tree import class_tree

TREE = class_tree(load_taxonomy("camvid"))
CAR, WALKER, ROAD = (TREE.classes.index(name) for name in ("Car", "Pedestrian", "Road"))
WIDTH, HEIGHT = 12, 8


def scene() -> np.ndarray:
    """Road, a car of 4 × 3 at (2, 1), and in a box of human a pedestrian of 2 × 4 at (8, 3), half of it unlabelled."""
    labels = np.full((HEIGHT, WIDTH), ROAD, np.uint8)
    labels[1:4, 2:6] = CAR
    labels[3:5, 8:10] = WALKER
    labels[5:7, 8:10] = TREE.void
    return labels


BOXES = [("Car", 2, 1, 6, 4), ("human", 8, 3, 10, 7), ("Car", 0, 5, 2, 8)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    folder = run.label_set("first")
    (folder / "masks" / "pool").mkdir(parents=True)
    images = [{"image_id": "pool/a", "path": '/photos/a "b".jpg', "dataset": "pool", "role": "pool"}]
    tables.write(tables.from_rows(images, tables.INDEXED_IMAGES), run.images)
    run.taxonomy.write_text(Path("src/thresher/data/taxonomies/camvid.toml").read_text("utf-8"), "utf-8")
    Image.fromarray(scene()).save(folder / "masks" / "pool" / "a.png")
    row: dict[str, object] = {"image_id": "pool/a", "file": "masks/pool/a.png", "width_px": WIDTH, "height_px": HEIGHT}
    tables.write(tables.from_rows([row], LABEL_FILES), folder / "images.parquet")
    boxes: list[dict[str, object]] = [
        {"image_id": "pool/a", "class": name, "agreement": 0.5, "route": "fill"}
        | {"x0": x0 / WIDTH, "y0": y0 / HEIGHT, "x1": x1 / WIDTH, "y1": y1 / HEIGHT}
        for name, x0, y0, x1, y1 in BOXES
    ]
    tables.write(tables.from_rows(boxes, LABELLED_BOXES), folder / "boxes.parquet")
    return run


def test_each_box_gets_the_pixels_of_its_class_and_the_smaller_box_goes_first() -> None:
    corners = np.array([[0, 0, 1, 1], [2 / 12, 1 / 8, 4 / 12, 4 / 8]], np.float32)
    whole, part = labelled_objects(scene(), corners, ["Car", "Car"], TREE)
    assert (part.left, part.top, part.mask.tolist()) == (2, 1, [[True] * 2] * 3)
    assert (whole.left, whole.top, whole.mask.tolist()) == (4, 1, [[True] * 2] * 3)
    assert labelled_objects(scene(), corners, ["Bicyclist", "SignSymbol"], TREE) == []


def test_coco_holds_the_masks(run: Run, tmp_path: Path) -> None:
    result = export_labels(run, "first", "coco", tmp_path / "out")
    assert result.summary["objects"] == 2
    content = json.loads((tmp_path / "out" / "annotations.json").read_text("utf-8"))
    names = {each["id"]: each["name"] for each in content["categories"]}
    car, walker = content["annotations"]
    assert [names[each["category_id"]] for each in (car, walker)] == ["Car", "Pedestrian"]
    assert [each["bbox"] for each in (car, walker)] == [[2, 1, 4, 3], [8, 3, 2, 2]]
    for each, number in ((car, CAR), (walker, WALKER)):
        mask = mask_of(from_text(each["segmentation"]["counts"]), tuple(each["segmentation"]["size"]))
        assert (mask == (scene() == number)).all() and each["area"] == mask.sum()
    assert car["attributes"]["route"] == "fill"
    # What is written is read as masks made elsewhere.
    masks = read_coco_masks(tmp_path / "out" / "annotations.json")
    assert masks.table()["bare"].to_list() == ["a"]
    labels = coco_label_map(masks.table()["mask"][0], load_taxonomy("camvid"))
    assert (labels == np.where(np.isin(scene(), [CAR, WALKER]), scene(), TREE.void)).all()


def test_yolo_holds_outlines_as_shares(run: Run, tmp_path: Path) -> None:
    told = export_labels(run, "first", "yolo", tmp_path / "out").summary
    assert told["next"] == f"Put the images into {tmp_path / 'out' / 'images'} under the names of their label files."
    first, second = (tmp_path / "out" / "labels" / "pool" / "a.txt").read_text("utf-8").splitlines()
    kind, *shares = first.split()
    corners = np.array(shares, np.float64).reshape(-1, 2) * [WIDTH, HEIGHT]
    assert int(kind) == CAR and np.allclose(corners, [[2, 1], [6, 1], [6, 4], [2, 4]], atol=1e-4)
    assert second.startswith(f"{WALKER} ")
    assert f'  {CAR}: "Car"\n' in (tmp_path / "out" / "data.yaml").read_text("utf-8")


def test_cvat_holds_runs_along_the_rows(run: Run, tmp_path: Path) -> None:
    export_labels(run, "first", "cvat", tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out" / "annotations.xml").getroot()
    (image,) = root.iter("image")
    assert (image.get("name"), image.get("width"), image.get("height")) == ('/photos/a "b".jpg', "12", "8")
    car, walker = image.iter("mask")
    assert car.attrib["rle"] == "0, 12" and walker.attrib["rle"] == "0, 4"
    assert [car.attrib[name] for name in ("label", "left", "top", "width", "height")] == ["Car", "2", "1", "4", "3"]
    assert {each.text for each in root.iter("name")} == set(TREE.classes)


def test_label_maps_are_copied_with_their_classes(run: Run, tmp_path: Path) -> None:
    export_labels(run, "first", "masks", tmp_path / "out")
    assert (np.asarray(Image.open(tmp_path / "out" / "masks" / "pool" / "a.png")) == scene()).all()
    lines = (tmp_path / "out" / "classes.csv").read_text("utf-8").splitlines()
    assert lines[0] == "id,name,red,green,blue" and "8,Car,64,0,128" in lines and "11,no label,0,0,0" in lines


def test_what_is_not_there_or_not_ours_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"No label set named 'second' in .*Available: first"):
        export_labels(run, "second", "coco", tmp_path / "out")
    with pytest.raises(SettingsError, match="format 'x': unknown. Known: masks, coco, yolo, cvat"):
        export_labels(run, "first", "x", tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not written by an export"):
        export_labels(run, "first", "coco", run.folder)


def test_polygons_and_runs_of_a_coco_file_are_drawn_the_smaller_over_the_larger() -> None:
    runs = {"size": [2, 4], "counts": [0, 8]}
    annotations = {
        7: [
            {"category_id": 2, "segmentation": [[2, 0, 4, 0, 4, 2, 2, 2]]},
            {"category_id": 1, "segmentation": runs},
            {"category_id": 3, "segmentation": runs},
        ]
    }
    categories = {1: "Car", 2: "Person", 3: "piano"}
    masks = CocoMasks(Path("x.json"), [{"id": 7, "height": 2, "width": 4}], annotations, categories)
    assert masks.label_map(0, load_taxonomy("camvid")).tolist() == [[CAR, CAR, WALKER, WALKER]] * 2


def test_a_file_that_is_no_coco_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", "utf-8")
    with pytest.raises(DataError, match=r"x.json: not readable as COCO .*annotations with segmentation"):
        read_coco_masks(tmp_path / "x.json")
