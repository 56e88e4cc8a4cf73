"""Nothing outdated is read: it is refused with the reason, shown by status, and done again by update."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import (
    EmbedSettings,
    FitSettings,
    IndexSettings,
    Run,
    ScoreSettings,
    SelectSettings,
    embed,
    export,
    fit,
    index,
    score,
    select,
    sheet,
    update,
)
from thresher.cli.main import main
from thresher.errors import DataError
from thresher.run.record import Record
from thresher.run.state import UNFINISHED, RunState, refuse_outdated


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run made with relative paths, from the folder in which its images and vectors lie."""
    folder = tmp_path / "copy"
    for number in range(16):
        place = folder / ("target" if number < 4 else "pool")
        place.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (8, 6), (number, 0, 0)).save(place / f"{number:02}.png")
    monkeypatch.chdir(folder)
    run = Run("run")
    index(run, IndexSettings("folder:target", "folder:pool"))
    ids = pl.read_parquet(run.images)["image_id"].to_list()
    vectors = np.random.default_rng(0).normal(size=(16, 8)).tolist()
    pl.DataFrame({"image_id": ids, "v": vectors}).write_parquet("v.parquet")
    embed(run, EmbedSettings(vectors="v.parquet"))
    fit(run, FitSettings(components=1))
    score(run)
    select(run, SelectSettings(method="cosine", budget=3, name="first"))
    return Run(folder / "run")


def words(run: Run, sources: bool = False) -> dict[str, str]:
    return {state.name: state.word for state in RunState(run, sources).all()}


def done(run: Run, **settings: Any) -> dict[str, str]:
    return {result.stage: result.status for result in update(run, **settings)}


def test_a_changed_setting_makes_what_follows_outdated_until_it_is_done_again(run: Run) -> None:
    assert set(words(run, sources=True).values()) == {"done"}
    fit(run, FitSettings(components=2))
    assert words(run) == {
        "index": "done",
        "embed": "done",
        "fit": "done",
        "score": "outdated",
        "select:first": "outdated",
    }
    for read in (lambda: sheet(run, "first"), lambda: export(run, "first", "csv", run.folder / "a.csv")):
        with pytest.raises(
            DataError, match=r"select:first is outdated, as score is outdated: .* has changed. Run .*--update"
        ):
            read()
    assert done(run) == {
        "index": "unchanged",
        "embed": "unchanged",
        "fit": "unchanged",
        "score": "done",
        "select:first": "done",
    }
    assert set(words(run).values()) == {"done"}
    assert export(run, "first", "csv", run.folder / "a.csv").summary["images"] == 3


