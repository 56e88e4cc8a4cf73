"""The guide from an export to a comparison: its sources, as they stand in its table, on tiny exports of each tool."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.data.source_text import read_source
from thresher.run.folder import Run
from thresher.stages.index import IndexSettings, index

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-an-export.md"
SIDE = 64
SPLITS = {"train": 3, "val": 2}
#: A road over the lower half with a car on it, as x and y in shares of the picture.
ROAD, CAR = [0, 0.5, 1, 0.5, 1, 1, 0, 1], [0.25, 0.4, 0.6, 0.4, 0.6, 0.8, 0.25, 0.8]


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    pixels[SIDE // 2 :] //= 3
    Image.fromarray(pixels).save(path)


def written(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def in_pixels(shares: list[float]) -> list[float]:
    return [value * SIDE for value in shares]


def box(shares: list[float]) -> tuple[float, float, float, float]:
    return min(shares[0::2]), min(shares[1::2]), max(shares[0::2]), max(shares[1::2])


def coco(data: Path) -> None:
    def file(names: list[str], outlined: bool) -> dict[str, object]:
        images = [{"id": n, "file_name": name, "width": SIDE, "height": SIDE} for n, name in enumerate(names)]
        annotations = []
        for n in range(len(names)):
            for category, shares in ((1, ROAD), (2, CAR)) if outlined else ((2, CAR),):
                x0, y0, x1, y1 = (value * SIDE for value in box(shares))
                each = {"image_id": n, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                annotations.append(each | ({"segmentation": [in_pixels(shares)]} if outlined else {}))
        categories = [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
        return {"images": images, "annotations": annotations, "categories": categories}

    for split, count in SPLITS.items():
        names = [f"{split}{n}.jpg" for n in range(count)]
        for n, name in enumerate(names):
            photo(data / "mine" / split / name, n)
        written(data / "mine" / "annotations" / f"instances_{split}.json", file(names, True))
    for n in range(6):
        photo(data / "pool" / "images" / f"{n}.jpg", 50 + n)
    written(data / "pool" / "annotations" / "boxes.json", file([f"{n}.jpg" for n in range(6)], False))


def yolo(data: Path) -> None:
    for split, count in SPLITS.items():
        for n in range(count):
            photo(data / "mine" / "images" / split / f"{n}.jpg", n)
            lines = [f"{number} {' '.join(map(str, shares))}" for number, shares in ((0, ROAD), (1, CAR))]
            written(data / "mine" / "labels" / split / f"{n}.txt", "\n".join(lines))
    for n in range(6):
        photo(data / "pool" / "images" / f"{n}.jpg", 50 + n)
        written(data / "pool" / "labels" / f"{n}.txt", "1 0.4 0.6 0.35 0.4")
    for place in ("mine", "pool"):
        written(data / place / "data.yaml", "names: [road, car]\n")


def cvat(data: Path) -> None:
    def image(name: str, shapes: str, split: str = "") -> str:
        return f'<image name="{name}" subset="{split}" width="{SIDE}" height="{SIDE}">{shapes}</image>'

    def polygon(label: str, shares: list[float]) -> str:
        points = in_pixels(shares)
        corners = ";".join(f"{x},{y}" for x, y in zip(points[0::2], points[1::2], strict=True))
        return f'<polygon label="{label}" points="{corners}"/>'

    mine = ""
    for split, count in SPLITS.items():
        for n in range(count):
            photo(data / "mine" / "images" / f"{split}{n}.jpg", n)
            mine += image(f"{split}{n}.jpg", polygon("road", ROAD) + polygon("car", CAR), split)
    written(data / "mine" / "annotations.xml", f"<annotations>{mine}</annotations>")
    pool = ""
    for n in range(6):
        photo(data / "pool" / "images" / f"{n}.jpg", 50 + n)
        x0, y0, x1, y1 = (value * SIDE for value in box(CAR))
        pool += image(f"{n}.jpg", f'<box label="car" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"/>')
    written(data / "pool" / "annotations.xml", f"<annotations>{pool}</annotations>")


def label_studio(data: Path) -> None:
    def task(name: str, regions: list[dict[str, object]]) -> dict[str, object]:
        result = [{"id": str(n), "value": value} for n, value in enumerate(regions)]
        return {"data": {"image": f"/data/upload/1/{name}"}, "annotations": [{"result": result}]}

    def outlined(label: str, shares: list[float]) -> dict[str, object]:
        points = [[100 * x, 100 * y] for x, y in zip(shares[0::2], shares[1::2], strict=True)]
        return {"points": points, "polygonlabels": [label]}

    for split, count in SPLITS.items():
        for n in range(count):
            photo(data / "mine" / f"{split}{n}.jpg", n)
        regions = [outlined("road", ROAD), outlined("car", CAR)]
        written(data / "mine" / f"{split}.json", [task(f"{split}{n}.jpg", regions) for n in range(count)])
    boxed = {"x": 25, "y": 40, "width": 35, "height": 40, "rectanglelabels": ["car"]}
    for n in range(6):
        photo(data / "pool" / f"{n}.jpg", 50 + n)
    written(data / "pool" / "tasks.json", [task(f"{n}.jpg", [boxed]) for n in range(6)])


def bdd100k(data: Path) -> None:
    root = data / "bdd100k"
    for split, count in SPLITS.items():
        for n in range(count):
            photo(root / "images" / "10k" / split / f"{split}{n}.jpg", n)
            values = np.full((SIDE, SIDE), 255, np.uint8)
            values[SIDE // 2 :] = 0
            values[26:51, 16:38] = 13
            path = root / "labels" / "sem_seg" / "masks" / split / f"{split}{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    frames = []
    for n in range(6):
        photo(root / "images" / "100k" / "train" / f"b{n}.jpg", 50 + n)
        corners = dict(zip(("x1", "y1", "x2", "y2"), (value * SIDE for value in box(CAR)), strict=True))
        frames.append({"name": f"b{n}.jpg", "labels": [{"category": "car", "box2d": corners}]})
    written(root / "labels" / "det_20" / "det_train.json", frames)


EXPORTS: dict[str, Callable[[Path], None]] = {
    "COCO segmentation": coco,
    "YOLO segmentation": yolo,
    "CVAT for images 1.1": cvat,
    "Label Studio": label_studio,
    "BDD100K": bdd100k,
}


def sources_of(kind: str, data: Path) -> list[str]:
    """Target, pool and validation, as the guide has them."""
    (row,) = re.findall(rf"^\| {re.escape(kind)} \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [text.replace("/data/", f"{data}/") for text in re.findall(r"`([^`]*)`", row)]


@pytest.mark.parametrize("kind", EXPORTS)
def test_the_sources_of_the_guide_give_masks_of_the_target_and_boxes_of_the_pool(tmp_path: Path, kind: str) -> None:
    EXPORTS[kind](tmp_path / "data")
    target, pool, validation = sources_of(kind, tmp_path / "data")
    summary = index(Run(tmp_path / "run"), IndexSettings((f"target={target}",), (f"pool={pool}",))).summary
    found = {name: summary[name] for name in ("target_images", "pool_images", "masks", "problems")}
    assert found == {"target_images": 3, "pool_images": 6, "masks": 3, "problems": {}}
    assert summary["labels_without_counterpart"] == []
    assert [each["mapped"] for each in summary["datasets"]][-1] == 6
    read = read_source(validation)
    assert (read.images.height, len(read.drawings) + read.masks.height) == (2, 2)
