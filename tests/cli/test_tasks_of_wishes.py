"""Two tasks of a user as commands: 300 to label next out of 5,000, and more of a class without what is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.cli.main import main
from thresher.run.folder import Run
from thresher.run.opened import selected
from thresher.run.perform import as_json
from thresher.stages.index import IndexSettings

IMAGES = 5000
TAXONOMY = """
name = "made up"
void_id = 9
[groups]
[classes.bus]
id = 0
colour = [1, 2, 3]
thing = true
[classes.bicycle]
id = 1
colour = [4, 5, 6]
thing = true
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """100 drives of 50 frames; frames of one drive are alike; every 20th image holds a bus, every 50th two bicycles."""
    run = Run(tmp_path_factory.mktemp("task") / "run")
    run.folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"pool/drive{n // 50:02}_{n:06}" for n in range(IMAGES)]
    ids = pl.DataFrame({"image_id": ["target/0", *names]})
    held = np.arange(-1, IMAGES)
    images = ids.with_columns(
        path=pl.format("/data/{}.png", "image_id"),
        dataset=pl.col("image_id").str.extract("^([^/]*)"),
        split=pl.lit(None, pl.String),
        width_px=pl.Series(np.where(held % 2, 640, 1920)).cast(pl.Int32),
        height_px=pl.lit(480, pl.Int32),
        role=pl.col("image_id").str.extract("^([^/]*)"),
    )
    tables.write(images, run.images)
    boxes = [{"image_id": name, "class": "bus"} for n, name in enumerate(names) if n % 20 == 0]
    boxes += [{"image_id": name, "class": "bicycle"} for n, name in enumerate(names) if n % 50 == 0 for _ in range(2)]
    corners = {"x0": 0.1, "y0": 0.1, "x1": 0.3, "y1": 0.3}
    tables.write(
        tables.from_rows([{**each, **corners, "label": each["class"]} for each in boxes], tables.BOXES), run.boxes
    )
    tables.write(tables.empty(tables.LABELS), run.labels)
    tables.write(tables.empty(tables.MASKS), run.masks)
    run.taxonomy.write_text(TAXONOMY, "utf-8")
    index = IndexSettings(target=("folder:/data",), pool=("folder:/data",), taxonomy=str(run.taxonomy))
    run.note("index", {"settings": as_json(index), "summary": {}})
    of_drive = rng.normal(size=(101, 12))[np.maximum(0, held // 50 + 1)]
    vectors = (of_drive + 0.5 * rng.normal(size=(IMAGES + 1, 12))).astype(np.float16)
    vectors[1::50] = vectors[3::50]  # the first and the third frame of each drive are the same
    size = pl.lit(3, pl.Int32)
    pooled = images.select("image_id", grid_h=size, grid_w=size, width_px="width_px", height_px="height_px")
    tables.write(pooled.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, 12))), run.pooled)
    layout = of_drive[1:, 0] + 0.1 * rng.normal(size=IMAGES)
    scores = [
        {"image_id": name, "layout": float(value), "similarity": 0.0, "diversity": 0.0, "nearest_ids": []}
        for name, value in zip(names, layout, strict=True)
    ]
    tables.write(tables.from_rows(scores, tables.SCORES), run.scores_path)
    return run


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code == 0
    told: dict[str, object] = json.loads(capsys.readouterr().out)["stages"][0]
    return told


def number(name: str) -> int:
    return int(name[-6:])


def test_three_hundred_to_label_next(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "layout", "--budget", "300", "--where", "width_px >= 1280", "--at-most", "sequence:*=20"]
    wishes = ["--at-least", "bus=30", "--duplicate-cosine", "0.999", "--name", "next"]
    summary = asked(capsys, "select", str(run.folder), *words, *wishes)
    chosen = [number(each) for each in selected(run, "next")["image_id"]]
    assert len(chosen) == 300
    assert all(each % 2 == 0 for each in chosen)
    assert max(np.bincount([each // 50 for each in chosen])) == 20
    assert sum(each % 20 == 0 for each in chosen) >= 30
    assert not any({50 * drive, 50 * drive + 2} <= set(chosen) for drive in range(100))
    assert (summary["left_out_by_where"], summary["near_duplicates_left_out"]) == (2500, 100)
    assert "wishes_not_met" not in summary


def test_more_of_a_class_without_what_is_used(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used = [f"pool/drive{n // 50:02}_{n:06}" for n in range(0, IMAGES, 100)]
    (tmp_path / "used.txt").write_text("\n".join(used))
    words = ["--method", "layout", "--budget", "100", "--exclude", str(tmp_path / "used.txt"), "--name", "more"]
    asked(capsys, "select", str(run.folder), *words, "--at-least", "objects:bicycle=50")
    chosen = [number(each) for each in selected(run, "more")["image_id"]]
    assert 2 * sum(each % 50 == 0 for each in chosen) >= 50
    assert not any(each % 100 == 0 for each in chosen)
    asked(capsys, "select", str(run.folder), "--method", "layout", "--budget", "150", "--keep", "more", "--name", "all")
    assert set(chosen) < {number(each) for each in selected(run, "all")["image_id"]}


def test_what_cannot_be_had_is_an_error_of_the_settings(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["select", str(run.folder), "--method", "layout", "--budget", "100", "--at-least", "objects:bicycle=500"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "objects:bicycle=500 is missed by 300" in capsys.readouterr().err
