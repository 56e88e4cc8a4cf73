"""The table of stages says what the code does: every entry resolves, and reads what an earlier one writes."""

from __future__ import annotations

import importlib
import inspect
import typing

import pytest

from thresher.cli import commands
from thresher.cli.main import COMMANDS
from thresher.density.scorers import SIMILARITIES
from thresher.run.stages import PARTS, STAGES, Stage, stage_named
from thresher.run_files import WRITTEN_BY
from thresher.selection.methods import COMBINED
from thresher.stages.score import DEFAULT_SCORES, SCORES
from thresher.tables import SCORES as COLUMNS


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_has_its_function_settings_and_command(stage: Stage) -> None:
    parameters = inspect.signature(stage.run).parameters
    assert next(iter(parameters)) == "run"
    if stage.settings_name:
        kinds = typing.get_type_hints(stage.run)
        assert stage.settings in typing.get_args(kinds["settings"]) or stage.settings is kinds["settings"]
    command = getattr(commands, f"{stage.name.replace('-', '_')}_command")
    assert command.__doc__
    assert COMMANDS[stage.name] == stage.words


def test_a_stage_reads_what_stands_before_it() -> None:
    names = [stage.name for stage in STAGES]
    for place, stage in enumerate(STAGES):
        assert all(names.index(each) < place for each in stage.reads), stage.name
    for part in PARTS:
        assert importlib.import_module(part.home)
        assert part.version


def test_every_file_of_a_run_is_written_by_a_stage_that_is_recorded() -> None:
    assert {stage_named(name).version > 0 for name in WRITTEN_BY.values()} == {True}
    assert stage_named("select:first") is stage_named("select")
    assert "scores.parquet" in stage_named("score").writes


def test_a_score_its_column_and_its_method_have_one_name() -> None:
    names = [score.name for score in SCORES]
    assert set(COLUMNS) - {"image_id", "nearest_ids"} == set(names)
    assert len(set(names)) == len(names)
    assert not set(names) & set(COMBINED)
    assert set(DEFAULT_SCORES) <= {score.name for score in SIMILARITIES}
