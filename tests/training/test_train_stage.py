"""Training on made-up streets: it learns, goes on where it was broken off, and validation images do not teach."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.perform import untracked
from thresher.run.record import Record
from thresher.run.state import UNFINISHED
from thresher.segmentation.inference import measured
from thresher.segmentation.metrics import class_metrics, mean_iou
from thresher.segmentation.trained import ready, trained_network
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.images import strong_images, training_images
from thresher.training.settings import TrainSettings
from thresher.training.train import is_trained, train

SMALL = TrainSettings(
    height_px=64,
    width_px=96,
    decoder_channels=64,
    strong_batch=2,
    weak_batch=2,
    epochs=4,
    checkpoint_epochs=2,
    selection="all",
    zoom=1.2,
)


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=6, val_images=3, pool_images=20, street_share=0.6))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    return run


@pytest.fixture(scope="module")
def trained(run: Run) -> Run:
    assert train(run, dataclasses.replace(SMALL, name="whole")).status == "done"
    return run


def lines(run: Run, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.training(name) / "metrics.jsonl").read_text().splitlines()]


def test_it_writes_what_it_measured(trained: Run) -> None:
    found = lines(trained, "whole")
    assert [(line["step"], line["epoch"]) for line in found] == [(6, 2), (12, 4)]
    assert sum(line["vehicle_weak_pixels"] for line in found) > 0
    classes = tables.read(trained.training("whole") / "classes.parquet", tables.CLASS_METRICS, key="class")
    assert classes["class"].to_list()[:2] == ["road", "sidewalk"]
    assert classes["iou"].mean() == pytest.approx(found[-1]["miou"])
    assert Record(trained.training("whole")).recorded()["train"]["summary"]["strong_images"] == 6
    assert train(trained, dataclasses.replace(SMALL, name="whole")).status == "unchanged"


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads of a folder: each scalar's steps and values."""
    board = EventAccumulator(str(folder), {"images": 0, "scalars": 0})
    board.Reload()
    return {name: [(event.step, event.value) for event in board.Scalars(name)] for name in board.Tags()["scalars"]}


def test_tensorboard_shows_the_numbers_of_the_tables_and_pictures(trained: Run) -> None:
    folder = trained.training("whole")
    found = curves(folder / "tensorboard")
    for line in lines(trained, "whole"):
        for name in line.keys() - {"step", "miou"}:
            assert (line["step"], pytest.approx(line[name], rel=1e-6)) in found[f"train/{name}"]
        assert (line["step"], pytest.approx(line["miou"], rel=1e-6)) in found["mIoU"]
    classes = tables.read(folder / "classes.parquet", tables.CLASS_METRICS)
    for name, iou in classes.select("class", "iou").iter_rows():
        last = found.get(f"IoU/{name}", [(0, None)])[-1]
        assert last == ((0, None) if iou is None else (12, pytest.approx(iou, rel=1e-6)))
    # Halved after half of the 12 steps and after three quarters: step 6, the first checkpoint's last, is before both.
    assert [rate for _, rate in found["train/learning_rate"]] == pytest.approx([0.01, 0.0025])
    board = EventAccumulator(str(folder / "tensorboard"), {"images": 0})
    board.Reload()
    names = board.Tags()["images"]
    assert sorted(names) == [*(f"image, truth, decision/{number}" for number in range(3)), "weak image, its boxes"]
    assert [event.step for event in board.Images(names[0])] == [6, 12]


