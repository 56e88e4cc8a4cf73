"""A segmentation network as ONNX, and run by onnxruntime."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8

from thresher.errors import SettingsError
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.tree import ClassTree

#: Gives the logits of each classifier for a batch of images of one size.
Logits = Callable[[UInt8[torch.Tensor, "n 3 h w"]], Sequence[Float[torch.Tensor, "n _ h w"]]]
_OPSET = 17
#: ONNX files of this process by what they express: the structure of a module in words, and the names of its outputs.
_EXPORTED: dict[tuple[str, tuple[str, ...]], bytes] = {}
_MOST_STRUCTURES = 4


def is_exportable(network: SegmentationNetwork) -> bool:
    """Whether ONNX can express the network for images of any size. It cannot if features are pooled to, say, 2 × 2."""
    pools = [module for module in network.modules() if isinstance(module, torch.nn.AdaptiveAvgPool2d)]
    return all(pool.output_size in (1, (1, 1)) for pool in pools)


def onnx_network(network: SegmentationNetwork, tree: ClassTree, metadata: Mapping[str, str] | None = None) -> bytes:
    """The network as the bytes of an ONNX file: `image` (n 3 h w, 8-bit RGB) → the logits of each classifier, by name.

    Any batch size, height and width will do, as long as height and width are multiples of 32.

    Args:
        network: In eval mode. Apply `pad_statically` to its encoder first, or padding is computed at every call.
        metadata: Stored in the file (`metadata_props`).

    Raises:
        SettingsError: the network is not exportable.
    """
    import onnx

    if not is_exportable(network):
        raise SettingsError(
            "this decoder pools to a grid of fixed size, which ONNX cannot express for images of any size. Train one "
            "that does not: decoder = fpn, deeplabv3plus or unet."
        )
    content = as_onnx(network, [classifier.name for classifier in tree.classifiers])
    if not metadata:
        return content
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())


def as_onnx(model: torch.nn.Module, names: Sequence[str]) -> bytes:
    """A module as the bytes of an ONNX file: `image` (n 3 h w, 8-bit RGB) → its outputs under these names.

    A process exports each structure once, which takes seconds, and then only fills in weights. Batch normalisation
    stays a layer of its own, which onnxruntime folds into convolutions when it loads the file.
    """
    import onnx

    structure = (str(model), tuple(names))
    if structure not in _EXPORTED:
        while len(_EXPORTED) >= _MOST_STRUCTURES:
            _EXPORTED.pop(next(iter(_EXPORTED)))
        _EXPORTED[structure] = _exported(_with_different_weights(model), names)
    file, weights = onnx.load_from_string(_EXPORTED[structure]), model.state_dict()
    for tensor in file.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name].cpu().numpy(), tensor.name))
    return bytes(file.SerializeToString())


def _with_different_weights(model: torch.nn.Module) -> torch.nn.Module:
    """A copy in which no two tensors are equal: of equal ones, such as biases of zeros, the exporter keeps one."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    for tensor in other.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(1 + torch.rand(tensor.shape, generator=generator))
    return other


def _exported(model: torch.nn.Module, names: Sequence[str]) -> bytes:
    """With each weight under its own name, so that it can be replaced: nothing is folded into another."""
    axes = {0: "batch", 2: "height", 3: "width"}
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter takes minutes where this one takes a second (docs/decisions/0003).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros((1, 3, 64, 96), dtype=torch.uint8),),
            content,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=[*names],
            dynamic_axes={name: axes for name in ("image", *names)},
            opset_version=_OPSET,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamo=False,
        )
    return content.getvalue()


def onnx_logits(content: bytes) -> Logits:
    """The network in the bytes of an ONNX file, run by onnxruntime on the calling thread; threads may share it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def logits(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(part) for part in session.run(None, {"image": images.contiguous().numpy()})]

    return logits