def test_update_works_from_any_folder_and_up_to_a_stage(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    Image.new("RGB", (8, 6), (99, 0, 0)).save(run.folder.parent / "pool" / "15.png")
    monkeypatch.chdir(tmp_path)
    assert words(run)["index"] == "done"  # sources are looked at only on request
    states = {state.name: state for state in RunState(run, sources=True).all()}
    assert states["index"].word == "outdated"
    assert states["index"].because == f"files in {run.folder.parent / 'pool'} have changed"
    assert list(done(Run("copy/run"), before="fit")) == ["index", "embed"]
    assert set(done(run)) == {"index", "embed", "fit", "score", "select:first"}
    assert set(words(run, sources=True).values()) == {"done"}


def test_an_interrupted_stage_is_done_again_with_its_settings(run: Run) -> None:
    entry = run.recorded()["score"]
    settings = ScoreSettings(scores="all")
    run.note("score", UNFINISHED | {"settings": entry["settings"] | {"scores": list(settings.scores)}})
    assert words(run)["score"] == "unfinished"
    with pytest.raises(DataError, match="score is unfinished: it was interrupted"):
        select(run, SelectSettings(method="cosine", budget=2, name="second"))
    assert done(run)["score"] == "done"
    assert pl.read_parquet(run.scores_path)["sphere"].null_count() == 0


def test_columns_of_ones_own_are_no_damage_and_a_changed_score_is(run: Run) -> None:
    scores = pl.read_parquet(run.scores_path)
    scores.with_columns(mine=pl.lit(1.0)).write_parquet(run.scores_path)
    assert set(words(run).values()) == {"done"}
    assert select(run, SelectSettings(method="mine", budget=2, name="own")).summary["images"] == 2
    assert words(run)["select:own"] == "done"
    score(run, ScoreSettings(scores="all"))
    assert pl.read_parquet(run.scores_path)["mine"].to_list() == [1.0] * 12
    scores.with_columns(cosine=-pl.col("cosine")).write_parquet(run.scores_path)
    assert words(run)["score"] == "damaged"
    with pytest.raises(DataError, match="score is damaged: scores.parquet is not as it was written"):
        select(run, SelectSettings(method="cosine", budget=3, name="other"))


def test_a_swapped_selection_is_refused(run: Run) -> None:
    select(run, SelectSettings(method="random", budget=3, name="second"))
    shutil.copy(run.selection_path("second"), run.selection_path("first"))
    with pytest.raises(DataError, match="select:first is damaged: first.parquet is not as it was written"):
        sheet(run, "first")
    assert done(run)["select:first"] == "done"


def code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


def test_the_commands(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("status", "run", "--json") == 0
    assert {each["word"] for each in json.loads(capsys.readouterr().out)["stages"]} == {"done"}
    assert code("fit", "run", "--components", "2") == 0
    assert code("status", "run") == 3
    told = capsys.readouterr().out
    assert "outdated: evidence.safetensors has changed" in told or "outdated: mixture.safetensors has changed" in told
    assert "thresher run run" in told
    assert code("export", "run", "first", "--format", "txt", "--out", "a.txt") == 3
    assert code("export", "run", "first", "--format", "txt", "--out", "a.txt", "--update") == 0
    assert code("status", "run") == 0
    assert code("run", "run", "--dry-run") == 2
    assert "--dry-run needs a TOML file" in capsys.readouterr().err
    assert code("run", "nowhere") == 2


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="index has not run. Run `thresher index"):
        done(Run(tmp_path))


@pytest.mark.parametrize(("name", "command"), [("labels:mine", "labels"), ("train:mine", "train")])
def test_the_remedy_is_the_command_that_makes_the_damaged_result_again(run: Run, name: str, command: str) -> None:
    folder = run.label_set("mine") if command == "labels" else run.training("mine")
    Record(folder).note(command, UNFINISHED)
    with pytest.raises(DataError, match=rf"{name} is unfinished.*Run the same `thresher {command} .* again"):
        refuse_outdated(run, [name])


def test_an_outdated_selection_is_exported_as_it_stands_where_one_says_so(run: Run, tmp_path: Path) -> None:
    select(run, SelectSettings(method="cosine", budget=5, name="first"))
    select(run, SelectSettings(method="cosine", budget=3, name="a", exclude="first"))
    select(run, SelectSettings(method="cosine", budget=2, name="first"))
    chosen = run.selection("a")["image_id"].to_list()
    with pytest.raises(DataError, match=r"select:a is outdated.*thresher run.*add --as-it-stands"):
        export(run, "a", "csv", tmp_path / "a.csv")
    told = export(run, "a", "csv", tmp_path / "a.csv", as_it_stands=True).summary
    assert "outdated" in told["note"] and pl.read_csv(tmp_path / "a.csv")["image_id"].to_list() == chosen
    both = ["export", str(run.folder), "a", "--format", "csv", "--out", str(tmp_path / "b.csv")]
    assert code(*both, "--as-it-stands", "--update") == 2
    again = export(run, "first", "csv", tmp_path / "first.csv", as_it_stands=True).summary
    assert "note" not in again
    (run.folder / "selections" / "a.parquet").write_bytes(b"cut")
    with pytest.raises(DataError, match="select:a is damaged"):
        export(run, "a", "csv", tmp_path / "b.csv", as_it_stands=True)


def test_a_selection_whose_list_has_changed_is_not_exported(run: Run, tmp_path: Path) -> None:
    used = tmp_path / "used.txt"
    used.write_text("\n".join(run.selection("first")["image_id"].head(1)))
    select(run, SelectSettings(method="cosine", budget=3, name="a", exclude=str(used)))
    used.write_text("")
    with pytest.raises(DataError, match=r"select:a is outdated: used.txt has changed"):
        export(run, "a", "csv", tmp_path / "a.csv")
    used.unlink()
    with pytest.raises(DataError, match=r"select:a is outdated: .*used.txt is not there"):
        export(run, "a", "csv", tmp_path / "a.csv")


def test_a_selection_is_done_again_after_the_one_that_it_reads(run: Run) -> None:
    select(run, SelectSettings(method="cosine", budget=3, name="a", exclude="first"))
    select(run, SelectSettings(method="cosine", budget=5, name="0", keep="a"))
    select(run, SelectSettings(method="cosine", budget=2, name="first"))
    assert words(run)["select:a"] == "outdated"
    before = set(run.selection("a")["image_id"])
    grown = select(run, SelectSettings(method="cosine", budget=5, name="b", keep="a")).summary
    assert grown["outdated_lists_as_they_stand"] == ["a"]  # what was sent to labelling stays in
    assert before < set(run.selection("b")["image_id"])
    other = select(run, SelectSettings(method="cosine", budget=5, name="c", exclude="a"))
    assert other.status == "done" and not before & set(run.selection("c")["image_id"])
    again = list(done(run))
    assert [name for name in again if name in ("select:first", "select:a", "select:0")] == [
        "select:first",
        "select:a",
        "select:0",
    ]
    assert set(words(run).values()) == {"done"}
    gone = len(before - set(run.selection("a")["image_id"]))
    assert gone and run.recorded()["select:a"]["summary"]["no_longer_chosen"] == gone
    chosen = {name: set(run.selection(name)["image_id"]) for name in ("first", "a", "0")}
    assert not chosen["first"] & chosen["a"] and chosen["a"] < chosen["0"]
