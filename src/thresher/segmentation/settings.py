"""How a network is built and trained. Imports no torch, so that reading flags is fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from thresher.errors import SettingsError
from thresher.settings import OptionalPath, converted, default

#: A decoder's channels must be a multiple of this: FPN normalises half of them in 32 groups, U-Net halves them 4 times.
CHANNELS_MULTIPLE = {"fpn": 64, "unet": 16, "deeplabv3plus": 1, "upernet": 1}
#: Decoders that pool each image to one value per channel; batch normalisation of those needs a second image.
NEEDS_TWO_IMAGES = ("deeplabv3plus", "upernet")
#: Which values of a setting can work, and in words.
_WORKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("height_px", "width_px"), (lambda px: px >= 32 and px % 32 == 0, "a multiple of 32, 32 or more")),
    **dict.fromkeys(("epochs", "strong_batch", "weak_batch"), (lambda count: count >= 1, "1 or more")),
    **dict.fromkeys(("learning_rate", "encoder_rate"), (lambda rate: rate > 0, "more than 0")),
    "zoom": (lambda zoom: zoom >= 1, "1 or more; below it the image would not fill the crop"),
    "label_weight": (lambda weight: weight >= 0, "0 or more"),
    **dict.fromkeys(("ema", "colour"), (lambda share: 0 <= share < 1, "0 (off) or more, and less than 1")),
}


@converted
@dataclass(frozen=True)
class NetworkSettings:
    """The network, the crops that it is trained on, and the steps that it takes."""

    decoder: Literal["fpn", "deeplabv3plus", "unet", "upernet"] = "fpn"
    """Decoder of the network (segmentation_models_pytorch)."""
    decoder_channels: int = 0
    """Decoder channels. FPN: the segmentation branch has half, 64 at least; U-Net: halved per block. 0 = library
    default (256)."""
    encoder: str = "tf_efficientnet_lite0"
    """A timm model, started from its packaged ImageNet weights or from `weights`."""
    weights: OptionalPath = default(None)
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
    """Learning rate; halved twice (`schedule`)."""
    schedule: Literal["halves", "paper"] = "halves"
    """When the learning rate is halved. halves: after 1/2 and 3/4 of the steps. paper: after 8/17 and 15/17."""
    encoder_rate: float = 1.0
    """Encoder learning rate divided by `learning_rate`."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1.7e-4
    """Weight decay on all weights. adamw: decoupled from the gradient; 0.01 is usual there."""
    group_weight: float = 0.1
    """Weight of each group classifier's loss; the root classifier's weight is 1."""
    mode: Literal["strong", "hierarchical", "box_head", "labels"] = "hierarchical"
    """How boxes are used. strong: not at all (needs selection = none). hierarchical: the paper's loss, in which boxes
    label the pixels of a group's classes. box_head: that, and an auxiliary head learns where boxes lie, which shapes
    the features of all classes. labels: by the pixel labels that `thresher labels` made of them."""
    box_weight: float = 1.0
    """Weight of the auxiliary head's loss (mode = box_head); the root classifier's weight is 1."""
    label_weight: float = 0.3
    """Weight of the loss on pixels labelled from boxes (mode = labels); that of pixels with a true label is 1. Each of
    the two is a mean over its pixels, however few."""
    overlaps: Literal["shares", "void"] = "shares"
    """What a group learns where boxes of its classes and of others overlap (modes hierarchical and box_head). shares:
    its classes' shares among its own boxes. void: their shares among all boxes, and void for the rest (the paper's)."""
    order: Literal["mixed", "weak_first"] = "mixed"
    """mixed: strong and weak images in each step. weak_first (mode = labels): only weak ones for the first half of the
    steps, then only strong ones. In other modes boxes alone do not teach the root, so there it is always mixed."""
    fill_batch: bool = False
    """In a training without weak images, take weak_batch more strong images per step: the fair baseline of trainings
    with weak images, which see as many images per step. `compare` sets it."""
    ema: float = 0.99
    """Decay per step of the moving average of the weights, which is what is validated, evaluated, exported and used as
    a teacher; it starts near 0, so that short trainings work. 0 = no average: the last weights."""
    colour: float = 0.3
    """Each image's brightness, contrast and saturation are multiplied by a random factor from 1 − this to 1 + this,
    those of strong and weak images alike. 0 = colours as they are."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the layers while training; weights, losses and `evaluate` are always float32. auto: bfloat16 where
    the GPU or CPU (AVX-512 BF16, AMX) supports it, float16 on older GPUs, else float32."""
    seed: int = 0
    """Seed of the initial weights of decoder and heads, the order of images, their crops and colours."""

    @property
    def has_box_head(self) -> bool:
        """Whether the network is trained with an auxiliary head for boxes."""
        return self.mode == "box_head"

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        for name, (works, expected) in _WORKS.items():
            value = getattr(self, name)
            if not works(value):
                raise SettingsError(f"{name} = {value}: expected {expected}.")
        multiple = CHANNELS_MULTIPLE[self.decoder]
        if self.decoder_channels < 0 or self.decoder_channels % multiple:
            raise SettingsError(
                f"decoder_channels = {self.decoder_channels}: expected a multiple of {multiple} for {self.decoder}, "
                "or 0 for its default."
            )
        if self.strong_batch == 1 and self.decoder in NEEDS_TWO_IMAGES:
            raise SettingsError(
                f"strong_batch = 1: expected 2 or more for {self.decoder}, whose pooled layer is normalised over the "
                "images of a step."
            )
