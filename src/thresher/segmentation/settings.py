"""How a network is built and trained; apart from the code that does it, so that reading flags needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thresher.errors import SettingsError
from thresher.settings import OptionalPath, converted, default

#: What a decoder's channels must be a multiple of: FPN normalises half of them in 32 groups, U-Net halves them.
CHANNELS_MULTIPLE = {"fpn": 64, "unet": 16, "deeplabv3plus": 1, "upernet": 1}
#: These pool an image to one value a channel, and the normalisation of that needs a second image.
NEEDS_TWO_IMAGES = ("deeplabv3plus", "upernet")


@converted
@dataclass(frozen=True)
class TrainingSettings:
    """The network, the pictures that it sees, and the steps that it takes."""

    decoder: Literal["fpn", "deeplabv3plus", "unet", "upernet"] = "fpn"
    """What makes a label map of the encoder's features (segmentation_models_pytorch)."""
    decoder_channels: int = 0
    """Width of the decoder's layers (fpn: half of it behind the pyramid; unet: halved in each block); 0: its 256."""
    encoder: str = "tf_efficientnet_lite0"
    """A timm model, started from its packaged ImageNet weights, or from `weights`."""
    weights: OptionalPath = default(None)
    """A checkpoint of the encoder (.pth or .safetensors)."""
    height_px: int = 256
    """Height of the crops that the network is trained on; a multiple of 32."""
    width_px: int = 352
    """Width of the crops; a multiple of 32."""
    zoom: float = 1.5
    """An image is scaled until it just covers the crop, then by a random factor from 1 to this."""
    epochs: int = 60
    """How often the strong images are seen."""
    strong_batch: int = 4
    """Strong images in a step."""
    weak_batch: int = 8
    """Weak images in a step."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """sgd: the paper's, with momentum; adamw: gets further in few steps (with a learning_rate of about 0.002)."""
    learning_rate: float = 0.01
    """Halved after half of the steps, and again after three quarters."""
    encoder_rate: float = 1.0
    """The encoder's learning rate, as a share of the others'."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 1.7e-4
    """On all weights (adamw: apart from the gradient; 0.01 is usual there)."""
    group_weight: float = 0.1
    """What the groups' losses weigh beside the root's."""
    mode: Literal["strong", "hierarchical", "box_head"] = "hierarchical"
    """strong: no boxes are used (with selection none); hierarchical: the paper's loss, boxes tell a group's children
    apart; box_head: that, and an auxiliary head learns where boxes lie, so that they shape the features of all."""
    box_weight: float = 1.0
    """What the loss of the auxiliary head weighs beside the root's (mode box_head)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What layers compute in while they learn; weights, losses and `evaluate` are float32 in any case. auto: bfloat16
    where the GPU or CPU (AVX-512 BF16, AMX) has it, float16 on older GPUs, else float32."""
    seed: int = 0
    """Seed of the heads' start, of the order of images and of their crops."""

    @property
    def has_box_head(self) -> bool:
        """Whether the network is trained with an auxiliary head for boxes."""
        return self.mode == "box_head"

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        for name in ("height_px", "width_px"):
            if getattr(self, name) < 32 or getattr(self, name) % 32:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected a multiple of 32, 32 or more.")
        multiple = CHANNELS_MULTIPLE[self.decoder]
        if self.decoder_channels < 0 or self.decoder_channels % multiple:
            raise SettingsError(f"decoder_channels = {self.decoder_channels}: expected a multiple of {multiple} for "
                                f"{self.decoder}, or 0 for its default.")  # fmt: skip
        for name in ("epochs", "strong_batch", "weak_batch"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")
        if self.strong_batch == 1 and self.decoder in NEEDS_TWO_IMAGES:
            raise SettingsError(f"strong_batch = 1: expected 2 or more for {self.decoder}, whose pooled layer is "
                                "normalised over the images of a step.")  # fmt: skip
        if self.zoom < 1:
            raise SettingsError(f"zoom = {self.zoom}: expected 1 or more; below it the image would not fill the crop.")
        for name in ("learning_rate", "encoder_rate"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected more than 0.")
