"""Lists of images as people have them, against pools of a few names."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from thresher.data.image_lists import listed_images, matched
from thresher.errors import DataError

POOL = pl.DataFrame(
    {
        "image_id": ["a/one", "a/sub/two", "b/one", "b/0003"],
        "path": ["/data/a/one.png", "/data/a/sub/two.png", "/data/b/one.jpg", "/data/b/0003.png"],
        "dataset": ["a", "a", "b", "b"],
    }
)


def named(path: Path) -> list[str]:
    return matched(listed_images(path), POOL, path.name).image_ids


def test_a_line_each_of_ids_paths_or_ends_of_paths(tmp_path: Path) -> None:
    listed = tmp_path / "used.txt"
    listed.write_text("a/one\r\n\n/data/b/one.jpg\n./sub/two.png\n0003\ngone\n", "utf-8-sig")
    found = matched(listed_images(listed), POOL, "used.txt")
    assert found.image_ids == ["a/one", "a/sub/two", "b/0003", "b/one"]
    assert found.unknown == ["gone"]


def test_a_table_has_them_in_image_id_or_in_its_first_column(tmp_path: Path) -> None:
    with_id, other = tmp_path / "with.csv", tmp_path / "other.csv"
    with_id.write_text("score,image_id\n0.5,b/0003\n")
    other.write_text("file,score\none.png,0.5\n")
    pl.DataFrame({"image_id": ["a/one", None]}).write_parquet(tmp_path / "ids.parquet")
    assert (named(with_id), named(other), named(tmp_path / "ids.parquet")) == (["b/0003"], ["a/one"], ["a/one"])


def test_a_coco_file_names_by_file_name_or_id(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "one.png"},
        {"id": 2, "file_name": "elsewhere.png", "thresher_id": "b/one"},
        {"id": "0003", "file_name": "renamed.png"},
    ]
    (tmp_path / "used.json").write_text(json.dumps({"images": images}))
    assert named(tmp_path / "used.json") == ["a/one", "b/0003", "b/one"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "none.txt: no such file. Expected an id, path or file name"),
        ("list.json", "[1]", "list.json: no list 'images'. Expected a COCO file"),
        ("broken.json", "{", "broken.json: cannot be read"),
        ("entry.json", '{"images": [{"width": 3}]}', r"entry.json: images\[0\] has neither file_name nor id"),
        ("table.parquet", "text", "table.parquet: cannot be read"),
    ],
)
def test_what_is_no_list_has_words(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        listed_images(tmp_path / name)


def test_a_name_that_fits_several_images_is_refused() -> None:
    pool = POOL.with_columns(path=pl.lit("/data/x/") + pl.col("dataset") + pl.lit("/one.png"))
    with pytest.raises(DataError, match=r"used.txt: 'one.png' fits 4 images of the pool \(a/one, a/sub/two, …\)"):
        matched([("one.png",)], pool, "used.txt")
