"""The FPN decoder, to the same values with about half of its multiplications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


def folded_pyramid(decoder: Any, features: Sequence[Float[torch.Tensor, "n _ _ _"]]) -> Float[torch.Tensor, "n c h w"]:
    """What segmentation_models_pytorch's `FPNDecoder` makes of an encoder's features; equal but for rounding.

    The decoder's costliest layers are 3 × 3 convolutions of pyramid levels, and a level is the doubled coarser one plus
    a 1 × 1 convolution of few channels of the encoder. All three are linear, so `_level_convolution` takes them in one.

    Source: Lin et al. 2017 (FPN), Kirillov et al. 2019 (the decoder); the folding is ours.
    """
    c2, c3, c4, c5 = features[-4:]
    p5 = decoder.p5(c5)
    p4 = decoder.p4(p5, c4)
    p3 = decoder.p3(p4, c3)
    merged = decoder.seg_blocks[0](p5)
    levels = zip((p5, p4, p3), (c4, c3, c2), (decoder.p4, decoder.p3, decoder.p2), decoder.seg_blocks[1:], strict=True)
    for coarser, feature, level, segmentation in levels:
        first, *others = segmentation.block
        convolution, norm, activation = first.block
        found = activation(norm(_level_convolution(coarser, feature, level.skip_conv, convolution.weight)))
        if first.upsample:
            found = functional.interpolate(found, scale_factor=2.0, mode="bilinear", align_corners=True)
        for block in others:
            found = block(found)
        merged = merged + found
    dropped: torch.Tensor = decoder.dropout(merged)
    return dropped


def _level_convolution(
    coarser: Float[torch.Tensor, "n m half_h half_w"],
    feature: Float[torch.Tensor, "n c h w"],
    skip: torch.nn.Conv2d,
    weight: Float[torch.Tensor, "out m 3 3"],
) -> Float[torch.Tensor, "n out h w"]:
    """The 3 × 3 convolution of (`coarser` doubled by nearest + `skip` of `feature`), without that sum."""
    out, middle = weight.shape[:2]
    # Doubling is a transposed convolution with 2 × 2 ones, so that both together are one with 4 × 4: 4 products for
    # each output where there were 9.
    turned = weight.flip(2, 3).transpose(0, 1).reshape(-1, 1, 3, 3)
    doubling = functional.conv2d(turned, weight.new_ones(1, 1, 2, 2), padding=1).reshape(middle, out, 4, 4)
    doubled = functional.conv_transpose2d(coarser, doubling, stride=2, padding=1)
    # The bias of `skip` counts inside the picture only, hence as a channel of ones, which the padding leaves out.
    assert skip.bias is not None
    through = torch.cat([skip.weight[:, :, 0, 0], skip.bias[:, None]], 1)
    narrow = torch.einsum("omhw,mc->ochw", weight, through)
    ones = torch.ones_like(feature[:, :1])  # so that ONNX knows it for any number of images
    return doubled + functional.conv2d(torch.cat([feature, ones], 1), narrow, padding=1)
