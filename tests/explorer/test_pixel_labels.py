"""An opened image shows the newest pixel labels that a label set gives it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.taxonomy import load_taxonomy
from thresher.explorer.explore import ExploreSettings, explorer
from thresher.run.folder import Run

pytest.importorskip("httpx2", reason="starlette's test client is not installed here")
from starlette.testclient import TestClient


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    return hostile_run(tmp_path)


def write_label_set(run: Run, name: str, image_id: str, size: tuple[int, int], value: int) -> None:
    folder = run.label_set(name)
    (folder / "masks").mkdir(parents=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(folder / "masks" / "one.png")
    row = {"image_id": image_id, "file": "masks/one.png", "height_px": size[0], "width_px": size[1]}
    row["share_labelled"] = 1.0
    tables.write(tables.from_rows([row], tables.LABELLED_IMAGES), folder / "images.parquet")


def test_the_labels_of_an_image_are_drawn_beside_it(run: Run) -> None:
    images = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").sort("image_id")
    readable = images.filter(
        pl.col("path").map_elements(lambda path: Path(path).is_file() and not Path(path).is_symlink(), pl.Boolean)
    )
    image_id, path = readable.select("image_id", "path").row(0)
    with Image.open(path) as image:
        width, height = image.size
    first, second = load_taxonomy(str(run.taxonomy)).classes[:2]
    write_label_set(run, "older", image_id, (height, width), first.id)
    with TestClient(explorer(run, ExploreSettings(person="ada")), base_url="http://127.0.0.1:8765") as client:
        rows = [client.get(f"/api/details/{row}").json() for row in range(images.height)]
        mine = next(each for each in rows if each["id"] == image_id)
        assert mine["labels"] == "older"
        other = next(each for each in rows if each["id"] != image_id)
        assert other["labels"] == ""
        write_label_set(run, "newer", image_id, (height, width), second.id)
        assert client.get(f"/api/details/{mine['row']}").json()["labels"] == "newer"
        answer = client.get(f"/labels/{mine['row']}")
        assert answer.status_code == 200
        pair = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert pair.shape == (height, 2 * width + 4, 3)
        assert np.abs(pair[height // 2, -width // 2].astype(int) - second.colour).max() < 12  # JPEG
        refused = client.get(f"/labels/{other['row']}")
        assert refused.status_code == 404 and "thresher labels" in refused.json()["error"]
