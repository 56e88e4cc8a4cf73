"""A folder that says what made it: manifest, problems, and the lock that keeps two processes apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.errors import DataError
from thresher.run.folder import Run
from thresher.run.record import Record

HOLD = """
import sys
from thresher.run.record import Record

with Record(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def problems(*kinds: tuple[str, str]) -> pl.DataFrame:
    """One row per stage and problem."""
    return tables.from_rows([{"stage": stage, "problem": problem} for stage, problem in kinds], tables.PROBLEMS)


def listed(record: Record) -> list[tuple[str, str]]:
    return tables.read(record.problems, tables.PROBLEMS).select("stage", "problem").rows()


def test_pointing_at_a_folder_makes_nothing(tmp_path: Path) -> None:
    record = Run(tmp_path / "new")
    assert record.recorded() == {}
    assert list(tmp_path.iterdir()) == []


def test_an_entry_takes_the_place_of_the_one_before_and_leaves_the_others(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.note("index", {"seconds": 1})
    record.note("embed", {"seconds": 2})
    record.note("index", {"seconds": 3})
    assert record.recorded() == {"index": {"seconds": 3}, "embed": {"seconds": 2}}


def test_the_manifest_is_json_whose_bytes_do_not_depend_on_the_order_of_stages(tmp_path: Path) -> None:
    one, other = Record(tmp_path / "one"), Record(tmp_path / "other")
    for record, order in ((one, ("fit", "embed")), (other, ("embed", "fit"))):
        for stage in order:
            record.note(stage, {"b": 1, "a": stage})
    assert one.manifest.read_bytes() == other.manifest.read_bytes()
    plain = {stage: {key: entry[key] for key in "ab"} for stage, entry in json.loads(one.manifest.read_text()).items()}
    assert plain == one.recorded()


def test_an_entry_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.note("fit", {"settings": {"components": "2"}})
    text = record.manifest.read_text("utf-8")
    record.manifest.write_text(text.replace('"2"', '"3"'), "utf-8")
    with pytest.raises(DataError, match=r"manifest\.json: damaged, or changed by hand. Delete it"):
        record.recorded()


def test_a_damaged_manifest_says_what_to_do(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.manifest.write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"manifest\.json: not JSON .*Delete it"):
        record.recorded()


def test_a_stage_s_problems_take_the_place_of_those_it_left_before(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.add_problems("index", problems(("index", "box_empty"), ("index", "box_outside")))
    record.add_problems("embed", problems(("embed", "image_broken")))
    assert listed(record) == [("embed", "image_broken"), ("index", "box_empty"), ("index", "box_outside")]
    record.add_problems("index", problems(("index", "box_clipped")))
    assert sorted(listed(record)) == [("embed", "image_broken"), ("index", "box_clipped")]
    record.add_problems("embed", problems())
    assert listed(record) == [("index", "box_clipped")]


def test_problems_of_other_columns_are_cut_to_the_table_s(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.add_problems("index", problems(("index", "box_empty")).with_columns(extra=pl.lit(1)))
    assert pl.read_parquet_schema(record.problems) == tables.PROBLEMS


def test_only_one_process_holds_a_folder_and_it_is_free_once_that_is_killed(tmp_path: Path) -> None:
    record = Record(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(record.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another thresher process works in this folder"), record.locked():
            pytest.fail("held twice")
    finally:
        holder.kill()
        holder.communicate()
    with record.locked():
        assert (record.folder / ".lock").is_file()


def test_the_lock_is_given_back_when_the_block_raises(tmp_path: Path) -> None:
    record = Record(tmp_path)
    with pytest.raises(ValueError, match="inside"), record.locked():
        raise ValueError("inside")
    with record.locked():
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / ".lock"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match=r"cannot be written .*Choose another folder"),
        Record(tmp_path / "file").locked(),
    ):
        pytest.fail("a file was locked as a folder")


def test_two_trainings_of_a_run_lock_apart_from_it_and_from_each_other(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.locked(), Record(run.training("a")).locked(), Record(run.training("b")).locked():
        assert run.training("a") != run.training("b")
        assert {path.name for path in (run.folder / "trainings").iterdir()} == {"a", "b"}
