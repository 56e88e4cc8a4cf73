import hashlib
import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher.data.exports import FORMATS, MARKER
from thresher.data.exports.cells import armed
from thresher.data.readers import READERS
from thresher.errors import DataError
from thresher.tables import BOXES

NAMES = {"/m/0k4j": "Car", "person": "person"}
FLAGS = ["is_group", "is_depiction", "is_inside", "is_occluded", "is_truncated"]


@pytest.fixture
def pool(tmp_path):
    """Two chosen images of two sets, and three boxes with all kinds of flags."""
    rows = []
    for rank, (image_id, size) in enumerate((("kitti/000000", (40, 20)), ("oi/train_0/b.c", (30, 30))), start=1):
        path = tmp_path / "pool" / f"{rank}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(path)
        width, height = size if rank == 1 else (None, None)
        rows.append(
            (image_id, str(path), image_id.split("/")[0], "train", width, height, rank, 1 / rank, f"why {rank}")
        )
    columns = ["image_id", "path", "dataset", "split", "width_px", "height_px", "rank", "score", "why_text"]
    chosen = pl.DataFrame(rows, schema=columns, orient="row")
    boxes = pl.DataFrame(
        [
            ("oi/train_0/b.c", "/m/0k4j", "car", 0.1, 0.2, 0.5, 0.9, None, None, None, None, None, None),
            ("kitti/000000", "person", None, 0.0, 0.0, 1.0, 1.0, True, False, True, False, None, None),
            ("kitti/000000", "/m/0k4j", "car", 1 / 3, 0.25, 2 / 3, 0.75, False, True, False, True, True, None),
        ],
        schema=dict(BOXES),
        orient="row",
    )
    return chosen, boxes


