"""A network as ONNX: a structure is exported once, and weights are filled in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thresher.data.taxonomy import load_taxonomy
from thresher.pretrained import pretrained_weights
from thresher.segmentation import exported
from thresher.segmentation.exported import onnx_logits, onnx_network
from thresher.segmentation.network import SegmentationNetwork, new_network
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import ClassTree, class_tree

pytestmark = pytest.mark.slow

TREE = class_tree(load_taxonomy("camvid"), False)


def network(seed: int, tree: ClassTree = TREE) -> SegmentationNetwork:
    """Every weight, and every mean and variance of normalisation, is drawn anew."""
    settings = NetworkSettings(decoder_channels=64, seed=seed)
    made = new_network(tree, settings, pretrained_weights(settings.encoder, settings.weights))
    generator = torch.Generator().manual_seed(seed)
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(1 + 0.2 * torch.rand(tensor.shape, generator=generator))
    return made.eval()


def test_weights_that_are_filled_in_give_what_torch_gives() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 96), dtype=np.uint8))
    exported._EXPORTED.clear()
    outputs = []
    for seed in (1, 2):
        made = network(seed)
        (by_onnx, *_), by_torch = onnx_logits(onnx_network(made, TREE))(images), made(images)[0].detach()
        assert by_onnx.numpy() == pytest.approx(by_torch.numpy(), abs=1e-3 * float(by_torch.abs().max()))
        outputs.append(by_onnx)
    assert len(exported._EXPORTED) == 1, "the second was exported again"
    assert not torch.allclose(*outputs, rtol=0.1), "both networks have the same weights"


def test_every_weight_of_the_file_is_one_of_the_network() -> None:
    import onnx

    made = network(3)
    file = onnx.load_from_string(onnx_network(made, TREE))
    learnt = {name for name, tensor in made.state_dict().items() if tensor.numel() > 1}
    # Whatever was folded into another tensor would keep the weights of the first network.
    assert {tensor.name for tensor in file.graph.initializer if tensor.dims} <= set(made.state_dict())
    assert learnt - {tensor.name for tensor in file.graph.initializer} == set()
