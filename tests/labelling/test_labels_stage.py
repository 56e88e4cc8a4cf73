"""The stage on made-up streets: what it writes, keeps and makes again, and that it ends the same however it went."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.images import rgb_pixels
from thresher.errors import DataError, SettingsError
from thresher.labelling.label_tables import LABEL_FILES, LABEL_ROUTES, LABELLED_BOXES
from thresher.labelling.settings import LabelSettings
from thresher.labelling.stage import labels
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.state import RunState
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings
from thresher.training.train import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SMALL = TrainSettings(height_px=64, width_px=96, strong_batch=2, epochs=6, checkpoint_epochs=6, decoder_channels=64)
#: Of Cityscapes' classes those that Open Images has boxes of.
BOXED = ["traffic light", "traffic sign", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
FILL = LabelSettings(route="fill", name="filled", teacher="base", sure=0.3, stuff="always")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=8, val_images=3, pool_images=12, street_share=0.6))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    train(run, replace(SMALL, name="base"))
    labels(run, FILL)
    return run


@pytest.fixture
def other(run: Run, tmp_path: Path) -> Run:
    """A copy of the run, to be spoilt."""
    return Run(shutil.copytree(run.folder, tmp_path / "run"))


def files(run: Run, name: str = "filled") -> dict[str, bytes]:
    folder = run.label_set(name)
    wanted = [*folder.glob("*.parquet"), *folder.rglob("*.png")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in wanted}


def state(run: Run, name: str = "labels:filled") -> str:
    return RunState(run).of(name).in_words()


def test_every_pool_image_gets_a_label_map_of_its_size(run: Run) -> None:
    opened, folder = OpenedRun(run), run.label_set("filled")
    table = tables.read(folder / "images.parquet", LABEL_FILES, key="image_id")
    assert table["image_id"].to_list() == sorted(opened.pool["image_id"])
    known = {*(each.id for each in opened.taxonomy.classes), opened.taxonomy.void_id}
    paths = dict(opened.pool.select("image_id", "path").iter_rows())
    for row in table.iter_rows(named=True):
        values = np.asarray(Image.open(folder / row["file"]))
        assert values.shape == rgb_pixels(Path(paths[row["image_id"]])).shape[:2] == (row["height_px"], row["width_px"])
        assert set(np.unique(values)) <= known
        # Labels are enlarged from the size that the network sees, so shares differ by rounding alone.
        assert (values != opened.taxonomy.void_id).mean() == pytest.approx(row["share_labelled"], abs=0.02)
    assert 0 < table["share_labelled"].mean() < 1  # type: ignore[operator]


def test_every_box_is_accounted_for(run: Run) -> None:
    boxes = tables.read(run.label_set("filled") / "boxes.parquet", LABELLED_BOXES)
    assert boxes.height and set(boxes["route"]) == {"fill"}
    shares = boxes.select("share_labelled", "agreement")
    assert shares.min_horizontal().min() >= 0 and shares.max_horizontal().max() <= 1  # type: ignore[operator]
    warned = boxes.filter(pl.col("agreement") < 0.5)
    assert warned["warning"].null_count() == 0
    assert (boxes.filter(pl.col("agreement") > 0.5, pl.col("share_labelled") > 0.2)["warning"].is_null()).all()
    # A box that is filled by rate has labels of its class.
    assert (boxes["agreement"] > 0).mean() > 0.5  # type: ignore[operator]


def test_the_routes_are_measured_on_the_teachers_validation_images(run: Run) -> None:
    routes = tables.read(run.label_set("filled") / "routes.parquet", LABEL_ROUTES)
    assert set(routes["route"]) == {"gate", "fill", "unlabelled"}
    assert set(routes.filter("chosen")["route"]) == {"fill"}
    measured = routes.drop_nulls("iou")
    assert (measured["low"] <= measured["iou"] + 1e-9).all() and (measured["iou"] <= measured["high"] + 1e-9).all()
    assert routes.filter(pl.col("class").is_null())["images"].to_list() == [3, 3, 3]


def test_nothing_is_done_twice_and_a_lost_label_map_is_made_again(other: Run) -> None:
    before = files(other)
    assert labels(other, FILL).status == "unchanged"
    lost, damaged = sorted(other.label_set("filled").rglob("*.png"))[:2]
    lost.unlink()
    damaged.write_bytes(b"")
    assert state(other).startswith("damaged")
    result = labels(other, FILL)
    assert (result.status, result.summary["labelled_now"]) == ("done", 2)
    assert files(other) == before
    assert state(other) == "done"


def test_what_was_broken_off_goes_on_and_ends_with_the_same_bytes(
    run: Run, other: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thresher.labelling.work.CHUNK", 4)
    monkeypatch.setattr("thresher.labelling.one_set.CHUNK", 4)
    shutil.rmtree(other.label_set("filled"))

    def broken(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        for number, item in enumerate(items):
            yield item
            if what == "labelling" and number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labels(other, FILL, track=broken)
    assert state(other).startswith("unfinished")
    assert labels(other, FILL).summary["labelled_now"] == 4
    assert files(other) == files(run)


def test_a_set_without_any_label_says_so(run: Run) -> None:
    bare = LabelSettings(route="unlabelled", name="bare", teacher="base", sure=1.0, stuff="never", held_out=0)
    summary = labels(run, bare).summary
    assert summary["images_without_labels"] == summary["labelled"] > 0
    assert summary["warning"].startswith("no pixel has a label")
    assert "images_without_labels" not in labels(run, FILL).summary


def test_a_label_set_is_outdated_when_its_teacher_changes(other: Run) -> None:
    assert state(other) == "done"
    train(other, replace(SMALL, name="base", epochs=7, checkpoint_epochs=7))
    assert state(other).startswith("outdated")
    assert labels(other, FILL).status == "done"
    assert state(other) == "done"


def test_an_unreadable_image_costs_only_itself(other: Run) -> None:
    row = OpenedRun(other).pool.sort("image_id").row(0, named=True)
    whole = Path(row["path"]).read_bytes()
    try:
        Path(row["path"]).write_bytes(whole[:100])
        result = labels(other, replace(FILL, name="some", held_out=0.0))
    finally:
        Path(row["path"]).write_bytes(whole)
    assert (result.failed_items, result.summary["labelled"]) == (1, 11)
    problems = tables.read(other.label_set("some") / "problems.parquet", tables.PROBLEMS)
    assert problems.select("image_id", "stage", "problem").rows() == [(row["image_id"], "labels", "image_unreadable")]


def test_auto_makes_a_teacher_and_a_judge_and_tells_of_them_beforehand(run: Run, tmp_path: Path) -> None:
    """A validation set from elsewhere measures what is trained on the labels, so it must not choose them."""
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    validation = OpenedRun(run).settings_of("index")["target"][0] + "#val"
    training = replace(SMALL, validation=validation, epochs=2, checkpoint_epochs=2)
    settings = LabelSettings(sure=0.3, shown_steps=2)
    told = labels(copy, settings, training, dry_run=True).summary
    assert told["images"] == 12 and told["teacher_seconds"] > told["judge_seconds"] > 0 < told["shown_seconds"]
    assert not copy.label_set("auto-all").exists()
    done = labels(copy, settings, training)
    assert done.summary["teacher"] == "teacher-seed0"
    routes = tables.read(copy.label_set("auto-all") / "routes.parquet", LABEL_ROUTES)
    strong = OpenedRun(copy).target.filter(pl.col("split") == "train").height
    assert routes.filter(pl.col("class").is_null())["images"].to_list() == [round(strong * 0.2)] * 4
    # Of each class that is measured, the best route is taken.
    for (name,), rows in routes.drop_nulls().group_by("class"):
        taken = rows.filter("chosen")
        assert taken.is_empty() or taken["iou"].item() == rows["iou"].max(), name


def test_given_masks_become_labels(run: Run, tmp_path: Path) -> None:
    opened = OpenedRun(run)
    ids = opened.pool.sort("image_id").head(2).select("image_id", "path").rows()
    for image_id, path in ids:
        bare = image_id.partition("/")[2]
        pixels = rgb_pixels(Path(path))
        for folder, values in (("images", pixels), ("masks", np.full(pixels.shape[:2], 3, np.uint8))):
            file = tmp_path / folder / f"{bare}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(file)
    result = labels(run, LabelSettings(route="given", masks=f"masks:{tmp_path}", name="true"))
    assert (result.summary["labelled"], result.summary["share_labelled"]) == (2, 1.0)
    table = tables.read(run.label_set("true") / "images.parquet", LABEL_FILES)
    assert np.asarray(Image.open(run.label_set("true") / table["file"][0])).mean() == 3
    for folder in ("images", "masks"):
        for number, file in enumerate(sorted((tmp_path / folder).rglob("*.png"))):
            file.rename(tmp_path / folder / f"other{number}.png")
    with pytest.raises(DataError, match=r"none of 2 masks is of one of the 12 images.*found other0"):
        labels(run, LabelSettings(route="given", masks=f"masks:{tmp_path}", name="x"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"route": "given"}, "which masks"),
        ({"masks": "masks:x"}, "only route = given"),
        ({"held_out": 0.0}, "Name a route"),
        ({"sure": 0.0}, "a share above 0"),
        ({"selection": ()}, "one or more names"),
        ({"rounds": 2, "selection": ("a", "b")}, "needs one selection"),
        ({"segmenter": ("encoder.onnx",)}, "two ONNX files"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        LabelSettings(**settings)


def test_the_network_that_is_shown_boxes_labels_them(run: Run) -> None:
    settings = replace(FILL, route="shown", name="shown", shown_steps=3)
    assert labels(run, settings).status == "done"
    boxes = tables.read(run.label_set("shown") / "boxes.parquet", LABELLED_BOXES)
    assert set(boxes["route"]) == {"shown"}
    assert (run.label_set("shown") / "shown.onnx").is_file()


def test_rounds_stop_when_held_out_masks_say_so(run: Run) -> None:
    result = labels(run, replace(FILL, name="again", rounds=2, shown_steps=0))
    told = result.summary["rounds"]
    ious = [each["held_out_iou"] for each in told]
    # The best round is the one that is named, and only a first round can do without one before it.
    assert len(told) == 2
    assert result.summary["name"] == told[ious.index(max(ious))]["labels"]
    assert [each["teacher"] for each in told[:2]] == ["base", "again.student1"]
    for each in told:  # over the classes that boxes name, whatever the order of the classes' names
        routes = tables.read(run.label_set(each["labels"]) / "routes.parquet", LABEL_ROUTES).filter(route="fill")
        named = routes.filter(pl.col("class").is_in(BOXED) & (pl.col("objects") > 0)).drop_nulls("iou")
        assert named.height and each["held_out_iou"] == pytest.approx(named["iou"].mean(), abs=1e-4)
    assert run.training("again.student1").is_dir()


def test_rounds_need_masks_that_nothing_else_is_measured_on(run: Run, tmp_path: Path) -> None:
    validation = OpenedRun(run).settings_of("index")["target"][0] + "#val"
    with pytest.raises(SettingsError, match="validated outside the target"):
        labels(run, LabelSettings(rounds=2), replace(SMALL, validation=validation))


def test_what_is_refused_leaves_no_folder(run: Run) -> None:
    with pytest.raises(SettingsError, match="nope"):
        labels(run, replace(FILL, selection=("nope",), name="refused"))
    assert not run.label_set("refused").exists()
