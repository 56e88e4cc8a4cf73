from __future__ import annotations

from pathlib import Path

import pytest

from thresher import tables
from thresher.run.folder import Run
from thresher.stages.index import IndexSettings, index

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
CAR, TREE = "/m/0k4j", "/m/07j7r"
ROWS = [("a", CAR, 0.5), ("a", TREE, 0.1), ("b", CAR, 0.2), ("c", CAR, 0.3), ("c", CAR, 0.4)]


def indexed(folder: Path, rows: list[tuple[str, str, float]]) -> tuple[Run, dict]:
    """An Open Images pool of empty image files, which nobody can open."""
    for name in ("target/t", "pool/images/a", "pool/images/b", "pool/images/c", "pool/images/d"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jpg").touch()
    lines = [f"{image_id},xclick,{label},1,0,1,{top},1,0,0,0,0,0" for image_id, label, top in rows]
    (folder / "pool" / "train-annotations-bbox.csv").write_text("\n".join([HEADER, *lines, ""]))
    run = Run(folder / "run")
    settings = IndexSettings((f"folder:{folder / 'target'}",), (f"open_images:{folder / 'pool'}",))
    return run, index(run, settings).summary


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 2, 0, 4, 1]])
def test_boxes_lie_image_by_image_whatever_the_order_of_the_file(tmp_path: Path, order: list[int]) -> None:
    run, summary = indexed(tmp_path, [ROWS[number] for number in order])
    boxes = tables.read(run.boxes, tables.BOXES)
    assert boxes["image_id"].to_list() == [f"pool/{image_id}" for image_id, _, _ in ROWS]
    found = {
        (i.removeprefix("pool/"), n, round(y, 3)) for i, n, y in boxes.select("image_id", "label", "y0").iter_rows()
    }
    assert found == set(ROWS)
    assert summary["datasets"] == [
        {"role": "target", "dataset": "target", "images": 1, "boxes": 0, "mapped": 0},
        {"role": "pool", "dataset": "pool", "images": 4, "boxes": 5, "mapped": 5},
    ]
    labels = tables.read(run.labels, tables.LABELS).select("label", "boxes", "images").rows()
    assert labels == [(TREE, 1, 1), (CAR, 4, 3)]


def test_no_image_is_opened_and_what_nobody_states_is_null(tmp_path: Path) -> None:
    run, summary = indexed(tmp_path, ROWS)
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    assert images.height == 5
    assert images["width_px"].null_count() == images["height_px"].null_count() == 5
    assert summary["problems"] == {}
