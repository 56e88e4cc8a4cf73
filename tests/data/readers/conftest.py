from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from thresher.data.dataset import Dataset


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small image file below tmp_path, 20 × 10 pixels unless told otherwise."""

    def make(name: str, size: tuple[int, int] = (20, 10)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "grey").save(path)
        return path

    return make


@pytest.fixture
def text(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a text file below tmp_path."""

    def make(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
        return path

    return make


@pytest.fixture
def words() -> Callable[[Dataset], dict[str, int]]:
    """How often each problem occurs."""
    return lambda dataset: dict(Counter(dataset.problems["problem"]))


@pytest.fixture
def corners() -> Callable[[Dataset], list[tuple[object, ...]]]:
    """The boxes as rows of (image_id, label, x0, y0, x1, y1), rounded to five digits."""

    def rows(dataset: Dataset) -> list[tuple[object, ...]]:
        table = dataset.boxes.select("image_id", "label", "x0", "y0", "x1", "y1")
        return [(*row[:2], *(round(value, 5) for value in row[2:])) for row in table.iter_rows()]

    return rows
