"""Every file of a run, deleted, cut, flipped, emptied or swapped: noticed by whoever reads it, and made again.

What is promised: a command that reads the file ends with what it gives on the whole run, or with exit code 3 and one
line. After `thresher run RUN` every file is as it was. THRESHER_DAMAGE=all tries every file in every way; the normal
run tries each file in two ways.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from thresher.cli.main import main
from thresher.run.folder import Run

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.faults.conftest import Job, Undisturbed

WAYS = ("deleted", "cut", "flipped", "emptied", "swapped")
#: Made by sheet and export, which keep no record of what they wrote.
NOT_RECORDED = ("both.csv", "sheets/both.png", "sheets/random.png")
FILES = (
    "images.parquet",
    "boxes.parquet",
    "masks.parquet",
    "labels.parquet",
    "taxonomy.toml",
    "problems.parquet",
    "slices/part-00000.parquet",
    "slices/part-00009.parquet",
    "shards.parquet",
    "embedded.parquet",
    "embedded.parquet",
    "pooled.parquet",
    "facts.parquet",
    "projection.safetensors",
    "mixture.safetensors",
    "mixture.json",
    "evidence.safetensors",
    "scores.parquet",
    "selections/both.parquet",
    "manifest.json",
)
#: Readers of a run; none of them writes a table of it.
READERS = (
    ("export", "RUN", "both", "--format", "csv", "--out", "OUT/both.csv"),
    ("export", "RUN", "both", "--format", "coco", "--out", "OUT/coco", "--images", "none"),
    ("sheet", "RUN", "both", "--out", "OUT/both.png"),
)


def cases() -> list[tuple[str, str]]:
    every = list(itertools.product(FILES, WAYS))
    if os.environ.get("THRESHER_DAMAGE") == "all":
        return every
    # Each file in two of the five ways, and each way equally often.
    return [case for number, case in enumerate(every) if (number % 5 - number // 5) % 5 in (0, 2)]


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory, scenes: Path, undisturbed: Undisturbed) -> Path:
    """The folder of a run of the same kind with other images and other settings."""
    folder = tmp_path_factory.mktemp("foreign")
    text = (undisturbed.job.folder / "job.toml").read_text("utf-8")
    text = text.replace("[index]", "[index]\nlimit = 9").replace("components = 2", "components = 1")
    (folder / "job.toml").write_text(text.replace("budget = 10", "budget = 5"), "utf-8")
    assert code_of("run", str(folder / "job.toml")) in (0, 4)
    return folder / "run"


def code_of(*words: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def damage(path: Path, way: str, other: Path) -> None:
    content = path.read_bytes()
    if way == "deleted":
        path.unlink()
    elif way == "swapped":
        path.write_bytes((other if other.is_file() else other.with_name("part-00001.parquet")).read_bytes())
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "flipped": flipped, "emptied": b""}[way])


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read(run: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[int, str, dict[str, bytes]]]:
    """Exit code, stderr and files of each reader."""
    found = []
    for number, words in enumerate(READERS):
        place = out / str(number)
        place.mkdir(parents=True)
        capsys.readouterr()
        code = code_of(*(word.replace("RUN", str(run)).replace("OUT", str(place)) for word in words))
        found.append((code, capsys.readouterr().err, outputs(place)))
    return found


@pytest.mark.parametrize(("file", "way"), cases())
def test_a_damaged_file_is_noticed_and_made_again(
    undisturbed: Undisturbed,
    foreign: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    way: str,
) -> None:
    whole, job = undisturbed.copied(tmp_path / "whole"), undisturbed.copied(tmp_path / "job")
    expected = [files for _, _, files in read(whole.run, tmp_path / "expected", capsys)]
    damage(job.run / file, way, foreign / file)
    found = read(job.run, tmp_path / "out", capsys)
    for (code, err, files), wanted in zip(found, expected, strict=True):
        assert code in (0, 2 if way == "deleted" else 3, 3), err  # 2: no selection has this name
        if code:
            assert len(err.strip().splitlines()) == 1, err
        else:
            assert files == wanted
    if file == "manifest.json":
        if any("Delete it" in err for _, err, _ in found):
            (job.run / file).unlink()
        assert code_of("run", str(job.folder / "job.toml")) == 4, capsys.readouterr().err
    else:
        assert code_of("run", str(job.run)) in (0, 4), capsys.readouterr().err
    assert code_of("status", str(job.run)) == 0
    differ = [name for name, content in job.results().items() if content != undisturbed.results[name]]
    # Of these two the rows and columns are recorded, not the bytes: a bit that says nothing may stay flipped.
    for name in {"problems.parquet", "scores.parquet"} & set(differ):
        own, others = (pl.read_parquet(each / name) for each in (job.run, undisturbed.job.run))
        assert own.equals(others)
        differ.remove(name)
        if name == "scores.parquet":
            differ.remove("manifest.json")  # it names the digest of the bytes that select read
    assert [name for name in differ if name not in NOT_RECORDED] == []


def test_files_that_are_listed_here_are_those_of_a_run(undisturbed: Undisturbed) -> None:
    there = {name for name in undisturbed.results if not name.startswith(("slices/", "selections/"))}
    listed = {name for name in FILES if not name.startswith(("slices/", "selections/"))}
    assert there - set(NOT_RECORDED) == listed
    assert Run(undisturbed.job.run).selections() == ["both", "random"]


def test_a_selection_of_ones_own_is_checked_against_the_pool(
    undisturbed: Undisturbed, jobs: Callable[[Path], Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = undisturbed.copied(tmp_path / "job")
    run = Run(job.run)
    whole = pl.read_parquet(run.selection_path("both"))
    target = pl.read_parquet(run.images).filter(role="target")["image_id"][0]
    for name, frame, words in (
        ("unknown", whole.with_columns(image_id=pl.lit("x/") + pl.col("image_id")), "10 of 10 images are not in the"),
        ("target", whole.with_columns(image_id=pl.when(rank=1).then(pl.lit(target)).otherwise("image_id")), "1 of 10"),
        ("null", whole.with_columns(rank=pl.when(rank=3).then(None).otherwise("rank")), "must hold 1 to 10, each once"),
        ("twice", whole.with_columns(rank=pl.when(rank=3).then(2).otherwise("rank")), "must hold 1 to 10, each once"),
    ):
        frame.write_parquet(run.selection_path(name))
        capsys.readouterr()
        assert code_of("sheet", str(run.folder), name, "--out", str(tmp_path / "x.png")) == 3
        assert words in capsys.readouterr().err
