"""What a stage is made from, where that is a part of a table alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.run.inputs import labelled_target


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    rows = [
        {"image_id": f"{role}{n}", "path": f"/{role}{n}.jpg", "role": role}
        for role in ("target", "pool")
        for n in (1, 2)
    ]
    tables.write(tables.from_rows(rows, tables.INDEXED_IMAGES), tmp_path / "images.parquet")
    masks: list[dict[str, object]] = [{"image_id": "target1", "path": "/mask1.png", "encoding": "train_ids"}]
    tables.write(tables.from_rows(masks, tables.MASKS), tmp_path / "masks.parquet")
    return tmp_path


def test_a_labelled_target_stays_the_same_while_the_pool_changes(indexed: Path) -> None:
    before = labelled_target(indexed)
    images = tables.read(indexed / "images.parquet", tables.INDEXED_IMAGES)
    tables.write(images.filter(pl.col("image_id") != "pool2").reverse(), indexed / "images.parquet")
    assert labelled_target(indexed) == before


@pytest.mark.parametrize("table", ["images", "masks"])
def test_a_labelled_target_changes_with_its_images_and_masks(indexed: Path, table: str) -> None:
    before, path = labelled_target(indexed), indexed / f"{table}.parquet"
    schema = tables.INDEXED_IMAGES if table == "images" else tables.MASKS
    other = pl.when(image_id="target1").then(pl.lit("/other")).otherwise("path")
    tables.write(tables.read(path, schema).with_columns(path=other), path)
    assert labelled_target(indexed) != before
