"""From an export of outlines to masks that every later command reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.comparison.proxy.materials import true_masks, with_masks
from thresher.data.label_maps import class_numbers, label_map
from thresher.run.folder import Run
from thresher.run.masked import read_with_masks
from thresher.run.opened import OpenedRun
from thresher.stages.index import IndexSettings, index
from thresher.training.images import validation_images
from thresher.training.settings import TrainSettings

CAR, VOID = 13, 19


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Ten images of 8 × 4 pixels, whose left half is outlined as an auto."""
    root = tmp_path / "coco"
    (root / "images").mkdir(parents=True)
    for number in range(10):
        Image.new("RGB", (8, 4), (number, 90, 90)).save(root / "images" / f"{number}.jpg")
    outline = {"category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 8, "height": 4} for n in range(10)],
        "annotations": [{"id": n, "image_id": n, **outline} for n in range(10)],
        "categories": [{"id": 1, "name": "wagen"}],
    }
    (root / "instances_train.json").write_text(json.dumps(content), "utf-8")
    return root


def first_row(path: str, run: Run) -> list[int]:
    labels = label_map(Path(path), class_numbers(OpenedRun(run).taxonomy, "class_index"))
    assert labels.shape == (4, 8)
    found: list[int] = np.unique(labels, axis=0)[0].tolist()
    return found


def test_outlines_of_the_target_become_masks_that_trainings_read(tmp_path: Path, coco: Path) -> None:
    (tmp_path / "labels.toml").write_text('wagen = "car"', "utf-8")
    run = Run(tmp_path / "run")
    settings = IndexSettings(
        target=(f"mine=coco:{coco}",), pool=(f"theirs=coco:{coco}",), label_map=tmp_path / "labels.toml", limit=5
    )
    result = index(run, settings)
    assert (result.summary["masks"], result.summary["target_images"], result.failed_items) == (5, 5, 0)
    masks = OpenedRun(run).masks
    assert masks["encoding"].unique().to_list() == ["class_index"]
    assert [first_row(path, run) for path in masks["path"]] == [[CAR] * 4 + [VOID] * 4] * 5
    assert index(run, settings).status == "unchanged"
    lost = Path(masks["path"][0])
    lost.unlink()
    assert index(run, settings).status == "done"
    assert lost.is_file()
    moved = Run(run.folder.rename(tmp_path / "moved"))
    assert all(Path(path).is_file() for path in OpenedRun(moved).masks["path"])
    run = Run(moved.folder.rename(tmp_path / "run"))
    validation = validation_images(run, TrainSettings(mode="strong", validation=f"coco:{coco}"))
    assert validation.height == 10
    assert first_row(validation["mask"][0], run) == [CAR] * 4 + [VOID] * 4
    found = read_with_masks(run, f"coco:{coco}", OpenedRun(run).taxonomy)
    assert (found.masks.height, found.problems.height) == (10, 0)
    opened = OpenedRun(run)
    assert with_masks(opened, f"coco:{coco}").height == 10
    assert true_masks(opened, f"coco:{coco}")["image_id"].to_list() == opened.pool["image_id"].to_list()
