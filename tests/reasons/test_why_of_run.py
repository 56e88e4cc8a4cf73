"""why of a run: every kind of image, and selections that are not what their settings make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import thresher
from thresher import tables
from thresher.cli.main import app
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.selection.why import Why
from thresher.stages.select import SelectSettings, select


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    """By layout images come in the order of their numbers. 1 looks like 0; embed could not read 7."""
    made = hostile_run(tmp_path)
    pooled = tables.read(made.pooled, tables.POOLED).sort("image_id")
    vectors = np.eye(66, dtype=np.float16)
    vectors[1] = vectors[0]
    vectors[30, 3] = 0.5
    kept = pooled.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, 66)))
    seventh = pl.col("image_id").str.starts_with("pool/007")
    tables.write(kept.filter(~seventh), made.pooled)
    scores = pl.read_parquet(made.scores_path)
    tables.write(scores.with_columns(layout=pl.when(~seventh).then("layout")), made.scores_path)
    unreadable = {"image_id": named(made, 7), "stage": "embed", "problem": "image_unreadable"}
    unreadable |= {"path": "7.png", "detail": "truncated after 12 bytes"}
    tables.write(tables.from_rows([unreadable], tables.PROBLEMS), made.problems)  # type: ignore[list-item]
    return made


def named(run: Run, number: int) -> str:
    ids = tables.read(run.images, tables.INDEXED_IMAGES)["image_id"].sort()
    name: str = ids.gather(number)[0]
    return name


def made(run: Run, **wishes: object) -> None:
    select(run, SelectSettings("layout", "5", name="five", **wishes))  # type: ignore[arg-type]


def why(run: Run, number: int) -> Why:
    (found,) = thresher.why(run, "five", named(run, number)).images
    return found


def test_taken_and_below_the_bar(run: Run) -> None:
    made(run)
    taken, missed = why(run, 4), why(run, 30)
    assert (taken.decided_by, taken.rank, taken.instead) == ("rank", 5, None)
    assert taken.words[-1] == f"It holds 1 {car(run)}."
    assert (missed.taken, missed.decided_by) == (False, "rank")
    assert missed.words[0].startswith("Not taken: place 30 of 59 candidates by layout (0.5); the last one taken")
    assert "missed the bar by 25 places and 0.4333" in missed.words[0]
    assert missed.instead is not None
    assert (missed.instead.image_id, missed.instead.rank) == (named(run, 3), 4)
    assert missed.instead.cosine == pytest.approx(0.5 / np.sqrt(1.25), abs=1e-3)
    assert {each.score for each in missed.places} >= {"layout", "similarity", "diversity"}


def car(run: Run) -> str:
    name: str = tables.read(run.boxes, tables.BOXES).filter(label="car")["class"][0]
    return name


def test_a_wish_a_data_set_and_a_near_duplicate_decide(run: Run) -> None:
    made(run, quotas={"sign": 3}, duplicate_cosine=0.95)
    assert why(run, 16).decided_by == "quota sign"
    twin = why(run, 1)
    assert (twin.taken, twin.decided_by) == (False, "near-duplicate")
    assert named(run, 0) in twin.words[0]
    assert twin.words[1] == "By its score alone it would have been: layout place 2 of 59."
    assert twin.instead is not None and twin.instead.image_id == named(run, 0)
    owner = tables.read(run.images, tables.INDEXED_IMAGES).filter(image_id=named(run, 0))["dataset"][0]
    made(run, datasets=(owner,))
    assert why(run, 1).decided_by == "datasets"


def test_coverage_decides_within_its_shortlist(run: Run) -> None:
    made(run, coverage="images", shortlist="10")
    chosen = tables.read(run.selection_path("five"), tables.SELECTION)["image_id"].to_list()
    inside = [number for number in (0, 1, 2, 3, 4, 5, 6, 8, 9, 10) if named(run, number) not in chosen]
    assert len(inside) == 5
    assert {why(run, number).decided_by for number in inside} == {"coverage"}
    assert why(run, 20).decided_by == "shortlist"


def test_images_without_boxes_unreadable_ones_and_those_of_the_target(run: Run) -> None:
    boxes = tables.read(run.boxes, tables.BOXES)
    tables.write(boxes.filter(pl.col("image_id") != named(run, 32)), run.boxes)
    made(run)
    assert why(run, 31).words[-2] == "Its data set has no boxes."
    assert why(run, 32).words[-2] == "It holds no box of a class of interest."
    unreadable = why(run, 7)
    assert (unreadable.decided_by, unreadable.instead) == ("unreadable", None)
    assert unreadable.words[-1] == "embed could not read it: truncated after 12 bytes"
    target = why(run, 61)
    assert target.words == ("Not taken: it is an image of the target; selections are made from the pool.",)


def test_an_image_may_be_named_by_its_path_and_a_wrong_name_has_a_hint(run: Run) -> None:
    made(run)
    (found,) = thresher.why(run, "five", ["data/31.png"]).images
    assert found.image_id == named(run, 31)
    with pytest.raises(SettingsError, match="image 'pool/03': no such image in the run. Did you mean 'pool/030"):
        thresher.why(run, "five", "pool/03")
    with pytest.raises(SettingsError, match="image 'target/O60': no such image in the run. Did you mean 'target/060'"):
        thresher.why(run, "five", "target/O60")


def test_a_selection_that_is_not_what_its_settings_make_says_so(run: Run) -> None:
    made(run)
    assert thresher.why(run, "five", named(run, 0)).note == ""
    chosen = tables.read(run.selection_path("five"), tables.SELECTION)
    other = chosen.with_columns(image_id=pl.when(rank=5).then(pl.lit(named(run, 50))).otherwise("image_id"))
    tables.write(other, run.selection_path("five"))
    found = thresher.why(run, "five", [named(run, 50), named(run, 4)])
    assert "Selection 'five' is damaged" in found.note
    assert "holds 1 of 5 images that its settings would not take now" in found.note
    assert found.images[0].words[-1] == "The selection on disk holds it all the same."
    assert found.images[1].words[-1] == "The selection on disk leaves it out, though."
    made(run)
    scores = pl.read_parquet(run.scores_path).with_columns(layout=1 - pl.col("layout"))
    tables.write(scores, run.scores_path)
    assert "is outdated: scores.parquet has changed, and holds 5 of 5" in thresher.why(run, "five", named(run, 0)).note


def test_without_a_record_it_cannot_be_told(run: Run) -> None:
    made(run)
    run.manifest.unlink()
    with pytest.raises(DataError, match="manifest.json does not say how selection 'five' was made. Make it again"):
        thresher.why(run, "five", named(run, 0))


def test_the_command_takes_several_images_and_json_has_all_of_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    made(run)
    ids = [named(run, 4), named(run, 30)]
    assert app(["why", str(run.folder), "five", *ids], result_action="return_value") == 0
    out = capsys.readouterr().out
    assert "Taken, rank 5 of 5: by its rank." in out and "Not taken: place 30 of 59" in out
    assert "Places: layout 30 of 59" in out
    assert app(["why", str(run.folder), "five", *ids, "--json"], result_action="return_value") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["taken"] for each in told["images"]] == [True, False]
    assert told["images"][1]["instead"]["rank"] == 4
