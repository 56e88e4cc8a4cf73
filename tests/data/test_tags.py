"""Points, and what is said of whole images, present or verified absent: read, mapped, counted, and used as objects."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.readers import READERS
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.selection.diversity import with_tags
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select

CAR, BUS = "/m/0k4j", "/m/01bjv"


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), "grey").save(folder / name)
    return folder


def open_images(root: Path) -> Path:
    """a has a car's box; b is said to show a bus, c not to; what a machine thinks of d is passed over."""
    photos(root, *(f"images/{name}.jpg" for name in "abcd"))
    boxes = f"ImageID,LabelName,XMin,XMax,YMin,YMax\na,{CAR},0.1,0.2,0.1,0.2\nb,{CAR},0,1,0,1\nb,{CAR},0,1,0,1\n"
    boxes += f"c,{CAR},0,1,0,1\nd,{CAR},0,1,0,1\n"
    (root / "train-annotations-bbox.csv").write_text(boxes)
    rows = [("b", BUS, 1), ("c", BUS, 0), ("d", BUS, 0.7), ("a", CAR, 1), ("nowhere", BUS, 1)]
    lines = [f"{name},verification,{label},{sure}" for name, label, sure in rows]
    file = root / "train-annotations-human-imagelabels.csv"
    file.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *lines, ""]))
    return root


def tags_of(form: str, root: Path) -> list[tuple[object, ...]]:
    return READERS[form](root, None, "d").tags.select("image_id", "label", "objects").rows()


def test_open_images_labels_that_people_verified(tmp_path: Path) -> None:
    found = tags_of("open_images", open_images(tmp_path))
    assert found == [("d/a", CAR, 1), ("d/b", BUS, 1), ("d/c", BUS, 0)]


