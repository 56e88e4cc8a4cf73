"""A run whose backbone is there, and a text encoder: what a picture of one's own or words are looked for with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
_WORDS = ("nothing", "tram", "night", "rain")


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


@pytest.fixture(scope="session")
def text_files() -> Callable[..., tuple[Path, Path]]:
    """Writes text.onnx and tokenizer.json into a folder, given the vectors of nothing, tram, night and rain."""

    def written(folder: Path, vectors: np.ndarray, **more: Any) -> tuple[Path, Path]:
        return _encoder(folder / "text.onnx", vectors, **more), _tokenizer(folder / "tokenizer.json")

    return written


def _tokenizer(path: Path) -> Path:
    """A word is a token; all others are "nothing", whose vector is 0."""
    content = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None} | {
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(_WORDS)},
            "unk_token": "nothing",
        },
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


def _encoder(path: Path, vectors: np.ndarray, length: int | str = "n", masked: bool = False) -> Path:
    """The sum of the tokens' vectors; with a mask, of those that it holds."""
    table = helper.make_tensor("table", TensorProto.FLOAT, vectors.shape, vectors.astype("<f4").tobytes(), raw=True)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    names = ["input_ids", *(["attention_mask"] if masked else [])]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, length]) for name in names]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [1, length, vectors.shape[1]]),
        helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, [1, vectors.shape[1]]),
    ]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["found"])]
    if masked:
        last = helper.make_tensor("last", TensorProto.INT64, [1], [2])
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["flags"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["flags", "last"], ["column"]),
            helper.make_node("Mul", ["found", "column"], ["last_hidden_state"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["found"], ["last_hidden_state"]))
    nodes.append(helper.make_node("ReduceSum", ["last_hidden_state", "axes"], ["text_embeds"], keepdims=0))
    graph = helper.make_graph(nodes, "made up", given, outputs, [table, axes, *([last] if masked else [])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
