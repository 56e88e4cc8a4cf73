"""What is said of whole images, present or verified absent: read, mapped, counted, and used as one object."""

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
    return READERS[form](root, None, "d").tags.select("image_id", "label", "present").rows()


def test_open_images_labels_that_people_verified(tmp_path: Path) -> None:
    found = tags_of("open_images", open_images(tmp_path))
    assert found == [("d/a", CAR, True), ("d/b", BUS, True), ("d/c", BUS, False)]


def test_lvis_says_what_is_not_to_be_seen(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "width": 16, "height": 12, "neg_category_ids": [2, 99]}
    annotations = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    content = {"images": [image], "annotations": annotations, "categories": categories}
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert tags_of("coco", tmp_path) == [("d/a", "bus", False)]


@pytest.mark.parametrize("form", ["cvat", "datumaro"])
def test_tags_of_tools(tmp_path: Path, form: str) -> None:
    photos(tmp_path, "a.jpg")
    item = {"id": "a", "image": {"path": "a.jpg"}, "annotations": [{"type": "label", "label_id": 0}]}
    files = {
        "cvat": (
            "a.xml",
            '<annotations><image name="a.jpg" width="16" height="12"><tag label="bus"/></image></annotations>',
        ),
        "datumaro": ("a.json", json.dumps({"categories": {"label": {"labels": [{"name": "bus"}]}}, "items": [item]})),
    }
    (tmp_path / files[form][0]).write_text(files[form][1])
    assert tags_of(form, tmp_path) == [("d/a", "bus", True)]


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
    rows = [("a", "bus", True), ("b", "bus", False), ("c", None, True)]
    tags = pl.DataFrame(rows, {"image_id": pl.String, "class": pl.String, "present": pl.Boolean}, orient="row")
    assert with_tags(counts, tags, ["bus"]).rows() == [("a", 2), ("b", 0), ("c", 0)]
