"""Annotations that are all written alike are read as columns: to the same tables as one by one."""

import json

import numpy as np
import pytest

from thresher.data.readers import coco
from thresher.data.readers.coco_columns import columns_of

CATEGORIES = [{"id": number, "name": f"class {number}"} for number in (1, 2, 3)]
SQUARE = [[2, 2, 12, 2, 12, 8, 2, 8]]


def annotations(rng: np.random.Generator, count: int, outlined: bool) -> list[dict]:
    """Boxes of all sorts: of images that are there, shared, missing or unknown; inside, across the border, empty."""
    made = []
    for number in range(count):
        corner, size = rng.integers(-2, [15, 8]).tolist(), rng.uniform(-1, 12, 2).round(2).tolist()
        made.append(
            {
                "id": number,
                "image_id": int(rng.integers(1, 8)),
                "category_id": int(rng.choice([1, 1, 2, 2, 3, 3, 9])),
                "bbox": [*corner, *size] if number % 50 else [0, 0, 10**30, float("inf")],
            }
        )
        if rng.random() < 0.5:
            made[-1]["iscrowd"] = int(rng.integers(0, 2))
        if outlined and rng.random() < 0.3:
            made[-1]["segmentation"] = SQUARE
    return made


def read(folder, made: list[dict]):
    """The images 1 to 3 and 7 are there, two share the id 4, 5 is not on disk, of 6 nothing is known."""
    names = {1: "a.jpg", 2: "b.jpg", 3: "c.jpg", 5: "gone.jpg", 7: "seven.jpg"}
    images = [{"id": n, "file_name": name, "width": 20, "height": 10} for n, name in names.items()]
    images += [{"id": 4, "file_name": name, "width": 20, "height": 10} for name in ("d.jpg", "e.jpg")]
    (folder / "annotations").mkdir(exist_ok=True)
    content = {"images": images, "annotations": made, "categories": CATEGORIES}
    (folder / "annotations" / "instances_x.json").write_text(json.dumps(content))
    return coco.read(folder, None, "c")


@pytest.mark.parametrize("seed", range(6))
def test_columns_and_one_by_one_give_the_same_tables(tmp_path, picture, seed):
    for name in ("a", "b", "c", "d", "e", "seven"):
        picture(f"{name}.jpg")
    made = annotations(np.random.default_rng(seed), 200, outlined=seed % 2 == 0)
    made.append({"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]})
    alike = read(tmp_path, made)
    made[-1]["attributes"] = {"seen": "yes"}  # changes nothing but that not all are written alike
    singly = read(tmp_path, made)
    assert alike.boxes.height > 50
    assert alike.boxes.equals(singly.boxes) and alike.images.equals(singly.images)
    assert alike.problems.equals(singly.problems)
    assert {*alike.problems["problem"]} >= {"annotation_malformed", "image_missing", "box_clipped", "box_empty"}
    assert [*alike.drawings] == [*singly.drawings]


def test_which_are_read_as_columns():
    regular = {"image_id": 5, "category_id": 1, "bbox": [1, 2, 3.5, 4]}
    homes, labels = {5: ("c/a", 10, 10)}, {1: "car"}

    def columns(**changed):
        return columns_of([regular, regular | changed], [5, 5], homes, labels)

    assert columns().boxes["x1"].to_list() == [0.45, 0.45]
    assert columns(category_id=9).rest == [1]
    assert columns(iscrowd=True, attributes={}).boxes["is_group"].to_list() == [None, True]
    irregular = ({"bbox": [1, 2, 3]}, {"bbox": None}, {"bbox": [1, 2, 3, "4"]}, {"bbox": [1, 2, 3, True]})
    irregular += ({"category_id": "1"}, {"category_id": 1.0}, {"iscrowd": "0"}, {"attributes": {"group": True}})
    for changed in irregular:
        assert columns(**changed) is None, changed
    assert columns_of([{"image_id": 5, "category_id": 1}], [5], homes, labels) is None
