"""A segmentation network as ONNX, and run by onnxruntime."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8

from thresher.errors import SettingsError
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.tree import ClassTree

#: The logits of each classifier for a batch of images of one size.
Logits = Callable[[UInt8[torch.Tensor, "n 3 h w"]], Sequence[Float[torch.Tensor, "n _ h w"]]]
_OPSET = 17


def is_exportable(network: SegmentationNetwork) -> bool:
    """Whether ONNX can say what the network does to images of any size: not if it pools them to 2 × 2, say."""
    pools = [module for module in network.modules() if isinstance(module, torch.nn.AdaptiveAvgPool2d)]
    return all(pool.output_size in (1, (1, 1)) for pool in pools)


def onnx_network(network: SegmentationNetwork, tree: ClassTree, metadata: Mapping[str, str] | None = None) -> bytes:
    """The network as an ONNX file's bytes: `image` (n 3 h w, 8-bit RGB) → the logits of each classifier, by its name.

    Batch, height and width are free; height and width are multiples of 32.

    Args:
        network: In eval mode; its encoder should be padded statically, or the padding is worked out at every call.
        metadata: Texts to keep beside the network (`metadata_props`).

    Raises:
        SettingsError: the network is not exportable.
    """
    import onnx

    if not is_exportable(network):
        raise SettingsError("this decoder pools to a grid of fixed size, which ONNX cannot say for images of any size. "
                            "Train one that does not: fpn, deeplabv3plus or unet.")  # fmt: skip
    names = [classifier.name for classifier in tree.classifiers]
    axes = {0: "batch", 2: "height", 3: "width"}
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter takes minutes where this one takes a second (decisions/0003).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros((1, 3, 64, 96), dtype=torch.uint8),),
            content,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=names,
            dynamic_axes={name: axes for name in ("image", *names)},
            opset_version=_OPSET,
            dynamo=False,
        )
    if not metadata:
        return content.getvalue()
    model = onnx.load_from_string(content.getvalue())
    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())


def onnx_logits(content: bytes) -> Logits:
    """The network in an ONNX file's bytes, run by onnxruntime on the caller's own thread; threads may share it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def logits(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(part) for part in session.run(None, {"image": images.contiguous().numpy()})]

    return logits
