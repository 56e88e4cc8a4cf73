"""The network that turns an image into a grid of feature vectors, run by onnxruntime."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from thresher.data.faults import reason
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.pretrained import IMAGENET_MEAN, IMAGENET_STD, pad_statically, pixel_scale, timm_tensors, weights_file
from thresher.settings import Given, OptionalPath, converted, default

if TYPE_CHECKING:
    import torch


@converted
@dataclass(frozen=True)
class BackboneSettings:
    """The network that computes features, and the size of its input images."""

    backbone: Given[str, Path] = default("tf_efficientnet_lite0")
    """Name of a timm model, or path of an .onnx file (input NCHW float, first output NCHW features)."""
    weights: OptionalPath = default(None)
    """Checkpoint of the timm model (.pth or .safetensors). Default: the packaged ImageNet weights."""
    feature_level: int = -1
    """Feature map of the timm model, counted from the end: −1 = the last (stride 32), −2 = the one before."""
    short_side: int = 224
    """Images are resized to this length of their shorter side, in pixels; a multiple of 32."""
    mode: Literal["exact", "fast"] = "exact"
    """exact, or fast: JPEGs decoded at reduced size and an 8-bit quantised network (differences: docs/results.md)."""
    allow_download: bool = False
    """Allow timm to download pretrained weights where none are packaged."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is read.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if self.short_side < 32 or self.short_side % 32:
            raise SettingsError(f"short_side = {self.short_side}: expected a multiple of 32, 32 or more.")
        if self.feature_level >= 0:
            raise SettingsError(f"feature_level = {self.feature_level}: counted from the end; expected −1, −2, …")


def _weights_of(settings: BackboneSettings) -> Path | None:
    return weights_file(settings.backbone, settings.weights, settings.allow_download)


def backbone_digest(settings: BackboneSettings) -> str:
    """A hash of the settings and weights that determine a backbone's output, without loading the network.

    Raises:
        SettingsError: the weights are not available.
    """
    source = _weights_of(settings)
    content = hashlib.sha256(source.read_bytes()).hexdigest() if source else "downloaded"
    described = [settings.backbone, settings.feature_level, settings.short_side, settings.mode, content]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


@dataclass(frozen=True)
class Backbone:
    """A network ready to run. Threads may share it: each call uses only its caller's thread."""

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
    """The network's input: (pixel / 255 − mean) / std, channels first, a batch of one."""
    mean, std = (np.array(each, np.float32)[:, None, None] * 255 for each in (scale.mean, scale.std))
    # Bytes are put in the new order before they become floats: a tenth of the time of the other way round.
    network_input: Float32[np.ndarray, "3 h w"] = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)
    network_input -= mean
    network_input /= std
    return network_input[None]


@dataclass(frozen=True)
class BackboneFile:
    """A network file, and the mean and standard deviation that scale its input."""

    path: Path
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def backbone_file(settings: BackboneSettings, onnx_path: Path) -> BackboneFile:
    """The backbone of these settings as ONNX; a timm model is exported to `onnx_path`.

    onnxruntime is used since it runs the default network about three times as fast as eager torch on a CPU.

    Raises:
        SettingsError: unknown model, weights that do not fit it, or an .onnx file that is no such network.
    """
    if settings.backbone.endswith(".onnx"):
        given = BackboneFile(_weights_of(settings) or onnx_path, IMAGENET_MEAN, IMAGENET_STD)
        _try(given, settings.short_side)
        return given
    model, mean, std = _timm_model(settings)
    _export(model, settings.short_side, onnx_path)
    return BackboneFile(onnx_path, mean, std)


def _try(given: BackboneFile, short_side: int) -> None:
    """Run somebody's network once on grey, before workers start: each of them would fail in the same way.

    Raises:
        SettingsError: it cannot be opened, does not take such an image, or gives no feature map.
    """
    grey = np.full((short_side, short_side + 64, 3), 127, np.uint8)
    try:
        found = open_backbone(given.path, given.mean, given.std).features(grey)
    except Exception as error:  # onnxruntime's errors have no common parent but this
        raise SettingsError(
            f"backbone {given.path}: cannot be run on an image of {short_side} × {short_side + 64} pixels "
            f"({reason(error)}). Expected an ONNX network: input (1, 3, height, width) of float32, first output "
            "(1, channels, height, width)."
        ) from error
    if not np.isfinite(found).all():
        raise SettingsError(f"backbone {given.path}: its features of a grey image are not finite. Export it again.")


def open_backbone(path: Path, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Backbone:
    """The network in that file, ready for images."""
    return Backbone(network_session(path), mean, std)


def network_session(path: Path) -> Any:
    """onnxruntime's session of an ONNX file, on a GPU where there is one, else on one thread of a processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One image per process scales better than many threads per image, and fixes the order of sums.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Processors without 8-bit dot products (VNNI) add pairs of products in 16 bits, which overflow. There the weights
    # are taken as unsigned, so that a fast network gives nearly the same on every machine.
    options.add_session_config_entry("session.x64quantprecision", "1")
    usable = set(onnxruntime.get_available_providers())
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in usable]
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def _timm_model(settings: BackboneSettings) -> tuple[torch.nn.Module, Any, Any]:
    import timm

    if not timm.is_model(settings.backbone):
        close = timm.list_models(f"*{settings.backbone[:8]}*")[:5]
        raise SettingsError(
            f"backbone '{settings.backbone}': not a timm model. Close names: {', '.join(close) or '–'}."
        )
    source = _weights_of(settings)
    model = timm.create_model(settings.backbone, features_only=True, pretrained=source is None).eval()
    config: dict[str, Any] = vars(model).get("pretrained_cfg") or vars(model)["default_cfg"]
    packaged = settings.weights is None
    mean, std = pixel_scale(settings.backbone, packaged, config)
    if source is not None:
        found = timm_tensors(settings.backbone, source, packaged)
        model.load_state_dict(_fitting_state(settings.backbone, found, model.state_dict()))
    pad_statically(model)
    return _one_level(model, settings.feature_level).eval(), mean, std


def _fitting_state(
    name: str, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The model's tensors from a checkpoint that may contain more (a classifier)."""
    unfit = [key for key, value in wanted.items() if key not in found or found[key].shape != value.shape]
    if unfit:
        raise SettingsError(
            f"weights of '{name}': {len(unfit)} of {len(wanted)} tensors are missing or of another "
            f"shape (first: {unfit[0]}). Is it a checkpoint of this model?"
        )
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
    # Jobs of an array export concurrently: each must find a complete file, whichever wrote it.
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
