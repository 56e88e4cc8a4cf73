"""The features of a frozen encoder at several strides, as a small head on them needs them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from torch.nn import functional

from thresher.data.images import MAX_ASPECT
from thresher.errors import SettingsError
from thresher.pretrained import PretrainedWeights, pad_statically
from thresher.segmentation.devices import fastest_device
from thresher.segmentation.exported import Logits, as_onnx, onnx_logits

#: Strides of the levels that are kept. Finer ones cost four times as much and hold edges, not objects.
STRIDES = (8, 16, 32)
#: Sides of what the encoder sees are multiples of the coarsest stride.
MULTIPLE = STRIDES[-1]

#: An image's features: a grid of vectors for each stride, finest first.
Levels = tuple[Float16[np.ndarray, "_ _ _"], ...]


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that does not learn."""

    run: Logits
    """The maps of one image, finest first, channels first; several threads may call it."""
    channels: tuple[int, ...]
    """Of each level."""

    def levels(self, image: UInt8[torch.Tensor, "3 h w"], size: tuple[int, int]) -> Levels:
        """The features of an image that is resized to this height and width (multiples of 32) beforehand."""
        seen = functional.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
        maps = self.run(seen.round_().clamp_(0, 255).to(torch.uint8))
        return tuple(part[0].permute(1, 2, 0).to(torch.float16).cpu().contiguous().numpy() for part in maps)


def covering_size(image: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    """Height and width, multiples of 32, at which an image just covers a window. Long images are squeezed.

    >>> covering_size((360, 480), (192, 192)), covering_size((500, 333), (192, 256))
    ((192, 256), (384, 256))
    """
    scale = max(least / side for side, least in zip(image, window, strict=True))
    sides = []
    for side, least in zip(image, window, strict=True):
        wanted = round(min(side * scale, least * MAX_ASPECT) / MULTIPLE) * MULTIPLE
        sides.append(max(least, wanted))
    return sides[0], sides[1]


def frozen_encoder(name: str, weights: PretrainedWeights) -> FrozenEncoder:
    """A timm model as it was pretrained: by onnxruntime on a CPU, one thread for each call; by torch on a GPU.

    Raises:
        SettingsError: the encoder has no maps at strides 8, 16 and 32, or the weights do not fit.
    """
    model, channels = _model(name, weights)
    device = fastest_device()
    if device.type != "cpu":
        return FrozenEncoder(_by_torch(model.to(device), device), channels)
    return FrozenEncoder(_by_onnxruntime(model), channels)


class _Scaled(torch.nn.Module):
    """The encoder with the scaling of pixels that it was trained with."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: torch.nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(std)[:, None, None] * 255)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = self.model((images.float() - self.mean) / self.std)
        return maps


def _model(name: str, weights: PretrainedWeights) -> tuple[torch.nn.Module, tuple[int, ...]]:
    import timm

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm says that classification layers are left out
        strides: list[int] = timm.create_model(name, features_only=True).feature_info.reduction()  # type: ignore[union-attr, operator]
        if not set(STRIDES) <= set(strides):
            raise SettingsError(
                f"encoder '{name}': maps at strides {', '.join(map(str, strides))}; the proxy needs 8, 16 and 32. "
                "Compare by full trainings (without proxy), or choose another encoder."
            )
        places = [strides.index(stride) for stride in STRIDES]
        model: Any = timm.create_model(name, features_only=True, out_indices=places).eval()
    wanted = model.state_dict()
    unfit = [key for key, each in wanted.items() if getattr(weights.tensors.get(key), "shape", None) != each.shape]
    if unfit:
        raise SettingsError(
            f"weights of '{name}': {len(unfit)} of {len(wanted)} tensors are missing or of another shape "
            f"(first: {unfit[0]}). Is it a checkpoint of this model?"
        )
    model.load_state_dict({key: weights.tensors[key] for key in wanted})
    pad_statically(model)
    return _Scaled(model, weights.mean, weights.std).eval(), tuple(model.feature_info.channels())


def _by_torch(model: torch.nn.Module, device: torch.device) -> Logits:
    def run(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.inference_mode():
            maps: list[torch.Tensor] = model(images.to(device))
            return maps

    return run


def _by_onnxruntime(model: torch.nn.Module) -> Logits:
    """It runs an encoder about three times as fast as torch does on a CPU (docs/decisions/0003)."""
    return onnx_logits(as_onnx(model, [f"stride{stride}" for stride in STRIDES]))