def test_a_training_that_was_broken_off_ends_with_the_same_weights(trained: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(trained.folder, other.folder)
    shutil.rmtree(other.training("whole"))
    taken: list[int] = []

    def broken(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        for item in items:
            if what.startswith("training"):
                taken.append(1)
                if len(taken) == 9:
                    raise KeyboardInterrupt
            yield item

    settings = dataclasses.replace(SMALL, name="whole")
    with pytest.raises(KeyboardInterrupt):
        train(other, settings, track=broken)
    assert [line["step"] for line in lines(other, "whole")] == [6]
    taken.clear()
    taken.extend([1] * 9)  # counts on, and breaks no more
    assert train(other, settings, track=broken).status == "done"
    assert len(taken) == 9 + 6  # the first six steps were not taken again
    first, second = (load_file(r.training("whole") / "checkpoint.safetensors") for r in (trained, other))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []
    assert lines(other, "whole") == lines(trained, "whole")
    # TensorBoard shows each checkpoint once, and the same curves as of the training that was not broken off.
    boards = [curves(r.training("whole") / "tensorboard") for r in (trained, other)]
    assert boards[0] == boards[1]
    assert [step for step, _ in boards[0]["mIoU"]] == [6, 12]


def test_an_auxiliary_head_learns_boxes_and_is_left_out_of_decisions(run: Run, tmp_path: Path) -> None:
    """With AdamW, whose state has more to it than momentum, and broken off in between."""
    settings = dataclasses.replace(
        SMALL, mode="box_head", optimiser="adamw", learning_rate=0.002, encoder_rate=0.3, epochs=8, name="boxes"
    )
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    done = train(run, settings)
    found = lines(run, "boxes")
    assert found[-1]["box_loss"] < 0.8 * found[0]["box_loss"]
    assert found[-1]["loss"] > found[-1]["root_loss"] + found[-1]["box_loss"]
    hierarchical = training_images(run, dataclasses.replace(settings, mode="hierarchical"))
    # Boxes of lights and signs, which have no group, teach the head alone.
    assert done.summary["weak_images"] >= hierarchical.weak.height > 0
    whole = trained_network(run.training("boxes") / "checkpoint.safetensors")
    logits = whole.network(torch.zeros((1, 3, 64, 96), dtype=torch.uint8))
    assert [part.shape[1] for part in logits] == [len(each.outputs) for each in whole.tree.classifiers]
    assert whole.network.boxed == len(whole.tree.boxed) > 0

    def broken(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        for number, item in enumerate(items):
            if what.startswith("training") and total == 24 and number == 9:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        train(other, settings, track=broken)
    assert [line["step"] for line in lines(other, "boxes")] == [6]
    assert train(other, settings).status == "done"
    ours, theirs = (load_file(each.training("boxes") / "checkpoint.safetensors") for each in (run, other))
    assert ours.keys() == theirs.keys() and any("exp_avg_sq" in name for name in ours)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []


def test_rounding_changes_little_and_no_measurement(run: Run) -> None:
    given = dataclasses.replace(SMALL, height_px=96, width_px=160, epochs=2, checkpoint_epochs=1)
    for precision in ("float32", "bfloat16"):
        settings = dataclasses.replace(given, precision=precision, name=precision)
        assert train(run, settings).summary["precision"] == precision
    exact, rounded = (lines(run, name) for name in ("float32", "bfloat16"))
    assert [line["loss"] for line in rounded] == pytest.approx([line["loss"] for line in exact], rel=0.03)
    assert rounded[0]["loss"] != exact[0]["loss"]
    found = trained_network(run.training("bfloat16") / "checkpoint.safetensors")
    validation = strong_images(training_images(run, given).validation, found.taxonomy)
    matrix = measured(ready(found), validation, untracked)
    assert mean_iou(class_metrics(matrix, found.tree.classes)) == rounded[-1]["miou"]


def test_it_learns(run: Run) -> None:
    settings = dataclasses.replace(SMALL, epochs=12, checkpoint_epochs=6, selection="none", mode="strong")
    train(run, settings)
    first, last = lines(run, "none-seed0")
    assert last["loss"] < first["loss"]
    classes = tables.read(run.training("none-seed0") / "classes.parquet", tables.CLASS_METRICS)
    labelled = classes["labelled_px"]
    present = labelled.filter(labelled > 0)
    # Whoever calls everything the commonest class has its share as IoU, and 0 for all others.
    assert last["miou"] > 2 * present.max() / present.sum() / present.len()
    assert (first["vehicle_weak_pixels"], last["human_weak_pixels"]) == (0, 0)


def test_validation_images_are_not_trained_on(run: Run, tmp_path: Path) -> None:
    def images(settings: TrainSettings, of: Run = run) -> tuple[int, int]:
        found = training_images(of, settings)
        return found.strong.height, found.validation.height

    assert images(SMALL) == (6, 3)
    root = Path(tables.read(run.images, tables.IMAGES).filter(pl.col("split") == "train")["path"][0]).parents[3]
    assert images(dataclasses.replace(SMALL, validation=f"cityscapes:{root}#train")) == (3, 6)
    assert images(dataclasses.replace(SMALL, strong_limit=4)) == (4, 3)
    assert dataclasses.replace(SMALL, strong_limit=4).training_name == "all-strong4-seed0"
    alone = Run(tmp_path / "run")
    index(alone, IndexSettings((f"cityscapes:{root}#train",)))
    assert images(dataclasses.replace(SMALL, validation_share=0.34), alone) == (4, 2)


def test_an_unreadable_image_costs_only_itself(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    images = tables.read(other.images, tables.INDEXED_IMAGES)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    first = images.filter(split="train").sort("image_id")["image_id"][0]
    path = pl.when(pl.col("image_id") == first).then(pl.lit(str(bad))).otherwise("path")
    tables.write(images.with_columns(path=path), other.images)
    other.note("index", other.recorded()["index"] | {"outputs": {}})  # else the changed table is refused
    result = train(other, dataclasses.replace(SMALL, name="bad", epochs=1))
    assert result.failed_items == 1
    listed = tables.read(other.training("bad") / "problems.parquet", tables.PROBLEMS)
    assert listed["path"].to_list() == [str(bad)]
    assert "not a readable image" in listed["detail"][0]


def test_trainings_of_one_run_go_on_at_once(run: Run) -> None:
    inner: list[str] = []

    def meanwhile(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        for item in items:
            if not inner:
                inner.append(train(run, dataclasses.replace(SMALL, name="second", epochs=1)).status)
                with pytest.raises(DataError, match="trainings/first: another thresher process works in this folder"):
                    train(run, dataclasses.replace(SMALL, name="first", epochs=1))
            yield item

    assert train(run, dataclasses.replace(SMALL, name="first", epochs=1), track=meanwhile).status == "done"
    assert inner == ["done"]
    assert is_trained(run, dataclasses.replace(SMALL, name="first", epochs=1))
    assert not is_trained(run, dataclasses.replace(SMALL, name="first", epochs=1, seed=1))
    assert set(run.recorded()) == {"index"}


def test_a_run_whose_index_did_not_finish_is_not_trained_on(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder, ignore=shutil.ignore_patterns("trainings"))
    other.note("index", UNFINISHED)
    with pytest.raises(DataError, match="index is unfinished: it was interrupted, so tables may mix old"):
        train(other, SMALL)


def test_words_of_errors(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"selection must be 'none' \(got 'all'\). Set selection = none, or mode = hier"
    ):
        TrainSettings(mode="strong", selection="all")
    with pytest.raises(SettingsError, match="No selection named 'best' in .* There is none yet: run `thresher select"):
        train(run, dataclasses.replace(SMALL, selection="best"))
    with pytest.raises(DataError, match="taxonomy.toml: no such file. `index` writes it: run `thresher index"):
        train(Run(tmp_path / "new"), SMALL)
    with pytest.raises(SettingsError, match="validation_share = 1.0: expected a share between 0 and 1"):
        TrainSettings(validation_share=1)
    bare = Run(tmp_path / "bare")
    folder = Path(tables.read(run.images, tables.IMAGES)["path"][0]).parent
    index(bare, IndexSettings((f"folder:{folder}",)))
    with pytest.raises(DataError, match="no image of the target has a mask; training needs per-pixel labels"):
        train(bare, SMALL)


def test_a_damaged_checkpoint_is_one_line_and_the_training_starts_anew(
    trained: Run, caplog: pytest.LogCaptureFixture
) -> None:
    settings = dataclasses.replace(SMALL, name="spoilt")
    train(trained, settings)
    path = trained.training("spoilt") / "checkpoint.safetensors"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:middle], b"", flipped):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"checkpoint.safetensors: damaged. Run the same `thresher train` command"):
            trained_network(path)
    assert train(trained, settings).status == "done"
    assert "is damaged; the training starts anew" in caplog.text
    assert path.read_bytes() == whole
