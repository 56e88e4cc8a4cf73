"""The edge of the selection and its near-duplicates."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.errors import DataError
from thresher.report import tables as report_tables
from thresher.report.answers import newest_first
from thresher.report.blocks import Words
from thresher.report.report import ReportSettings, write_report
from thresher.report.tables import reported_selection
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.record import Record
from thresher.selection.methods import ranking
from thresher.stages.select import SelectSettings, select

pytestmark = pytest.mark.slow


def test_a_selection_from_other_scores_is_not_reported(run: Run, tmp_path: Path, parsed: Callable[[Path], Any]) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    scores = pl.read_parquet(run.scores_path).with_columns(pl.col("layout") * -1)
    tables.write(scores, other.scores_path)
    with pytest.raises(DataError, match="select:mine is outdated: scores.parquet has changed. Run `thresher run "):
        write_report(other, ReportSettings(map_images=0))
    other.manifest.unlink()  # without a record it cannot be told, but who was left out is not made up
    write_report(other, ReportSettings(map_images=0))
    page = parsed(other.folder / "report.html")
    assert "the first images left out are unknown" in page.text
    assert "thresher select" in page.text


def test_the_newest_selection_is_shown_unless_it_was_drawn_or_made_by_a_comparison(tmp_path: Path, made: Any) -> None:
    run = Run(tmp_path / "run")
    made.write_index(run)
    made.write_scores(run)
    shown = []
    for settings in (SelectSettings("both"), SelectSettings("layout"), SelectSettings("random")):
        select(run, settings)
        shown.append(write_report(run, dry_run=True).summary["selection"])
    assert shown == ["both-10pct", "layout-10pct", "layout-10pct"]
    record = Record(run.comparison("c"))
    record.folder.mkdir(parents=True)
    record.note(
        "compare", {"inputs": {"layout-10pct": "…", "both-10pct": "…"}, "settings": {"selections": ["both-10pct"]}}
    )
    assert newest_first(OpenedRun(run)) == ["both-10pct", "layout-10pct", "random-10pct-seed0"]
    named = write_report(run, ReportSettings(selection="random-10pct-seed0"), dry_run=True)
    assert named.summary["selection"] == "random-10pct-seed0"


def test_who_was_left_out_is_told_also_with_quotas_and_weights(tmp_path: Path, made: Any) -> None:
    run = Run(tmp_path / "run")
    made.write_index(run)
    made.write_scores(run)
    wished = SelectSettings(
        budget="10", name="wished", diversity_weight=0.3, quotas=("sign=4",), datasets=(f"set 0{made.evil}",)
    )
    select(run, wished)
    pool = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").select("image_id", "dataset")
    found = reported_selection(OpenedRun(run), "wished")
    signs = set(tables.read(run.boxes, tables.BOXES).filter(pl.col("class") == made.sign)["image_id"])
    assert len(signs & set(found.taken["image_id"])) == 4
    assert found.left_out is not None
    ids = found.left_out["image_id"].to_list()
    assert len(ids) == 12 and not set(ids) & set(found.taken["image_id"])
    even = pool.filter(dataset=f"set 0{made.evil}")["image_id"]
    order = ranking(tables.read(run.scores_path, tables.SCORES), "layout_and_diversity", 0, 0.3).order
    rest = [each for each in order["image_id"] if each in set(even) - set(found.taken["image_id"])]
    assert ids == rest[:12]
    assert found.left_out["edge"][0].startswith("coverage: place ")
    select(run, SelectSettings("layout+images", "10", name="covering"))
    covering = reported_selection(OpenedRun(run), "covering").left_out
    assert covering is not None and covering["rank"].null_count() == 12
    by_layout = ranking(tables.read(run.scores_path, tables.SCORES), "layout", 0).order["image_id"].to_list()
    for image_id, edge in covering.select("image_id", "edge").rows():
        place = f"place {by_layout.index(image_id) + 1} of {len(by_layout)}"
        assert edge.startswith(f"coverage: {place}, but others of the shortlist")


def test_near_duplicates_and_leaks_of_the_selection_are_shown_with_their_cosines(
    run: Run, tmp_path: Path, made: Any, parsed: Callable[[Path], Any]
) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    pooled = tables.read(run.pooled, tables.POOLED)
    vectors = dict(zip(pooled["image_id"], pooled["vector"].to_numpy(), strict=True))
    first, second, third = tables.read(run.selection_path("mine"), tables.SELECTION)["image_id"][:3]
    target = f"target/{made.pool + 2:03}"
    vectors[second], vectors[third] = vectors[first] * 2, vectors[target] / 2
    twins = pl.Series(np.stack([vectors[name] for name in pooled["image_id"]]), dtype=pl.Array(pl.Float16, 6))
    tables.write(pooled.with_columns(vector=twins), other.pooled)
    write_report(other, ReportSettings(map_images=0, duplicate_cosine=0.999))
    page = parsed(other.folder / "report.html")
    words, leaks = page.text.split("Selected near-duplicates of target images")[:2]
    assert "2 images, 2 taken, cosine 1.000" in words
    assert all(f"taken: {name}" in words for name in (first, second))
    assert "cosine 1.000" in leaks and f"taken: {third}" in leaks and f"target: {target}" in leaks
    assert f"taken: {third}" not in words


def test_of_a_pool_too_large_near_duplicates_are_not_looked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    pool = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").select("image_id", "dataset")
    monkeypatch.setattr(report_tables, "MOST_COMPARED", made.pool - 1)
    (words,) = report_tables.redundant(OpenedRun(run), pool.select("image_id").head(3), 0.95)
    assert isinstance(words, Words)
    assert words.text.startswith(f"Near-duplicates were not computed: the pool has {made.pool} images")
