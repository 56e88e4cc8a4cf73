import json

import numpy as np
import pytest

from thresher.data.readers import cityscapes_polygons


@pytest.fixture
def outlined(picture, tmp_path):
    """Writes a frame of 40 × 20 pixels, and the outlines of its things."""

    def write(name, things, folder="gtCoarse", **content):
        picture(f"leftImg8bit/{name}_leftImg8bit.png", (40, 20))
        file = tmp_path / folder / f"{name}_{folder}_polygons.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        objects = [{"label": label, "polygon": polygon} for label, polygon in things]
        file.write_text(json.dumps({"imgWidth": 40, "imgHeight": 20, "objects": objects} | content))

    return write


TRIANGLE = [[4, 2], [11, 2], [8, 9]]


def test_a_box_goes_around_each_outlined_thing(tmp_path, outlined):
    things = [
        ("car", TRIANGLE),
        ("ridergroup", [[-3, 0], [19, 19], [39, 5]]),
        ("road", [[0, 10], [39, 10], [39, 19]]),
        ("rectification border", [[0, 0], [39, 0], [39, 19]]),
        ("traffic sign", TRIANGLE),
    ]
    outlined("train_extra/bonn/a", things)
    read = cityscapes_polygons.read(tmp_path, "train_extra", "coarse")
    found = read.boxes.select("label", "is_group").rows()
    assert found == [("car", False), ("rider", True), ("traffic sign", False)]
    corners = read.boxes.select("x0", "y0", "x1", "y1").to_numpy()
    assert corners == pytest.approx(np.array([[0.1, 0.1, 0.3, 0.5], [0, 0, 1, 1], [0.1, 0.1, 0.3, 0.5]]))
    assert read.images["image_id"].to_list() == ["coarse/train_extra/bonn/a"]
    assert read.masks.is_empty() and read.problems.is_empty()


def test_coarse_outlines_come_before_fine_ones(tmp_path, outlined):
    outlined("train/bonn/a", [("car", TRIANGLE)], folder="gtFine")
    outlined("train/bonn/a", [("bus", TRIANGLE)])
    outlined("train/bonn/b", [("truck", TRIANGLE)], folder="gtFine")
    read = cityscapes_polygons.read(tmp_path, None, "cs")
    assert read.boxes.select("image_id", "label").rows() == [("cs/train/bonn/a", "bus"), ("cs/train/bonn/b", "truck")]


def test_frames_without_readable_outlines_are_listed(tmp_path, picture, outlined, words):
    picture("leftImg8bit/val/ulm/a_leftImg8bit.png")
    outlined("val/ulm/b", [], objects=[{"label": "car"}, {"label": "road"}])
    outlined("val/ulm/c", [("car", TRIANGLE)])
    (tmp_path / "gtCoarse/val/ulm/c_gtCoarse_polygons.json").write_text("{")
    read = cityscapes_polygons.read(tmp_path, None, "cs")
    assert words(read) == {"annotation_missing": 1, "annotation_malformed": 2}
    assert read.images.height == 3 and read.boxes.is_empty()
    assert "expected JSON with imgWidth, imgHeight and objects" in " ".join(read.problems["detail"])
