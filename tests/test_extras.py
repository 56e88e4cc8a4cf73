"""The core is light: what is heavy comes with optional parts, and is asked for by name where it is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from thresher import extras
from thresher.errors import SettingsError

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
HEAVY = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "simplejpeg", "numba", "sklearn", "altair", "ray")


def packages(requirements: list[str]) -> list[str]:
    return [re.split(r"[<>=!~\[ ]", each)[0] for each in requirements if not each.startswith("thresher[")]


def test_the_table_of_parts_is_what_the_package_declares() -> None:
    declared = PROJECT["optional-dependencies"]
    parts = {part: packages(needs) for part, needs in declared.items() if part not in ("all", "dev")}
    assert parts == {part: list(brought.values()) for part, brought in extras.EXTRAS.items()}
    for part, below in extras.ABOVE.items():
        assert declared[part][0] == f"thresher[{','.join(below)}]"
    assert declared["all"] == [f"thresher[{','.join(extras.EXTRAS)}]"]
    assert declared["dev"][0] == "thresher[all]"


def test_the_core_declares_nothing_heavy() -> None:
    heavy = {package for brought in extras.EXTRAS.values() for package in brought.values()}
    assert not heavy & set(packages(PROJECT["dependencies"]))


def test_what_is_installed_is_not_asked_for() -> None:
    assert extras.missing(*extras.EXTRAS) == []
    extras.require("report", "insight")


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = {"not_there_a": "not-there-a", "json": "json", "not_there_b": "not-there-b"}
    monkeypatch.setitem(extras.EXTRAS, "report", brought)
    with pytest.raises(SettingsError) as error:
        extras.require("report", "insight")
    assert str(error.value) == f"insight needs not-there-a, not-there-b: {extras.install('report')}"
    with pytest.raises(
        SettingsError, match=r"compare needs not-there-a, not-there-b: .*pip install .*\[report,train\]"
    ):
        extras.require("report,train", "compare")


def test_a_part_asks_for_the_part_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRAS, "embed", {"not_there": "not-there", "numba": "numba"})
    assert extras.missing("train") == ["not-there"]
    assert extras.missing("report") == []


#: As in an environment that has the core alone: nothing of the optional parts can be found.
CORE_ALONE = f"""
import importlib.util, sys

hidden = {sorted({name for brought in extras.EXTRAS.values() for name in brought})}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] in hidden else found(name, package)
sys.meta_path.insert(0, Absent())
"""


def in_the_core_alone(script: str, folder: Path) -> str:
    command = [sys.executable, "-c", CORE_ALONE + script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_stage_is_imported_without_the_optional_parts(tmp_path: Path) -> None:
    script = "from thresher import STAGES; print(all([callable(stage.run) for stage in STAGES]))"
    assert in_the_core_alone(script, tmp_path) == "True\n"


FROM_VECTORS_AND_BOXES = """
from pathlib import Path
import sys
import numpy as np, polars as pl
from PIL import Image
import thresher
from thresher import *

rng = np.random.default_rng(0)
Path("target").mkdir(); Path("pool").mkdir()
for number in range(24):
    Image.new("RGB", (32, 24), (number, 0, 0)).save(f"{'target' if number < 8 else 'pool'}/{number:02}.png")
index(Run("run"), IndexSettings("folder:target", "folder:pool"))
ids = pl.read_parquet("run/images.parquet")["image_id"].sort().to_list()
vectors = rng.normal(size=(24, 40)).astype(np.float32)
np.save("vectors.npy", vectors); Path("ids.txt").write_text("\\n".join(ids))
embed("run", EmbedSettings(vectors="vectors.npy", ids="ids.txt"))
run = Run("run")
fit(run, FitSettings(components=1))
score(run)
select(run, SelectSettings(method="cosine", budget=5))
print(len(selected(run, "cosine-5")))
print(sorted(set(HEAVY) & set(sys.modules)))
""".replace("HEAVY", repr(HEAVY))


def test_a_selection_from_vectors_and_boxes_needs_the_core_alone(tmp_path: Path) -> None:
    chosen, heavy = in_the_core_alone(FROM_VECTORS_AND_BOXES, tmp_path).splitlines()
    assert chosen == "5"
    assert heavy == "[]"


def test_embed_names_the_part_that_it_needs(tmp_path: Path) -> None:
    script = """
from thresher import *
from pathlib import Path
from PIL import Image
Path("a").mkdir(); Image.new("RGB", (32, 24)).save("a/0.png")
index(Run("run"), IndexSettings("folder:a"))
try:
    embed("run")
except SettingsError as error:
    print(error)
"""
    assert in_the_core_alone(script, tmp_path) == (
        f"embed needs onnx, onnxruntime, onnxscript, timm, torch: {extras.install('embed')} "
        "(or use your own embeddings: `thresher embed run --vectors FILE`)\n"
    )
