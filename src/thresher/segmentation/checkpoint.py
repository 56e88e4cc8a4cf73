"""The state from which a training goes on: weights and momentum, and what is said of them, in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from thresher.files import replacing
from thresher.segmentation.network import SegmentationNetwork


def save_checkpoint(
    path: Path, network: SegmentationNetwork, optimiser: torch.optim.SGD, about: dict[str, Any]
) -> None:
    """Everything that a training goes on from, in one file that is either the old one or the whole new one."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    for name, weight in network.named_parameters():
        momentum = optimiser.state.get(weight, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum/{name}"] = momentum
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, {"about": json.dumps(about)}
    )
    with replacing(path) as file:
        file.write(content)


def checkpoint_about(path: Path) -> dict[str, Any] | None:
    """What was said of a checkpoint when it was saved; None where there is none."""
    if not path.is_file():
        return None
    with safetensors.safe_open(path, "pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()["about"])
    return about


def load_checkpoint(path: Path, network: SegmentationNetwork, optimiser: torch.optim.SGD | None = None) -> None:
    """Put a checkpoint's weights, and its momentum, into the network and its optimiser."""
    tensors = safetensors.torch.load_file(path)
    network.load_state_dict({name: tensors[f"network/{name}"] for name in network.state_dict()})
    if optimiser is not None:
        for name, weight in network.named_parameters():
            if f"momentum/{name}" in tensors:
                optimiser.state[weight]["momentum_buffer"] = tensors[f"momentum/{name}"].to(weight.device)
