"""Command lines in the page make just what they stand beside."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from thresher import extras
from thresher.cli.main import app
from thresher.report.blocks import Missing, Words
from thresher.report.command_lines import RECORDED, command_lines
from thresher.report.sections.compared import comparison_section
from thresher.report.tables import comparisons
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import as_json
from thresher.run.record import Record

pytestmark = pytest.mark.slow


def test_predictions_that_are_missing_say_what_draws_them(run: Run, page: Any) -> None:
    (line,) = re.findall(r"Predictions of both have not been drawn.*?Run: (.*)\n", page.text)
    words = shlex.split(line)[1:]
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    compared = Record(run.comparison("both")).recorded()["compare"]
    assert bound.arguments["run"] == Path("…/run")
    assert as_json(bound.arguments["settings"]) == compared["settings"]
    assert as_json(bound.arguments["training"]) == compared["training"]


def test_a_copied_comparison_is_made_again_under_its_own_name(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    shutil.copytree(other.comparison("both"), other.comparison("copied"))
    line = "thresher compare RUN --methods layout --methods random --budgets 10 --baselines none --name {} --epochs 7"
    assert {each.name: each.command for each in comparisons(OpenedRun(other))} == {
        name: line.format(name) for name in ("both", "copied")
    }
    (other.comparison("copied") / "manifest.json").unlink()
    assert {each.command for each in comparisons(OpenedRun(other))} >= {"thresher compare RUN --name copied"}


def test_libraries_that_are_not_installed_come_before_the_command(run: Run) -> None:
    (one,) = comparisons(OpenedRun(run))
    words = [
        block.text
        for block in comparison_section([dataclasses.replace(one, lacking=("accelerate",))]).blocks
        if isinstance(block, Missing)
    ]
    assert len(words) == 1
    assert words[0].endswith(f"accelerate not installed: first run {extras.install('train,report')}.")


def test_of_a_comparison_by_proxy_the_report_says_so_and_misses_no_pictures(run: Run) -> None:
    (one,) = comparisons(OpenedRun(run))
    blocks = comparison_section([dataclasses.replace(one, proxy=True)]).blocks
    assert isinstance(blocks[0], Words)
    assert "no whole networks" in blocks[0].text
    assert not [block for block in blocks if isinstance(block, Missing)]


def test_the_command_lines_make_the_same_settings_again(run: Run) -> None:
    recorded = run.recorded()
    compared = Record(run.comparison("both")).recorded()["compare"]
    lines = command_lines(run.folder, recorded, {"both": compared})
    assert [line.split()[1] for line in lines] == ["index", "embed", "fit", "score", "select", "select", "compare"]
    for line in lines:
        words = shlex.split(line.replace("\\\n", ""))[1:]
        _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        given = bound.arguments
        assert given["run"] == run.folder
        if words[0] == "compare":
            assert as_json(given["settings"]) == compared["settings"]
            assert as_json(given["training"]) == compared["training"]
            continue
        entries = [each["settings"] for stage, each in recorded.items() if stage.partition(":")[0] == words[0]]
        made = given["settings"] if "settings" in given else RECORDED[words[0]].settings()
        assert as_json(made) in entries
