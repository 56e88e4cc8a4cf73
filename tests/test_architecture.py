"""Imports point down only, heavy libraries stay where they belong, and no module grows past one idea."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "thresher"
MODULES = sorted(SOURCE.rglob("*.py"))
TEST_FILES = sorted(Path(__file__).parent.rglob("*.py"))
#: The rooms, floor by floor from the top. A room may import itself and what lies on the floors below it; rooms of one
#: floor know nothing of each other.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"report"},
    {"comparison"},
    {"explorer", "labelling"},
    {"training", "reasons"},
    {"stages"},
    {"features", "drawings", "segmentation"},
    {"run"},
    {"density", "selection", "data"},
    {"synthetic", "workers", "tables", "vectors", "pretrained"},
    {"files", "run_files", "settings", "extras", "frames"},
    {"errors"},
]
#: Most modules of a room's own folder, where the number is a promise.
MOST_MODULES = {"stages": 14}
MOST_LINES = 350
#: Library → where alone it may be imported.
KEPT_IN = {
    "torch": ("pretrained.py", "features/", "segmentation/", "training/"),
    "timm": ("pretrained.py", "features/backbone.py", "segmentation/"),
    "onnxruntime": ("features/backbone.py", "features/quantised.py", "segmentation/"),
    "accelerate": ("segmentation/devices.py",),
    "tensorboard": ("segmentation/board.py",),
    "torchvision": ("segmentation/", "training/dataset.py"),
    "segmentation_models_pytorch": ("segmentation/",),
    "numba": ("density/kernels_compiled.py", "selection/areas_compiled.py", "selection/facility_compiled.py"),
    "ray": ("workers/",),
    "starlette": ("explorer/application.py",),
    "uvicorn": ("explorer/explore.py",),
    "jinja2": ("report/page.py",),
    "altair": ("drawings/",),
    "vl_convert": ("drawings/charts.py",),
    "sklearn": ("density/",),
    "tokenizers": ("features/words.py",),
    "cyclopts": ("cli/",),
    "rich": ("cli/",),
    "pickle": (),
}


def relative(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


def room_of(module: Path) -> str:
    return relative(module).split("/")[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@functools.cache
def imported(module: Path) -> list[str]:
    """Every name that a module imports, as module.name; also within functions and for type checkers."""
    names = []
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@functools.cache
def modules_imported(module: Path) -> set[Path]:
    """The modules of ours that a module imports."""
    found = set()
    for name in imported(module):
        parts = name.split(".")[1:] if name.startswith("thresher.") else []
        for place in (SOURCE.joinpath(*parts), SOURCE.joinpath(*parts[:-1])):
            file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
            if parts and file.is_file() and file.parent != SOURCE:
                found.add(file)
                break
    return found - {module}


@pytest.mark.parametrize("module", [each for each in MODULES if each != SOURCE / "__init__.py"], ids=relative)
def test_imports_point_down_only(module: Path) -> None:
    room = room_of(module)
    for name in imported(module):
        parts = name.split(".")
        if parts[0] != "thresher" or len(parts) < 2 or parts[1].startswith("__") or parts[1] == room:
            continue
        assert floor_of(room) < floor_of(parts[1]), f"{relative(module)} imports {name}, which does not lie below it"


def test_no_modules_import_each_other_in_a_circle() -> None:
    below = {module: modules_imported(module) for module in MODULES if module != SOURCE / "__init__.py"}
    done: set[Path] = set()

    def visit(module: Path, way: tuple[Path, ...]) -> None:
        assert module not in way, "circle: " + " -> ".join(map(relative, (*way[way.index(module) :], module)))
        if module not in done:
            for each in sorted(below.get(module, ())):
                visit(each, (*way, module))
            done.add(module)

    for module in below:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_heavy_libraries_stay_where_they_belong(module: Path) -> None:
    for name in imported(module):
        library = name.split(".")[0]
        places = KEPT_IN.get(library)
        assert places is None or relative(module).startswith(places), f"{relative(module)} imports {library}"


@pytest.mark.parametrize("module", [*MODULES, *TEST_FILES], ids=str)
def test_modules_hold_one_idea(module: Path) -> None:
    lines = len(module.read_text("utf-8").splitlines())
    assert lines <= MOST_LINES, f"{module} has {lines} lines"


@pytest.mark.parametrize("room", MOST_MODULES)
def test_rooms_stay_small(room: str) -> None:
    modules = [path for path in (SOURCE / room).glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES[room], f"{room} has {len(modules)} modules"


@pytest.mark.parametrize("folder", sorted({module.parent for module in MODULES}), ids=relative)
def test_every_folder_says_what_lives_there(folder: Path) -> None:
    words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
    assert words and len(words.split()) >= 12, f"{relative(folder)}/__init__.py: a paragraph on what lives there"
