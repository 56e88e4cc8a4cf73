"""Docs tell the truth: the reference is made from the code, links lead somewhere, examples name what exists."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import thresher
from thresher.data.exports import FORMATS

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
STUDIES = sorted((ROOT / "docs" / "experiments").glob("*.md"))
#: Most words of a page that is meant to be read in one go.
MOST_WORDS = {"README.md": 600, "docs/results.md": 1200}


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page ends with, as GitHub writes it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), "run: python docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_to_headings_in_them(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not heading or heading in anchors(file), f"{page.name} links to {target}#{heading}"


@pytest.mark.parametrize("name", MOST_WORDS)
def test_pages_to_be_read_in_one_go_are_short(name: str) -> None:
    words = len((ROOT / name).read_text("utf-8").split())
    assert words <= MOST_WORDS[name], f"{name} has {words} words"


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_every_study_says_question_set_up_result_and_meaning(page: Path) -> None:
    text = page.read_text("utf-8")
    found = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert found == ["Question", "Set-up", "Result", "What it means"], f"{page.name} has the headings {found}"
    assert "```bash" in text, f"{page.name} names no command"


def test_the_results_name_every_study() -> None:
    linked = set(re.findall(r"\(experiments/([\w-]+)\.md\)", (ROOT / "docs" / "results.md").read_text("utf-8")))
    assert linked == {page.stem for page in STUDIES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_import_what_exists(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "thresher":
                for alias in node.names:
                    assert hasattr(thresher, alias.name), f"{page.name} imports {alias.name}"


def floors_checked() -> list[set[str]]:
    """The rooms of each floor, from the top, as tests/test_architecture.py checks them."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text("utf-8"))
    (value,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS"
    )
    return [set(rooms) for rooms in ast.literal_eval(value) if rooms != {"__main__"}]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_pages_show_the_floors_of_the_house(name: str) -> None:
    rows = re.findall(r"^\| \d+ \| ([^|]+) \|", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    shown = [{room.removesuffix(".py") for room in re.findall(r"`([\w.]+)`", row)} for row in rows]
    assert shown == floors_checked()


@pytest.mark.parametrize("name", thresher.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(thresher, name).__doc__


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="module 'thresher' has no attribute 'nothing'"):
        _ = thresher.nothing


def test_the_reference_of_export_names_every_format() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| `format` | required |"))
    assert [form for form in FORMATS if not re.search(rf"\b{form}\b", line)] == []
