"""Masks, overlays and the ONNX file of a network trained for a few steps on made-up streets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from PIL import Image

from thresher.cli.main import main
from thresher.data.label_maps import class_numbers, coloured, label_map
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.segmentation.inference import Segmenter
from thresher.segmentation.trained import TrainedNetwork, trained_network
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.export_network import export_network
from thresher.training.predict import predict
from thresher.training.settings import TrainSettings
from thresher.training.train import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=2, val_images=1, pool_images=2))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",)))
    train(run, TrainSettings(height_px=64, width_px=96, strong_batch=2, epochs=3, name="small"))
    return run


def decided(found: TrainedNetwork, pixels: np.ndarray) -> np.ndarray:
    """What the network decides on an image: by torch, one image after the other."""
    alone = Segmenter(found.network, found.tree, found.short_side, torch.device("cpu"), 1, 1)
    return alone.decided(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].numpy()


@pytest.fixture(scope="module")
def found(run: Run) -> TrainedNetwork:
    return trained_network(run.training("small") / "checkpoint.safetensors")


@pytest.fixture
def photos(run: Run, tmp_path: Path) -> Path:
    paths = pl.read_parquet(run.images)["path"].to_list()
    folder = tmp_path / "photos"
    (folder / "night").mkdir(parents=True)
    Image.open(paths[0]).convert("RGB").save(folder / "one.png")
    Image.open(paths[1]).convert("RGB").resize((120, 90)).save(folder / "night" / "two é.jpg")
    return folder


def test_masks_read_back_as_what_was_decided(run: Run, found: TrainedNetwork, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(run, "small", photos, out).failed_items == 0
    numbers = class_numbers(found.taxonomy, "class_index")
    for name in ("one.png", "night/two é.jpg"):
        pixels = np.array(Image.open(photos / name).convert("RGB"))
        expected = decided(found, pixels)
        mask = (out / "masks" / name).with_suffix(".png")
        with Image.open(mask) as image:
            assert image.mode == "L"
        labels = label_map(mask, numbers)
        assert (labels == expected).mean() >= 0.999
        overlay = np.asarray(Image.open((out / "overlays" / name).with_suffix(".jpg")), np.float32)
        blend = (pixels.astype(np.float32) + coloured(labels, found.taxonomy)) / 2
        assert np.abs(overlay - blend).mean() < 12  # JPEG
    assert not (out / "problems.parquet").exists()


def test_an_unreadable_image_costs_only_itself(run: Run, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    out = photos / "predicted"
    with pytest.raises(SystemExit) as left:
        main(["predict", str(run.folder), "small", str(photos), "--out", str(out), "--json"])
    assert left.value.code == 4
    told = json.loads(capsys.readouterr().out)
    assert told["failed_items"] == 1
    assert told["stages"][0]["unreadable"] == [str(photos / "broken.jpg")]
    assert sorted(path.name for path in (out / "masks").rglob("*.png")) == ["one.png", "two é.png"]
    assert pl.read_parquet(out / "problems.parquet")["path"].to_list() == [str(photos / "broken.jpg")]
    # Once more: what was written is no input, though it lies in the folder; and the problem is gone when it is mended.
    (photos / "broken.jpg").unlink()
    again = predict(run, "small", photos, out)
    assert (again.summary["images"], again.failed_items) == (2, 0)
    assert pl.read_parquet(out / "problems.parquet").is_empty()


def test_it_writes_over_nothing_of_others(run: Run, photos: Path, tmp_path: Path) -> None:
    before = (photos / "one.png").read_bytes()
    with pytest.raises(DataError, match=r"holds files that predict did not write \(night/, one.png\)"):
        predict(run, "small", photos, photos)
    out = tmp_path / "out"
    assert predict(run, "small", photos / "one.png", out, dry_run=True).status == "planned"
    assert not out.exists()
    predict(run, "small", photos / "one.png", out)
    with pytest.raises(SettingsError, match=r"would write over .*one.png, which is one of the images"):
        predict(run, "small", out / "masks" / "one.png", out)
    assert (photos / "one.png").read_bytes() == before


def test_two_images_of_one_name_keep_their_suffixes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "a.jpg", "b.jpg"):
        Image.effect_noise((64, 64), 40).convert("RGB").save(tmp_path / "photos" / name)
    predict(run, "small", tmp_path / "photos", tmp_path / "out")
    masks = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert masks == ["a.jpg.png", "a.png.png", "b.jpg.png"]


def test_the_exported_network_decides_the_same(run: Run, found: TrainedNetwork, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "network.onnx"
    with pytest.raises(SystemExit) as left:
        main(["export-network", str(run.folder), "small", "--out", str(out)])
    assert left.value.code == 0
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    tree = json.loads(told["tree"])
    assert list(tree) == [output.name for output in session.get_outputs()] == ["root", "vehicle", "human"]
    assert {entry["name"]: entry["id"] for entry in json.loads(told["classes"])}["car"] == 13
    assert (json.loads(told["short_side"]), json.loads(told["void_id"])) == (64, 255)
    image = np.asarray(Image.open(photos / "one.png").resize((96, 64)))[None].transpose(0, 3, 1, 2)
    logits = session.run(None, {"image": np.ascontiguousarray(image)})
    with torch.inference_mode():
        expected = found.network(torch.from_numpy(np.ascontiguousarray(image)))
    for ours, theirs in zip(logits, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=2e-4)


def test_words_of_errors(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No training named 'best' in .* Available: small"):
        predict(run, "best", tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="nowhere: no such image or folder"):
        predict(run, "small", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match="no image files"):
        predict(run, "small", tmp_path, tmp_path / "out")
    with pytest.raises(SettingsError, match=r"expected a file name that ends in \.onnx"):
        export_network(run, "small", tmp_path / "network.pt")
