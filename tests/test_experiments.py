"""Every experiment's file can be read; those on data that is not at hand run in a miniature of the same layout."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher.cli.run_file import load_run_file, run_all
from thresher.data.label_maps import class_numbers
from thresher.data.taxonomy import load_taxonomy
from thresher.synthetic.dataset import SyntheticSettings, write_dataset

pytestmark = pytest.mark.slow

FILES = sorted(
    path for path in (Path(__file__).parents[1] / "experiments").glob("*.toml") if "labels.toml" not in path.name
)
CITYSCAPES = load_taxonomy("cityscapes")
#: What makes a miniature of them: other values, the same keys.
SMALL = {
    "encoder": '"tf_efficientnet_lite0"',
    "weights": None,
    "height_px": "32",
    "width_px": "64",
    "epochs": "1",
    "methods": '["similarity"]',
    "budgets": '["2"]',
    "label_route": '"gate"',
    "baselines": '["none", "unlabelled"]',
    "seeds": "1",
    "run": '"run"',
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_can_be_read_and_says_what_it_costs(path: Path) -> None:
    settings = load_run_file(path)
    assert settings.index.target
    head = path.read_text("utf-8").split("\nrun =")[0]
    for word in ("# Run:", "# Takes:", "# Expects:"):
        assert word in head, f"{path.name} has no line {word}"


#: What each trains: method and mode. The second differs by its data, so fewer of its arms are trained.
ARMS = {
    "cityscapes_open_images": {
        ("none", "strong"),
        ("none", "labels"),
        ("similarity", "hierarchical"),
        ("similarity", "labels"),
        ("unlabelled", "labels"),
    },
    "cityscapes_coarse": {("none", "labels"), ("similarity", "labels")},
}
FEWER = {"cityscapes_open_images": {}, "cityscapes_coarse": {"modes": '["labels"]', "baselines": '["none"]'}}


def miniature(name: str, folder: Path) -> Path:
    """The experiment's file with small values, in a folder where its data is made up."""
    text = next(path for path in FILES if path.stem == name).read_text("utf-8")
    for key, value in (SMALL | FEWER[name]).items():
        line = "" if value is None else f"{key} = {value}"
        text, times = re.subn(rf"^{key} = .*$", line, text, flags=re.MULTILINE)
        assert times == 1, f"{name}.toml sets {key} {times} times"
    path = folder / f"{name}.toml"
    path.write_text(f"{text}\n[fit]\ncomponents = 2\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(folder, SyntheticSettings(target_images=4, val_images=2, pool_images=12, width_px=128, height_px=64))
    return folder


def coarse_outlines(scenes: Path, root: Path) -> None:
    """The scenes' labelled frames again, as `train_extra` with a coarse outline around all cars of each."""
    numbers = class_numbers(CITYSCAPES, "cityscapes_label_ids")
    car = [c.name for c in CITYSCAPES.classes].index("car")
    for place, mask in enumerate(sorted((scenes / "cityscapes" / "gtFine" / "train").rglob("*_labelIds.png"))):
        frame = Path(str(mask).replace("gtFine", "leftImg8bit").replace("_leftImg8bit_labelIds", "_leftImg8bit"))
        to = root / "leftImg8bit" / "train_extra" / "town" / f"town_{place}_leftImg8bit.png"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(frame, to)
        labels = numbers[np.asarray(Image.open(mask))]
        rows, columns = np.nonzero(labels == car)
        corners = [[int(columns.min()), int(rows.min())], [int(columns.max()), int(rows.max())]] if len(rows) else []
        things = [{"label": "cargroup", "polygon": corners}] if corners else []
        content = {"imgWidth": labels.shape[1], "imgHeight": labels.shape[0], "objects": things}
        file = root / "gtCoarse" / "train_extra" / "town" / f"town_{place}_gtCoarse_polygons.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize("name", ["cityscapes_open_images", "cityscapes_coarse"])
def test_the_big_ones_run_in_a_miniature(name: str, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes / "cityscapes", tmp_path / "cityscapes")
    shutil.copytree(scenes / "open_images", tmp_path / "open_images")
    coarse_outlines(scenes, tmp_path / "cityscapes")
    settings = load_run_file(miniature(name, tmp_path))
    planned = [*run_all(settings, dry_run=True)]
    stages = ["index", "embed", "fit", "score", "select", "sheet", "compare", "run"]
    assert [result.stage for result in planned if result.stage in stages][-3:] == ["sheet", "compare", "run"]
    assert {result.stage for result in planned} == set(stages) and not settings.folder.exists()
    assert all(result.summary["seconds"] > 0 for result in planned)
    done = [*run_all(settings)]
    assert done[-1].stage == "compare" and done[-1].failed_items == 0
    results = pl.read_parquet(settings.folder / "comparisons" / "paper" / "results.parquet")
    whole = results.filter(pl.col("class").is_null())
    assert set(whole.select("method", "mode").rows()) == ARMS[name]
    assert whole["iou"].is_between(0, 1).all()
    planned = [*run_all(settings, dry_run=True)]
    assert [result.stage for result in planned[-2:]] == ["compare", "run"]
