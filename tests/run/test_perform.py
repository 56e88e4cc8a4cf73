"""A stage's work is done once for the same version, settings and inputs, and a record says how it ended."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import DataError, SettingsError
from thresher.run import perform as module
from thresher.run.digests import file_digest, folder_digest
from thresher.run.folder import Run
from thresher.run.perform import as_json, fingerprint, is_current, perform
from thresher.run.record import Record
from thresher.run.stages import stage_named
from thresher.run.state import UNFINISHED

INPUTS = {"images": "1f", "boxes": "2e"}
Work = Callable[[], tuple[dict[str, Any], int]]


@dataclass(frozen=True)
class Settings:
    number: int = 1
    place: Path | None = None


def writes(path: Path, text: str = "new", failed: int = 0) -> Work:
    """Work that writes one file."""

    def work() -> tuple[dict[str, Any], int]:
        path.write_text(text, "utf-8")
        return {"written": text}, failed

    return work


def unexpected() -> tuple[dict[str, Any], int]:
    raise AssertionError("the work was done although nothing has changed")


def test_a_fingerprint_changes_with_stage_version_settings_and_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        fingerprint("index", Settings(), INPUTS),
        fingerprint("fit", Settings(), INPUTS),
        fingerprint("index", Settings(2), INPUTS),
        fingerprint("index", Settings(), {**INPUTS, "boxes": "2f"}),
        fingerprint("index", Settings(), {"images": "1f"}),
    ]
    monkeypatch.setattr(module, "stage_named", lambda name: replace(stage_named(name), version=99))
    found.append(fingerprint("index", Settings(), INPUTS))
    assert len(set(found)) == len(found)


@given(st.permutations(["a", "b", "c", "d"]))
def test_a_fingerprint_does_not_depend_on_the_order_in_which_inputs_are_named(names: list[str]) -> None:
    digests = {"a": "1", "b": "2", "c": "3", "d": "4"}
    shuffled = {name: digests[name] for name in names}
    assert fingerprint("fit", Settings(), shuffled) == fingerprint("fit", Settings(), digests)


def test_settings_are_plain_values_in_the_record() -> None:
    assert as_json(Settings(3, Path("/data/x"))) == {"number": 3, "place": "/data/x"}
    for wrong in ({"number": 3}, Settings):
        with pytest.raises(TypeError, match="settings must be a dataclass instance"):
            as_json(wrong)


def test_work_is_done_once_and_its_summary_told_again(tmp_path: Path) -> None:
    run, out = Run(tmp_path), tmp_path / "out"
    first = perform(run, "index", Settings(), INPUTS, [out], writes(out, failed=2))
    assert (first.status, first.summary, first.failed_items) == ("done", {"written": "new"}, 2)
    entry = run.recorded()["index"]
    assert entry["settings"] == {"number": 1, "place": None}
    assert (entry["inputs"], list(entry["outputs"])) == (INPUTS, ["out"])
    again = perform(run, "index", Settings(), INPUTS, [out], unexpected)
    assert again == replace(first, status="unchanged")
    assert run.recorded()["index"] == entry


@pytest.mark.parametrize("change", ["settings", "inputs", "output gone"])
def test_work_is_done_again_when_what_shaped_it_has_changed(tmp_path: Path, change: str) -> None:
    run, out = Run(tmp_path), tmp_path / "out"
    perform(run, "index", Settings(), INPUTS, [out], writes(out, "old"))
    settings = Settings(2) if change == "settings" else Settings()
    inputs = {**INPUTS, "boxes": "other"} if change == "inputs" else INPUTS
    if change == "output gone":
        out.unlink()
    assert perform(run, "index", settings, inputs, [out], writes(out)).status == "done"
    assert out.read_text("utf-8") == "new"


def test_a_record_is_current_only_while_every_output_is_there(tmp_path: Path) -> None:
    record, out = Record(tmp_path), tmp_path / "out"
    assert not is_current(record, "fit", "abc", [])
    record.note("fit", {"fingerprint": "abc", "summary": {}, "failed_items": 0})
    assert is_current(record, "fit", "abc", [])
    assert not is_current(record, "fit", "abd", [])
    assert not is_current(record, "fit", "abc", [out])
    out.touch()
    assert is_current(record, "fit", "abc", [out])
    record.note("fit", UNFINISHED)
    assert not is_current(record, "fit", "abc", [out])


def test_a_stage_that_was_broken_off_is_unfinished_and_stops_those_that_read_it(tmp_path: Path) -> None:
    run, out = Run(tmp_path), tmp_path / "out"

    def broken() -> tuple[dict[str, Any], int]:
        assert run.recorded()["index"]["unfinished"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(run, "index", Settings(), INPUTS, [out], broken)
    assert run.recorded()["index"]["unfinished"]
    with pytest.raises(DataError, match="index"):
        perform(run, "embed", Settings(), {}, [], unexpected)
    perform(run, "index", Settings(), INPUTS, [out], writes(out))
    assert perform(run, "embed", Settings(), {}, [], lambda: ({}, 0)).status == "done"


def test_the_run_is_locked_while_a_stage_works(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def tries() -> tuple[dict[str, Any], int]:
        perform(run, "fit", Settings(), {}, [], unexpected)
        return {}, 0

    with pytest.raises(DataError, match="another thresher process"):
        perform(run, "index", Settings(), {}, [], tries)


def test_a_record_of_its_own_holds_the_entry_and_the_run_s_stays_as_it_was(tmp_path: Path) -> None:
    run = Run(tmp_path)
    own = Record(run.training("a"))
    out = own.folder / "out"
    assert perform(run, "train", Settings(), {}, [out], writes(out), own).status == "done"
    assert list(own.recorded()) == ["train"]
    assert run.recorded() == {}


def test_what_a_killed_process_left_of_an_output_is_swept(tmp_path: Path) -> None:
    out, leftover = tmp_path / "out", tmp_path / ".out.abcdefgh"
    leftover.touch()
    perform(Run(tmp_path), "index", Settings(), {}, [out], writes(out))
    assert not leftover.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_errors_of_the_disk_are_one_line_and_the_stage_stays_unfinished(tmp_path: Path, number: int) -> None:
    run = Run(tmp_path)

    def fails() -> tuple[dict[str, Any], int]:
        raise OSError(number, os.strerror(number), str(tmp_path / "out"))

    with pytest.raises(DataError) as raised:
        perform(run, "index", Settings(), {}, [], fails)
    (line,) = str(raised.value).splitlines()
    assert os.strerror(number) in line and str(tmp_path / "out") in line
    assert "run the same command again" in line
    assert run.recorded()["index"]["unfinished"]


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(DataError, match="b: no such file"):
        file_digest(tmp_path / "b")


def tree(root: Path, *names: str) -> Path:
    """A folder of files of one byte and one time."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        os.utime(path, ns=(10**18, 10**18))
    return root


