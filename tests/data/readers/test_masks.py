import pytest

from thresher.data.readers import masks
from thresher.errors import DataError


def test_camvid_folders_with_and_without_a_split(tmp_path, picture, words):
    for split in ("train", "val"):
        picture(f"{split}/0001.jpg")
        picture(f"{split}annot/0001.png")
    every = masks.read(tmp_path, None, "camvid")
    assert every.images["image_id"].to_list() == ["camvid/train/0001", "camvid/val/0001"]
    assert every.images["split"].to_list() == ["train", "val"]
    assert every.masks["path"].to_list() == [str(tmp_path / f"{split}annot/0001.png") for split in ("train", "val")]
    assert every.masks["encoding"].unique().to_list() == ["class_index"]
    assert words(every) == {}
    assert masks.read(tmp_path, "val", "camvid").images["image_id"].to_list() == ["camvid/val/0001"]


@pytest.mark.parametrize("folder", ["masks", "labels", "annotations"])
def test_images_beside_masks(tmp_path, picture, folder):
    picture("images/val/a.jpg")
    picture(f"{folder}/val/a.png")
    one = masks.read(tmp_path, "val", "d")
    assert one.images.select("image_id", "split").rows() == [("d/val/a", "val")]
    assert one.masks["image_id"].to_list() == ["d/val/a"]
    assert masks.read(tmp_path, None, "d").masks["image_id"].to_list() == ["d/val/a"]


def test_what_has_no_partner_is_listed(tmp_path, picture, words):
    picture("train/a.jpg")
    picture("train/b.jpg")
    picture("trainannot/a.png")
    picture("trainannot/a.tif")
    picture("trainannot/c.png")
    read = masks.read(tmp_path, "train", "d")
    assert read.images["image_id"].to_list() == ["d/train/a", "d/train/b"]
    assert read.masks["image_id"].to_list() == ["d/train/a"]
    assert words(read) == {"duplicate_id": 1, "annotation_missing": 1, "image_missing": 1}


def test_error_names_both_layouts(tmp_path, picture):
    picture("photos/a.jpg")
    with pytest.raises(DataError) as error:
        masks.read(tmp_path, "train", "d")
    text = str(error.value)
    assert (
        "Found photos/; expected train/ and trainannot/, or images/ and one of masks/, labels/, annotations/." in text
    )
    assert "'train'" in text


def test_empty_image_folder_is_an_error(tmp_path, picture):
    (tmp_path / "train").mkdir()
    picture("trainannot/a.png")
    with pytest.raises(DataError, match="no image files"):
        masks.read(tmp_path, None, "d")
