"""The notebooks of the docs run from their first cell to their last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
EXECUTE = f"""
import json, sys
sys.path.insert(0, {str(NOTEBOOKS)!r})
from execute import executed
from pathlib import Path
path = Path(sys.argv[1])
print(json.dumps(executed(json.loads(path.read_text("utf-8")), path.name)))
"""


def outputs(name: str, folder: Path) -> list[str]:
    """What each code cell shows, as text; empty where it shows nothing."""
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOKS / name)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    cells = [cell for cell in json.loads(done.stdout)["cells"] if cell["cell_type"] == "code"]
    texts = [[each.get("text") or each["data"]["text/plain"] for each in cell["outputs"]] for cell in cells]
    return ["".join(line for text in cell for line in text) for cell in texts]


def test_from_a_folder_to_a_selection(tmp_path: Path) -> None:
    shown = outputs("from_a_folder_to_a_selection.ipynb", tmp_path)
    assert "embed       not done; run: thresher embed runs/first" in shown[2]
    assert shown[3] == "embed done\nfit done\nscore done\n"
    assert "'images': 10" in shown[4]
    assert "torch.Size([3, " in shown[7]
    assert "first (10 images)" in shown[8]


def test_your_own_embeddings_and_boxes(tmp_path: Path) -> None:
    shown = outputs("your_own_embeddings_and_boxes.ipynb", tmp_path)
    assert shown[1] == "True"
    assert float(shown[4]) > 0.5
    assert shown[5].endswith("True)")
    assert (tmp_path / "embeddings.npy").is_file()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_name_no_folder_of_one_machine(path: Path) -> None:
    assert "/tmp" not in path.read_text("utf-8")
    assert "/home" not in path.read_text("utf-8")
