import pytest

from thresher.data.readers import kitti
from thresher.errors import DataError

CAR = "Car 0.50 1 2.59 4.00 2.00 20.00 10.00 1.83 1.69 4.28 -3.01 1.70 1.36 1.52\n"


def test_boxes_are_shares_of_the_size_in_the_header(tmp_path, picture, text, corners, words):
    picture("training/image_2/000000.png", (40, 20))
    text("training/label_2/000000.txt", CAR)
    read = kitti.read(tmp_path, None, "kitti")
    assert read.images.rows() == [
        ("kitti/000000", str(tmp_path / "training/image_2/000000.png"), "kitti", "training", 40, 20)
    ]
    assert corners(read) == [("kitti/000000", "Car", 0.1, 0.1, 0.5, 0.5)]
    assert words(read) == {}
    assert kitti.read(tmp_path / "training", None, "kitti").images["split"].to_list() == [None]


@pytest.mark.parametrize(
    ("fields", "truncated", "occluded"),
    [
        ("0.00 0", False, False),
        ("0.01 1", True, True),
        ("1 2", True, True),
        ("0 3", False, None),
        ("-1 -1", None, None),
    ],
)
def test_flags(tmp_path, picture, text, fields, truncated, occluded):
    picture("image_2/0.png")
    text("label_2/0.txt", f"DontCare {fields} -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n")
    box = kitti.read(tmp_path, None, "kitti").boxes.row(0, named=True)
    assert (box["label"], box["is_truncated"], box["is_occluded"]) == ("DontCare", truncated, occluded)
    assert (box["is_group"], box["is_depiction"], box["is_inside"]) == (None, None, None)


def test_each_fault_costs_only_itself(tmp_path, picture, text, words):
    for name in ("good", "bad_line", "no_label", "not_text"):
        picture(f"image_2/{name}.png")
    (tmp_path / "image_2" / "cut_off.png").write_bytes(b"\x89PNG\r\n")
    for name in ("good", "cut_off", "lost"):
        text(f"label_2/{name}.txt", CAR)
    text("label_2/bad_line.txt", f"Car 0.5 one\n\n{CAR}Car\n")
    (tmp_path / "label_2" / "not_text.txt").write_bytes(b"\xff\xfe\x00")
    read = kitti.read(tmp_path, None, "k")
    assert sorted(read.images["image_id"]) == ["k/bad_line", "k/good", "k/no_label", "k/not_text"]
    assert sorted(read.boxes["image_id"]) == ["k/bad_line", "k/good"]
    assert words(read) == {
        "image_unreadable": 1,
        "image_missing": 1,
        "annotation_malformed": 2,
        "annotation_unreadable": 1,
        "annotation_missing": 1,
    }
    details = " ".join(read.problems["detail"])
    assert "bad_line.txt line 1: could not convert string to float: 'one'; found 'Car 0.5 one'" in details
    assert "expected type, truncated, occluded, alpha, left" in details


def test_without_label_folder_images_just_have_no_boxes(tmp_path, picture, words):
    picture("testing/image_2/0.png")
    read = kitti.read(tmp_path, "testing", "k")
    assert read.images["split"].to_list() == ["testing"]
    assert words(read) == {}


def test_error_names_the_layout(tmp_path, picture):
    picture("pictures/0.png")
    with pytest.raises(DataError, match=r"no image_2 folder. Found pictures/; expected \[training/\]image_2/"):
        kitti.read(tmp_path, None, "k")
