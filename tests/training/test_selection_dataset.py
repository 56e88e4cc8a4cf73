"""A selection in a DataLoader: which images, in which order, and what each item holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from thresher import DataError, Run, SelectionDataset, SettingsError, tables

pytestmark = pytest.mark.slow

TAXONOMY = """
name = "two"
void_id = 2
[groups]
vehicle = []
[classes.car]
id = 0
colour = [0, 0, 1]
group = "vehicle"
thing = true
[classes.road]
id = 1
colour = [0, 1, 0]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Pool images p0 to p5 of one grey each, 10 · number, and widths 20 + number; t0 of the target has a mask."""
    run = Run(tmp_path_factory.mktemp("dataset"))
    images, boxes = [], []
    for number, name in enumerate(["p0", "p1", "p2", "p3", "p4", "p5", "t0", "t1"]):
        path = run.folder / f"{name}.png"
        Image.new("RGB", (20 + number, 16), (10 * number,) * 3).save(path)
        role = "target" if name.startswith("t") else "pool"
        images.append({"image_id": name, "path": str(path), "dataset": "d", "role": role})
    corners = {"x0": 0.25, "y0": 0.5, "x1": 0.75, "y1": 1.0}
    boxes = [
        {"image_id": "p3", "label": "Auto", "class": "car", **corners},
        {"image_id": "p3", "label": "Thing", "class": None, **corners},
        {"image_id": "p3", "label": "Vehicle", "class": "vehicle", **corners, "x1": 0.5},
        {"image_id": "p3", "label": "ego", "class": "void", **corners},
        {"image_id": "p1", "label": "Auto", "class": "car", **corners},
    ]
    mask = np.zeros((16, 26), np.uint8)
    mask[8:], mask[0, 0] = 1, 2
    Image.fromarray(mask).save(run.folder / "t0 mask.png")
    tables.write(tables.from_rows(images, tables.INDEXED_IMAGES), run.images)
    tables.write(tables.from_rows(boxes, tables.BOXES), run.boxes)
    masks = [{"image_id": "t0", "path": str(run.folder / "t0 mask.png"), "encoding": "class_index"}]
    tables.write(tables.from_rows(masks, tables.MASKS), run.masks)
    run.taxonomy.write_text(TAXONOMY)
    chosen = [{"image_id": name, "rank": rank, "score": 1.0} for rank, name in enumerate(["p3", "p0", "p5", "p1"], 1)]
    tables.write(tables.from_rows(chosen, tables.SELECTION), run.selection_path("first"))
    return run


def test_a_loader_with_workers_gives_every_image_in_order_with_its_content(run: Run) -> None:
    dataset = SelectionDataset(run, "first")
    # Processes of their own: what the test suite has imported has threads, which a fork would break.
    loader = DataLoader(
        dataset, batch_size=3, num_workers=2, collate_fn=SelectionDataset.collate, multiprocessing_context="spawn"
    )
    batches = list(loader)
    assert [len(images) for images, _ in batches] == [3, 1]
    pairs = [pair for images, targets in batches for pair in zip(images, targets, strict=True)]
    assert [target["image_id"] for _, target in pairs] == dataset.image_ids == ["p3", "p0", "p5", "p1"]
    for image, target in pairs:
        number = int(target["image_id"][1])
        assert image.dtype == torch.uint8
        assert image.shape == (3, 16, 20 + number)
        assert (image == 10 * number).all()
        assert "masks" not in target
    first = pairs[0][1]
    # 23 × 16 pixels: 0.25 · 23 and 0.75 · 23, 0.5 · 16 and 1 · 16.
    assert first["boxes"].tolist() == [[5.75, 8.0, 17.25, 16.0], [5.75, 8.0, 11.5, 16.0]]
    assert first["boxes"].dtype == torch.float32
    assert first["labels"].tolist() == [0, 3]  # 2 is void
    assert first["names"] == ["car", "vehicle"]
    assert [len(target["labels"]) for _, target in pairs] == [2, 0, 0, 1]
    assert pairs[1][1]["boxes"].shape == (0, 4)
    assert dataset.class_names == {0: "car", 1: "road", 3: "vehicle"}


def test_images_of_the_target_follow_with_their_masks(run: Run) -> None:
    dataset = SelectionDataset(run.folder, "first", with_target=True)
    assert len(dataset) == 6
    assert dataset.image_ids[4:] == ["t0", "t1"]
    _, target = dataset[4]
    assert target["masks"].dtype == torch.int64
    assert target["masks"].shape == (16, 26)
    assert target["masks"][0, :3].tolist() == [2, 0, 0]
    assert (target["masks"][8:] == 1).all()
    assert "masks" not in dataset[5][1]
    assert repr(dataset) == "SelectionDataset(6 images, 1 with masks, 2 with boxes)"


def test_a_transform_moves_image_boxes_and_masks_together(run: Run) -> None:
    flip = v2.RandomHorizontalFlip(p=1)
    plain = SelectionDataset(str(run.folder), "first", with_target=True)
    flipped = SelectionDataset(str(run.folder), "first", with_target=True, transform=flip)
    assert flipped[0][1]["boxes"].tolist() == [[5.75, 8.0, 17.25, 16.0], [11.5, 8.0, 17.25, 16.0]]
    assert torch.equal(flipped[4][1]["masks"], plain[4][1]["masks"].flip(-1))
    assert torch.equal(flipped[4][0], plain[4][0].flip(-1))


def test_what_is_not_there_says_so(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No selection named 'second' in .* Available: first"):
        SelectionDataset(run, "second")
    with pytest.raises(DataError, match="taxonomy.toml: no such file. .index. writes it: run .thresher index"):
        SelectionDataset(tmp_path, "first")


def test_a_mask_of_another_size_names_both_files(run: Run, tmp_path: Path) -> None:
    dataset = SelectionDataset(run, "first", with_target=True)
    dataset._masks["t1"] = dataset._masks["t0"]
    with pytest.raises(DataError, match=r"t0 mask.png: 26 × 16 pixels; its image .*t1.png has 27 × 16"):
        dataset[5]


def test_importing_it_does_not_import_torch() -> None:
    probe = "import sys; from thresher import SelectionDataset; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "False\n"
