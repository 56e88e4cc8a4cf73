import pytest

from thresher.data.readers import cityscapes
from thresher.errors import DataError


def frame(picture, name, labels=()):
    picture(f"leftImg8bit/{name}_leftImg8bit.png")
    for label in labels:
        folder = label.split("_")[0]
        picture(f"{folder}/{name}_{label}.png")


def test_train_ids_come_before_label_ids_and_fine_before_coarse(tmp_path, picture, words):
    frame(picture, "train/aachen/a", ["gtFine_labelIds", "gtFine_labelTrainIds", "gtFine_color"])
    frame(picture, "train/aachen/b", ["gtFine_labelIds", "gtCoarse_labelTrainIds"])
    frame(picture, "train_extra/bonn/c", ["gtCoarse_labelIds"])
    frame(picture, "val/ulm/d", ["gtFine_color", "gtFine_instanceIds"])
    read = cityscapes.read(tmp_path, None, "cs")
    assert read.images.select("image_id", "split").rows() == [
        ("cs/train/aachen/a", "train"),
        ("cs/train/aachen/b", "train"),
        ("cs/train_extra/bonn/c", "train_extra"),
        ("cs/val/ulm/d", "val"),
    ]
    root = str(tmp_path)
    assert read.masks.rows() == [
        ("cs/train/aachen/a", f"{root}/gtFine/train/aachen/a_gtFine_labelTrainIds.png", "cityscapes_train_ids"),
        ("cs/train/aachen/b", f"{root}/gtFine/train/aachen/b_gtFine_labelIds.png", "cityscapes_label_ids"),
        ("cs/train_extra/bonn/c", f"{root}/gtCoarse/train_extra/bonn/c_gtCoarse_labelIds.png", "cityscapes_label_ids"),
    ]
    assert words(read) == {"annotation_missing": 1}


def test_one_split_and_frames_without_split_folders(tmp_path, picture):
    frame(picture, "val/ulm/d", ["gtFine_labelIds"])
    frame(picture, "frankfurt_0", ["gtFine_labelTrainIds"])
    assert cityscapes.read(tmp_path, "val", "cs").images["image_id"].to_list() == ["cs/val/ulm/d"]
    both = cityscapes.read(tmp_path, None, "cs").images.sort("image_id")
    assert both["split"].to_list() == [None, "val"]


def test_error_names_the_layout(tmp_path, picture):
    picture("images/a.png")
    with pytest.raises(DataError, match=r"no such folder. Found images/; expected leftImg8bit/\[split/\]\[city/\]"):
        cityscapes.read(tmp_path, None, "cs")
    frame(picture, "val/ulm/d")
    with pytest.raises(DataError, match=r"leftImg8bit/train: no such folder. Found val/"):
        cityscapes.read(tmp_path, "train", "cs")
