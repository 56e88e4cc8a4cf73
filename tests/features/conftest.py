"""An indexed run over small pictures of noise, for all that is not about what the pictures show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher import Run
from thresher.stages.index import IndexSettings, index


@pytest.fixture(scope="session")
def noise_run() -> Callable[[Path, int, int], Run]:
    """Called with a folder to fill, and how many images target and pool get."""

    def made(folder: Path, target: int, pool: int) -> Run:
        rng = np.random.default_rng(0)
        for side, count in (("target", target), ("pool", pool)):
            (folder / side).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 255, (40, 60, 3), np.uint8)
                Image.fromarray(pixels).save(folder / side / f"{number:03d}.png")
        run = Run(folder / "run")
        index(run, IndexSettings((f"folder:{folder}/target",), (f"folder:{folder}/pool",)))
        return run

    return made
