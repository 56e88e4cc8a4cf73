"""A run of any size as `select` needs it and the report and the explorer show it: tables with made-up numbers.

Pictures are drawn once and shared by many rows, so that a hundred thousand images cost a few megabytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from thresher import tables
from thresher.data.taxonomy import BUILT_IN
from thresher.run.folder import Run
from thresher.run.perform import as_json
from thresher.stages.index import IndexSettings
from thresher.stages.select import SelectSettings, select

TARGET_IMAGES, PICTURES, KINDS, CHANNELS, BOXES_EACH = 500, 64, 12, 320, 8
BLOCK = 65_536
CLASSES = ("car", "person", "traffic sign", "traffic light", "bicycle", "truck", "rider", "bus", "motorcycle", "train")
_SHARES = np.array([40, 25, 10, 8, 6, 4, 3, 2, 1.5, 0.5]) / 100


def made_up_run(folder: Path, images: int, seed: int = 0, channels: int = CHANNELS, selected: bool = True) -> Run:
    """Write a run with a pool of so many images, and a selection of a tenth of them unless `selected` is False."""
    rng = np.random.default_rng(seed)
    run = Run(folder / "run")
    run.folder.mkdir(parents=True)
    count = images + TARGET_IMAGES
    role = np.repeat(["pool", "target"], [images, TARGET_IMAGES])
    ids = [f"{one}/{number:08d}" for number, one in enumerate(role)]
    dataset = np.where(role == "target", "target", rng.choice(["archive", "fleet", "open_images"], count))
    table = pl.DataFrame({"image_id": ids, "path": _pictures(folder / "data", count, rng), "dataset": dataset})
    size = {"split": None, "width_px": 640, "height_px": 480}
    columns = [pl.lit(value).alias(name) for name, value in size.items()]
    rows = table.with_columns(*columns, role=pl.Series(role)).cast(dict(tables.INDEXED_IMAGES))  # type: ignore[arg-type]
    tables.write(rows.select(list(tables.INDEXED_IMAGES)), run.images)
    tables.write(_boxes(ids[:images], rng), run.boxes)
    for path, schema in ((run.masks, tables.MASKS), (run.labels, tables.LABELS), (run.problems, tables.PROBLEMS)):
        tables.write(tables.empty(schema), path)
    run.taxonomy.write_text((BUILT_IN / "cityscapes.toml").read_text("utf-8"), "utf-8")
    source = f"folder:{folder / 'data'}"
    run.note("index", {"settings": as_json(IndexSettings((source,), (source,))), "summary": {}})
    kind = rng.integers(0, KINDS, count)
    kind[images:] = rng.integers(0, 2, TARGET_IMAGES)
    _write_vectors(run, ids, kind, rng, channels)
    _write_scores(run, ids, kind[:images], rng)
    if selected:
        select(run, SelectSettings(name="tenth"))
    return run


def _pictures(folder: Path, count: int, rng: np.random.Generator) -> list[str]:
    folder.mkdir()
    for number in range(PICTURES):
        small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=85)
    return [str(folder / f"{number % PICTURES}.jpg") for number in range(count)]


def _boxes(ids: list[str], rng: np.random.Generator) -> pl.DataFrame:
    each = rng.poisson(BOXES_EACH, len(ids))
    owner = np.repeat(np.arange(len(ids)), each)
    name = np.array(CLASSES)[rng.choice(len(CLASSES), len(owner), p=_SHARES)]
    x0, y0 = rng.random((2, len(owner))) * 0.8
    wide, high = rng.random((2, len(owner))) * 0.2
    corners = {"x0": x0, "y0": y0, "x1": x0 + wide, "y1": y0 + high}
    frame = pl.DataFrame({"image_id": np.array(ids)[owner], "label": name, "class": name, **corners})
    missing = [pl.lit(None, kind).alias(column) for column, kind in tables.BOXES.items() if column not in frame.columns]
    types = {column: kind for column, kind in tables.BOXES.items() if column in frame.columns}
    return frame.cast(types).with_columns(missing).select(list(tables.BOXES))  # type: ignore[arg-type]


def _write_vectors(run: Run, ids: list[str], kind: np.ndarray, rng: np.random.Generator, channels: int) -> None:
    centres = rng.normal(size=(KINDS, channels)).astype(np.float32)
    vectors = np.empty((len(ids), channels), np.float16)
    for start in range(0, len(ids), BLOCK):
        rows = slice(start, min(start + BLOCK, len(ids)))
        noise = rng.standard_normal((rows.stop - start, channels), dtype=np.float32)
        vectors[rows] = centres[kind[rows]] + noise * 0.7
    # Of each ten images of the pool the last one nearly is the first.
    first = np.arange(0, len(ids) - TARGET_IMAGES - 9, 10)
    vectors[first + 9] = vectors[first] * np.float16(1.01)
    sizes = {"grid_h": 7, "grid_w": 9, "width_px": 640, "height_px": 480}
    frame = pl.DataFrame({"image_id": ids}).with_columns(
        *(pl.lit(value, pl.Int32).alias(name) for name, value in sizes.items()),
        vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, channels)),
    )
    tables.write(frame, run.pooled)


def _write_scores(run: Run, ids: list[str], kind: np.ndarray, rng: np.random.Generator) -> None:
    count = len(kind)
    near = np.where(kind < 2, 1.0, -kind / KINDS)
    numbers = {
        name: (near + rng.normal(size=count) * 0.4 if dtype == pl.Float64 else rng.poisson(BOXES_EACH, count))
        for name, dtype in tables.SCORES.items()
        if dtype in (pl.Float64, pl.Int64) and name != "yield_area"
    }
    numbers["diversity"] = rng.gamma(3, size=count)
    target = np.array(ids[count:])
    nearest = pl.Series(target[rng.integers(0, len(target), (count, 3))].tolist(), dtype=pl.List(pl.String))
    frame = pl.DataFrame({"image_id": ids[:count], **numbers}).with_columns(
        nearest_ids=nearest, yield_area=pl.lit(None, pl.Float64)
    )
    tables.write(frame.cast(dict(tables.SCORES)).select(list(tables.SCORES)), run.scores_path)  # type: ignore[arg-type]
