"""Tar shards and Parquet files as pools and targets: what is found, what is listed, and the same as unpacked."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher.data.images import rgb_image
from thresher.data.readers import READERS
from thresher.errors import DataError

WORDS = {"info": {"features": {"objects": {"feature": {"category": {"names": ["car", "person"], "_type": "x"}}}}}}


def jpeg(grey: int, size: tuple[int, int] = (60, 40), orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def shard(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def ids(frame: pl.DataFrame) -> list[str]:
    return frame["image_id"].to_list()


def listed(frame: pl.DataFrame) -> list[tuple[str | None, str]]:
    return sorted(frame.select("image_id", "problem").rows(), key=str)


def test_photos_of_webdataset_shards_and_what_lies_beside_them(tmp_path: Path) -> None:
    sidecar = {"width": 60, "height": 40, "caption": "…", "objects": {"bbox": [[6, 4, 12, 20]], "category": ["car"]}}
    as_list = {"objects": [{"bbox": [0, 0, 30, 40], "category": 7, "iscrowd": 1}]}
    shard(
        tmp_path / "train-0.tar",
        [
            ("0001.jpg", jpeg(10)),
            ("0001.json", json.dumps(sidecar).encode()),
            ("0001.txt", b"a car"),
            ("0001.seg.png", b"a mask"),
            ("sub/0002.jpeg", jpeg(20)),
            ("sub/0002.json", json.dumps(as_list).encode()),
            ("0003.front.jpg", jpeg(30)),
            ("0003.left.jpg", jpeg(40)),
            ("._0001.jpg", b"of macOS"),
            ("notes.txt", b""),
        ],
    )
    shard(tmp_path / "val-0.tar", [("0001.PNG", jpeg(50)), ("0001.json", b"[1, 2]")])
    found = READERS["webdataset"](tmp_path, None, "d")
    assert ids(found.images) == [
        "d/train-0/0001",
        "d/train-0/sub/0002",
        "d/train-0/0003.front",
        "d/train-0/0003.left",
        "d/val-0/0001",
    ]
    assert [rgb_image(Path(path)).getpixel((0, 0)) for path in found.images["path"]] == [
        (grey, grey, grey) for grey in (10, 20, 30, 40, 50)
    ]
    # Of the second the size is read from its header, for its box needs it.
    assert found.images["width_px"].to_list() == [60, 60, None, None, None]
    assert found.boxes.select("image_id", "label", "x0", "y0", "x1", "y1", "is_group").rows() == [
        ("d/train-0/0001", "car", pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.3), pytest.approx(0.6), None),
        ("d/train-0/sub/0002", "7", 0.0, 0.0, 0.5, 1.0, True),
    ]
    assert found.problems.is_empty()


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_splits_are_subfolders_or_beginnings_of_names_and_a_root_may_be_one_file(tmp_path: Path, form: str) -> None:
    suffix = {"webdataset": ".tar", "parquet": ".parquet"}[form]
    for name in ("train-00000-of-00002", "train-00001-of-00002", "trainer", "test/0", "test/1"):
        path = tmp_path / f"{name}{suffix}"
        path.parent.mkdir(exist_ok=True)
        if form == "webdataset":
            shard(path, [("a.jpg", jpeg(1))])
        else:
            pl.DataFrame({"image": [jpeg(1)], "__key__": ["a.jpg"]}).write_parquet(path)
    read = READERS[form]
    assert ids(read(tmp_path, "train", "d").images) == ["d/train-00000-of-00002/a", "d/train-00001-of-00002/a"]
    inside = read(tmp_path, "test", "d").images
    assert inside["split"].to_list() == ["test", "test"]
    assert ids(inside) == ["d/test/0/a", "d/test/1/a"]
    assert read(tmp_path, None, "d").images.height == 5
    assert ids(read(tmp_path / f"trainer{suffix}", None, "d").images) == ["d/trainer/a"]
    with pytest.raises(DataError, match=rf"of split 'val'. Found .*; expected them in val/ or named val-\*{suffix}"):
        read(tmp_path, "val", "d")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=f"no {suffix} file. Found nothing; expected SHARD{suffix}"):
        read(tmp_path / "none", None, "d")
    with pytest.raises(DataError, match="found nothing"):
        read(tmp_path / "nowhere", None, "d")


def test_broken_archives_and_repeated_keys_are_listed_and_cost_only_themselves(tmp_path: Path) -> None:
    members = [("a.jpg", jpeg(1)), ("a.png", jpeg(2)), ("./a.jpg", jpeg(3)), ("b.jpg", jpeg(4)), ("b.json", b"{")]
    whole = shard(tmp_path / "0.tar", members).read_bytes()
    (tmp_path / "1.tar").write_bytes(whole[:700])
    (tmp_path / "2.tar").write_bytes(b"")
    (tmp_path / "3.tar").write_bytes(b"\x1f\x8b" + whole)
    bad_boxes = {"objects": {"bbox": [[1, 2, 3], [0, 0, 6, 4]], "category": ["car", "car"]}}
    shard(
        tmp_path / "4.tar",
        [
            ("c.jpg", jpeg(5)),
            ("c.json", json.dumps(bad_boxes).encode()),
            ("d.jpg", b"no header"),
            ("d.json", json.dumps(bad_boxes).encode()),
            ("e.jpg", jpeg(6)),
            ("e.json", b'{"objects": {"bbox": [[0, 0, 1, 1]], "category": []}}'),
        ],
    )
    found = READERS["webdataset"](tmp_path, None, "d")
    assert ids(found.images) == ["d/0/a", "d/0/b", "d/4/c", "d/4/e"]
    assert rgb_image(Path(found.images["path"][0])).getpixel((0, 0)) == (1, 1, 1)
    assert found.boxes.select("image_id", "x1", "y1").rows() == [("d/4/c", pytest.approx(0.1), pytest.approx(0.1))]
    assert listed(found.problems) == sorted(
        [
            ("d/0/a", "duplicate_id"),
            ("d/0/b", "annotation_malformed"),
            ("d/1/a", "image_unreadable"),
            (None, "archive_broken"),
            (None, "archive_broken"),
            (None, "archive_broken"),
            ("d/4/c", "annotation_malformed"),
            ("d/4/d", "annotation_malformed"),
            ("d/4/d", "image_unreadable"),
            ("d/4/e", "annotation_malformed"),
        ],
        key=str,
    )
    details = " ".join(found.problems["detail"])
    assert "expected bbox [x, y, width, height] in pixels and category" in details
    assert "objects has lists of different lengths" in details
    assert "unknown format); 1 boxes were left out with it" in details
    assert " 0x" not in details


def test_not_one_image_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(b"no tar")
    with pytest.raises(DataError, match="not one image in the archives. The first of 1 problems: .*not an uncompre"):
        READERS["webdataset"](tmp_path, None, "d")
    pl.DataFrame({"text": ["x"]}).write_parquet(tmp_path / "0.parquet")
    with pytest.raises(DataError, match=r"no column with image bytes. Found text \(String\)"):
        READERS["parquet"](tmp_path, None, "d")


@pytest.mark.parametrize("shape", ["object of lists", "list of objects"])
def test_a_hugging_face_detection_set(tmp_path: Path, shape: str) -> None:
    boxes = [[[6.0, 4.0, 12.0, 20.0], [0.0, 0.0, 60.0, 40.0]], [], [[30.0, 20.0, 300.0, 20.0]]]
    categories = [[1, 0], [], [1]]
    if shape == "object of lists":
        objects = [{"bbox": b, "category": c} for b, c in zip(boxes, categories, strict=True)]
    else:
        objects = [
            [{"bbox": b, "category": c} for b, c in zip(*each, strict=True)]
            for each in zip(boxes, categories, strict=True)
        ]
    images = [{"bytes": jpeg(10 * number), "path": f"{number}.jpg"} for number in range(3)]
    frame = pl.DataFrame({"image_id": [7, 8, 9], "image": images, "objects": objects})
    path = tmp_path / "train-00000-of-00001.parquet"
    frame.write_parquet(path, metadata={"huggingface": json.dumps(WORDS)})
    found = READERS["parquet"](tmp_path, "train", "hf")
    name = "hf/train-00000-of-00001"
    assert ids(found.images) == [f"{name}/7", f"{name}/8", f"{name}/9"]
    assert found.images["path"].to_list() == [f"{path}!/0", f"{path}!/1", f"{path}!/2"]
    assert found.images["width_px"].to_list() == [60, None, 60]
    rows = found.boxes.select("image_id", "label", "x0", "y1").rows()
    assert rows == [
        (f"{name}/7", "person", pytest.approx(0.1), pytest.approx(0.6)),
        (f"{name}/7", "car", 0.0, 1.0),
        (f"{name}/9", "person", 0.5, 1.0),
    ]
    assert listed(found.problems) == [(f"{name}/9", "box_clipped")]


def test_a_parquet_without_names_counts_rows_and_repeated_names_are_listed(tmp_path: Path) -> None:
    pl.DataFrame({"jpg": [jpeg(1), jpeg(2)]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"image": [jpeg(3), jpeg(4), jpeg(5)], "path": ["x/1.jpg", "x/1.png", None]}).write_parquet(
        tmp_path / "b.parquet"
    )
    (tmp_path / "c.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-60])
    found = READERS["parquet"](tmp_path, None, "d")
    assert ids(found.images) == ["d/a/000000", "d/a/000001", "d/b/x/1", "d/b/000002"]
    assert listed(found.problems) == sorted([("d/b/x/1", "duplicate_id"), (None, "archive_broken")], key=str)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_without_a_stated_size_are_of_the_upright_image(tmp_path: Path, orientation: int) -> None:
    sidecar = json.dumps({"objects": [{"bbox": [4, 6, 20, 12], "category": "car"}]}).encode()
    shard(tmp_path / "0.tar", [("a.jpg", jpeg(1, (60, 40), orientation)), ("a.json", sidecar)])
    found = READERS["webdataset"](tmp_path, None, "d")
    upright = rgb_image(Path(found.images["path"][0])).size
    assert found.images.select("width_px", "height_px").row(0) == upright
    assert found.boxes["x0"][0] == pytest.approx(4 / upright[0])
    assert found.boxes["y1"][0] == pytest.approx(18 / upright[1])
