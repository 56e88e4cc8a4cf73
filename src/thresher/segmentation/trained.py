"""A trained network, rebuilt from its checkpoint alone."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from thresher.data.taxonomy import Taxonomy, taxonomy_of
from thresher.errors import DataError
from thresher.pretrained import pad_statically
from thresher.run.perform import as_json
from thresher.segmentation.checkpoint import checkpoint_metadata, load_trained
from thresher.segmentation.devices import fastest_device
from thresher.segmentation.inference import Segmenter, segmenter
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import ClassTree, class_tree

#: A logit of probability 0, also in float16.
_NEVER = -1e4


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, and what its outputs mean."""

    network: SegmentationNetwork
    taxonomy: Taxonomy
    tree: ClassTree
    short_side: int
    """Pixels to which an image's short side is resized before the network sees it."""
    metadata: dict[str, Any]
    """The checkpoint's (`checkpoint_metadata`)."""


def rebuilt_from(settings: NetworkSettings, taxonomy: str) -> dict[str, Any]:
    """The part of a checkpoint's metadata from which `trained_network` rebuilds the network.

    Args:
        taxonomy: The run's taxonomy as TOML text: it gives the tree, the ids and the colours.
    """
    return {"settings": as_json(settings), "taxonomy": taxonomy}


def short_side_of(settings: NetworkSettings) -> int:
    """The short side, in pixels, to which images are resized for the network: that of its training crops."""
    return min(settings.height_px, settings.width_px)


def trained_network(path: Path) -> TrainedNetwork:
    """The network of a checkpoint, on the CPU and in eval mode; its weights are the averaged ones if there are any.

    Raises:
        DataError: no such file, a damaged one, or its metadata does not say what the network was built from.
        SettingsError: segmentation_models_pytorch is not installed.
    """
    metadata = checkpoint_metadata(path)
    if metadata is None:
        raise DataError(f"{path}: no such checkpoint. Run `thresher train RUN` first.")
    if "settings" not in metadata or "taxonomy" not in metadata:
        raise DataError(
            f"{path}: does not say what its network was built from; an older version of thresher wrote it. "
            "Train it again: `thresher train RUN`."
        )
    names = {field.name for field in dataclasses.fields(NetworkSettings)}
    settings = NetworkSettings(**{key: value for key, value in metadata["settings"].items() if key in names})
    taxonomy = taxonomy_of(metadata["taxonomy"], str(path))
    tree = class_tree(taxonomy, settings.has_box_head)
    network = _empty_network(tree, settings)
    load_trained(path, network)
    if settings.mode == "labels":
        _without_void(network)
    return TrainedNetwork(network.eval(), taxonomy, tree, short_side_of(settings), metadata)


def _without_void(network: SegmentationNetwork) -> None:
    """Make the void outputs of a network of mode labels, which are never learnt there, so low that none ever wins."""
    head = network.body.segmentation_head[0]
    voids = torch.tensor(network.outputs).cumsum(0) - 1
    with torch.no_grad():
        head.weight[voids] = 0
        head.bias[voids] = _NEVER


def ready(trained: TrainedNetwork) -> Segmenter:
    """A trained network in its fastest form on this machine; changes its encoder in place."""
    pad_statically(trained.network)
    return segmenter(trained.network, trained.tree, trained.short_side, fastest_device())


def segmenter_of(state: Mapping[str, torch.Tensor], tree: ClassTree, settings: NetworkSettings) -> Segmenter:
    """A network that is being trained, as `evaluate` would run it if the training ended now.

    Args:
        state: Its `state_dict`, or the averages of that; stays as it is.
    """
    copy = _empty_network(tree, settings)
    copy.load_state_dict({name: tensor.to("cpu", copy=True) for name, tensor in state.items()})
    pad_statically(copy)
    return segmenter(copy.eval(), tree, short_side_of(settings), fastest_device())


def _empty_network(tree: ClassTree, settings: NetworkSettings) -> SegmentationNetwork:
    """A network that waits for its weights; the scaling of pixels is among them, so the one given here is replaced."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm says that it leaves classification layers out
        return SegmentationNetwork(tree, settings, (0.0,) * 3, (1.0,) * 3)


def onnx_metadata(trained: TrainedNetwork) -> dict[str, str]:
    """The metadata of an exported network, as JSON texts: its classes, its tree and the short side it is fed with."""
    tree = {classifier.name: list(classifier.outputs) for classifier in trained.tree.classifiers}
    classes = [{"name": c.name, "id": c.id, "colour": list(c.colour)} for c in trained.taxonomy.classes]
    metadata = {"classes": classes, "tree": tree, "void_id": trained.taxonomy.void_id, "short_side": trained.short_side}
    return {key: json.dumps(value) for key, value in metadata.items()}
