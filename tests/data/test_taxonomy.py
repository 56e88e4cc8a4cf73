from __future__ import annotations

import polars as pl
import pytest

from thresher.data.taxonomy import LabelMap, load_label_map, load_taxonomy, with_classes
from thresher.errors import SettingsError
from thresher.tables import BOXES, IMAGES, VOCABULARY, from_rows


def test_cityscapes_has_its_nineteen_classes_in_train_id_order() -> None:
    taxonomy = load_taxonomy("cityscapes")
    assert [c.id for c in taxonomy.classes] == list(range(19))
    assert {c.name: c.label_ids for c in taxonomy.classes}["car"] == (26,)
    assert {c.name for c in taxonomy.classes if c.group == "human"} == {"person", "rider"}
    assert taxonomy.void_id == 255


def test_camvid_has_eleven_and_void_eleven() -> None:
    taxonomy = load_taxonomy("camvid")
    assert [c.id for c in taxonomy.classes] == list(range(11))
    assert taxonomy.void_id == 11


@pytest.mark.parametrize(
    ("label", "name", "ancestors", "expected"),
    [
        ("Car", None, (), "car"),
        ("/m/0k4j", "Car", (), "car"),
        ("/m/x", "Hearse", ("/m/0k4j", "Car", "/m/07yv9", "Vehicle"), "car"),
        ("/m/018p4k", "Cart", ("/m/01prls", "Land vehicle", "/m/07yv9", "Vehicle"), "vehicle"),
        ("/m/019jd", "Boat", ("/m/01rzcn", "Watercraft", "/m/07yv9", "Vehicle"), None),
        ("DontCare", None, (), "void"),
        ("traffic_light", None, (), "traffic light"),
        ("Cyclist", None, (), "rider"),
        ("raccoon", None, (), None),
    ],
)
def test_what_foreign_labels_mean(
    label: str, name: str | None, ancestors: tuple[str, ...], expected: str | None
) -> None:
    assert load_taxonomy("cityscapes").understood(label, name, ancestors) == expected


def test_classes_of_interest_are_things_and_groups() -> None:
    interest = load_taxonomy("camvid").classes_of_interest
    assert interest == ("SignSymbol", "Car", "Pedestrian", "Bicyclist", "vehicle", "human")


def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    images = from_rows([{"image_id": i, "dataset": i[0]} for i in ("a/1", "a/2", "b/1")], IMAGES)
    pairs = [("a/1", "side"), ("a/1", "side"), ("a/2", "side"), ("b/1", "side"), ("b/1", "Peaton")]
    boxes = from_rows([{"image_id": image_id, "label": label} for image_id, label in pairs], BOXES)
    return images, boxes


def test_the_label_map_of_one_dataset_leaves_the_others_alone(tmp_path) -> None:
    file = tmp_path / "labels.toml"
    file.write_text('Peaton = "pedestrian"\n[a]\nside = "car"\n')
    taxonomy = load_taxonomy("cityscapes")
    images, boxes = tables()
    mapped, labels = with_classes(boxes, images, from_rows([], VOCABULARY), taxonomy, load_label_map(file, taxonomy))
    assert mapped.collect()["class"].to_list() == ["car", "car", "car", None, "person"]
    rows = labels.sort("dataset", "label").select("dataset", "label", "class", "boxes", "images").rows()
    assert rows == [("a", "side", "car", 3, 2), ("b", "Peaton", "person", 1, 1), ("b", "side", None, 1, 1)]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_labels_of_one_dataset_are_counted_alike_whatever_the_order_of_its_boxes(order: list[int]) -> None:
    images, boxes = (table.filter(pl.col("image_id").str.starts_with("a")) for table in tables())
    taxonomy, known = load_taxonomy("cityscapes"), LabelMap({"side": "bus"}, {})
    mapped, labels = with_classes(boxes[order], images, from_rows([], VOCABULARY), taxonomy, known)
    assert mapped.collect()["class"].to_list() == ["bus"] * 3
    assert labels.select("dataset", "label", "boxes", "images").rows() == [("a", "side", 3, 2)]


def test_the_label_map_can_drop_a_label_that_the_taxonomy_knows() -> None:
    said = LabelMap({"car": None}, {}).understood("any", "Car", None)
    assert said == (True, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('Peaton = "persn"', "not in taxonomy 'cityscapes'. Did you mean 'person'"),
        ("Peaton = ", "not a TOML file"),
        ("[a]\nside = 3", r"\[a\] side = 3: not in taxonomy"),
    ],
)
def test_words_of_label_map_errors(tmp_path, content: str, words: str) -> None:
    file = tmp_path / "labels.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=words):
        load_label_map(file, load_taxonomy("cityscapes"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[classes.a]\nid = 1\ncolour = [0,0,0]\ncolor = 2", "unknown key 'color'. Did you mean 'colour'"),
        ("void_id = 1\n[classes.a]\nid = 1\ncolour = [0,0,0]", "ids differ from each other and from void_id"),
        ("void_id = 1\n[classes.a]\nid = 2", "needs id = N and colour"),
        ("void_id = 1\n[classes]\na = 3", r"class 'a' = 3: expected a table, \[classes.a\]"),
        (
            "void_id = 1\n[classes.a]\nid = 256\ncolour = [0,0,0]",
            "class 'a': id = 256: expected 0 to 255, since a mask",
        ),
        ("void_id = 1\n[classes.a]\nid = -1\ncolour = [0,0,0]", "id = -1: expected 0 to 255"),
        ("void_id = 1\n[classes.a]\nid = '0'\ncolour = [0,0,0]", "id = '0': expected a whole number"),
        ("void_id = 1\n[classes.a]\nid = 0\ncolour = [0,0,300]", "colour = 300: expected 0 to 255"),
        ("void_id = 1\n[classes.a]\nid = 0\ncolour = [0,0,0.5]", "colour = 0.5: expected a whole number"),
        ("void_id = 1\n[classes.a]\nid = 0\ncolour = [0,0,0]\nlabel_ids = [999]", "label_ids = 999: expected 0 to 255"),
        ("void_id = 1\n[classes.a]\nid = 0\ncolour = [0,0,0]\ngroup = [1]", "is not among"),
        ("void_id = 'x'\n[classes.a]\nid = 0\ncolour = [0,0,0]", "void_id = 'x': expected a whole number"),
        ("void_id = 300\n[classes.a]\nid = 0\ncolour = [0,0,0]", "void_id = 300: expected 0 to 255"),
        ("void_id = 1\nname = [1]\n[classes.a]\nid = 0\ncolour = [0,0,0]", "name = .*: expected text"),
        ("void_id = 1\n[classes.None]\nid = 0\ncolour = [0,0,0]", "'none' is what a label without counterpart maps to"),
        ('[classes.a]\nid = 1\ncolour = [0,0,0]\ngroup = "x"', "group 'x' is not among"),
        (
            '[groups]\nb = ["c"]\n[classes.a]\nid = 1\ncolour = [0,0,0]\nsynonyms = ["C"]',
            "'C' maps to both 'b' and 'a'",
        ),
    ],
)
def test_words_of_taxonomy_errors(tmp_path, content: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=words):
        load_taxonomy(str(file))


def test_an_unknown_taxonomy_names_those_that_are_built_in() -> None:
    with pytest.raises(SettingsError, match=r"not one of the built-in ones \(camvid, cityscapes\)"):
        load_taxonomy("mapillary")
