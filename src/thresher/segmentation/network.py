"""A segmentation network with a head for each classifier of the tree."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from jaxtyping import Float, UInt8

from thresher import extras
from thresher.errors import SettingsError
from thresher.pretrained import PretrainedWeights
from thresher.segmentation.pyramid import folded_pyramid
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import ClassTree

#: FPN's segmentation branch is normalised in 32 groups of channels. With one channel in each, as of 32 channels, what a
#: channel says of the image as a whole is lost: 39 % mIoU in place of 50 % (docs/experiments/animals.md).
_NARROWEST_BRANCH = 64


class SegmentationNetwork(torch.nn.Module):
    """Encoder and decoder, and for each classifier of the tree a head: its logits at every pixel.

    The heads are channels of one convolution. Each has filters of its own, so none learns from another's loss.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, tree: ClassTree, settings: NetworkSettings, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        """An untrained network; `mean` and `std` scale pixels of 0..1 for the encoder."""
        super().__init__()
        import segmentation_models_pytorch

        self.folded = settings.decoder == "fpn"
        self.outputs = [len(classifier.outputs) for classifier in tree.classifiers]
        self.boxed = len(tree.boxed)
        self.body = segmentation_models_pytorch.create_model(
            settings.decoder,
            f"tu-{settings.encoder}",
            encoder_weights=None,
            **_widths(settings.decoder, settings.decoder_channels),
        )
        plain = self.body.segmentation_head[0]
        heads = [_new_head(plain, count, (settings.seed, n)) for n, count in enumerate((*self.outputs, self.boxed))]
        self.body.segmentation_head[0] = _joined(plain, heads)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(std)[:, None, None] * 255)

    def forward(self, images: UInt8[torch.Tensor, "n 3 h w"]) -> tuple[Float[torch.Tensor, "n _ h w"], ...]:
        """The logits of each classifier, in the tree's order. Height and width are multiples of 32.

        While training, those of the auxiliary head for boxes come last, if there is one.
        """
        features = self.body.encoder((images.float() - self.mean) / self.std)
        # Evaluated by torch, one image takes as long either way; onnxruntime computes the folded weights only once.
        folding = self.folded and (self.training or torch.onnx.is_in_onnx_export())
        decoder = partial(folded_pyramid, self.body.decoder) if folding else self.body.decoder
        logits: torch.Tensor = self.body.segmentation_head(decoder(features))
        parts = torch.split(logits, [*self.outputs, self.boxed], dim=1)
        return parts if self.training and self.boxed else parts[:-1]


def _new_head(like: torch.nn.Conv2d, outputs: int, seed: tuple[int, int]) -> Float[torch.Tensor, "outputs _ _ _"]:
    """The initial weights of a head, from its own seed: they depend on no other head, and no other weight on them."""
    weight = torch.empty((outputs, *like.weight.shape[1:]))
    generator = torch.Generator().manual_seed(1_000_003 * (1 + seed[1]) + seed[0])
    return torch.nn.init.xavier_uniform_(weight, generator=generator) if outputs else weight


def _joined(like: torch.nn.Conv2d, heads: list[Float[torch.Tensor, "_ _ _ _"]]) -> torch.nn.Conv2d:
    """One convolution of all heads."""
    weight = torch.cat(heads)
    joined = torch.nn.Conv2d(like.in_channels, len(weight), like.kernel_size[0], padding=int(like.padding[0]))
    joined.weight, joined.bias = torch.nn.Parameter(weight), torch.nn.Parameter(torch.zeros(len(weight)))
    return joined


def _widths(decoder: str, channels: int) -> dict[str, object]:
    if channels == 0:
        return {}
    if decoder == "fpn":
        return {
            "decoder_pyramid_channels": channels,
            "decoder_segmentation_channels": max(_NARROWEST_BRANCH, channels // 2),
        }
    if decoder == "unet":
        return {"decoder_channels": tuple(channels >> block for block in range(5))}
    return {"decoder_channels": channels}


def new_network(tree: ClassTree, settings: NetworkSettings, weights: PretrainedWeights) -> SegmentationNetwork:
    """A network whose encoder has pretrained weights; its decoder and heads start from the settings' seed.

    Args:
        weights: Of the timm model `settings.encoder`, by timm's names. Tensors that the encoder does not have, such as
            those of a classification layer, are left out.

    Raises:
        SettingsError: segmentation_models_pytorch is not installed, or the weights do not fit.
    """
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm says that classification layers are left out
            torch.manual_seed(settings.seed)
            network = SegmentationNetwork(tree, settings, weights.mean, weights.std)
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}: {extras.install('train')}") from error
    inner = network.body.encoder.model
    wanted = inner.state_dict()
    tensors = weights.tensors
    unfit = [key for key, value in wanted.items() if key not in tensors or tensors[key].shape != value.shape]
    if unfit:
        raise SettingsError(
            f"weights of '{settings.encoder}': {len(unfit)} of {len(wanted)} tensors are missing or of another shape "
            f"(first: {unfit[0]}). Is it a checkpoint of this model?"
        )
    inner.load_state_dict({key: tensors[key] for key in wanted})
    return network
