"""What is written for tools of annotation and training is read back equal, whatever the boxes and names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from thresher.data.exports import FORMATS
from thresher.data.exports.folders import readable_labels
from thresher.data.readers import READERS
from thresher.errors import DataError
from thresher.tables import BOXES

#: Format → by how many pixels a corner may differ once it is read back.
WRITTEN = {"yolo": 1e-4, "voc": 1e-3, "cvat": 1e-3, "label_studio": 1e-4, "coco": 1e-3}
SIZE = (64, 48)
FLAGS = dict.fromkeys(name for name in BOXES if name.startswith("is_"))
IDS = ["d/train/images/b", "d/labels/ü ß", "d/a.b", "d/1+1&<2>"]

#: Names as people give them, and as nobody should.
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8) | st.sampled_from(
    ["traffic light", "null", "0", "~", "- x", "a: b", "#x", '"', "'", "\\", "yes", "a/b", "=1+1", "[x]", "{"]
)
edges = st.tuples(*[st.integers(0, 64)] * 4, st.sampled_from([1.0, 0.5, 1 / 3]))


def as_box(image: int, label: str, edge: tuple[int, int, int, int, float]) -> dict[str, object]:
    """A box of at least three pixels in each direction."""
    left, top, across, down, scale = edge
    x0, y0 = min(left, 60) * scale / 64, min(top, 44) * scale / 48
    x1, y1 = min(1.0, x0 + (3 + across) / 64), min(1.0, y0 + (3 + down) / 48)
    return {"image_id": IDS[image], "label": label, "class": None, "x0": x0, "y0": y0, "x1": x1, "y1": y1, **FLAGS}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory) -> pl.DataFrame:
    """Four images, in another order of rank than of name."""
    home = tmp_path_factory.mktemp("pool")
    rows = []
    for rank, image_id in enumerate(IDS, start=1):
        path = home / f"{rank}.png"
        Image.fromarray(np.full((SIZE[1], SIZE[0], 3), rank, np.uint8)).save(path)
        rows.append((image_id, str(path), "d", None, *SIZE, rank, 1 / rank, f"why {rank}"))
    columns = ["image_id", "path", "dataset", "split", "width_px", "height_px", "rank", "score", "why_text"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def held(form: str, out: Path) -> dict[int, list[tuple[str, np.ndarray]]]:
    """What a reader finds in an export: of the image of each grey, its boxes in pixels."""
    read = READERS[form](out, None, "")
    assert read.problems.is_empty(), read.problems["detail"].to_list()
    found: dict[int, list[tuple[str, np.ndarray]]] = {}
    for image_id, path in read.images.select("image_id", "path").iter_rows():
        with Image.open(path) as image:
            grey = image.getpixel((0, 0))
        found[grey[0]] = listed(read.boxes.filter(image_id=image_id), {})
    return found


def listed(boxes: pl.DataFrame, called: dict[str, str]) -> list[tuple[str, np.ndarray]]:
    rows = [
        (called.get(label, label), np.array(corners) * (SIZE * 2))
        for label, *corners in boxes.select("label", "x0", "y0", "x1", "y1").iter_rows()
    ]
    return sorted(rows, key=lambda row: (row[0], *np.round(row[1], 2)))


@pytest.mark.parametrize("form", WRITTEN)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(st.integers(0, 3), names, edges), min_size=1, max_size=8))
def test_what_is_written_is_read_back_equal(form, chosen, tmp_path, drawn):
    boxes = pl.DataFrame([as_box(*each) for each in drawn], schema=dict(BOXES))
    display = {label: f"{label}!" for label in boxes["label"].unique().sort()[:2]} if form != "coco" else {}
    FORMATS[form](chosen.sample(fraction=1, shuffle=True, seed=len(drawn)), boxes, display, tmp_path / "out", "copy")
    found, called = held(form, tmp_path / "out"), readable_labels(boxes, display)
    assert len(found) == len(IDS)
    for rank, image_id in enumerate(IDS, start=1):
        want = listed(boxes.filter(image_id=image_id), called)
        assert [label for label, _ in found[rank]] == [label for label, _ in want]
        for (_, got), (_, meant) in zip(found[rank], want, strict=True):
            assert got == pytest.approx(meant, abs=WRITTEN[form])


def some_boxes() -> pl.DataFrame:
    return pl.DataFrame([as_box(1, "car", (16, 12, 15, 11, 1.0))], schema=dict(BOXES))


def test_every_format_keeps_the_order_of_the_selection(chosen, tmp_path):
    order = ["d/train/images_/b.png", "d/labels_/ü ß.png", "d/a.b.png", "d/1+1&<2>.png"]
    for form in ("yolo", "voc", "cvat", "label_studio"):
        FORMATS[form](chosen.reverse(), some_boxes(), {}, tmp_path / form, "link")
    listed_files = (tmp_path / "yolo/train.txt").read_text("utf-8").splitlines()
    assert listed_files == [f"./images/{file}" for file in order]
    assert (tmp_path / "voc/ImageSets/Main/train.txt").read_text("utf-8").splitlines() == IDS
    text = (tmp_path / "cvat/annotations.xml").read_text("utf-8")
    assert text.index("images/b.png") < text.index("ü ß.png") < text.index("a.b.png") < text.index("1+1&amp;&lt;2&gt;")
    tasks = json.loads((tmp_path / "label_studio/tasks.json").read_text("utf-8"))
    assert [(task["data"]["image_id"], task["data"]["rank"]) for task in tasks] == list(
        zip(IDS, range(1, 5), strict=True)
    )
    assert tasks[3]["data"]["image"] == "/data/local-files/?d=images/d/1%2B1%26%3C2%3E.png"


def test_yolo_says_what_trainers_look_for(chosen, tmp_path):
    FORMATS["yolo"](chosen, some_boxes(), {"car": "Car: a"}, tmp_path / "out", "link")
    told = yaml.safe_load((tmp_path / "out/data.yaml").read_text("utf-8"))
    assert told == {"path": ".", "train": "train.txt", "val": "train.txt", "names": {0: "Car: a"}}
    line = (tmp_path / "out/labels/d/labels_/ü ß.txt").read_text("utf-8")
    number, *shares = line.split()
    assert number == "0"
    assert [float(share) for share in shares] == pytest.approx([25 / 64, 19 / 48, 18 / 64, 14 / 48], abs=1e-7)
    for listed_file in (tmp_path / "out/train.txt").read_text("utf-8").splitlines():
        # As trainers find the label file of an image.
        swapped = "/labels/".join(listed_file.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
        assert (tmp_path / "out" / swapped).is_file()
        assert (tmp_path / "out" / listed_file).is_symlink()


def test_voc_widens_a_box_thinner_than_a_pixel(chosen, tmp_path):
    thin = some_boxes().with_columns(x0=pl.lit(16.2 / 64, pl.Float32), x1=pl.lit(16.4 / 64, pl.Float32))
    FORMATS["voc"](chosen, thin, {}, tmp_path / "out", "none")
    text = (tmp_path / "out/Annotations/d/labels/ü ß.xml").read_text("utf-8")
    assert "<xmin>17</xmin>" in text
    assert "<xmax>17</xmax>" in text
    assert "<truncated>Unspecified</truncated>" in text


@pytest.mark.parametrize("form", ["yolo", "voc", "cvat", "label_studio"])
@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b", " a", "a\u2028b\x85"])
def test_a_name_that_a_format_of_text_would_break_is_refused(form, name, chosen, tmp_path):
    boxes = some_boxes().with_columns(label=pl.lit(name))
    with pytest.raises(DataError, match=f"cannot be written as {form}. Rename it"):
        FORMATS[form](chosen, boxes, {}, tmp_path / "out", "link")
    assert not (tmp_path / "out").exists()


def test_a_path_with_a_line_break_is_refused_in_a_text_list(chosen, tmp_path):
    broken = chosen.with_columns(path=pl.col("path") + "\n.png")
    with pytest.raises(DataError, match="a name with a line break"):
        FORMATS["txt"](broken, some_boxes(), {}, tmp_path / "list.txt", "link")


@pytest.mark.parametrize("form", ["yolo", "voc", "cvat"])
def test_without_images_it_is_complete_once_they_are_put_there(form, chosen, tmp_path):
    FORMATS[form](chosen, some_boxes(), {}, tmp_path / "out", "none")
    folder = "JPEGImages" if form == "voc" else "images"
    for image_id, path in chosen.select("image_id", "path").iter_rows():
        name = image_id.replace("images/", "images_/").replace("labels/", "labels_/") if form == "yolo" else image_id
        target = tmp_path / "out" / folder / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    assert [len(boxes) for _, boxes in sorted(held(form, tmp_path / "out").items())] == [0, 1, 0, 0]
