"""Two processes train one network: the same weights in both, and the first one alone writes and speaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from thresher import tables
from thresher.errors import SettingsError
from thresher.run.folder import Run
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings
from thresher.training.train import train

pytestmark = pytest.mark.slow

#: Runs the command line and keeps what this process's optimiser holds at the end.
LAUNCHED = """
import os, sys, torch
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_post_hook
from thresher.cli.main import main

torch.set_num_threads(1)
last = {}
register_optimizer_step_post_hook(lambda optimiser, *_: last.update(optimiser=optimiser))
try:
    main(sys.argv[2:])
finally:
    weights = last["optimiser"].param_groups[0]["params"]
    held = {str(number): weight.detach().contiguous() for number, weight in enumerate(weights)}
    save_file(held, f"{sys.argv[1]}/{os.environ['RANK']}.safetensors")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=4, val_images=1, pool_images=8, street_share=0.6))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    return run


def test_two_processes_end_with_the_same_weights_and_one_of_them_writes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "launched.py").write_text(LAUNCHED)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    images = tables.read(run.images, tables.INDEXED_IMAGES)
    first = images.filter(split="train").sort("image_id")["image_id"][0]
    shown = images.with_columns(path=pl.when(image_id=first).then(pl.lit(str(bad))).otherwise("path"))
    tables.write(shown, run.images)
    run.note("index", run.recorded()["index"] | {"outputs": {}})  # else the changed table is refused
    flags = ["--selection=all", "--height-px=64", "--width-px=64", "--strong-batch=2", "--weak-batch=2", "--epochs=3"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(tmp_path / "launched.py"), str(tmp_path), "train", str(run.folder), *flags, "--json"]
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(told) == 1, done.stderr
    assert "Grad strides" not in done.stderr
    # The image that cannot be read fell to either process; the step was left out in both, and it is listed once.
    assert told[0]["failed_items"] == 1
    ours, theirs = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        np.testing.assert_allclose(weight, theirs[name], rtol=1e-6, atol=1e-7)
    folder = run.training("all-seed0")
    assert len([*(folder / "tensorboard").iterdir()]) == 1
    saved = load_file(folder / "checkpoint.safetensors")
    trained = [saved[name] for name in saved if name.startswith("network/") and saved[name].shape == ours["0"].shape]
    assert any(np.array_equal(weight, ours["0"]) for weight in trained)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [6]


def test_batches_that_processes_cannot_share_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SettingsError, match="strong_batch = 4: expected a multiple of 3, as so many processes share"):
        train(run, TrainSettings())
    with pytest.raises(
        SettingsError, match="strong_batch = 3: expected 6 or more for upernet, two images in each of 3"
    ):
        train(run, TrainSettings(strong_batch=3, weak_batch=3, decoder="upernet"))
