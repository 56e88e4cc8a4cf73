"""Filters, orders, regions and wishes of the explorer: what the page shows is what `select` makes of the same words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.explorer.answers import Answers
from thresher.explorer.explore import _start
from thresher.explorer.gallery_views import within_polygon
from thresher.explorer.kept import Kept
from thresher.explorer.review import Review
from thresher.explorer.rows import run_rows
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, selected
from thresher.stages.select import SelectSettings, select

POOL = 60
ASK = {"method": "layout", "budget": "12", "view": "all", "most": 120}


@pytest.fixture(scope="module")
def run(hostile_run: Callable[[Path], Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = hostile_run(tmp_path_factory.mktemp("views"))
    select(made, SelectSettings("layout", "5", name="five"))
    return made


@pytest.fixture(scope="module")
def answers(run: Run) -> Answers:
    return Answers(run_rows(OpenedRun(run)), Review("ada"), SelectSettings(coverage="off"))


def shown(answers: Answers, **ask: Any) -> list[int]:
    return [card["row"] for card in answers.gallery({**ASK, **ask})["cards"]]


def test_filter_search_and_order_are_those_of_the_columns(answers: Answers) -> None:
    # Layout falls with the number of an image, diversity is the number; signs are on each eighth image.
    assert shown(answers, filter=["sign >= 1 and diversity < 30"]) == [0, 8, 16, 24]
    assert shown(answers, filter=["sign >= 1", "layout < 0.5"]) == [32, 40, 48, 56]
    assert shown(answers, filter=["diversity < 3"], sort="diversity") == [2, 1, 0]
    assert shown(answers, filter=["diversity < 3"], sort="diversity", descending=False) == [0, 1, 2]
    assert shown(answers, search="POOL/01") == list(range(10, 20))
    assert shown(answers, view="chosen", search="01") == [1, 10, 11]
    assert shown(answers, filter=["width_px > 0"]) == []  # it is not known, and what is not known never passes
    with pytest.raises(SettingsError, match="filter: no column is called 'layuot'. Did you mean 'layout'"):
        answers.gallery({**ASK, "filter": ["layuot > 0"]})
    told = {each["name"]: each for each in answers.summary()["columns"]}
    assert (
        told["sign"]["kind"] == "class" and told["layout"]["kind"] == "number" and len(told["dataset"]["values"]) == 2
    )
    assert "width_px" not in told and "sharpness" not in told and told["cluster"]["kind"] == "text"


def test_more_like_this_is_by_cosine(answers: Answers, run: Run) -> None:
    ids, vectors = OpenedRun(run).vectors(OpenedRun(run).pool)
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    cosines = unit @ unit[7]
    cosines[7] = -2
    order = [int(row) for row in np.argsort(-cosines)]
    assert shown(answers, view="like", like=7)[:8] == order[:8] and len(ids) == POOL
    target = shown(answers, view="like", like=61)  # an image of the target is no row of the pool
    assert sorted(target) == list(range(POOL))


def test_an_outline_holds_what_is_inside_it(answers: Answers) -> None:
    # Points are (layout, diversity) = (1 − n / 60, n): a triangle under the line of rows 10 to 20.
    triangle = {"plane": "scores", "polygon": [[0.99, 9.5], [0.5, 9.5], [0.5, 20.5], [0.75, 20.5]]}
    assert shown(answers, view="region", region=triangle) == list(range(10, 21))
    random = np.random.default_rng(0).random((200, 2)).astype(np.float32)
    half = within_polygon(random, [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)])
    assert half.tolist() == (random[:, 0] > random[:, 1]).tolist()
    with pytest.raises(SettingsError, match="polygon: expected 3 to"):
        answers.gallery({**ASK, "view": "region", "region": {"plane": "scores", "polygon": [[0, 1]]}})


@pytest.mark.parametrize(
    "wishes",
    [
        {"where": ["diversity < 40"]},
        {"exclude": ["five"], "at_least": ["sign=3"]},
        {"keep": ["five"], "exclude": ["layout < 0.3"]},
        {"at_most": ["dataset:*=7"], "at_least": ["objects:sign=3?"]},
        {"share": ["dataset:*=uniform"], "at_most": ["sign=1"]},
        {"where": ["chosen_before = 0"], "quotas": {"sign": 2}},
    ],
    ids=str,
)
def test_wishes_make_what_select_makes_of_the_same_words(answers: Answers, run: Run, wishes: dict[str, Any]) -> None:
    cards = answers.gallery({**ASK, **wishes, "view": "chosen"})["cards"]
    quotas = wishes.get("quotas", {})
    select(run, SelectSettings("layout", "12", name="same", **{**wishes, "quotas": quotas}))
    assert [card["id"] for card in cards] == selected(run, "same")["image_id"].to_list()
    run.selection_path("same").unlink()


def test_wishes_are_saved_with_the_selection(answers: Answers, run: Run) -> None:
    answers.save({**ASK, "name": "wished", "at_most": ["sign=1"], "exclude": ["five"], "where": ["diversity < 50"]})
    recorded = run.recorded()["select:wished"]["settings"]
    assert (recorded["at_most"], recorded["exclude"], recorded["where"]) == (["sign=1"], ["five"], ["diversity < 50"])
    assert not set(selected(run, "wished")["image_id"]) & set(selected(run, "five")["image_id"])
    run.selection_path("wished").unlink()


def test_a_page_opens_no_files(answers: Answers, tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("a secret\n")
    with pytest.raises(SettingsError, match="expected the name of a selection, or a test of a column") as refused:
        answers.choose({**ASK, "exclude": [str(path)]})
    assert "a secret" not in str(refused.value) and "thresher select" in str(refused.value)


def test_a_value_is_worked_out_once_and_nobody_waits_for_another() -> None:
    kept, calls, go = Kept[int](4), [], threading.Event()

    def slow() -> int:
        calls.append("slow")
        assert go.wait(10)
        return 1

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(kept.of("slow", slow))) for _ in range(5)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    assert kept.of("other", lambda: 2) == 2 and time.monotonic() - started < 5
    go.set()
    for thread in threads:
        thread.join()
    assert found == [1] * 5 and calls == ["slow"]
    with pytest.raises(ZeroDivisionError):
        kept.of("wrong", lambda: 1 // 0)
    assert kept.of("wrong", lambda: 3) == 3


def test_a_heat_map_is_of_what_ranks(answers: Answers) -> None:
    heats = answers.summary()["heats"]
    assert (heats["layout_and_diversity"], heats["both"]) == ("layout", "similarity")
    with pytest.raises(DataError, match="heat map by 'looks': expected layout or similarity"):
        answers.pictures.heat(3, "looks")


@pytest.mark.parametrize(("coverage", "shortlist", "cosine"), [("images", "auto", 0.0), ("clusters", "30", 0.8)])
def test_coverage_and_near_duplicates_are_those_of_select(
    answers: Answers, run: Run, coverage: Any, shortlist: str, cosine: float
) -> None:
    ask = ASK | {"coverage": coverage, "shortlist": shortlist, "duplicate_cosine": cosine, "at_most": ["sign=1"]}
    answer = answers.choose(ask)
    saved = answers.save(ask | {"name": coverage})
    taken = selected(run, coverage)["image_id"].to_list()
    settings = SelectSettings(
        "layout", "12", coverage=coverage, shortlist=shortlist, duplicate_cosine=cosine, at_most=("sign=1",), name="on"
    )
    select(run, settings)
    assert taken == selected(run, "on")["image_id"].to_list() and saved["images"] == answer["count"] == 12
    assert [card["id"] for card in answers.gallery(ask | {"view": "chosen"})["cards"]] == taken
    assert answer["shortlist"] == (30 if shortlist == "30" else 60)
    edges = {card["edge"].partition(":")[0] for card in answers.gallery(ask | {"view": "all"})["cards"]}
    assert {"", "coverage"} <= edges and ("near-duplicate" in edges) == (answer["near_duplicates"] > 0) == (cosine > 0)
    left = answers.gallery(ask | {"view": "duplicates"})
    assert left["total"] == answer["near_duplicates"]


def test_what_is_shown_stays_known_after_further_marks(run: Run) -> None:
    answers = Answers(run_rows(OpenedRun(run)), Review("ada"), SelectSettings(coverage="off"))
    version = answers.choose(ASK)["version"]
    before = shown(answers, view="chosen")
    answers.mark({"marks": [[before[0], "rejected"]]})
    assert shown(answers, view="chosen", version=version) == before
    assert before[0] not in shown(answers, view="chosen")


def test_the_page_opens_with_what_select_does_by_default(run: Run) -> None:
    assert _start(OpenedRun(run), "")[0] == SelectSettings()
    scores = tables.read(run.scores_path, tables.SCORES)
    try:
        tables.write(scores.with_columns(diversity=pl.lit(None, pl.Float64)), run.scores_path)
        assert _start(OpenedRun(run), "")[0] == SelectSettings("layout+images")
    finally:
        tables.write(scores, run.scores_path)