def bytes_below(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def comparable(boxes: pl.DataFrame) -> list[tuple[object, ...]]:
    corners = [pl.col(name).cast(pl.Float64) for name in ("x0", "y0", "x1", "y1")]
    return boxes.select("image_id", "label", *FLAGS, *corners).sort(pl.all()).rows()


def test_lists_hold_a_row_per_image_in_order_of_rank(pool, tmp_path):
    chosen, boxes = pool
    backwards = chosen.reverse()
    for form in ("csv", "txt", "parquet"):
        FORMATS[form](backwards, boxes, NAMES, tmp_path / f"list.{form}", "link")
    lines = (tmp_path / "list.csv").read_text().splitlines()
    assert lines[0] == "image_id,rank,score,path,dataset,split,width_px,height_px,why"
    assert lines[1] == f"kitti/000000,1,1.0,{chosen['path'][0]},kitti,train,40,20,why 1"
    assert (tmp_path / "list.txt").read_text() == f"{chosen['path'][0]}\n{chosen['path'][1]}\n"
    table = pl.read_parquet(tmp_path / "list.parquet")
    assert table.columns == lines[0].split(",")
    assert table["rank"].to_list() == [1, 2]


def test_a_list_does_not_take_the_place_of_a_folder(pool, tmp_path):
    with pytest.raises(DataError, match="is a folder; expected the name of a file"):
        FORMATS["csv"](*pool, NAMES, tmp_path, "link")


def test_a_cell_that_a_spreadsheet_would_run_is_disarmed_and_can_be_read_back(pool, tmp_path):
    chosen, boxes = pool
    evil = ["=HYPERLINK(1)", "'@x"]
    chosen = chosen.with_columns(why_text=pl.Series(evil), score=pl.Series([-1.0, 2.0]))
    FORMATS["csv"](chosen, boxes, NAMES, tmp_path / "list.csv", "none")
    table = pl.read_csv(tmp_path / "list.csv")
    assert table["why"].to_list() == ["'=HYPERLINK(1)", "''@x"]
    assert table["score"].to_list() == [-1.0, 2.0]
    assert armed(table)["why"].to_list() == evil


def test_coco_says_what_other_tools_look_for(pool, tmp_path):
    FORMATS["coco"](*pool, NAMES, tmp_path / "out", "link")
    content = json.loads((tmp_path / "out/annotations/instances_selection.json").read_text())
    first = {"id": 1, "file_name": "kitti/000000.jpg", "width": 40, "height": 20}
    second = {"id": 2, "file_name": "oi/train_0/b.c.jpg", "width": 30, "height": 30}
    assert content["images"] == [
        {**first, "thresher_id": "kitti/000000", "rank": 1, "score": 1.0},
        {**second, "thresher_id": "oi/train_0/b.c", "rank": 2, "score": 0.5},
    ]
    assert content["categories"] == [
        {"id": 1, "name": "/m/0k4j", "supercategory": "car", "display_name": "Car"},
        {"id": 2, "name": "person", "supercategory": "none", "display_name": "person"},
    ]
    assert content["annotations"][1] == {
        "id": 2,
        "category_id": 2,
        "image_id": 1,
        "bbox": [0.0, 0.0, 40.0, 20.0],
        "area": 800.0,
        "iscrowd": 1,
        "attributes": {"occluded": False, "depiction": False, "inside": True},
    }
    assert content["annotations"][2]["attributes"] == {"group": None}
    assert content["annotations"][2]["iscrowd"] == 0
    assert (tmp_path / "out/images/kitti/000000.jpg").is_symlink()


def test_open_images_has_the_real_columns(pool, tmp_path):
    FORMATS["open_images"](*pool, NAMES, tmp_path / "out", "link")
    lines = (tmp_path / "out/train-annotations-bbox.csv").read_text().splitlines()
    assert lines[0] == (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    assert lines[2] == "kitti/000000,thresher,person,1,0,1,0,1,0,-1,1,0,1"
    assert lines[3].endswith(",-1,-1,-1,-1,-1")
    described = (tmp_path / "out/class-descriptions-boxable.csv").read_text()
    assert described == "LabelName,DisplayName\n/m/0k4j,Car\nperson,person\n"


@pytest.mark.parametrize("images", ["link", "copy", "none"])
@pytest.mark.parametrize("form", ["coco", "open_images"])
def test_what_is_written_can_be_read_back(pool, tmp_path, form, images):
    chosen, boxes = pool
    FORMATS[form](chosen, boxes, NAMES, tmp_path / "out", images)
    if (form, images) == ("open_images", "none"):
        with pytest.raises(DataError, match="no image folder found"):
            READERS[form](tmp_path / "out", None, "")
        return
    read = READERS[form](tmp_path / "out", None, "")
    assert read.problems.is_empty()
    assert sorted(read.images.select("image_id", "dataset").rows()) == [
        ("kitti/000000", "kitti"),
        ("oi/train_0/b.c", "oi"),
    ]
    if form == "coco":
        assert sorted(read.images.select("width_px", "height_px").rows()) == [(30, 30), (40, 20)]
    for want, got in zip(comparable(boxes), comparable(read.boxes), strict=True):
        assert want[:7] == got[:7]
        assert want[7:] == pytest.approx(got[7:], abs=1e-4)
    same_files = {Path(path).read_bytes() for path in read.images["path"]}
    assert same_files == {Path(path).read_bytes() for path in chosen["path"]}


@pytest.mark.parametrize("form", ["coco", "open_images"])
def test_images_without_any_box_are_read_back(pool, tmp_path, form):
    chosen, boxes = pool
    FORMATS[form](chosen, boxes.clear(), NAMES, tmp_path / "out", "link")
    read = READERS[form](tmp_path / "out", None, "")
    assert (read.images.height, read.boxes.height) == (2, 0)
    # A file of boxes that has none may be a mistake; COCO's file has the images, too.
    assert read.problems["problem"].to_list() == (["annotation_missing"] if form == "open_images" else [])


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_choice_is_the_same_bytes(pool, tmp_path, form):
    chosen, boxes = pool
    FORMATS[form](chosen, boxes, NAMES, tmp_path / "one" / "out", "copy")
    FORMATS[form](chosen.reverse(), boxes.reverse(), NAMES, tmp_path / "two" / "out", "copy")
    assert bytes_below(tmp_path / "one") == bytes_below(tmp_path / "two")


@pytest.mark.parametrize("form", ["coco", "open_images"])
def test_only_what_an_export_wrote_is_replaced(pool, tmp_path, form):
    chosen, boxes = pool
    out = tmp_path / "out"
    out.mkdir()
    FORMATS[form](chosen, boxes, NAMES, out, "link")  # an empty folder may be filled
    FORMATS[form](chosen.head(1), boxes, NAMES, out, "link")
    assert READERS[form](out, None, "").images["image_id"].to_list() == ["kitti/000000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pool"]
    (out / MARKER).unlink()
    before = bytes_below(out)
    with pytest.raises(DataError, match=r"holds .*images/.* not written by an export. Name another folder or empty it"):
        FORMATS[form](chosen, boxes, NAMES, out, "link")
    assert bytes_below(out) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out: (out / MARKER).write_text("{"), r"thresher-export: damaged. Name another folder"),
        (
            lambda out: (out / "notes.md").write_text("mine"),
            r"holds notes.md \(not written by the last export\), which",
        ),
        (
            lambda out: (out / "data.yaml").write_text("names: [mine]"),
            r"holds data.yaml \(changed since\), which a new",
        ),
    ],
)
def test_what_people_made_in_an_exported_folder_is_not_deleted(pool, tmp_path, change, words):
    chosen, boxes = pool
    out = tmp_path / "out"
    FORMATS["yolo"](chosen, boxes, NAMES, out, "copy")
    FORMATS["yolo"](chosen, boxes, NAMES, out, "copy")  # as it was written it may be replaced
    change(out)
    before = bytes_below(out)
    with pytest.raises(DataError, match=words):
        FORMATS["yolo"](chosen, boxes, NAMES, out, "copy")
    assert bytes_below(out) == before


def test_a_failed_export_leaves_the_old_one(pool, tmp_path):
    chosen, boxes = pool
    out = tmp_path / "out"
    FORMATS["coco"](chosen, boxes, NAMES, out, "copy")
    before = bytes_below(out)
    Path(chosen["path"][1]).unlink()
    with pytest.raises(DataError, match=r"1 of 2 chosen images no longer exist .*2.jpg\). Run .thresher index. again"):
        FORMATS["coco"](chosen, boxes, NAMES, out, "copy")
    assert bytes_below(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pool"]


def test_an_export_does_not_eat_its_own_images(pool, tmp_path):
    chosen, boxes = pool
    FORMATS["coco"](chosen, boxes, NAMES, tmp_path / "out", "copy")
    read = READERS["coco"](tmp_path / "out", None, "").images
    again = chosen.drop("path").join(read.select("image_id", "path"), on="image_id")
    with pytest.raises(DataError, match="2 chosen images lie in it"):
        FORMATS["coco"](again, boxes, NAMES, tmp_path / "out", "copy")


def test_bad_places_and_ids_are_errors(pool, tmp_path):
    chosen, boxes = pool
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file or a link; expected the name of a folder"):
        FORMATS["coco"](chosen, boxes, NAMES, tmp_path / "file", "link")
    with pytest.raises(DataError, match="leads out of the export's folder"):
        FORMATS["coco"](chosen.with_columns(image_id=pl.lit("../../x")), boxes, NAMES, tmp_path / "out", "link")
    assert not (tmp_path / "out").exists()
