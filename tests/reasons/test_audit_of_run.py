"""audit of a run: what is read of it, and what the command prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import thresher
from thresher import tables
from thresher.cli.main import app
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.stages.select import SelectSettings, select


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    """0, 2 and 4 hold cars and, 0 alone, a sign. Image 1 looks like 0, and 4 like an image of the target."""
    made = hostile_run(tmp_path)
    pooled = tables.read(made.pooled, tables.POOLED).sort("image_id")
    vectors = np.eye(66, dtype=np.float16)
    vectors[1], vectors[4] = vectors[0], vectors[60]
    tables.write(pooled.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, 66))), made.pooled)
    select(made, SelectSettings("layout", "5", name="five"))
    return made


def test_classes_sizes_and_near_duplicates_are_those_of_the_run(run: Run) -> None:
    found = thresher.audit(run, "five")
    assert (found.images, found.pool, found.target_classes) == (5, 60, "")
    assert found.alike is not None
    assert (found.alike.inside, found.alike.of_target) == (2, 1)
    sign = found.table.filter(aspect="class", name="sign").row(0, named=True)
    assert (sign["selection_count"], sign["pool_count"], sign["target"]) == (1, 8, None)
    area = found.table.filter(aspect="measure").filter(pl.col("name").str.starts_with("object area")).row(0, named=True)
    # Cars of 0.4 × 0.4, and a sign of 0.1 × 0.4: 1 + 3 + 1 cars and 1 sign.
    assert area["selection_count"] == 6
    assert area["selection"] == pytest.approx(0.16)
    assert any("have a near-duplicate among them" in words for words in found.warnings)
    assert thresher.audit(run, "five", duplicate_cosine=0).alike is None


def test_what_cannot_be_known_is_left_out_and_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Images of odd numbers have no boxes; half of the others become a data set without any; then all boxes go."""
    images = tables.read(run.images, tables.INDEXED_IMAGES)
    pool = images.filter(role="pool")["image_id"].sort()
    other = pl.when(pl.col("image_id").is_in(pool[30:].implode())).then(pl.lit("bare")).otherwise("dataset")
    tables.write(images.with_columns(dataset=other), run.images)
    boxes = tables.read(run.boxes, tables.BOXES)
    tables.write(boxes.filter(pl.col("image_id").is_in(pool[:30].implode())), run.boxes)
    signs = boxes.filter(pl.col("class") == "sign", pl.col("image_id").is_in(pool[:30].implode()))["image_id"]
    select(run, SelectSettings("layout", "40", name="five"))
    found = thresher.audit(run, "five")
    row = found.table.filter(aspect="class", name="sign").row(0, named=True)
    assert row["pool"] == pytest.approx(signs.n_unique() / 15)  # of those in sets with boxes, not of all 60
    assert found.unknown[0] == (
        "45 of 60 images of the pool are of data sets without boxes: classes are compared among the others alone, of "
        "which 15 of 40 chosen images are."
    )
    assert found.unknown[1] == "The target's classes are not known: it has neither boxes nor masks."
    tables.write(tables.empty(tables.BOXES), run.boxes)
    select(run, SelectSettings("layout", "40", name="five"))
    found = thresher.audit(run, "five")
    assert found.table.filter(pl.col("aspect").is_in(["class", "objects"])).is_empty()
    assert app(["audit", str(run.folder), "five"], result_action="return_value") == 0
    assert "it is not known what its images hold: classes are not compared" in capsys.readouterr().out


def test_shares_as_in_the_target_need_a_mask_that_can_be_read(run: Run) -> None:
    ids = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="target")["image_id"].sort()
    masks = pl.DataFrame({"image_id": ids[:1], "path": ["gone.png"], "encoding": ["class_index"]})
    tables.write(masks, run.masks)
    with pytest.raises(DataError, match=r"target's share is not known: 0 of its 1 masks can be read"):
        select(run, SelectSettings("layout", "5", name="asked", share="class:*=target"))


