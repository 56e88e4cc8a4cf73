"""Shapes and types of every public function are checked wherever a test calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

SOURCE = Path(__file__).resolve().parents[1] / "src" / "thresher"
# Before any test module imports thresher, so that each of its functions is wrapped; but those that numba compiles.
_HOOK = install_import_hook(
    [
        f"thresher.{package}.{module.stem}"
        for package in ("density", "features", "segmentation", "selection")
        for module in (SOURCE / package).glob("*.py")
        if module.stem not in ("__init__", "kernels")
    ],
    "beartype.beartype",
)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the public sets are not beside this checkout (../shared/data)")
    return SHARED_DATA
