"""A promptable segmenter in two ONNX files: made up, and so simple that its masks are known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from thresher.errors import DataError
from thresher.segmentation.prompted import prompted

pytestmark = pytest.mark.slow

SIDE = 16


def saved(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], outputs: list[str]) -> Path:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    got = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    scale = onnx.numpy_helper.from_array(np.array(10, np.float32), "ten")
    quality = onnx.numpy_helper.from_array(np.array([[0.2, 0.9]], np.float32), "known_quality")
    graph = helper.make_graph(nodes, "made_up", given, got, [scale, quality])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The encoder gives the mean of the channels; the decoder two masks: the dark pixels, and, better, the bright."""
    node = onnx.helper.make_node
    mean = node("ReduceMean", ["image"], ["image_embed"], axes=[1], keepdims=1)
    encoder = saved(tmp_path / "encoder.onnx", [mean], {"image": [1, 3, SIDE, SIDE]}, ["image_embed"])
    nodes = [
        node("Mul", ["image_embeddings", "ten"], ["bright"]),
        node("Neg", ["bright"], ["dark"]),
        node("Concat", ["dark", "bright"], ["masks"], axis=1),
        node("Identity", ["known_quality"], ["quality"]),
    ]
    prompts = {"point_coords": [1, 2, 2], "point_labels": [1, 2], "mask_input": [1, 1, 4, 4], "has_mask_input": [1]}
    inputs = {"image_embeddings": [1, 1, SIDE, SIDE], **prompts}
    return encoder, saved(tmp_path / "decoder.onnx", nodes, inputs, ["masks", "quality"])


def test_the_better_mask_is_taken_at_the_pixels_of_the_box(files: tuple[Path, Path]) -> None:
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, 32:] = 255
    corners, place = np.array([[0.25, 0, 0.75, 1]], np.float32), (slice(0, 8), slice(4, 12))
    (found,) = prompted(*files).in_boxes(pixels, corners, np.array([0]), [place], (8, 16))
    assert found.shape == (8, 8)
    assert (found[:, :3] < 0.1).all() and (found[:, 5:] > 0.9).all()
    assert prompted(*files).in_boxes(pixels, corners[:0], np.array([], np.int64), [], (8, 16)) == []


def test_what_does_not_belong_together_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    encoder, decoder = files
    node = onnx.helper.make_node("Identity", ["text"], ["masks"])
    other = saved(tmp_path / "other.onnx", [node], {"text": [1, 4]}, ["masks"])
    with pytest.raises(DataError, match=r"other.onnx: asks for text; known are .*point_coords"):
        prompted(encoder, other)
    decoder.write_bytes(b"no network")
    with pytest.raises(DataError, match=r"decoder.onnx: no ONNX file that onnxruntime can run"):
        prompted(encoder, decoder)
