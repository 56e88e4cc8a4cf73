"""Shapes and types of every public function are checked wherever a test calls it; and what many tests share: a small
run of made-up tables whose names try to break out of whatever shows them, a browser, the public sets.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import settings as hypothesis_settings
from jaxtyping import install_import_hook
from PIL import Image

# A busy machine is no fault of the code: no example of a property test has a time limit.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")
#: How a test file says that it is slow.
SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow", re.MULTILINE)
SOURCE = Path(__file__).resolve().parents[1] / "src" / "thresher"
# Before any test module imports thresher, so that each of its functions is wrapped; but those that numba compiles.
_HOOK = install_import_hook(
    [
        f"thresher.{package}.{module.stem}"
        for package in ("density", "features", "labelling", "segmentation", "selection")
        for module in (SOURCE / package).glob("*.py")
        if module.stem not in ("__init__", "kernels_compiled", "areas_compiled", "facility_compiled")
        and (package, module.stem) not in [("labelling", name) for name in ("settings", "stage", "export_labels")]
    ],
    "beartype.beartype",
)

from thresher import tables  # noqa: E402
from thresher.run.folder import Run  # noqa: E402
from thresher.run.perform import as_json  # noqa: E402
from thresher.stages.index import IndexSettings  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: not among the tests of `make quick`; set for a whole file")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Slow files are not even imported for `make quick`, since their libraries take seconds to load."""
    unwanted = config.getoption("markexpr") == "not slow" and collection_path.name.startswith("test_")
    return True if unwanted and SLOW.search(collection_path.read_text("utf-8")) else None


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One convolution of 32 × 32 pixels: features that depend on the pixels, without the seconds that torch takes."""
    onnx = pytest.importorskip("onnx")
    helper, path = onnx.helper, tmp_path_factory.mktemp("network") / "tiny.onnx"
    kernel = np.random.default_rng(0).normal(size=(24, 3, 32, 32)).astype(np.float32) / 50
    node = helper.make_node("Conv", ["image", "kernel"], ["features"], strides=[32, 32])
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 3, "height", "width"])
    features = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", 24, "h", "w"])
    weights = [onnx.numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph([node], "tiny", [image], [features], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Pictures as small as those of tests gain nothing by more of torch's threads, and tests run side by side."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the public sets are not beside this checkout (../shared/data)")
    return SHARED_DATA


EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
POOL, TARGET = 60, 6
TAXONOMY = f"""
name = "made up"
void_id = 9
[groups]
[classes.{json.dumps("car" + EVIL)}]
id = 0
colour = [1, 2, 3]
thing = true
[classes.sign]
id = 1
colour = [4, 5, 6]
thing = true
"""


@pytest.fixture(scope="session")
def hostile_run() -> Callable[[Path], Run]:
    """Writes the run into a folder. Pool image 0 is not there, 1 is a link that leads out of the data's folder.

    Even pool images hold 1 to 4 cars, each eighth of them one sign; layout falls with the number, diversity rises.
    """
    return _written


def _written(folder: Path) -> Run:
    run, data = Run(folder / "run"), folder / "data"
    run.folder.mkdir(parents=True)
    data.mkdir()
    Image.effect_noise((64, 48), 60).convert("RGB").save(folder / "secret.png")
    rows: list[dict[str, object]] = []
    boxes: list[dict[str, object]] = []
    for number in range(POOL + TARGET):
        role = "target" if number >= POOL else "pool"
        path, name = data / f"{number}.png", f"{role}/{number:03}{EVIL if role == 'pool' else ''}"
        if number == 1:
            path.symlink_to(folder / "secret.png")
        elif number:
            Image.effect_noise((64, 48), 60).convert("RGB").save(path)
        dataset = role if role == "target" else f"set {number % 2}{EVIL}"
        rows.append({"image_id": name, "path": str(path), "dataset": dataset, "role": role})
        if role == "pool" and number % 2 == 0:
            corners = {"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.6}
            car = {"image_id": name, "label": "car", "class": f"car{EVIL}", **corners}
            boxes += [car] * (1 + number % 4)
            if number % 8 == 0:
                boxes.append({"image_id": name, "label": "sign", "class": "sign", **corners, "x1": 0.2})
    tables.write(tables.from_rows(rows, tables.INDEXED_IMAGES), run.images)
    tables.write(tables.from_rows(boxes, tables.BOXES), run.boxes)
    tables.write(tables.empty(tables.LABELS), run.labels)
    tables.write(tables.empty(tables.MASKS), run.masks)
    run.taxonomy.write_text(TAXONOMY, "utf-8")
    index = IndexSettings(target=(f"folder:{data}",), pool=(f"folder:{data}",), taxonomy=str(run.taxonomy))
    run.note("index", {"settings": as_json(index), "summary": {}})
    _write_scores(run, [str(row["image_id"]) for row in rows])
    return run


def _write_scores(run: Run, ids: list[str]) -> None:
    rng = np.random.default_rng(1)
    vectors = pl.Series(rng.normal(size=(len(ids), 6)).astype(np.float16), dtype=pl.Array(pl.Float16, 6))
    size = pl.lit(3, pl.Int32)
    pooled = pl.DataFrame({"image_id": ids}).with_columns(
        grid_h=size, grid_w=size, width_px=pl.lit(64, pl.Int32), height_px=pl.lit(48, pl.Int32), vector=vectors
    )
    tables.write(pooled, run.pooled)
    scores: list[dict[str, object]] = [
        {
            "image_id": ids[number],
            "layout": 1 - number / POOL,
            "similarity": float(rng.normal(50, 20)),
            "diversity": float(number),
            "nearest_ids": [ids[POOL], ids[POOL + 1]],
        }
        for number in range(POOL)
    ]
    tables.write(tables.from_rows(scores, tables.SCORES), run.scores_path)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's browser, driven by playwright."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed here (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="session")
def barriers() -> Callable[[Any], list[str]]:
    """What axe-core finds in a page that keeps people out: violations of impact serious or critical, with the place."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

    def found(page: Any) -> list[str]:
        violations = axe.Axe().run(page).response["violations"]
        return [
            f"{each['id']} ({each['impact']}): {node['html'][:120]} {node['failureSummary'][:200]}"
            for each in violations
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    return found
