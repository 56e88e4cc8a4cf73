"""What the arms of a comparison have in common: the strong images and their crops, the images per step, the start."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from thresher import tables
from thresher.data.images import image_size
from thresher.data.label_maps import label_map
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.record import Record
from thresher.segmentation.examples import Batch
from thresher.segmentation.trained import trained_network
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.batches import Problems, batches
from thresher.training.images import steps_of, strong_images, training_images
from thresher.training.settings import TrainSettings
from thresher.training.train import is_trained, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SMALL = TrainSettings(
    height_px=64, width_px=64, strong_batch=2, weak_batch=3, epochs=2, checkpoint_epochs=2, decoder_channels=64
)
NONE = dataclasses.replace(SMALL, mode="strong")
LABELS = dataclasses.replace(SMALL, mode="labels")
LABELLED = dataclasses.replace(LABELS, selection="all", labels="some")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a label set of six of its pool's images, each all road but for a column of void."""
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=6, val_images=2, pool_images=12, street_share=0.6))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    write_labels(run, "some", OpenedRun(run).pool.sort("image_id").head(6), 0)
    return run


def write_labels(run: Run, name: str, images: pl.DataFrame, value: int) -> None:
    rows, void = [], OpenedRun(run).taxonomy.void_id
    (run.label_set(name) / "masks").mkdir(parents=True)
    for number, row in enumerate(images.iter_rows(named=True)):
        width, height = image_size(Path(row["path"]))
        labels = np.full((height, width), value, np.uint8)
        labels[:, 0] = void
        Image.fromarray(labels).save(run.label_set(name) / f"masks/{number}.png")
        of_image = {"image_id": row["image_id"], "width_px": width, "height_px": height}
        rows.append({**of_image, "file": f"masks/{number}.png", "share_labelled": 1 - 1 / width})
    tables.write(tables.from_rows(rows, tables.LABELLED_IMAGES), run.label_set(name) / "images.parquet")
    made = {"fingerprint": name, "settings": {}, "summary": {}, "failed_items": 0}
    Record(run.label_set(name)).note("labels", made)


def batch_of(run: Run, settings: TrainSettings, step: int) -> Batch:
    batch = batches(training_images(run, settings), settings, Problems(), 0, 1)(step)
    assert batch is not None
    return batch


def test_every_arm_and_mode_sees_the_same_strong_crops_and_as_many_images(run: Run) -> None:
    filled = {"fill_batch": True}
    arms = [
        dataclasses.replace(NONE, **filled),
        dataclasses.replace(LABELS, **filled),
        dataclasses.replace(SMALL, mode="box_head", **filled),
        dataclasses.replace(SMALL, selection="all"),
        dataclasses.replace(SMALL, selection="all", mode="box_head"),
        dataclasses.replace(SMALL, selection="all", overlaps="void", **filled),
        LABELLED,
    ]
    for step in (0, 5):
        plain = batch_of(run, NONE, step)
        assert len(plain.images) == len(plain.labels) == 2
        for settings in arms:
            batch = batch_of(run, settings, step)
            assert len(batch.images) == 5
            assert torch.equal(batch.images[:2], plain.images)
            assert torch.equal(batch.labels[:2], plain.labels)
            assert len(batch.labels) == (5 if settings.selection == "none" else 2)
            assert steps_of(settings, training_images(run, settings)) == 6


def test_weak_images_of_mode_labels_are_those_with_a_label_map(run: Run) -> None:
    images = training_images(run, LABELLED)
    assert images.weak["image_id"].to_list() == OpenedRun(run).pool.sort("image_id")["image_id"].to_list()[:6]
    for weak in strong_images(images.weak, images.taxonomy):
        labels = label_map(weak.mask, weak.numbers)
        assert (labels[:, 1:] == 0).all()
        assert (labels[:, 0] == images.tree.void).all()
    batch = batch_of(run, LABELLED, 0)
    assert batch.weak_labels is not None
    assert batch.weak_labels.shape == (3, 64, 64)
    assert set(batch.weak_labels.unique().tolist()) <= {0, images.tree.void}
    assert batch.shares == ()


def test_weak_first_is_weak_images_alone_and_then_masks_alone(run: Run) -> None:
    settings = dataclasses.replace(LABELLED, order="weak_first")
    first, last = batch_of(run, settings, 2), batch_of(run, settings, 3)  # of six steps
    assert (len(first.labels), len(first.images)) == (0, 5)
    assert (len(last.labels), len(last.images)) == (5, 5)
    assert torch.equal(last.images, batch_of(run, dataclasses.replace(LABELS, fill_batch=True), 3).images)
    without = dataclasses.replace(settings, selection="none", labels="")
    boxes = dataclasses.replace(without, mode="hierarchical", selection="all")
    assert len(batch_of(run, without, 0).labels) == len(batch_of(run, boxes, 0).labels) == 2


def test_a_training_with_labels_keeps_an_average_and_knows_its_label_set(run: Run, tmp_path: Path) -> None:
    assert train(run, LABELLED).status == "done"
    folder = run.training("all-labels-seed0")
    saved = load_file(folder / "checkpoint.safetensors")
    averaged = {name.partition("/")[2] for name in saved if name.startswith("average/")}
    assert averaged == {name.partition("/")[2] for name in saved if name.startswith("network/")}
    found = trained_network(folder / "checkpoint.safetensors")
    head = "body.segmentation_head.0."
    used = {name: each for name, each in found.network.state_dict().items() if not name.startswith(head)}
    assert all(np.array_equal(tensor.numpy(), saved[f"average/{name}"]) for name, tensor in used.items())
    assert not np.array_equal(saved[f"average/{head}weight"], saved[f"network/{head}weight"])
    # Void is never learnt in this mode, so it is never the answer.
    with torch.inference_mode():
        logits = found.network(torch.zeros((1, 3, 64, 64), dtype=torch.uint8))
    assert all(part.softmax(1)[:, -1].max() == 0 for part in logits)
    assert is_trained(run, LABELLED)
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    other_set = tables.read(other.label_set("some") / "images.parquet", tables.LABELLED_IMAGES).head(3)
    tables.write(other_set, other.label_set("some") / "images.parquet")
    assert not is_trained(other, LABELLED)


def test_words_of_errors(run: Run) -> None:
    with pytest.raises(SettingsError, match="Make them: `thresher labels RUN --selection all --name NAME`; then set"):
        TrainSettings(mode="labels", selection="all")
    with pytest.raises(SettingsError, match=r"labels = some: only mode = labels uses pixel labels \(got hierarchical"):
        TrainSettings(labels="some")
    with pytest.raises(SettingsError, match="labels = some, selection = none: nothing would be learnt from the labels"):
        TrainSettings(mode="labels", labels="some")
    with pytest.raises(SettingsError, match=r"labels = best: no such label set .*Run `thresher labels .* --selection"):
        train(run, dataclasses.replace(LABELLED, labels="best"))
    write_labels(run, "empty", OpenedRun(run).pool.head(0), 0)
    with pytest.raises(DataError, match="labels none of the 12 images of selection 'all'. Run `thresher labels"):
        train(run, dataclasses.replace(LABELLED, labels="empty"))
