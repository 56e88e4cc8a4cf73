"""The state from which a training goes on: weights, what the optimiser keeps of each, what is said of them."""

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
    path: Path, network: SegmentationNetwork, optimiser: torch.optim.Optimizer, about: dict[str, Any]
) -> None:
    """Everything that a training goes on from, in one file that is either the old one or the whole new one."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    for name, weight in network.named_parameters():
        for key, value in optimiser.state.get(weight, {}).items():
            if value is not None:
                tensors[f"optimiser/{key}/{name}"] = value
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


def load_checkpoint(path: Path, network: SegmentationNetwork, optimiser: torch.optim.Optimizer | None = None) -> None:
    """Put a checkpoint's weights, and what its optimiser kept of each, into the network and its optimiser."""
    tensors = safetensors.torch.load_file(path)
    network.load_state_dict({name: tensors[f"network/{name}"] for name in network.state_dict()})
    if optimiser is not None:
        weights = dict(network.named_parameters())
        for key_of_all, value in tensors.items():
            kind, _, rest = key_of_all.partition("/")
            if kind == "optimiser":
                key, _, name = rest.partition("/")
                # AdamW counts its steps on the CPU, wherever the weights are.
                optimiser.state[weights[name]][key] = value if key == "step" else value.to(weights[name].device)
