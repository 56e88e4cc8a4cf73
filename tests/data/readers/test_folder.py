import os

import pytest

from thresher.data.readers import folder
from thresher.errors import DataError


def test_ids_are_paths_below_the_root_and_hidden_files_are_passed_over(tmp_path, picture, words):
    for name in ("a.jpg", "deep/er/b.PNG", "deep/.hidden.jpg", ".git/c.jpg"):
        picture(name)
    (tmp_path / "notes.txt").write_text("no image")
    read = folder.read(tmp_path, None, "pool")
    assert read.images["image_id"].to_list() == ["pool/a", "pool/deep/er/b"]
    assert read.images["dataset"].unique().to_list() == ["pool"]
    assert read.boxes.is_empty()
    assert words(read) == {}


def test_a_split_is_a_subfolder_and_stays_in_the_id(tmp_path, picture):
    picture("train/a.jpg")
    picture("val/b.jpg")
    assert folder.read(tmp_path, "val", "d").images.select("image_id", "split").rows() == [("d/val/b", "val")]


def test_whole_ids_are_used_as_they_are(tmp_path, picture):
    picture("kitti/000000.png")
    read = folder.read(tmp_path, None, "")
    assert read.images.select("image_id", "dataset").rows() == [("kitti/000000", "kitti")]


def test_two_files_of_one_id_cost_one_of_them(tmp_path, picture, words):
    picture("a.jpg")
    picture("a.png")
    read = folder.read(tmp_path, None, "d")
    assert read.images["path"].to_list() == [str(tmp_path / "a.jpg")]
    assert words(read) == {"duplicate_id": 1}
    assert read.problems["path"].to_list() == [str(tmp_path / "a.png")]


def test_a_name_that_is_not_utf8_is_listed_and_not_stored(tmp_path, picture, words):
    picture("a.jpg")
    try:
        picture("b.jpg").rename(tmp_path / os.fsdecode(b"\xe4.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    read = folder.read(tmp_path, None, "d")
    assert read.images["image_id"].to_list() == ["d/a"]
    assert words(read) == {"name_not_utf8": 1}
    assert "e4.jpg" in read.problems["path"][0]


def test_links_in_a_circle_are_not_followed(tmp_path, picture):
    picture("a/b.jpg")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert folder.read(tmp_path, None, "d").images.height == 1


def test_links_elsewhere_are_followed(tmp_path, picture):
    picture("store/b.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "store")
    assert folder.read(tmp_path / "set", None, "d").images["image_id"].to_list() == ["d/linked/b"]


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("missing", None, "expected a folder"),
        ("", "val", "no subfolder 'val'. Found notes.txt, train/"),
        ("train", None, "no image files. Found nothing; expected .jpg"),
    ],
)
def test_errors_say_what_was_found(tmp_path, name, split, message):
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError) as error:
        folder.read(tmp_path / name, split, "d")
    assert message in str(error.value)
