"""Exports for other tools, checked by their documented forms; and by the tools themselves, where they are installed.

A tool has an environment of its own: THRESHER_HF_PYTHON, THRESHER_LIGHTLY_PYTHON, THRESHER_FIFTYONE_PYTHON and
THRESHER_ATLAS_PYTHON name the Python that has it.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher.data.exports import FORMATS, WITH_SCORES
from thresher.data.exports.folders import readable_labels
from thresher.data.exports.hf import FILE_IMAGES
from thresher.data.readers import READERS
from thresher.errors import DataError
from thresher.tables import BOXES, from_rows

NAMES = {"/m/0k4j": "Car", "/m/01g317": "Person"}
FOLDERS = ["fiftyone", "lightly", "hf"]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "handover.py"


@pytest.fixture
def chosen(tmp_path: Path) -> pl.DataFrame:
    """Two images, 40 × 20 and 10 × 50 pixels; only the first's size is known, only the second has a similarity."""
    rows = []
    for rank, (image_id, size) in enumerate((("kitti/0", (40, 20)), ("oi/a/b.c", (10, 50))), start=1):
        path = tmp_path / "pool" / f"{rank}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (90 * rank, 0, 0)).save(path)
        rows.append(
            {
                "image_id": image_id,
                "path": str(path),
                "dataset": image_id.split("/")[0],
                "split": ["train", None][rank - 1],
            }
            | {"width_px": 40 if rank == 1 else None, "height_px": 20 if rank == 1 else None}
            | {"rank": rank, "score": 1 / rank, "why_text": f'why "{rank}", best', "yield_area": None}
            | {"similarity": [None, -2.5][rank - 1], "nearest_ids": [["t/1", "t/2"], None][rank - 1]}
        )
    kinds = {"width_px": pl.Int32, "height_px": pl.Int32, "yield_area": pl.Float64, "similarity": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=kinds)


@pytest.fixture
def boxes() -> pl.DataFrame:
    corners = {"x0": 0.25, "y0": 0.5, "x1": 0.75, "y1": 1.0}
    return from_rows(
        [
            {"image_id": "oi/a/b.c", "label": "/m/0k4j", "class": "car", **corners, "is_group": True},
            {"image_id": "kitti/0", "label": "/m/01g317", "class": None, **corners, "is_occluded": False},
            {"image_id": "kitti/0", "label": "/m/0k4j", "class": "car", "x0": 0.0, "y0": 0.0, "x1": 0.5, "y1": 0.25},
        ],
        BOXES,
    )


def test_a_sample_of_fiftyone_has_fields_and_relative_detections(chosen, boxes, tmp_path):
    FORMATS["fiftyone"](chosen, boxes, NAMES, tmp_path / "out", "link")
    told = json.loads((tmp_path / "out/metadata.json").read_text())
    assert told == {"media_type": "image", "info": {"made_by": "thresher", "classes": ["Car", "Person"]}}
    first, second = json.loads((tmp_path / "out/samples.json").read_text())["samples"]
    assert first["filepath"] == "data/kitti/0.png"
    assert (tmp_path / "out" / first["filepath"]).is_symlink()
    assert (first["image_id"], first["rank"], first["score"], first["why"]) == ("kitti/0", 1, 1.0, 'why "1", best')
    assert (first["tags"], second["tags"]) == (["train"], [])
    assert first["nearest_ids"] == ["t/1", "t/2"]
    assert second["similarity"] == -2.5
    assert not {"similarity", "yield_area"} & set(first)
    assert second["metadata"] == {"_cls": "ImageMetadata", "width": 10, "height": 50}
    assert first["ground_truth"]["detections"][1] == {
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": "Car",
        "bounding_box": [0.0, 0.0, 0.5, 0.25],
        "source_label": "/m/0k4j",
        "class_name": "car",
    }
    assert first["ground_truth"]["detections"][0]["is_occluded"] is False
    assert "class_name" not in first["ground_truth"]["detections"][0]


