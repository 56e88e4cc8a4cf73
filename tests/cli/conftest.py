"""The command in this process, and four photographs to run it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from thresher.cli.main import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, folder in enumerate(["target", "pool", "pool", "pool"]):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.effect_noise((96, 64), 20 + 30 * number).convert("RGB").save(tmp_path / folder / f"photo {number} é.jpg")
    return tmp_path


def run_command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture
def thresher() -> Callable[..., int]:
    """The command with these arguments; gives its exit code."""
    return run_command


@pytest.fixture
def indexed() -> Callable[[Path], Path]:
    """A run of the photographs, with its tables."""

    def made(photos: Path) -> Path:
        run = photos / "run"
        sources = ["--target", f"folder:{photos / 'target'}", "--pool", f"folder:{photos / 'pool'}"]
        assert run_command("index", run, *sources) == 0
        return run

    return made