def test_the_brightness_of_the_chosen_stands_beside_that_of_pool_and_target(run: Run) -> None:
    ids = tables.read(run.images, tables.INDEXED_IMAGES)["image_id"].sort()
    facts = pl.DataFrame({"image_id": ids, "brightness": np.arange(66.0)}).with_columns(
        sharpness=pl.lit(1.0), contrast=pl.lit(1.0)
    )
    tables.write(facts.select(pl.col("image_id"), pl.exclude("image_id").cast(pl.Float32)), run.facts)
    bright = thresher.audit(run, "five").table.filter(aspect="measure", name="brightness").row(0, named=True)
    assert (bright["selection"], bright["pool"], bright["target"]) == (2.0, 29.5, 62.5)


def test_the_classes_of_a_target_are_those_of_its_boxes_else_of_its_masks(run: Run) -> None:
    ids = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="target")["image_id"].sort()
    for number, values in enumerate(([0, 1], [0, 9])):
        Image.fromarray(np.array([values], np.uint8)).save(run.folder / f"m{number}.png")
    masks = pl.DataFrame({"image_id": ids[:2], "path": [str(run.folder / f"m{n}.png") for n in range(2)]})
    tables.write(masks.with_columns(encoding=pl.lit("class_index")), run.masks)
    found = thresher.audit(run, "five")
    assert found.target_classes == "masks"
    shares = dict(found.table.filter(aspect="class").select("name", "target").iter_rows())
    assert sorted(shares.values()) == [0.5, 1.0], "a car on both masks, a sign on one"
    assert shares["sign"] == 0.5
    box = tables.read(run.boxes, tables.BOXES).filter(label="sign").head(1).with_columns(image_id=pl.lit(ids[0]))
    tables.write(pl.concat([tables.read(run.boxes, tables.BOXES), box]), run.boxes)
    select(run, SelectSettings("layout", "5", name="five"))
    found = thresher.audit(run, "five")
    assert found.target_classes == "boxes"
    assert found.table.filter(aspect="class", name="sign")["target"].to_list() == [1 / 6]


def test_the_command_prints_table_and_warnings_and_json_has_them_all(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(["audit", str(run.folder), "five"], result_action="return_value") == 0
    out = capsys.readouterr().out
    assert out.startswith("five: 5 of 60 images of the pool\nimages with class")
    assert "sign" in out and "20.0 %" in out and "! 2 of 5 chosen images have a near-duplicate" in out
    app(["audit", str(run.folder), "five", "--json"], result_action="return_value")
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 1
    assert told["alike"]["inside"] == 2
    assert {each["aspect"] for each in told["table"]} >= {"class", "objects", "data set", "measure"}


def test_select_warns_in_its_summary(run: Run) -> None:
    few = SelectSettings("layout", "3", name="few", datasets=(_odd(run),))
    assert select(run, few).summary["audit"] == [
        f"2 of the pool's 2 classes are on no chosen image: {_car(run)} (on 30 of the pool), sign (on 8 of the pool).",
        f"100% of the chosen images are of one data set, {_odd(run)} (pool: 50%).",
    ]


def _odd(run: Run) -> str:
    name: str = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").sort("image_id")["dataset"][1]
    return name


def _car(run: Run) -> str:
    name: str = tables.read(run.boxes, tables.BOXES).filter(label="car")["class"][0]
    return name


def test_what_cannot_be_audited_has_words(run: Run) -> None:
    with pytest.raises(SettingsError, match="No selection named 'fife' in .* Available: five"):
        thresher.audit(run, "fife")
    with pytest.raises(SettingsError, match=r"duplicate_cosine = 2: expected 0 \(off\) to 1"):
        thresher.audit(run, "five", duplicate_cosine=2)
    chosen = tables.read(run.selection_path("five"), tables.SELECTION)
    tables.write(chosen.head(4), run.selection_path("five"))
    with pytest.raises(DataError, match="select:five is damaged"):
        thresher.audit(run, "five")
