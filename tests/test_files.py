"""A file is the old one or the whole new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.files import disk_errors, replacing, sweep

#: Writes the start of a large file, says so, and waits to be killed.
HALF_WRITTEN = """
import sys
from pathlib import Path
from thresher.files import replacing

with replacing(Path(sys.argv[1])) as file:
    file.write(b"new" * 100_000)
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
"""


def others(path: Path) -> list[str]:
    """What lies beside a file."""
    return sorted(each.name for each in path.parent.iterdir() if each != path)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_the_new_file_takes_the_place_of_the_old_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert others(path) == []


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "table"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_block_that_raises_leaves_the_old_file_and_nothing_besides(
    tmp_path: Path, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "table"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(type(error)), replacing(path) as file:
        file.write(b"new")
        raise error
    assert (path.read_bytes() if path.exists() else None) == old
    assert others(path) == []


def test_a_killed_process_leaves_the_old_file_and_the_next_one_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"old")
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF_WRITTEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "half\n"
    sweep(path)
    assert len(others(path)) == 1, "what a living process writes to was removed"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert path.read_bytes() == b"old"
    assert len(others(path)) == 1
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert others(path) == []


def test_writers_side_by_side_each_put_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with replacing(path) as one, replacing(path) as other:
        one.write(b"1" * 1000)
        other.write(b"2" * 1000)
    assert path.read_bytes() in (b"1" * 1000, b"2" * 1000)
    assert others(path) == []


@pytest.mark.usefixtures("umask")
def test_the_new_file_has_the_rights_that_the_process_gives_to_files(tmp_path: Path) -> None:
    path, plain = tmp_path / "table", tmp_path / "plain"
    plain.touch()
    with replacing(path) as file:
        file.write(b"new")
    assert path.stat().st_mode == plain.stat().st_mode
    assert path.stat().st_mode & 0o777 == 0o640


def test_sweeping_leaves_locked_files_and_those_of_other_names(tmp_path: Path) -> None:
    kept = [
        ".table.short",
        ".table.toolonger",
        ".other.abcdefgh",
        "table.abcdefgh",
        ".table.ABCDEFGH",
        ".table.locked00",
    ]
    for name in [*kept, ".table.abcdefgh", ".table.a_1b2c3d"]:
        (tmp_path / name).touch()
    with (tmp_path / ".table.locked00").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sweep(tmp_path / "table")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(kept)


def test_sweeping_a_folder_clears_what_was_written_into_it(tmp_path: Path) -> None:
    for name in ("part-0.parquet", ".part-0.parquet.abcdefgh", ".part-1.parquet.abcdefgh"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["part-0.parquet"]


@given(name=st.text(st.sampled_from("ab[]*?!-é "), min_size=1, max_size=6).filter(lambda name: name.strip()))
def test_signs_of_patterns_in_a_name_are_taken_literally(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("names")
    own, other = folder / f".{name}.abcdefgh", folder / ".c.abcdefgh"
    own.touch()
    other.touch()
    sweep(folder / name)
    assert [each.name for each in folder.iterdir()] == [other.name]


def test_errors_of_the_disk_that_polars_wraps_come_out_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Read-only file system") as raised, disk_errors(tmp_path / "table"):
        raise pl.exceptions.ComputeError("could not write (os error 30)")
    assert (raised.value.errno, raised.value.filename) == (errno.EROFS, str(tmp_path / "table"))
    with pytest.raises(pl.exceptions.ComputeError, match="no error of the system"), disk_errors(tmp_path / "table"):
        raise pl.exceptions.ComputeError("no error of the system")
