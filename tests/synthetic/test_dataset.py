import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher.errors import DataError, SettingsError
from thresher.synthetic import SyntheticSettings, write_dataset
from thresher.synthetic.dataset import COUNTED, LABEL_IDS
from thresher.synthetic.open_images import COLUMNS
from thresher.synthetic.open_images import LABEL_IDS as OPEN_IMAGES_IDS
from thresher.synthetic.palette import TRAIN_IDS

pytestmark = pytest.mark.slow

SETTINGS = SyntheticSettings(
    target_images=16,
    val_images=4,
    pool_images=100,
    street_share=0.3,
    duplicate_share=0.12,
    night_share=0.25,
    width_px=128,
    height_px=80,
)
TINY = SyntheticSettings(
    target_images=2, val_images=1, pool_images=8, street_share=0.5, duplicate_share=0.3, width_px=80, height_px=64
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "made"
    write_dataset(folder, SETTINGS)
    return folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def pool_image(root: Path, image_id: str) -> np.ndarray:
    return pixels(root / "open_images" / "images" / f"{image_id}.jpg")


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """How often a positive has the larger value: the three-line oracle, ties count half."""
    above = values[positive][:, None] - values[~positive][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def test_same_seed_same_bytes_of_all_files_and_another_seed_differs(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", TINY)
    write_dataset(tmp_path / "b", TINY)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    write_dataset(tmp_path / "c", SyntheticSettings(**{**vars(TINY), "seed": 1}))
    first, other = (
        {digest for name, digest in digests(tmp_path / folder).items() if name.endswith(("jpg", "leftImg8bit.png"))}
        for folder in "ac"
    )
    assert len(first) == 11 and not first & other


def test_a_larger_pool_leaves_the_target_as_it_is(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", TINY)
    write_dataset(tmp_path / "b", SyntheticSettings(**{**vars(TINY), "pool_images": 9}))
    assert digests(tmp_path / "a" / "cityscapes") == digests(tmp_path / "b" / "cityscapes")


def test_the_truth_counts_what_the_settings_say(root: Path) -> None:
    truth = pl.read_parquet(root / "truth.parquet")
    assert truth["image_id"].n_unique() == truth.height == 100
    assert truth["is_street"].sum() == 30
    assert truth.filter(pl.col("kind") == "street")["is_street"].all()
    copies = truth.filter(pl.col("duplicate_of").is_not_null())
    assert copies.height == 4 and copies["is_street"].all()
    originals = truth.filter(pl.col("duplicate_of").is_null() & pl.col("is_street"))
    assert set(copies["duplicate_of"]) <= set(originals["image_id"])
    assert (originals["weather"] == "night").sum() == 6  # a quarter of 26, rounded
    target = pl.read_parquet(root / "truth_target.parquet")
    assert target["split"].value_counts().sort("split").rows() == [("train", 16), ("val", 4)]
    assert (target["weather"] == "night").sum() == 5  # a quarter of 20
    assert set(truth["kind"]) == {"street", "indoor", "object", "car_object", "texture", "nature"}


def test_rare_classes_are_rarer_in_the_target_than_in_the_pool(root: Path) -> None:
    streets = pl.read_parquet(root / "truth.parquet").filter("is_street")
    target = pl.read_parquet(root / "truth_target.parquet")
    rare = list(SETTINGS.rare_in_target)
    in_pool = streets.select(pl.sum_horizontal(rare).mean()).item()
    in_target = target.select(pl.sum_horizontal(rare).mean()).item()
    assert in_pool > 4 * in_target
    assert target["car"].mean() > 0.6 * streets["car"].mean()


def test_the_cityscapes_layout(root: Path) -> None:
    folder = root / "cityscapes"
    images = sorted((folder / "leftImg8bit").rglob("*.png"))
    assert [path.parts[-3:-1] for path in images] == [("train", "synthetic")] * 16 + [("val", "synthetic")] * 4
    assert images[0].name == "synthetic_000000_000000_leftImg8bit.png"
    to_label = {TRAIN_IDS[name]: LABEL_IDS[name] for name in TRAIN_IDS} | {255: 0}
    for path in images:
        stem = str(path).replace("leftImg8bit/", "gtFine/").removesuffix("_leftImg8bit.png")
        train_ids = pixels(Path(f"{stem}_gtFine_labelTrainIds.png"))
        label_ids = pixels(Path(f"{stem}_gtFine_labelIds.png"))
        assert pixels(path).shape == (80, 128, 3)
        assert train_ids.dtype == label_ids.dtype == np.uint8 and train_ids.shape == (80, 128)
        assert {to_label[value] for value in np.unique(train_ids).tolist()} == set(np.unique(label_ids).tolist())


def test_the_open_images_layout(root: Path) -> None:
    folder = root / "open_images"
    with (folder / "train-annotations-bbox.csv").open() as file:
        header = next(csv.reader(file))
    assert tuple(header) == COLUMNS
    boxes = pl.read_csv(folder / "train-annotations-bbox.csv", schema_overrides={"ImageID": pl.String})
    ids = {path.stem for path in (folder / "images").glob("*.jpg")}
    assert len(ids) == 100 and all(re.fullmatch("[0-9a-f]{16}", image_id) for image_id in ids)
    assert set(boxes["ImageID"]) <= ids
    assert boxes.filter((pl.col("XMin") >= pl.col("XMax")) | (pl.col("YMin") >= pl.col("YMax"))).is_empty()
    assert boxes.select(
        pl.min_horizontal(pl.col("XMin", "YMin").min()), pl.max_horizontal(pl.col("XMax", "YMax").max())
    ).row(0) == (0.0, 1.0)
    assert set(boxes["IsOccluded"]) == {-1, 0, 1}
    assert set(boxes["Source"]) == {"xclick", "activemil"}
    with (folder / "class-descriptions-boxable.csv").open() as file:
        names = dict(csv.reader(file))
    assert set(boxes["LabelName"]) <= set(names) and names["/m/0k4j"] == "Car"


def test_the_hierarchy_holds_each_label_once_below_its_parent(root: Path) -> None:
    tree = json.loads((root / "open_images" / "bbox_labels_600_hierarchy.json").read_text())
    paths: dict[str, tuple[str, ...]] = {}

    def walk(node: dict[str, object], above: tuple[str, ...]) -> None:
        for child in node.get("Subcategory", []):  # type: ignore[attr-defined]
            assert child["LabelName"] not in paths
            paths[child["LabelName"]] = above
            walk(child, (child["LabelName"], *above))

    walk(tree, ())
    assert tree["LabelName"] == "/m/0bl9f"
    assert set(paths) == set(OPEN_IMAGES_IDS.values())
    assert paths["/m/0k4j"] == ("/m/01prls", "/m/07yv9")
    assert paths["/m/04yx4"] == ("/m/01g317",)


def test_duplicates_are_near_but_not_equal(root: Path) -> None:
    copies = pl.read_parquet(root / "truth.parquet").filter(pl.col("duplicate_of").is_not_null())
    for image_id, original in copies.select("image_id", "duplicate_of").rows():
        first, second = pool_image(root, image_id), pool_image(root, original)
        assert first.shape == second.shape
        assert 0 < np.abs(first.astype(float) - second).mean() < 14
        paths = [root / "open_images" / "images" / f"{name}.jpg" for name in (image_id, original)]
        assert paths[0].read_bytes() != paths[1].read_bytes()


def test_neither_brightness_nor_size_tells_streets_from_decoys(tmp_path: Path) -> None:
    settings = SyntheticSettings(
        target_images=0, val_images=0, pool_images=150, street_share=0.3, width_px=80, height_px=64
    )
    write_dataset(tmp_path / "made", settings)
    truth = pl.read_parquet(tmp_path / "made" / "truth.parquet")
    images = [pool_image(tmp_path / "made", image_id) for image_id in truth["image_id"]]
    street = truth["is_street"].to_numpy()
    for cue in (np.mean, np.size, lambda image: image.shape[1] / image.shape[0]):
        assert 0.3 < auc(np.array([float(cue(image)) for image in images]), street) < 0.7


def test_the_same_settings_again_touch_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path / "made", TINY)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_dataset(tmp_path / "made", TINY)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_other_settings_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "made", TINY)
    with pytest.raises(DataError, match=r"other settings \(pool_images: found 8, expected 400\)\. Delete it or choose"):
        write_dataset(tmp_path / "made", SyntheticSettings(**{**vars(TINY), "pool_images": 400}))


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"found a folder with other things in it\. Delete it or choose another folder"):
        write_dataset(tmp_path, TINY)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(DataError, match="found a file"):
        write_dataset(tmp_path / "notes.txt", TINY)
    (tmp_path / "settings.json").write_text('{"colour": "red"}')
    with pytest.raises(DataError, match="not the settings of a made-up dataset"):
        write_dataset(tmp_path, TINY)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("thresher.synthetic.dataset._write_pool", fail)
    with pytest.raises(OSError, match="disk full"):
        write_dataset(tmp_path / "made", TINY)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_as_good_as_none_and_extremes_work(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    empty = SyntheticSettings(target_images=0, val_images=0, pool_images=0)
    write_dataset(tmp_path / "made", empty)
    assert pl.read_parquet(tmp_path / "made" / "truth.parquet").columns[:5] == [
        "image_id",
        "kind",
        "is_street",
        "weather",
        "duplicate_of",
    ]
    all_streets = SyntheticSettings(0, 1, 0, 3, street_share=1.0, duplicate_share=1.0, width_px=64, height_px=64)
    write_dataset(tmp_path / "streets", all_streets)
    truth = pl.read_parquet(tmp_path / "streets" / "truth.parquet")
    assert truth["is_street"].all() and truth["duplicate_of"].is_null().sum() == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pool_images": -1}, "pool_images is -1; expected 0 or more"),
        ({"street_share": 1.5}, "street_share is 1.5; expected a share from 0 to 1"),
        ({"width_px": 8}, "width_px is 8; expected 64 to 2048 pixels"),
        ({"rare_in_target": ("tractor",)}, f"'tractor'; expected any of {', '.join(COUNTED)}"),
    ],
)
def test_settings_that_cannot_be_used_are_named(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        SyntheticSettings(**wrong)  # type: ignore[arg-type]
