"""The names that users import: found at run time, by type checkers, and only when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import thresher

pytestmark = pytest.mark.slow

SOURCE = Path(thresher.__file__).parent


def test_type_checkers_find_the_names_where_the_lazy_table_has_them() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    imported = {
        alias.asname: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == thresher._HOMES
    assert list(imported) and set(imported) == set(thresher.__all__)


@pytest.mark.parametrize("name", thresher.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(thresher, name).__doc__
    assert name in dir(thresher)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'thresher' has no attribute 'selct'"):
        thresher.selct  # type: ignore[attr-defined]  # noqa: B018


def test_importing_thresher_imports_nothing_else() -> None:
    probe = "import sys, thresher; print(sorted({'numpy', 'polars', 'torch', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"


SCRIPT = """
from pathlib import Path

from thresher import CompareSettings, FitSettings, IndexSettings, Run, SelectSettings, StageResult, embed, select
from thresher import selct

run = Run("runs/first")
IndexSettings(target="cityscapes:/x", pool=["coco:/y"], label_map="labels.toml")
FitSettings(components=8)
CompareSettings(budgets=(100, 0.1, "3%"), methods="layout,random")
wished = SelectSettings(budget=500, quotas={"bus": 20}, datasets="kitti")
SelectSettings(budget=0.1, quotas=("bus=20",))
size: str = wished.budget
quotas: tuple[str, ...] = wished.quotas
done: StageResult = embed(Path("runs/first"))
embed("runs/first")
SelectSettings(bugdet=500)
SelectSettings(seed="one")
chosen: list[str] = select(run, wished)
"""
MISTAKES = {
    "selct": "attr-defined",
    "bugdet": "call-arg",
    'seed="one"': "arg-type",
    "chosen: list[str]": "assignment",
}


def test_mypy_finds_the_mistakes_of_a_users_script_and_no_others(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # With the project's settings, so that what `make check` has looked at is not looked at again.
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(script)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=SOURCE.parents[1], check=False).stdout
    errors = [line for line in found.splitlines() if " error: " in line]
    lines = SCRIPT.splitlines()
    places = {lines[int(line.split(":")[1]) - 1]: line.rpartition("[")[2].removesuffix("]") for line in errors}
    assert len(errors) == len(MISTAKES), found
    for words, code in MISTAKES.items():
        assert [kind for place, kind in places.items() if words in place] == [code], found


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()
