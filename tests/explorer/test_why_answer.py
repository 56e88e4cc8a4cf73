"""The explorer's answer to why an image is chosen, or why not, by the settings of the moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import thresher
from thresher.explorer.answers import Answers
from thresher.explorer.review import Review
from thresher.explorer.rows import run_rows
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.stages.select import SelectSettings, select

ASK = {"method": "layout", "budget": "6"}


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    return hostile_run(tmp_path)


@pytest.fixture
def answers(run: Run) -> Answers:
    return Answers(run_rows(OpenedRun(run)), Review("ada"), SelectSettings(coverage="off"))


def test_it_is_what_the_command_says_of_the_same_settings(run: Run, answers: Answers) -> None:
    select(run, SelectSettings("layout", "6", name="six"))
    for row in (0, 5, 6, 40, 61):
        image_id = answers.details(row)["id"]
        told: dict[str, Any] = answers.why({**ASK, "row": row})
        (found,) = thresher.why(run, "six", image_id).images
        assert (told["words"], told["decided_by"], told["taken"]) == (found.words, found.decided_by, found.taken)
        assert [each["place"] for each in told["places"]] == [each.place for each in found.places]


def test_it_follows_marks_and_settings_and_brings_a_card_of_what_was_taken_instead(answers: Answers) -> None:
    told = answers.why({**ASK, "row": 9})
    assert told["words"][0].startswith("Not taken: place 10 of 60 candidates by layout")
    assert 1 <= told["instead"]["rank"] <= 6
    assert answers.details(told["instead"]["row"])["id"] == told["instead"]["id"]
    answers.mark({"marks": [[9, "pinned"]]})
    assert answers.why({**ASK, "row": 9})["decided_by"] == "pinned"
    answers.mark({"marks": [[9, "rejected"]]})
    assert answers.why({**ASK, "row": 9})["decided_by"] == "rejected"
    assert answers.why({**ASK, "budget": "20", "row": 10})["taken"] is True
