"""Checkpoints: weights, what the optimiser keeps for each of them, and metadata, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from thresher.errors import DataError
from thresher.files import replacing
from thresher.segmentation.averages import Averages
from thresher.segmentation.network import SegmentationNetwork


def save_checkpoint(
    path: Path,
    network: SegmentationNetwork,
    optimiser: torch.optim.Optimizer,
    averages: Averages | None,
    metadata: dict[str, Any],
) -> None:
    """Write all that a training needs to go on. The file is replaced at once: it is whole, the old one or the new."""
    averaged = {} if averages is None else averages.state
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"average/{name}": tensor for name, tensor in averaged.items()}
    for name, weight in network.named_parameters():
        for key, value in optimiser.state.get(weight, {}).items():
            if value is not None:
                tensors[f"optimiser/{key}/{name}"] = value
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # One key alone: the library writes several in no fixed order.
    digest = _digest(safetensors.torch.save(whole, {}), metadata)
    with replacing(path) as file:
        file.write(safetensors.torch.save(whole, {"about": json.dumps(metadata | {"sha256": digest})}))


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is as it was saved. Those of older releases, which have no digest, need only be readable."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get("about", "{}"))
    except (safetensors.SafetensorError, ValueError):
        return False
    digest = metadata.pop("sha256", None)
    return digest in (None, _digest(path.read_bytes(), metadata))


def _digest(content: bytes, metadata: dict[str, Any]) -> str:
    """A hash of the tensors in a safetensors file, and of what it says of itself.

    Source: https://github.com/huggingface/safetensors, "Format": 8 bytes with the header's length, header, tensors.
    """
    digest = hashlib.sha256(json.dumps(metadata).encode())
    digest.update(memoryview(content)[8 + int.from_bytes(content[:8], "little") :])
    return digest.hexdigest()


def checkpoint_metadata(path: Path) -> dict[str, Any] | None:
    """The metadata that a checkpoint was saved with; None if there is no file.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return None
    if not is_whole(path):
        raise DataError(f"{path}: damaged. Run the same `thresher train` command again: it starts anew.")
    with safetensors.safe_open(path, "pt") as file:
        metadata: dict[str, Any] = json.loads(file.metadata()["about"])
    metadata.pop("sha256", None)
    return metadata


def load_checkpoint(
    path: Path, network: SegmentationNetwork, optimiser: torch.optim.Optimizer, averages: Averages | None
) -> None:
    """Load all that a training needs to go on: weights, what the optimiser kept for them, and their averages."""
    tensors = safetensors.torch.load_file(path)
    network.load_state_dict(_named(tensors, "network"))
    if averages is not None:
        averages.load(_named(tensors, "average"))
    weights = dict(network.named_parameters())
    for key_and_name, value in _named(tensors, "optimiser").items():
        key, _, name = key_and_name.partition("/")
        # AdamW keeps its step count on the CPU, wherever the weights are.
        optimiser.state[weights[name]][key] = value if key == "step" else value.to(weights[name].device)


def load_trained(path: Path, network: SegmentationNetwork) -> None:
    """Load what a checkpoint's training has made into a network: the average of its weights, else the last ones."""
    tensors = safetensors.torch.load_file(path)
    network.load_state_dict(_named(tensors, "average") or _named(tensors, "network"))


def _named(tensors: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """The tensors of one kind, by what follows it in their names."""
    return {name.removeprefix(f"{kind}/"): value for name, value in tensors.items() if name.startswith(f"{kind}/")}
