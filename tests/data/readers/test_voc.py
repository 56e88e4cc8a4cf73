import pytest

from thresher.data.readers import voc
from thresher.errors import DataError

PENN_FUDAN = """# Compatible with PASCAL Annotation Version 1.00
Image filename : "PennFudanPed/PNGImages/FudanPed00001.png"
Image size (X x Y x C) : 20 x 10 x 3
Objects with ground truth : 2 { "PASpersonWalking" "PASpersonWalking" }
# Top left pixel co-ordinates : (1, 1)
Bounding box for object 1 "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : (3, 2) - (12, 10)
Bounding box for object 2 "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : none
"""


def xml(*objects: str, size: str = "<size><width>20</width><height>10</height></size>") -> str:
    return f"<annotation><filename>wrong.png</filename>{size}{''.join(objects)}</annotation>"


def box(corners=(1, 1, 20, 10), name="car", flags="") -> str:
    inner = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name>{flags}<bndbox>{inner}</bndbox></object>"


def test_pixels_count_from_one_and_the_last_counts_too(tmp_path, picture, text, corners, words):
    picture("JPEGImages/a.jpg")
    text("Annotations/a.xml", xml(box(), box((3, 2, 12, 10), "dog")))
    read = voc.read(tmp_path, None, "v")
    assert corners(read) == [("v/a", "car", 0.0, 0.0, 1.0, 1.0), ("v/a", "dog", 0.1, 0.1, 0.6, 1.0)]
    assert read.images.select("width_px", "height_px", "split").rows() == [(20, 10, None)]
    assert words(read) == {}


@pytest.mark.parametrize(
    ("flags", "truncated", "occluded"),
    [
        ("<truncated>1</truncated><occluded>0</occluded><difficult>1</difficult>", True, False),
        ("<truncated>0</truncated>", False, None),
        ("<truncated>Unspecified</truncated><occluded>1</occluded>", None, True),
    ],
)
def test_flags(tmp_path, picture, text, flags, truncated, occluded):
    picture("JPEGImages/a.jpg")
    text("Annotations/a.xml", xml(box(flags=flags)))
    assert voc.read(tmp_path, None, "v").boxes.select("is_truncated", "is_occluded").rows() == [(truncated, occluded)]


def test_pascal_text_of_version_1(tmp_path, picture, text, corners, words):
    picture("PNGImages_as_jpg/FudanPed00001.jpg")
    picture("PedMasks/FudanPed00001_mask.png")
    text("Annotation/FudanPed00001.txt", PENN_FUDAN)
    read = voc.read(tmp_path, None, "p")
    assert corners(read) == [("p/FudanPed00001", "PASpersonWalking", 0.1, 0.1, 0.6, 1.0)]
    assert words(read) == {"annotation_malformed": 1}


def test_pascal_text_counted_from_nought(tmp_path, picture, text, corners):
    picture("images/FudanPed00001.jpg")
    text("Annotation/FudanPed00001.txt", PENN_FUDAN.replace("(1, 1)", "(0, 0)"))
    assert corners(voc.read(tmp_path, None, "p"))[0][2:] == (0.15, 0.2, 0.65, 1.0)


def test_the_image_folder_is_the_one_that_matches(tmp_path, picture, text):
    for name in ("a", "b"):
        text(f"annotations/{name}.xml", xml(box()))
        picture(f"SegmentationClass/{name}.png")
        picture(f"photos/{name}.jpg")
    picture("JPEGImages/other.jpg")
    read = voc.read(tmp_path, None, "v")
    assert read.images["path"].to_list() == [str(tmp_path / f"photos/{name}.jpg") for name in ("a", "b")]


def test_images_may_lie_beside_their_files(tmp_path, picture, text):
    picture("a.jpg")
    text("a.xml", xml(box()))
    assert voc.read(tmp_path, None, "v").boxes["image_id"].to_list() == ["v/a"]


def test_a_size_that_is_not_stated_is_read_from_the_image(tmp_path, picture, text, corners, words):
    picture("JPEGImages/a.jpg", (40, 20))
    picture("JPEGImages/b.jpg", (40, 20))
    text("Annotations/a.xml", xml(box((5, 3, 20, 10)), size=""))
    text("Annotations/b.xml", xml(box((5, 3, 20, 10)), size="<size><width>0</width><height>0</height></size>"))
    (tmp_path / "JPEGImages" / "c.jpg").write_bytes(b"no image")
    text("Annotations/c.xml", xml(box(), size=""))
    read = voc.read(tmp_path, None, "v")
    assert corners(read) == [("v/a", "car", 0.1, 0.1, 0.5, 0.5), ("v/b", "car", 0.1, 0.1, 0.5, 0.5)]
    assert words(read) == {"image_unreadable": 1}
    assert "1 boxes were left out with it" in read.problems["detail"][0]


def test_each_fault_costs_only_itself(tmp_path, picture, text, words):
    for name in ("a", "broken", "unlabelled", "odd"):
        picture(f"JPEGImages/{name}.jpg")
    no_box = "<object><name>car</name></object>"
    text(
        "Annotations/a.xml",
        xml(no_box, box(("x", 1, 2, 3)), box(name=""), box(), box((9, 9, 3, 3)), box((2, 2, 30, 5))),
    )
    text("Annotations/broken.xml", "<annotation><object>")
    text("Annotations/odd.xml", '<?xml version="1.0" encoding="klingon"?><annotation/>')
    text("Annotations/lost.xml", xml(box(), box()))
    read = voc.read(tmp_path, None, "v")
    assert sorted(read.images["image_id"]) == ["v/a", "v/broken", "v/odd", "v/unlabelled"]
    assert read.boxes.height == 2
    assert words(read) == {
        "annotation_malformed": 3,
        "annotation_unreadable": 2,
        "annotation_missing": 1,
        "image_missing": 1,
        "box_empty": 1,
        "box_clipped": 1,
    }
    details = " ".join(read.problems["detail"])
    assert "object 1: car has no readable <bndbox>" in details
    assert "2 boxes were left out with it" in details


def test_a_split_is_a_list_of_names(tmp_path, picture, text, words):
    for name in ("a", "b", "c"):
        picture(f"JPEGImages/{name}.jpg")
        text(f"Annotations/{name}.xml", xml(box()))
    text("ImageSets/Main/val.txt", "a\nc -1\n\ngone\n")
    read = voc.read(tmp_path, "val", "v")
    assert read.images.select("image_id", "split").rows() == [("v/a", "val"), ("v/c", "val")]
    assert read.boxes["image_id"].to_list() == ["v/a", "v/c"]
    assert words(read) == {"image_missing": 1}
    with pytest.raises(DataError, match=r"train.txt: no such list of images. Found val.txt"):
        voc.read(tmp_path, "train", "v")


def test_errors_say_what_is_missing(tmp_path, picture, text):
    picture("JPEGImages/a.jpg")
    with pytest.raises(DataError, match=r"no annotations. Found JPEGImages/; expected Annotations/\*.xml"):
        voc.read(tmp_path, None, "v")
    text("Annotations/b.xml", xml(box()))
    with pytest.raises(DataError, match=r"no image has the name of an annotation \(1 in Annotations, first: b\)"):
        voc.read(tmp_path, None, "v")
