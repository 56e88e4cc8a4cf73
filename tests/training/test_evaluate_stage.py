"""Evaluation of a network trained for a few steps on made-up streets, against torchmetrics and a plain loop."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torchmetrics.classification import (
    MulticlassConfusionMatrix,
    MulticlassJaccardIndex,
)

from thresher import tables
from thresher.cli.main import main
from thresher.data.label_maps import class_numbers, label_map
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.segmentation.inference import Segmenter
from thresher.segmentation.metrics import mean_iou
from thresher.segmentation.trained import TrainedNetwork, trained_network
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.evaluate import EvaluateSettings, evaluate
from thresher.training.settings import TrainSettings
from thresher.training.train import train

SETTINGS = EvaluateSettings("small")


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=4, val_images=3, pool_images=4))
    return root / "cityscapes"


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root}",)))
    train(run, TrainSettings(height_px=64, width_px=96, strong_batch=2, epochs=3, name="small"))
    return run


def decided(found: TrainedNetwork, pixels: np.ndarray) -> np.ndarray:
    """What the network decides on an image: by torch, one image after the other."""
    alone = Segmenter(found.network, found.tree, found.short_side, torch.device("cpu"), 1, 1)
    return alone.decided(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].numpy()


@pytest.fixture(scope="module")
def found(run: Run) -> TrainedNetwork:
    return trained_network(run.training("small") / "checkpoint.safetensors")


def slow(run: Run, found: TrainedNetwork, images: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and decisions of all pixels: torch, one image after the other."""
    joined = images.join(tables.read(run.masks, tables.MASKS).rename({"path": "mask"}), on="image_id")
    labels, decisions = [], []
    for path, mask, encoding in joined.select("path", "mask", "encoding").iter_rows():
        decisions.append(decided(found, np.array(Image.open(path).convert("RGB"))).ravel())
        labels.append(label_map(Path(mask), class_numbers(found.taxonomy, encoding)).ravel())
    return np.concatenate(labels), np.concatenate(decisions)


def tables_of(run: Run, name: str) -> tuple[pl.DataFrame, np.ndarray]:
    folder = run.training("small") / "evaluations" / name
    pairs = tables.read(folder / "confusion.parquet", tables.CONFUSION)
    classes = tables.read(folder / "classes.parquet", tables.CLASS_METRICS, key="class")
    return classes, pairs["pixels"].to_numpy().reshape(classes.height, classes.height)


def test_equal_to_torchmetrics_and_to_a_loop(run: Run, found: TrainedNetwork) -> None:
    result = evaluate(run, SETTINGS)
    assert result.status == "done"
    classes, matrix = tables_of(run, "validation")
    images = tables.read(run.images, tables.INDEXED_IMAGES).filter(split="val")
    labels, decisions = slow(run, found, images)
    count = classes.height
    pair = torch.from_numpy(decisions.astype(np.int64)), torch.from_numpy(labels.astype(np.int64))
    oracle = MulticlassConfusionMatrix(count, ignore_index=count)(*pair).numpy()
    # onnxruntime rounds otherwise than torch: a pixel in ten thousand may fall to another class.
    assert np.abs(matrix - oracle).sum() <= 2e-4 * oracle.sum()
    assert matrix.sum(1).tolist() == oracle.sum(1).tolist()
    for c, name in enumerate(classes["class"]):
        there, either = labels == c, ((labels == c) | (decisions == c)) & (labels != count)
        expected = (there & (decisions == c)).sum() / either.sum() if there.any() else None
        assert classes["iou"][c] == (None if expected is None else pytest.approx(expected, abs=2e-3)), name
    assert classes["iou"].null_count() > 0  # so small a set lacks some class
    iou = MulticlassJaccardIndex(count, ignore_index=count, average="none")(*pair).numpy()
    present = classes["labelled_px"].to_numpy() > 0
    assert result.summary["miou"] == pytest.approx(iou[present].mean(), abs=1e-3)
    assert evaluate(run, SETTINGS).status == "unchanged"


@pytest.mark.parametrize("decoder", ["fpn", "upernet"])  # by onnxruntime, and by torch
def test_the_last_validation_of_a_training_is_what_evaluate_measures(run: Run, decoder: str) -> None:
    settings = TrainSettings(height_px=64, width_px=96, strong_batch=2, epochs=3, decoder=decoder, name=decoder)
    train(run, settings)
    evaluate(run, EvaluateSettings(decoder))
    folder = run.training(decoder)
    validated = tables.read(folder / "classes.parquet", tables.CLASS_METRICS)
    assert validated.equals(
        tables.read(folder / "evaluations" / "validation" / "classes.parquet", tables.CLASS_METRICS)
    )
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["miou"] == mean_iou(validated)


def test_other_images_and_pictures(run: Run, root: Path, found: TrainedNetwork) -> None:
    settings = EvaluateSettings("small", f"cityscapes:{root}#train", pictures=2)
    assert settings.evaluation_name == "cityscapes-train"
    assert evaluate(run, settings).summary["images"] == 4
    folder = run.training("small") / "evaluations" / "cityscapes-train" / "pictures"
    drawn = sorted(folder.iterdir())
    assert len(drawn) == 2
    picture = np.asarray(Image.open(drawn[0]))
    height, width = picture.shape[0], picture.shape[1] // 3
    row = tables.read(run.images, tables.INDEXED_IMAGES).filter(split="train").sort("image_id").row(0, named=True)
    assert drawn[0].stem == row["image_id"].replace("/", "-")
    assert (row["width_px"], row["height_px"]) in ((width, height), (None, None))
    assert np.array_equal(picture[:, :width], np.asarray(Image.open(row["path"]).convert("RGB")))
    colours = {c.colour for c in found.taxonomy.classes}
    shown = {tuple(colour) for colour in np.unique(picture[:, 2 * width :].reshape(-1, 3), axis=0).tolist()}
    assert shown <= colours  # void is never decided on
    assert len({tuple(c) for c in np.unique(picture[:, width : 2 * width].reshape(-1, 3), axis=0).tolist()}) > 3
    # Fewer pictures leave none of the older ones.
    evaluate(run, dataclasses.replace(settings, pictures=1))
    assert len([*folder.iterdir()]) == 1


def test_an_image_that_cannot_be_read_is_no_measure(run: Run, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.new("L", (64, 48)).save(tmp_path / folder / "a.png")
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png: not a readable image"):
        evaluate(run, EvaluateSettings("small", f"masks:{tmp_path}", "broken"))
    assert not (run.training("small") / "evaluations" / "broken" / "classes.parquet").exists()


def test_the_command(run: Run, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(run.folder), "small", "--images", f"cityscapes:{root}#val", "--name", "held_out"]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--dry-run"])
    assert left.value.code == 0
    assert "evaluate: would do" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "miou: 0." in shown
    assert "class road  iou 0." in shown


def test_words_of_errors(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No training named 'best' in .* Available: .*small"):
        evaluate(run, EvaluateSettings("best"))
    with pytest.raises(SettingsError, match="pictures = -1: expected 0 or more"):
        EvaluateSettings("small", pictures=-1)
    with pytest.raises(SettingsError, match="name 'a/b': expected letters"):
        EvaluateSettings("small", name="a/b")
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 images, and none of them has a mask"):
        evaluate(run, EvaluateSettings("small", f"folder:{tmp_path}"))
    with pytest.raises(DataError, match=r"checkpoint.safetensors: no such checkpoint. Run `thresher train RUN` first"):
        trained_network(tmp_path / "checkpoint.safetensors")
