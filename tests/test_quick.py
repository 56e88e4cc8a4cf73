"""`make quick` leaves out the slow files, and `make test` leaves out nothing."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST_FILES = sorted(ROOT.joinpath("tests").rglob("test_*.py"))
#: As tests/conftest.py finds them.
SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow", re.MULTILINE)
SLOW_FILES = [path for path in TEST_FILES if SLOW.search(path.read_text("utf-8"))]
#: Library or fixture → files that use it are slow: browsers, clusters, training.
HEAVY = re.compile(
    r"\bchromium\b|engine=\"ray\"|thresher\.training\.(train|evaluate|predict) import (train|evaluate|predict)\b"
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def recipe(target: str) -> str:
    """What `make` runs for a target."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", ROOT.joinpath("Makefile").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def test_make_test_runs_every_test() -> None:
    (command,) = recipe("test").strip().splitlines()
    spread = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    assert command.split() == ["$(BIN)/python", "-m", "pytest", "-q", *spread]
    options = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests", "src"]
    assert "--doctest-modules" in options["addopts"]
    left_out = [each for each in options["addopts"] if re.match(r"-m|-k|--ignore|--deselect", each)]
    assert left_out == []
    assert not {"python_files", "python_functions", "norecursedirs", "collect_ignore"} & set(options)


def test_make_quick_checks_and_leaves_out_slow_files_alone() -> None:
    makefile = ROOT.joinpath("Makefile").read_text("utf-8")
    assert re.search(r"^quick: check$", makefile, re.MULTILINE)
    assert recipe("quick").split() == [*recipe("test").split(), "-m", '"not', 'slow"', "tests"]


def test_every_file_with_a_test_is_one_that_pytest_collects() -> None:
    others = set(ROOT.joinpath("tests").rglob("*.py")) - set(TEST_FILES)
    lost = [
        relative(path)
        for path in others
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert lost == []


def test_a_mark_of_slowness_stands_where_make_quick_sees_it() -> None:
    marked = [path for path in TEST_FILES if "mark.slow" in path.read_text("utf-8") and path != Path(__file__)]
    assert marked == SLOW_FILES
    assert len(SLOW_FILES) < len(TEST_FILES) / 2


@pytest.mark.parametrize("folder", ["faults", "real", "segmentation"])
def test_whole_folders_are_slow(folder: str) -> None:
    quick = [relative(path) for path in TEST_FILES if path.parent.name == folder and path not in SLOW_FILES]
    assert quick == []


@pytest.mark.parametrize("path", [each for each in TEST_FILES if each not in SLOW_FILES], ids=relative)
def test_quick_files_need_no_browser_no_cluster_and_no_training(path: Path) -> None:
    if path == Path(__file__):
        return
    found = HEAVY.search(path.read_text("utf-8"))
    assert found is None, f"{relative(path)} uses {found and found[0]}: mark it with pytestmark = pytest.mark.slow"
