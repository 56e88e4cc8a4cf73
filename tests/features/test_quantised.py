"""The fast mode: an 8-bit network that says nearly what the exact one says, and is told apart from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from thresher import Run, tables
from thresher.features.backbone import BackboneSettings, backbone_file, scaled
from thresher.features.quantised import quantise
from thresher.features.worker import Worker, WorkerSettings
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.index import IndexSettings, index
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow


def photographs(folder: Path, count: int, seed: int) -> list[Path]:
    """Smooth coloured shapes, as JPEGs larger than the network's input."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number:03d}.jpg", quality=90)
    return sorted(folder.iterdir())


def test_eight_bits_say_nearly_the_same_of_images_that_calibrated_nothing(tmp_path: Path) -> None:
    file = backbone_file(BackboneSettings(), tmp_path / "exact.onnx")
    exact = Worker(WorkerSettings(str(file.path), file.mean, file.std, 96))
    fast = tmp_path / "fast.onnx"
    seen, unseen = (photographs(tmp_path / name, 8, seed) for seed, name in enumerate(("seen", "unseen")))
    inputs = [np.array(Image.open(path).resize((128, 96))) for path in seen]
    quantise(file.path, fast, (scaled(image, file) for image in inputs))
    kinds = [node.op_type for node in onnx.load(fast).graph.node]
    assert "DequantizeLinear" in kinds
    eight = Worker(WorkerSettings(str(fast), file.mean, file.std, 96))
    cosines = [(exact.unit_slices(path).slices * eight.unit_slices(path).slices).sum(axis=1).mean() for path in unseen]
    assert 0.9 < np.mean(cosines) < 1


def test_a_fast_run_is_made_of_other_shards_than_an_exact_one(tmp_path: Path) -> None:
    photographs(tmp_path / "target", 4, 1)
    photographs(tmp_path / "pool", 12, 2)
    run = Run(tmp_path / "run")
    index(run, IndexSettings((f"folder:{tmp_path}/target",), (f"folder:{tmp_path}/pool",)))
    prints, vectors = [], []
    for mode in ("exact", "fast"):
        done = embed(run, EmbedSettings(short_side=64, width=8, mode=mode), engine=EngineSettings(workers=1))
        assert (done.status, done.summary["images_embedded"]) == ("done", 16)
        prints.append(tables.read(run.shards, tables.SHARDS)["fingerprint"].to_list())
        vectors.append(tables.read(run.pooled, tables.POOLED)["vector"].to_numpy().astype(float))
    assert not set(prints[0]) & set(prints[1])
    exact, fast = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors)
    cosines = (exact * fast).sum(axis=1)
    assert cosines.min() > 0.9
    assert cosines.max() < 1