def test_lightly_gets_boxes_by_label_and_by_class_and_scores_by_file(chosen, boxes, tmp_path):
    FORMATS["lightly"](chosen, boxes, NAMES, tmp_path / "out", "copy")
    found = {}
    for name in ("labels", "classes"):
        content = json.loads((tmp_path / "out/annotations" / f"{name}.json").read_text())
        called = {each["id"]: each["name"] for each in content["categories"]}
        files = {each["id"]: each["file_name"] for each in content["images"]}
        found[name] = [(files[a["image_id"]], called[a["category_id"]], a["bbox"]) for a in content["annotations"]]
    cars = [("kitti/0.png", [0.0, 0.0, 20.0, 5.0]), ("oi/a/b.c.png", [2.5, 25.0, 5.0, 25.0])]
    assert found["classes"] == [(file, "car", bbox) for file, bbox in cars]
    assert found["labels"] == [
        ("kitti/0.png", "Person", [10.0, 10.0, 20.0, 10.0]),
        *((file, "Car", bbox) for file, bbox in cars),
    ]
    scores = pl.read_csv(tmp_path / "out/scores.csv")
    told = ["file_name", "image_id", "dataset", "split", "rank", "score", "why", "similarity"]
    assert scores.columns == told
    assert scores["file_name"].to_list() == ["kitti/0.png", "oi/a/b.c.png"]
    assert scores["similarity"].to_list() == [None, -2.5]
    assert all((tmp_path / "out/images" / file).is_file() for file in scores["file_name"])


def test_atlas_tells_chosen_from_not_chosen(chosen, boxes, tmp_path):
    table = chosen.with_columns(
        rank=pl.Series([1, None], dtype=pl.Int64),
        score=pl.Series([1.0, None]),
        vector=pl.Series([[1.0, 2.0], [3.0, 4.0]]),
        projection_x=pl.Series([0.5, None]),
        projection_y=pl.Series([0.25, None]),
    )
    FORMATS["atlas"](table.reverse(), boxes, NAMES, tmp_path / "out.parquet", "copy")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.select("image_id", "selected", "rank", "labels").rows() == [
        ("kitti/0", True, 1, "Car, Person"),
        ("oi/a/b.c", False, None, "Car"),
    ]
    assert found["vector"].to_list() == [[1.0, 2.0], [3.0, 4.0]]
    assert found["projection_x"].to_list() == [0.5, None]
    corners = {"x0": 0.25, "y0": 0.5, "x1": 0.75, "y1": 1.0}
    assert found["boxes"][1].to_list() == [{"label": "/m/0k4j", "name": "Car", "class": "car", **corners}]
    with Image.open(io.BytesIO(found["image"][1]["bytes"])) as picture:
        assert (picture.format, picture.size) == ("JPEG", (10, 50))


def test_copied_images_for_datasets_are_read_back(chosen, boxes, tmp_path):
    FORMATS["hf"](chosen, boxes, NAMES, tmp_path / "out", "copy")
    back = READERS["parquet"](tmp_path / "out", None, "")
    assert back.problems.is_empty()
    where = "data/train-00000-of-00001"
    assert sorted(back.images["image_id"]) == [f"{where}/kitti/0", f"{where}/oi/a/b.c"]
    assert sorted(back.images.select("width_px", "height_px").rows()) == [(10, 50), (40, 20)]
    wanted = boxes.select(
        pl.format(f"{where}/{{}}", "image_id").alias("image_id"),
        pl.col("label").replace_strict(NAMES),
        *("x0", "y0", "x1", "y1"),
    )
    order = ["image_id", "label", "x0"]
    assert back.boxes.select(wanted.columns).sort(order).equals(wanted.sort(order))
    stored = pl.read_parquet(tmp_path / "out/data/*.parquet")
    for row, path in zip(stored.iter_rows(named=True), chosen["path"], strict=True):
        assert row["image"] == {"bytes": Path(path).read_bytes(), "path": f"{row['image_id']}.png"}
    assert stored["objects"].struct.field("class").to_list() == [[None, "car"], ["car"]]
    assert stored["objects"].struct.field("is_group").to_list() == [[None, None], [True]]


@pytest.mark.parametrize("images", ["link", "none"])
def test_the_card_and_the_file_say_the_same_features(chosen, boxes, tmp_path, images):
    FORMATS["hf"](chosen, boxes, NAMES, tmp_path / "out", images)
    file = tmp_path / "out/data/train-00000-of-00001.parquet"
    features = json.loads(pl.read_parquet_metadata(file)["huggingface"])["info"]["features"]
    assert list(features) == list(pl.read_parquet_schema(file))
    assert features["objects"]["category"]["feature"] == {"names": ["Person", "Car"], "_type": "ClassLabel"}
    assert features.get("image") == ({"_type": "Image"} if images == "link" else None)
    head = json.loads((tmp_path / "out/README.md").read_text().split("---\n")[1])
    card = {each.pop("name"): each for each in head["dataset_info"]["features"]}
    assert list(card) == list(features)
    assert card["rank"] == {"dtype": "int64"}
    assert card["nearest_ids"] == {"sequence": "string"}
    objects = {each.pop("name"): each for each in card["objects"]["struct"]}
    assert objects["bbox"] == {"sequence": {"sequence": "float32", "length": 4}}
    assert objects["category"] == {"sequence": {"class_label": {"names": {"0": "Person", "1": "Car"}}}}
    if images == "link":
        assert pl.read_parquet(file)["image"].to_list() == [{"bytes": None, "path": path} for path in chosen["path"]]


