"""Quantise a network to 8-bit integers: twice as fast, with features that rank images nearly the same."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from thresher.files import replacing


def quantise(network: Path, to: Path, inputs: Iterable[Float32[np.ndarray, "1 3 h w"]]) -> None:
    """Write the network with 8-bit weights (one scale per channel) and activations to `to`.

    Args:
        inputs: Images as the network takes them; the range of each activation is that over all of these.

    The first convolution stays in floats: it is small, and its input is the image.

    Source: Jacob et al. 2018 (arXiv 1712.05877), as onnxruntime's static quantisation does it.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            return None if image is None else {name: image}

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "made.onnx"
        quant_pre_process(str(network), str(prepared))
        graph = onnx.load(prepared).graph
        name = graph.input[0].name
        first = next(node.name for node in graph.node if node.op_type == "Conv")
        quantize_static(
            str(prepared),
            str(made),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[first],
        )
        with replacing(to) as file:
            file.write(made.read_bytes())
