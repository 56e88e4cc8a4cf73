"""One item of an unexpected type or size costs itself; a bomb costs little time and memory, and is one line."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from thresher.data.findings import MOST_ROWS
from thresher.data.readers import READERS
from thresher.errors import DataError


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """Every one of these is done in seconds; without bounds some would take minutes, or all memory."""
    started = time.process_time()
    yield
    assert time.process_time() - started < 20


DEEP_900, DEEP_100_000 = "[" * 900 + "]" * 900, "[" * 100_000 + "]" * 100_000
GOOD = '{"id": 8, "image_id": 1, "category_id": 1, "bbox": [1, 2, 11, 22]}'


@pytest.fixture
def coco(picture, text, tmp_path) -> Callable[..., Path]:
    """A COCO set of two good annotations and entries, and what is put beside them, as JSON."""

    def write(annotation: str = GOOD, image: str = '{"id": 2, "file_name": "b.jpg"}', category: str = "") -> Path:
        for name in "ab":
            picture(f"{name}.jpg", (64, 48))
        one = '{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}'
        categories = '{"id": 1, "name": "car"}' + (f", {category}" if category else "")
        images, annotations = f"{one}, {image}", f"{GOOD}, {annotation}, {GOOD}"
        text("x.json", f'{{"images": [{images}], "annotations": [{annotations}], "categories": [{categories}]}}')
        return tmp_path

    return write


@pytest.mark.parametrize(
    "annotation",
    [
        *("7", '"x"', "[]", "null", "{}", DEEP_900, f'{{"id": {DEEP_900}}}'),
        '{"image_id": [1], "category_id": 1, "bbox": [1, 2, 3, 4]}',
        '{"image_id": {"a": 1}, "category_id": 1, "bbox": [1, 2, 3, 4]}',
        '{"image_id": 1, "category_id": [1], "bbox": [1, 2, 3, 4]}',
        '{"image_id": 1, "category_id": 1, "bbox": 7}',
        '{"image_id": 1, "category_id": 1, "bbox": ["1,5", 2, 3, 4]}',
        '{"image_id": 1, "category_id": 1, "bbox": [[1], 2, 3, 4]}',
        '{"image_id": 1, "category_id": 1, "bbox": [1e400, 2, 3, 4]}',
        f'{{"image_id": 1, "category_id": 1, "bbox": {DEEP_900}}}',
        f'{{"image_id": 1, "category_id": 1, "bbox": [{"9" * 4000}, 2, 3, 4]}}',
        '{"image_id": 1, "category_id": 1, "segmentation": [[1]]}',
        '{"image_id": 1, "category_id": 1, "segmentation": {"counts": "abc"}, "bbox": []}',
    ],
)
def test_an_annotation_costs_itself(coco, annotation):
    read = READERS["coco"](coco(annotation=annotation), None, "d")
    assert read.boxes["image_id"].to_list() == ["d/a", "d/a"]
    assert read.problems.height == 1
    assert read.problems["problem"][0] in ("annotation_malformed", "box_not_finite")
    assert len(read.problems["detail"][0]) < 1_000


@pytest.mark.parametrize(
    "image",
    [
        *("7", "null", "[]", DEEP_900, '{"id": [2], "file_name": "b.jpg"}', '{"id": {}, "file_name": "b.jpg"}'),
        '{"id": 2, "file_name": 7}',
        '{"id": 2, "file_name": "\\ud800.jpg"}',
        '{"id": 2, "file_name": "b\\u0000.jpg"}',
        f'{{"id": 2, "file_name": "{"x" * 3000}.jpg"}}',
    ],
)
def test_an_image_entry_costs_itself(coco, image):
    read = READERS["coco"](coco(image=image), None, "d")
    assert sorted(read.images["image_id"]) == ["d/a", "d/b"]  # the file is there, whatever the entry says
    assert read.boxes.height == 3
    assert set(read.problems["problem"]) <= {"annotation_malformed", "image_missing", "annotation_missing"}


@pytest.mark.parametrize(
    "size", ['3000000000, "height": 9', '1e400, "height": 9', '0, "height": 0', '[1], "height": {}']
)
def test_a_size_that_no_image_has_is_read_from_the_image(coco, size):
    read = READERS["coco"](coco(image=f'{{"id": 2, "file_name": "b.jpg", "width": {size}}}'), None, "d")
    assert read.images.sort("image_id").select("width_px", "height_px").rows() == [(64, 48), (64, 48)]
    assert read.problems.is_empty()


@pytest.mark.parametrize("name", ['"\\ud800"', "[1]", f'"{"x" * 140_000}"', "null", DEEP_900])
def test_a_category_costs_itself(coco, name):
    root = coco(category=f'{{"id": 2, "name": {name}}}')
    assert READERS["coco"](root, None, "d").boxes["label"].to_list() == ["car"] * 3


@pytest.mark.parametrize(
    "content", [DEEP_100_000, f'{{"images": [], "annotations": {DEEP_100_000}}}', "9" * 5000, "\ud800"]
)
def test_json_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError) as raised:
        READERS["coco"](tmp_path, None, "d")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize(
    "content",
    [
        {"imgWidth": 0, "imgHeight": 48, "objects": []},
        {"imgWidth": 1e400, "imgHeight": 48, "objects": []},
        {"imgWidth": 64, "imgHeight": 48, "objects": 7},
        {"imgWidth": 64, "imgHeight": 48, "objects": [{"label": "car", "polygon": [[1], [2]]}, {"label": "car"}]},
        [],
    ],
)
def test_an_outline_costs_itself(tmp_path, picture, text, content):
    for name in "abc":
        picture(f"leftImg8bit/val/{name}_leftImg8bit.png", (64, 48))
        thing = {"label": "car", "polygon": [[1, 2], [11, 2], [11, 22]]}
        good = {"imgWidth": 64, "imgHeight": 48, "objects": [thing] * 3}
        text(f"gtFine/val/{name}_gtFine_polygons.json", json.dumps(content if name == "b" else good))
    read = READERS["cityscapes_polygons"](tmp_path, None, "d")
    assert sorted(set(read.boxes["image_id"])) == ["d/val/a", "d/val/c"]
    assert set(read.problems["problem"]) == {"annotation_malformed"}


def open_images(picture, text, tree: str, names: str = "/m/1,Car\n/m/2,Taxi\n/m/3,Bus\n") -> None:
    picture("images/a.jpg")
    text("train-annotations-bbox.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/2,.1,.3,.2,.6\n")
    text("class-descriptions-boxable.csv", names)
    text("bbox_labels_600_hierarchy.json", tree)


CAR = '{"LabelName": "/m/1", "Subcategory": [{"LabelName": "/m/2"}]}'


@pytest.mark.parametrize("odd", ['{"LabelName": "/m/3", "Subcategory": null}', "null", "7", "{}", DEEP_900])
def test_a_node_of_the_hierarchy_costs_itself(tmp_path, picture, text, odd):
    open_images(picture, text, f'{{"LabelName": "/m/0", "Subcategory": [{CAR}, {odd}]}}')
    words = READERS["open_images"](tmp_path, None, "d").vocabulary
    assert words.filter(label="/m/2")["ancestors"].to_list() == [["/m/1", "Car"]]


def test_a_hierarchy_of_900_levels_is_read(tmp_path, picture, text):
    tree = "".join(f'{{"LabelName": "/m/{n}", "Subcategory": [' for n in range(400)) + "]}" * 400
    open_images(picture, text, tree)
    words = READERS["open_images"](tmp_path, None, "d").vocabulary
    assert len(words.filter(label="/m/399")["ancestors"][0]) == 398 + 3  # three of them have a name, too


def test_a_name_of_a_class_that_is_longer_than_a_field_costs_itself(tmp_path, picture, text):
    open_images(picture, text, CAR, names=f"/m/1,Car\n/m/2,Taxi\n/m/3,{'x' * 140_000}\n")
    read = READERS["open_images"](tmp_path, None, "d")
    assert read.vocabulary["label"].to_list() == ["/m/1", "/m/2"]
    assert read.problems["detail"][0].startswith("class-descriptions-boxable.csv line 3: ")


@pytest.mark.parametrize("size", ["4x0", "0 x 0", "99999999999999999999 x 1", "-4 x 8"])
def test_pascal_of_an_impossible_size_takes_that_of_the_image(tmp_path, picture, text, size):
    picture("PNGImages/a.png", (64, 48))
    box = 'Bounding box for object 1 "car" (Xmin, Ymin) - (Xmax, Ymax) : (2, 3) - (32, 24)'
    text("Annotation/a.txt", f"# PASCAL Annotation Version 1.00\nImage size (X x Y x C) : {size} x 3\n{box}\n")
    box = READERS["voc"](tmp_path, None, "d").boxes.row(0, named=True)
    assert (box["x1"], box["y1"]) == (0.5, 0.5)


def test_yaml_of_aliases_within_aliases_is_not_built(tmp_path, picture, text):
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    picture("images/a.jpg")
    text("labels/a.txt", "0 .5 .5 .2 .2\n")
    text("data.yaml", f"{bomb}names: [car]\n")
    assert READERS["yolo"](tmp_path, None, "d").boxes["label"].to_list() == ["car"]
    for names, said in (("*a11", "holds something else than names"), ("[" * 9000, "nested too deeply")):
        text("data.yaml", f"{bomb}names: {names}\n")
        with pytest.raises(DataError, match=said):
            READERS["yolo"](tmp_path, None, "d")


def test_of_many_bad_lines_some_are_listed_and_all_are_counted(tmp_path, picture, text):
    bad = MOST_ROWS * 3
    picture("images/a.jpg")
    text("data.yaml", "names: [car]\n")
    text("labels/a.txt", "0 .5 .5 .2 .2\n" * bad + "7 .5 .5 .2 .2\n" * bad)
    read = READERS["yolo"](tmp_path, None, "d")
    assert read.boxes.height == bad
    assert read.problems.height + read.unlisted["annotation_malformed"] == bad
    assert read.problems.height == MOST_ROWS + 1
    assert read.problems["detail"][-1] == f"{bad - MOST_ROWS:,} more like these are counted and not listed"
    text("labels/a.txt", "7 .5 .5 .2 .2\n" * bad)
    with pytest.raises(
        DataError, match=r"30,000 of 30,000 label lines cannot be read \(first: .*a.txt line 1: class 7"
    ):
        READERS["yolo"](tmp_path, None, "d")


def header(name: str, size: bytes, kind: bytes) -> bytes:
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136], block[156:157] = size, kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


HUGE = b"\x80" + (2**87).to_bytes(11, "big")
GIGABYTES = b"%011o\0" % (3 << 30)


@pytest.mark.parametrize(
    "odd",
    [
        header("huge.jpg", HUGE, b"0"),
        header("negative.jpg", b"\xff" * 12, b"0"),
        header("sparse.jpg", GIGABYTES, b"S"),
        *(header("long", GIGABYTES, kind) + b"x" * 512 for kind in (b"L", b"K", b"x", b"g")),
        (header("pax", b"%011o\0" % 512, b"x") + b"12 path=abc\n".ljust(512, b"\0")) * 20_000,
        header("pax", b"%011o\0" % 2048, b"x") + b"9999999 size=1\n".ljust(2048, b"\0"),
    ],
)
def test_a_header_of_a_tar_costs_itself(tmp_path, odd):
    picture = io.BytesIO()
    Image.new("RGB", (8, 6)).save(picture, "JPEG")
    size = len(picture.getvalue())
    good = header("good.jpg", b"%011o\0" % size, b"0") + picture.getvalue().ljust(-(-size // 512) * 512, b"\0")
    (tmp_path / "0.tar").write_bytes(good + odd)
    with (tmp_path / "0.tar").open("ab") as file:
        file.truncate(4 << 30)  # of zeros, which take no room on disk
    read = READERS["webdataset"](tmp_path, None, "d")
    assert read.images["image_id"].to_list() == ["d/0/good"]