def test_many_images_are_cut_into_files(chosen, boxes, tmp_path):
    many = pl.concat([chosen.head(1)] * (FILE_IMAGES + 1)).with_columns(
        image_id=pl.format("p/{}", pl.int_range(pl.len())), rank=pl.int_range(1, pl.len() + 1)
    )
    FORMATS["hf"](many, boxes, NAMES, tmp_path / "out", "none")
    files = sorted((tmp_path / "out/data").iterdir())
    assert [file.name for file in files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert pl.read_parquet(files[1])["image_id"].to_list() == [f"p/{FILE_IMAGES}"]


@pytest.mark.parametrize("form", sorted(WITH_SCORES))
@pytest.mark.parametrize("images", ["link", "copy", "none"])
def test_images_without_any_box_and_scores_can_be_written(chosen, boxes, tmp_path, form, images):
    bare = chosen.drop("similarity", "nearest_ids", "yield_area")
    FORMATS[form](bare, boxes.clear(), NAMES, tmp_path / "out", images)
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FOLDERS)
def test_what_is_not_an_export_stays(chosen, boxes, tmp_path, form):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds mine.txt, not written by an export. Name another folder or empty it"):
        FORMATS[form](chosen, boxes, NAMES, tmp_path / "out", "link")
    assert (tmp_path / "out/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("form", FOLDERS)
def test_images_in_archives_are_copied_not_linked(chosen, boxes, tmp_path, form):
    with tarfile.open(tmp_path / "pool.tar", "w") as tar:
        for path in chosen["path"]:
            tar.add(path, Path(path).name)
    packed = chosen.with_columns(path=pl.format(f"{tmp_path}/pool.tar!/{{}}.png", "rank"))
    with pytest.raises(DataError, match=r"2 of 2 chosen images are in archives .* --images copy"):
        FORMATS[form](packed, boxes, NAMES, tmp_path / "out", "link")
    FORMATS[form](packed, boxes, NAMES, tmp_path / "out", "copy")
    if form == "hf":
        copies = pl.read_parquet(tmp_path / "out/data/*.parquet")["image"].struct.field("bytes").to_list()
    else:
        copies = [file.read_bytes() for file in (tmp_path / "out").rglob("*.png")]
    assert sorted(copies) == sorted(Path(path).read_bytes() for path in chosen["path"])


@pytest.mark.parametrize("form", FOLDERS)
def test_a_missing_image_and_an_id_that_leads_out_are_errors(chosen, boxes, tmp_path, form):
    with pytest.raises(DataError, match="leads out of the export's folder"):
        FORMATS[form](chosen.with_columns(image_id=pl.lit("../x")), boxes, NAMES, tmp_path / "out", "link")
    Path(chosen["path"][1]).unlink()
    with pytest.raises(DataError, match=r"1 of 2 chosen images no longer exist .*2.png\). Run .thresher index. again"):
        FORMATS[form](chosen, boxes, NAMES, tmp_path / "out", "copy")
    assert not (tmp_path / "out").exists()


def test_two_labels_of_one_name_stay_apart():
    boxes = pl.DataFrame({"label": ["a", "b", "c", "a"]})
    assert readable_labels(boxes, {"a": "Bat", "b": "Bat"}) == {"a": "Bat (a)", "b": "Bat (b)", "c": "c"}


@pytest.mark.parametrize("tool", ["hf", "lightly", "fiftyone", "atlas"])
def test_the_tool_itself_reads_it(tmp_path, tool):
    variable = f"THRESHER_{tool.upper()}_PYTHON"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name a Python that has the tool")
    import runpy

    runpy.run_path(str(SCRIPT))["write"](tmp_path)
    offline = {"HF_HUB_OFFLINE": "1", "LIGHTLY_STUDIO_ANALYTICS_ENABLED": "false", "FIFTYONE_DO_NOT_TRACK": "1"}
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(SCRIPT), "check", tool, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**bare, **offline},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r'"images": 3}$', done.stdout.strip())
