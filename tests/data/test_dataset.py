import dataclasses
import os
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher.data.dataset import (
    Dataset,
    contents,
    existing_folder,
    image_files,
    image_paths,
    images_table,
    problem,
    size_px,
)
from thresher.errors import DataError


def test_images_table_makes_paths_absolute_and_keeps_the_first_of_an_id():
    files = [("a", Path("x/a.jpg"), "train", 3, 2), ("a", "x/a.png", "train", 3, 2), ("b", "x/b.png", None, None, None)]
    images, problems = images_table(files, "d")
    assert images.rows() == [
        ("d/a", os.path.abspath("x/a.jpg"), "d", "train", 3, 2),
        ("d/b", os.path.abspath("x/b.png"), "d", None, None, None),
    ]
    (told,) = problems
    assert (told["problem"], told["image_id"], told["path"]) == ("duplicate_id", "d/a", os.path.abspath("x/a.png"))
    assert told["detail"].startswith(os.path.abspath("x/a.jpg"))


def test_checked_tells_which_table_is_wrong():
    images, _ = images_table([("a", "a.jpg", None, None, None)], "d")
    twice = dataclasses.replace(Dataset(images), images=pl.concat([images, images]))
    with pytest.raises(DataError, match="here: images: 'image_id' must be unique and not null; 2 rows"):
        twice.checked("here")
    with pytest.raises(DataError, match="here: images: column 'width_px' is missing"):
        Dataset(images.drop("width_px")).checked("here")


def test_problem_rows_can_always_be_stored():
    odd = os.fsdecode(b"\xe4.jpg") + "\ud800"
    row = problem("image_missing", f"no {odd}", odd, odd)
    assert pl.DataFrame([row])["path"].to_list() == ["\\udce4.jpg\\ud800"]


def test_image_files_are_the_same_as_image_paths(tmp_path):
    for name in ("b/c.jpg", "a.PNG", "b/.hidden.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert image_files(tmp_path) == [tmp_path / "a.PNG", tmp_path / "b/c.jpg"]
    assert image_paths(tmp_path) == [str(path) for path in image_files(tmp_path)]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"cannot be listed \(No such file or directory\)"):
        image_files(tmp_path / "gone")


def test_contents_are_cut_at_twelve(tmp_path):
    assert contents(tmp_path) == "nothing"
    (tmp_path / "b").mkdir()
    for number in range(14):
        (tmp_path / f"c{number:02}").touch()
    assert contents(tmp_path).startswith("b/, c00, c01, ")
    assert contents(tmp_path).endswith("c10 and 3 more")


def test_sizes_come_from_the_header(tmp_path):
    Image.new("RGB", (640, 480)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.png").write_bytes(b"")
    assert size_px(tmp_path / "a.png") == (640, 480)
    assert size_px(tmp_path / "cut.png") == (640, 480)
    with pytest.raises(DataError, match=r"none.png: not a readable image header \(unknown format\)"):
        size_px(tmp_path / "none.png")


def test_existing_folder_tells_a_file_from_nothing(tmp_path):
    (tmp_path / "file").touch()
    assert existing_folder(tmp_path, "of anything") == tmp_path
    for name, found in (("file", "a file"), ("gone", "nothing")):
        with pytest.raises(DataError, match=rf"expected a folder \(of anything\), found {found}"):
            existing_folder(tmp_path / name, "of anything")
