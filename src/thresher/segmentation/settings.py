"""How a network is built and trained. Imports no torch, so that reading flags is fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thresher.errors import SettingsError

#: A decoder's channels must be a multiple of this: FPN normalises half of them in 32 groups, U-Net halves them 4 times.
CHANNELS_MULTIPLE = {"fpn": 64, "unet": 16, "deeplabv3plus": 1, "upernet": 1}
#: Decoders that pool each image to one value per channel; batch normalisation of those needs a second image.
NEEDS_TWO_IMAGES = ("deeplabv3plus", "upernet")


@dataclass(frozen=True)
class NetworkSettings:
    """The network, the crops that it is trained on, and the steps that it takes."""

    decoder: Literal["fpn", "deeplabv3plus", "unet", "upernet"] = "fpn"
    """Decoder of the network (segmentation_models_pytorch)."""
    decoder_channels: int = 0
    """Decoder channels. FPN: the segmentation branch has half; U-Net: halved per block. 0 = library default (256)."""
    encoder: str = "tf_efficientnet_lite0"
    """A timm model, started from its packaged ImageNet weights or from `weights`."""
    weights: Path | None = None
    """Checkpoint of the encoder (.pth or .safetensors)."""
    height_px: int = 256
    """Height of the training crops in pixels; a multiple of 32."""
    width_px: int = 352
    """Width of the training crops in pixels; a multiple of 32."""
    zoom: float = 1.5
    """An image is scaled until it just covers the crop, then by a random factor from 1 to this."""
    epochs: int = 60
    """How often each strong image (one with a mask) is seen."""
    strong_batch: int = 4
    """Strong images per step."""
    weak_batch: int = 8
    """Weakly labelled images (those with boxes) per step."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """sgd: with momentum, as in the paper. adamw: needs fewer steps (set learning_rate to about 0.002)."""
    learning_rate: float = 0.01
    """Learning rate; halved after half of the steps, and again after three quarters."""
    encoder_rate: float = 1.0
    """Encoder learning rate divided by `learning_rate`."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1.7e-4
    """Weight decay on all weights. adamw: decoupled from the gradient; 0.01 is usual there."""
    group_weight: float = 0.1
    """Weight of each group classifier's loss; the root classifier's weight is 1."""
    mode: Literal["strong", "hierarchical", "box_head"] = "hierarchical"
    """How boxes are used. strong: not at all (needs selection = none). hierarchical: the paper's loss, in which boxes
    label the pixels of a group's classes. box_head: that, and an auxiliary head learns where boxes lie, which shapes
    the features of all classes."""
    box_weight: float = 1.0
    """Weight of the auxiliary head's loss (mode = box_head); the root classifier's weight is 1."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the layers while training; weights, losses and `evaluate` are always float32. auto: bfloat16 where
    the GPU or CPU (AVX-512 BF16, AMX) supports it, float16 on older GPUs, else float32."""
    seed: int = 0
    """Seed of the heads' initial weights, the order of images and their crops."""

    @property
    def has_box_head(self) -> bool:
        """Whether the network is trained with an auxiliary head for boxes."""
        return self.mode == "box_head"

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        for name in ("height_px", "width_px"):
            if getattr(self, name) < 32 or getattr(self, name) % 32:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected a multiple of 32, 32 or more.")
        multiple = CHANNELS_MULTIPLE[self.decoder]
        if self.decoder_channels < 0 or self.decoder_channels % multiple:
            raise SettingsError(
                f"decoder_channels = {self.decoder_channels}: expected a multiple of {multiple} for {self.decoder}, "
                "or 0 for its default."
            )
        for name in ("epochs", "strong_batch", "weak_batch"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")
        if self.strong_batch == 1 and self.decoder in NEEDS_TWO_IMAGES:
            raise SettingsError(
                f"strong_batch = 1: expected 2 or more for {self.decoder}, whose pooled layer is normalised over the "
                "images of a step."
            )
        if self.zoom < 1:
            raise SettingsError(f"zoom = {self.zoom}: expected 1 or more; below it the image would not fill the crop.")
        for name in ("learning_rate", "encoder_rate"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected more than 0.")
