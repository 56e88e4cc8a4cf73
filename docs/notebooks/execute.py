"""Executes the notebooks of this folder and writes their outputs into them.

Run: python docs/notebooks/execute.py        (tests/test_notebooks.py executes them too, and writes nothing)
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))


def executed(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The notebook with the outputs that its cells give, run one after the other in the current folder."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate((each for each in notebook["cells"] if each["cell_type"] == "code"), 1):
        source = "".join(cell["source"])
        printed, shown = io.StringIO(), None
        tree = ast.parse(source)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        place = f"{name}, cell {number}"
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, place, "exec"), scope)
            if isinstance(last, ast.Expr):
                shown = eval(compile(ast.Expression(last.value), place, "eval"), scope)
        cell["execution_count"], cell["outputs"] = number, []
        if printed.getvalue():
            cell["outputs"].append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
        if shown is not None:
            data = {"text/plain": _lines(repr(shown))}
            if hasattr(shown, "_repr_html_"):
                data["text/html"] = _lines(shown._repr_html_())
            cell["outputs"].append(
                {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
            )
    return notebook


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Execute each notebook in a folder of its own."""
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            notebook = executed(json.loads(path.read_text("utf-8")), path.name)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + os.linesep, "utf-8")
        sys.stdout.write(f"{path.name}: {len(notebook['cells'])} cells\n")


if __name__ == "__main__":
    main()
