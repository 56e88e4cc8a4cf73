"""A run whose backbone is there, so that pictures of one's own can be looked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from thresher import tables
from thresher.features.backbone import BackboneSettings
from thresher.features.network_file import network_there
from thresher.features.projection import Projection
from thresher.features.worker import Worker, projected_features
from thresher.run.folder import Run

CHANNELS = 8


def made_up_backbone(path: Path) -> Path:
    """A filter of 32 × 32 pixels, which it moves by its whole side."""
    weights = np.random.default_rng(0).normal(size=(CHANNELS, 3, 32, 32)).astype(np.float32)
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    asked = helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, CHANNELS, "gh", "gw"])
    filters = helper.make_tensor("filters", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)
    node = helper.make_node("Conv", ["image", "filters"], ["features"], strides=[32, 32])
    graph = helper.make_graph([node], "made up", [given], [asked], [filters])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="session")
def looking_run(hostile_run: Callable[[Path], Run]) -> Callable[[Path], Run]:
    """Writes the hostile run, with the vectors that embed stores; the two images that cannot be read have none."""

    def written(folder: Path) -> Run:
        made = hostile_run(folder)
        _embed(made, folder)
        return made

    return written


def _embed(made: Run, folder: Path) -> None:
    settings = {"backbone": str(made_up_backbone(folder / "tiny.onnx")), "short_side": 64}
    made.note("embed", {"settings": settings, "summary": {}})
    worker = Worker(network_there(made, BackboneSettings(**settings)))
    plain = Projection(np.zeros(CHANNELS, np.float32), np.eye(CHANNELS, dtype=np.float32), 1.0)
    images = tables.read(made.images, tables.INDEXED_IMAGES)
    found = [
        projected_features(image_id, worker.unit_slices(Path(path)), plain)
        for image_id, path in images.select("image_id", "path").iter_rows()
        if Path(path).stem not in ("0", "1")
    ]
    vectors = pl.DataFrame(
        {"image_id": [each.image_id for each in found], "vector": np.stack([each.vector for each in found])}
    )
    pooled = tables.read(made.pooled, tables.POOLED).drop("vector").join(vectors, on="image_id")
    tables.write(pooled, made.pooled)
