"""A run shows what there is, at a prompt and in a notebook, and never raises for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import (
    EmbedSettings,
    FitSettings,
    IndexSettings,
    Run,
    SelectSettings,
    embed,
    fit,
    index,
    score,
    select,
    tables,
)
from thresher.run.state import UNFINISHED


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("<made & up>")
    for number in range(12):
        place = folder / ("target" if number < 4 else "pool")
        place.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(place / f"{number:02}.png")
    run = Run(folder / "run")
    index(run, IndexSettings(f"folder:{folder / 'target'}", f"folder:{folder / 'pool'}"))
    ids = pl.read_parquet(run.images)["image_id"].to_list()
    vectors = np.random.default_rng(0).normal(size=(12, 8)).tolist()
    pl.DataFrame({"image_id": ids, "v": vectors}).write_parquet(folder / "v.parquet")
    embed(run, EmbedSettings(vectors=folder / "v.parquet"))
    fit(run, FitSettings(components=1))
    score(run)
    select(run, SelectSettings(method="cosine", budget=3, name="first"))
    return run


def lines(run: Run) -> dict[str, str]:
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in repr(run).splitlines()[1:]}


def test_a_run_tells_its_images_stages_and_selections(made: Run) -> None:
    assert repr(made).splitlines()[0] == f"Run({str(made.folder)!r})"
    assert lines(made) == {
        "images": "4 target, 8 pool",
        "index": "done",
        "embed": "done",
        "fit": "done",
        "score": "done",
        "selections": "first (3 images)",
        "trainings": "none",
    }


def test_a_notebook_gets_the_same_as_html_with_its_names_escaped(made: Run) -> None:
    page = made._repr_html_()
    assert "<td" in page
    assert "first (3 images)" in page
    assert "&lt;made &amp; up&gt;" in page
    assert "<made" not in page


def test_a_folder_that_is_not_there_and_one_that_is_empty_raise_nothing(tmp_path: Path) -> None:
    nowhere = Run(tmp_path / "nowhere")
    assert "not there yet; thresher index" in repr(nowhere)
    assert "not there yet" in nowhere._repr_html_()
    assert not nowhere.folder.exists()
    assert lines(Run(tmp_path))["index"] == f"not done; run: thresher index {tmp_path}"
    assert lines(Run(tmp_path))["images"] == "none yet"


def test_damage_raises_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.manifest.write_text("{")
    run.images.write_bytes(b"no parquet")
    run.selection_path("a").parent.mkdir()
    run.selection_path("a").write_bytes(b"")
    assert lines(run)["selections"] == "a (cannot be read)"
    run.manifest.write_text("[]")
    assert lines(run)["embed"].startswith("not done")


@pytest.fixture
def again(made: Run, tmp_path: Path) -> Run:
    """A copy, file by file in the order in which they were made."""
    copy = Run(tmp_path / "copy")
    for path in sorted((each for each in made.folder.rglob("*") if each.is_file()), key=lambda p: p.stat().st_mtime_ns):
        place = copy.folder / path.relative_to(made.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return copy


def test_what_was_made_anew_since_is_named(again: Run) -> None:
    assert "outdated" not in repr(again)
    scores = pl.read_parquet(again.scores_path)
    tables.write(scores, again.scores_path)  # the same bytes at a later time: no change
    assert "outdated" not in repr(again)
    tables.write(scores.with_columns(diversity=pl.lit(1.0)), again.scores_path)
    assert lines(again)["selections"].startswith(
        "first (3 images; outdated: scores.parquet has changed; run: thresher run"
    )
    assert lines(again)["score"].startswith(
        "damaged: scores.parquet is not as it was written (damaged, or changed by hand)"
    )
    again.mixture.write_bytes(again.mixture.read_bytes() + b" ")
    assert lines(again)["fit"].startswith("damaged: mixture.safetensors is not as it was written")


def test_unfinished_stages_and_trainings_are_told(again: Run) -> None:
    again.note("fit", UNFINISHED)
    for name, content in (("a", {"train": {"summary": {"miou": 0.51234}}}), ("b", {})):
        (again.training(name)).mkdir(parents=True)
        (again.training(name) / "manifest.json").write_text(json.dumps(content))
    again.comparison("one").mkdir(parents=True)
    assert (
        lines(again)["fit"]
        == f"unfinished: it was interrupted, so tables may mix old and new settings; run: thresher run {again.folder}"
    )
    assert lines(again)["trainings"] == "a (mIoU 0.512), b (unfinished)"
    assert lines(again)["comparisons"] == "one"
