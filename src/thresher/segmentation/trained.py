"""A trained network, rebuilt from its checkpoint alone."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.data.taxonomy import Taxonomy, taxonomy_of
from thresher.errors import DataError
from thresher.run.perform import as_json
from thresher.segmentation.checkpoint import checkpoint_about, load_checkpoint
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.settings import TrainingSettings
from thresher.segmentation.tree import ClassTree, class_tree


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights, and what its outputs mean."""

    network: SegmentationNetwork
    taxonomy: Taxonomy
    tree: ClassTree
    short_side: int
    """What an image's short side is resized to before the network sees it, in pixels."""
    about: dict[str, Any]
    """What the checkpoint says of itself (`checkpoint_about`)."""


def rebuilt_from(settings: TrainingSettings, taxonomy: str) -> dict[str, Any]:
    """What a checkpoint must say of itself so that `trained_network` can rebuild it.

    Args:
        taxonomy: The run's taxonomy as TOML text: the tree, the ids and the colours come from it.
    """
    return {"settings": as_json(settings), "taxonomy": taxonomy}


def short_side_of(settings: TrainingSettings) -> int:
    """At what size a network judges: an image's short side as long as the shorter side of what it was trained on."""
    return min(settings.height_px, settings.width_px)


def trained_network(path: Path) -> TrainedNetwork:
    """The network of a checkpoint, on the CPU and ready to judge.

    Raises:
        DataError: no such file, or it does not say what it was built from.
        SettingsError: segmentation_models_pytorch is not installed.
    """
    about = checkpoint_about(path)
    if about is None:
        raise DataError(f"{path}: no such checkpoint. Run train first.")
    if "settings" not in about or "taxonomy" not in about:
        raise DataError(f"{path}: does not say what its network was built from; an older version of thresher wrote it. "
                        "Train it again.")  # fmt: skip
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    settings = TrainingSettings(**{key: value for key, value in about["settings"].items() if key in names})
    taxonomy = taxonomy_of(about["taxonomy"], str(path))
    tree = class_tree(taxonomy, settings.has_box_head)
    # Mean and standard deviation are among the tensors, so what stands here is written over.
    network = SegmentationNetwork(tree, settings, (0.0,) * 3, (1.0,) * 3)
    load_checkpoint(path, network)
    return TrainedNetwork(network.eval(), taxonomy, tree, short_side_of(settings), about)


def onnx_metadata(found: TrainedNetwork) -> dict[str, str]:
    """What stands beside an exported network: its classes, its tree and the size it judges at, as JSON texts."""
    tree = {classifier.name: list(classifier.outputs) for classifier in found.tree.classifiers}
    classes = [{"name": c.name, "id": c.id, "colour": list(c.colour)} for c in found.taxonomy.classes]
    told = {"classes": classes, "tree": tree, "void_id": found.taxonomy.void_id, "short_side": found.short_side}
    return {key: json.dumps(value) for key, value in told.items()}
