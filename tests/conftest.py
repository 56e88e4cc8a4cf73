"""Shapes and types of every public function are checked wherever a test calls it."""

from __future__ import annotations

from collections.abc import Iterator
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
