"""The commands that the pages on why, how many and wishes show are commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from thresher.cli.main import app

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
LINES = [
    line
    for name in ("why.md", "how-many.md", "wishes.md")
    for block in re.findall(r"```bash\n(.*?)```", (PAGES / name).read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_a_command_with_its_arguments(line: str) -> None:
    words = shlex.split(line, comments=True)
    assert words[0] == "thresher"
    command, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert command.__name__ == f"{words[1]}_command"
    assert bound.arguments["run"] == Path("runs/mine")


def test_the_pages_show_all_three() -> None:
    assert {line.split()[1] for line in LINES} >= {"why", "audit", "budget"}