def test_the_digest_of_a_folder_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", "b/2", "a", "b/1")
    other = tree(tmp_path / "other", "b/1", "b/2", "a")
    assert folder_digest(one) == folder_digest(other)


@pytest.mark.parametrize("change", ["size", "time", "name", "folder", "more", "fewer", "dangling link"])
def test_the_digest_of_a_folder_changes_with_what_is_in_it(tmp_path: Path, change: str) -> None:
    root = tree(tmp_path / "root", "a", "b/1")
    before, path = folder_digest(root), root / "b" / "1"
    if change == "size":
        path.write_text("xx")
        os.utime(path, ns=(10**18, 10**18))
    elif change == "time":
        os.utime(path, ns=(10**18, 10**18 + 1))
    elif change == "name":
        path.rename(root / "b" / "2")
    elif change == "folder":
        path.parent.rename(root / "c")
    elif change == "more":
        tree(root, "c")
    elif change == "fewer":
        path.unlink()
    else:
        (root / "c").symlink_to("nowhere")
    assert folder_digest(root) != before


def test_contents_are_not_read_for_the_digest_of_a_folder(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a")
    before = folder_digest(root)
    (root / "a").write_text("y")
    os.utime(root / "a", ns=(10**18, 10**18))
    assert folder_digest(root) == before


def test_a_single_file_has_the_digest_of_its_size_and_time(tmp_path: Path) -> None:
    root = tree(tmp_path, "a", "b")
    assert folder_digest(root / "a") == folder_digest(root / "b")
    os.utime(root / "b", ns=(10**18, 10**18 + 1))
    assert folder_digest(root / "a") != folder_digest(root / "b")


def test_a_stage_that_is_not_known_is_a_bug_and_not_a_silent_stage() -> None:
    with pytest.raises(KeyError):
        fingerprint("bake", Settings(), {})


def refused() -> tuple[dict[str, Any], int]:
    raise SettingsError("more than there are")


def test_what_is_refused_before_anything_is_written_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    run, path = Run(tmp_path), tmp_path / "selections" / "a.parquet"
    path.parent.mkdir()
    perform(run, "select:a", Settings(), INPUTS, [path], writes(path), reads=())
    done = run.recorded()
    for name, place in (("select:a", path), ("select:b", path.with_name("b.parquet"))):
        with pytest.raises(SettingsError, match="more than there are"):
            perform(run, name, Settings(2), INPUTS, [place], refused, reads=())
    assert run.recorded() == done


def test_what_is_refused_after_it_has_written_counts_as_unfinished(tmp_path: Path) -> None:
    run, path = Run(tmp_path), tmp_path / "a.parquet"

    def half() -> tuple[dict[str, Any], int]:
        path.write_text("half", "utf-8")
        return refused()

    perform(run, "select:a", Settings(), INPUTS, [path], writes(path), reads=())
    with pytest.raises(SettingsError):
        perform(run, "select:a", Settings(2), INPUTS, [path], half, reads=())
    assert "unfinished" in run.recorded()["select:a"]