def test_lvis_says_what_is_not_to_be_seen(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg", "b.jpg")
    image = {"id": 1, "file_name": "a.jpg", "width": 16, "height": 12, "neg_category_ids": [2, 99]}
    odd = {"id": 2, "file_name": "b.jpg", "width": 16, "height": 12, "neg_category_ids": [2, True]}
    annotations = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    content = {"images": [image, odd], "annotations": annotations, "categories": categories}
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert tags_of("coco", tmp_path) == [("d/a", "bus", 0)]
    (detail,) = READERS["coco"](tmp_path, None, "d").problems["detail"]
    assert detail.startswith("x.json: image 1: the id is True")


#: Of each tool: a bus said of the image, two points of a person, and what is neither: lines, joints, what belongs to a
#: region.
ITEM = [{"type": "label", "label_id": 0}, {"type": "polyline", "label_id": 0, "points": [1, 1, 2, 2]}]
ITEM += [{"type": "points", "label_id": 1, "points": [1, 1, 2, 2]}, {"type": "points", "label_id": 1, "points": [3, 3]}]
DATUMARO = {
    "categories": {"label": {"labels": [{"name": "bus"}, {"name": "person"}]}},
    "items": [{"id": "a", "image": {"path": "a.jpg"}, "annotations": ITEM}],
}
CVAT = """<annotations><image name="a.jpg" width="16" height="12"><tag label="bus"/><tag label="bus"/>
<points label="person" points="1,1;2,2"/><points label="person" points="3,3"/><polyline label="bus" points="1,1;2,2"/>
<skeleton label="bus"><points label="nose" points="1,1"/></skeleton></image></annotations>"""
POINT = {"x": 10, "y": 20, "width": 0.5, "keypointlabels": ["person"]}
RESULT = [
    {"id": "1", "type": "choices", "value": {"choices": ["bus"]}},
    {"id": "2", "type": "keypointlabels", "value": POINT},
    {"id": "3", "type": "keypointlabels", "value": POINT},
    {"id": "4", "type": "keypointlabels", "parentID": "5", "value": POINT},
    {"id": "5", "type": "choices", "value": {"x": 1, "y": 1, "width": 9, "height": 9, "choices": ["blurred"]}},
    {
        "id": "5",
        "type": "rectanglelabels",
        "value": {"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["car"]},
    },
]
LABEL_STUDIO = [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": RESULT}]}]
SHAPES = [("point", [[1, 1]]), ("points", [[1, 1], [2, 2]]), ("linestrip", [[1, 1], [2, 2]])]
LABELME = {
    "imagePath": "a.jpg",
    "shapes": [{"label": "person", "shape_type": kind, "points": points} for kind, points in SHAPES],
}
REGIONS = [{"name": "point", "cx": x, "cy": 2} for x in (3, 4)] + [{"name": "polyline", "all_points_x": [1, 2]}]
VIA = {
    "a": {
        "filename": "a.jpg",
        "regions": [{"shape_attributes": each, "region_attributes": {"class": "person"}} for each in REGIONS],
    }
}
VIA_3 = {
    "file": {"1": {"fname": "a.jpg"}},
    "view": {"1": {"fid_list": ["1"]}},
    "attribute": {"1": {"aname": "class", "options": {"0": "person"}}},
    "metadata": {
        str(x): {"vid": "1", "xy": [kind, x, 2, 5, 6], "z": [], "av": {"1": "0"}} for x, kind in enumerate((1, 1, 5))
    },
}
BUS_AND_PEOPLE = [("d/a", "bus", 1), ("d/a", "person", 2)]


@pytest.mark.parametrize(
    ("form", "content", "expected", "boxes"),
    [
        ("cvat", CVAT, BUS_AND_PEOPLE, 0),
        ("datumaro", DATUMARO, BUS_AND_PEOPLE, 0),
        ("label_studio", LABEL_STUDIO, BUS_AND_PEOPLE, 1),
        ("labelme", LABELME, BUS_AND_PEOPLE[1:], 0),
        ("via", VIA, BUS_AND_PEOPLE[1:], 0),
        ("via", VIA_3, BUS_AND_PEOPLE[1:], 0),
    ],
)
def test_tags_and_points_of_tools(
    tmp_path: Path, form: str, content: object, expected: list[tuple[str, str, int]], boxes: int
) -> None:
    photos(tmp_path, "a.jpg")
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / f"a.{'xml' if isinstance(content, str) else 'json'}").write_text(text)
    found = READERS[form](tmp_path, None, "d")
    assert tags_of(form, tmp_path) == expected
    assert (found.boxes.height, found.problems.height) == (boxes, 0)


def test_a_tag_counts_as_one_object_in_scores_and_wishes(tmp_path: Path) -> None:
    run, target = Run(tmp_path / "run"), photos(tmp_path / "target", "t.jpg")
    settings = IndexSettings((f"folder:{target}",), (f"open_images:{open_images(tmp_path / 'pool')}",))
    assert index(run, settings).summary["tags"] == {"present": 2, "absent": 1}
    assert tables.read(run.tags, tables.TAGS)["class"].to_list() == ["car", "bus", "bus"]
    counts = OpenedRun(run).counts.sort("image_id").select("image_id", "car", "bus").rows()
    assert counts == [("pool/a", 1, 0), ("pool/b", 2, 1), ("pool/c", 1, 0), ("pool/d", 1, 0)]
    score(run, ScoreSettings(scores=("diversity",)))
    assert tables.read(run.scores_path, tables.SCORES)["objects"].to_list() == [1, 3, 1, 1]
    select(run, SelectSettings(method="random", budget="1", at_least=("bus=1",), name="bus"))
    assert run.selection("bus")["image_id"].to_list() == ["pool/b"]
    # Without the file there is no table, and what was scored is out of date.
    (tmp_path / "pool" / "train-annotations-human-imagelabels.csv").unlink()
    assert "tags" not in index(run, settings).summary
    assert not run.tags.exists()
    assert score(run, ScoreSettings(scores=("diversity",))).status == "done"


def test_an_image_known_by_tags_alone_is_labelled() -> None:
    counts = pl.DataFrame({"image_id": ["a"], "bus": [2]}, {"image_id": pl.String, "bus": pl.Int32})
    rows = [("a", "bus", 1), ("b", "bus", 0), ("c", None, 1), ("d", "bus", 1), ("d", "bus", 3)]
    tags = pl.DataFrame(rows, {"image_id": pl.String, "class": pl.String, "objects": pl.Int32}, orient="row")
    assert with_tags(counts, tags, ["bus"]).rows() == [("a", 2), ("b", 0), ("c", 0), ("d", 3)]
