"""Imports point one way, heavy libraries stay where they belong, and no module grows past one idea."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "thresher"
MODULES = sorted(SOURCE.rglob("*.py"))
#: Each layer may import those to its right and itself.
LAYERS = [
    {"__main__", "cli", "commands"},
    {"stages"},
    {"report", "segmentation", "selection", "density", "features"},
    {"data"},
    {"tables", "files", "processes", "run", "errors", "__init__"},
]
#: Library → where alone it may be imported.
KEPT_IN = {
    "torch": ("features/backbone.py", "features/pixels.py", "features/worker.py", "segmentation/"),
    "timm": ("features/backbone.py", "segmentation/"),
    "onnxruntime": ("features/backbone.py", "features/quantised.py", "segmentation/"),
    "accelerate": ("segmentation/devices.py",),
    "tensorboard": ("segmentation/board.py",),
    "torchvision": ("segmentation/",),
    "segmentation_models_pytorch": ("segmentation/",),
    "numba": ("density/kernels.py",),
    "ray": (
        "features/engine.py",
        "stages/ray_cells.py",
    ),  # the one embeds images, the other trains networks: layers apart
    "starlette": ("report/explorer.py",),
    "uvicorn": ("stages/explore.py",),
    "jinja2": ("report/page.py",),
    "altair": ("report/charts.py", "report/comparison.py", "report/page_charts.py"),
    "vl_convert": ("report/charts.py",),
    "sklearn": ("report/insight.py",),
    "cyclopts": ("cli.py", "commands.py"),
    "rich": ("commands.py",),
    "pickle": (),
}


def relative(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


def layer_of(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported(module: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_imports_point_one_way(module: Path) -> None:
    own = relative(module).split("/")[0].removesuffix(".py")
    for name in imported(module):
        parts = name.split(".")
        if parts[0] != "thresher" or len(parts) < 2 or parts[1].startswith("__"):
            continue
        assert layer_of(own) <= layer_of(parts[1]), f"{relative(module)} imports {name}, which lies above it"
        if layer_of(own) == 2:
            assert parts[1] == own or layer_of(parts[1]) > 2, f"{relative(module)} imports its neighbour {name}"


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_heavy_libraries_stay_where_they_belong(module: Path) -> None:
    for name in imported(module):
        library = name.split(".")[0]
        places = KEPT_IN.get(library)
        assert places is None or relative(module).startswith(places), f"{relative(module)} imports {library}"


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_modules_hold_one_idea(module: Path) -> None:
    lines = len(module.read_text("utf-8").splitlines())
    assert lines <= 350, f"{relative(module)} has {lines} lines"
