"""Images that are not on disk: listed where an annotation has their address; and images in a folder that is told."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from PIL import Image

from thresher.data.readers import READERS
from thresher.data.run_lengths import as_text
from thresher.errors import DataError

HOST = "https://x.org/photos/"
BOX = {"x": 25, "y": 25, "width": 50, "height": 50, "rectanglelabels": ["car"]}
FRAMES = [
    {
        "name": f"{name}.jpg",
        "url": f"{HOST}{name}.jpg",
        "size": {"width": 16, "height": 12},
        "labels": [{"category": "car", "box2d": {"x1": 4, "y1": 3, "x2": 12, "y2": 9}}],
    }
    for name in "ab"
]
ITEMS = [
    {
        "id": name,
        "image": {"path": f"{HOST}{name}.jpg", "size": [12, 16]},
        "annotations": [{"type": "bbox", "label_id": 0, "bbox": [4, 3, 8, 6]}],
    }
    for name in "ab"
]
CVAT = "".join(
    f'<image name="{HOST}{name}.jpg" width="16" height="12"><box label="car" xtl="4" ytl="3" xbr="12" ybr="9"/></image>'
    for name in "ab"
)
FILES = {
    "label_studio": json.dumps(
        [{"data": {"image": f"{HOST}{name}.jpg?v=2"}, "annotations": [{"result": [{"value": BOX}]}]} for name in "ab"]
    ),
    "datumaro": json.dumps({"categories": {"label": {"labels": [{"name": "car"}]}}, "items": ITEMS}),
    "bdd100k": json.dumps(FRAMES),
    "cvat": f"<annotations>{CVAT}</annotations>",
    "table": "image,label,x0,y0,x1,y1\n" + "".join(f"{HOST}{name}.jpg,car,.25,.25,.75,.75\n" for name in "ab"),
}
ENDINGS = {"cvat": "xml", "table": "csv"}


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 12), "grey").save(path)


@pytest.mark.parametrize("form", FILES)
def test_an_image_with_an_address_is_listed_before_it_is_there(tmp_path: Path, form: str) -> None:
    (tmp_path / f"x.{ENDINGS.get(form, 'json')}").write_text(FILES[form])
    read = READERS[form]
    with pytest.raises(DataError, match="none of"):
        read(tmp_path, None, "d")
    listed = read(tmp_path, None, "d", later=True)
    folder = "" if form == "bdd100k" else "photos/"
    assert listed.images["image_id"].to_list() == [f"d/{folder}a", f"d/{folder}b"]
    assert listed.boxes.select("image_id", "label", "x0", "y1").rows()[0] == (f"d/{folder}a", "car", 0.25, 0.75)
    urls = listed.remote.select("image_id", "url").rows()
    assert [url.partition("?")[0] for _, url in urls] == [f"{HOST}a.jpg", f"{HOST}b.jpg"]
    # One that has been fetched is an image like any other, under the same id.
    photo(Path(listed.images["path"][0]))
    again = read(tmp_path, None, "d", later=True)
    assert again.images["image_id"].to_list() == listed.images["image_id"].to_list()
    assert again.remote["image_id"].to_list() == [f"d/{folder}b"]


def test_addresses_that_can_have_no_place_are_listed_with_the_reason(tmp_path: Path) -> None:
    image = '<image name="{}" {}><box label="car" xtl="4" ytl="3" xbr="12" ybr="9"/></image>'
    size = 'width="16" height="12"'
    names = [("https://x.org/a.jpg?of=1", size), ("https://x.org/a.jpg?of=2", size), ("https://x.org/b.jpg", "")]
    names += [("https://x.org/../../c", size), ("ftp://x.org/d.jpg", size)]
    images = "".join(image.format(*each) for each in names)
    (tmp_path / "x.xml").write_text(f"<annotations>{images}</annotations>")
    found = READERS["cvat"](tmp_path, None, "d", later=True)
    assert found.images["image_id"].to_list() == ["d/a"]
    details = found.problems["detail"].to_list()
    for word in ("same file", "no size", "x.org/../../c", "ftp://"):
        assert sum(word in each for each in details) == 1, word


@pytest.mark.parametrize(
    ("form", "files", "image", "expected"),
    [
        ("yolo", {"labels/train/a.txt": "0 .5 .5 .5 .5", "data.yaml": "names: [car]"}, "train/a.jpg", "d/train/a"),
        ("yolo", {"a.txt": "0 .5 .5 .5 .5", "classes.txt": "car"}, "a.jpg", "d/a"),
        ("kitti", {"training/label_2/a.txt": "car 0 0 0 4 3 12 9"}, "a.png", "d/a"),
        ("oidv4", {"train/car/Label/a.txt": "car 4 3 12 9"}, "train/deep/a.jpg", "d/train/deep/a"),
    ],
)
def test_images_in_a_folder_of_their_own(
    tmp_path: Path, form: str, files: dict[str, str], image: str, expected: str
) -> None:
    for name, text in files.items():
        (tmp_path / "labels_only" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "labels_only" / name).write_text(text)
    photo(tmp_path / "photos" / image)
    found = READERS[form](tmp_path / "labels_only", None, "d", images="../photos")
    assert found.images["image_id"].to_list() == [expected]
    assert found.boxes.select("image_id", "label", "x0", "y1").rows() == [(expected, "car", 0.25, 0.75)]


def test_nuimages_has_masks_of_objects_and_surfaces(tmp_path: Path) -> None:
    photo(tmp_path / "samples/a.jpg")
    mask = {"size": [12, 16], "counts": base64.b64encode(as_text([3, 6, 183]).encode()).decode()}
    tables = {
        "sample_data": [{"token": "f", "filename": "samples/a.jpg", "is_key_frame": True, "width": 16, "height": 12}],
        "category": [{"token": "c", "name": "car"}, {"token": "r", "name": "road"}],
        "object_ann": [{"sample_data_token": "f", "category_token": "c", "bbox": [4, 3, 12, 9], "mask": None}],
        "surface_ann": [{"sample_data_token": "f", "category_token": "r", "mask": mask}],
    }
    for name, rows in tables.items():
        (tmp_path / "v1.0-train").mkdir(exist_ok=True)
        (tmp_path / f"v1.0-train/{name}.json").write_text(json.dumps(rows))
    found = READERS["nuimages"](tmp_path, None, "d")
    boxes = [("car", 0.25, 0.25, 0.75, 0.75), ("road", 0.0, 0.25, 0.0625, 0.75)]
    assert found.boxes.select("label", "x0", "y0", "x1", "y1").rows() == boxes
    assert [label for label, _ in found.drawings[0].things] == [None, "road"]


def test_a_box_file_of_open_images_with_a_header_alone_is_listed(tmp_path: Path) -> None:
    photo(tmp_path / "images/a.jpg")
    (tmp_path / "train-annotations-bbox.csv").write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\n")
    found = READERS["open_images"](tmp_path, None, "d")
    assert found.images.height == 1
    assert "has a header and no box" in found.problems["detail"][0]
