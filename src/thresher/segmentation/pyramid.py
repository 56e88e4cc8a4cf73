"""The FPN decoder, computed with less than half of its multiplications; the results differ only by rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch.nn import functional

#: A row or column of three weights on an enlarged image, where most neighbours are equal: their sum applies to the
#: pixel itself, the first weight to the difference from the pixel before it, the last to the difference to the next
#: one.
_STEPS = ((-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))


def folded_pyramid(decoder: Any, features: Sequence[Float[torch.Tensor, "n _ _ _"]]) -> Float[torch.Tensor, "n c h w"]:
    """The output of segmentation_models_pytorch's `FPNDecoder` for an encoder's features, but for rounding.

    The decoder's costliest layers are 3 × 3 convolutions of pyramid levels. A level is the coarser level, enlarged
    twice, plus a 1 × 1 convolution of few channels of the encoder. All of that is linear, so the convolution of a level
    is the sum of the convolutions of its parts: the encoder's features of its own size (`_own`), those of the next
    coarser level, enlarged twice (`_doubled`), and the level below that one, enlarged four times (`_quadrupled`).

    Source: Lin et al. 2017 (FPN), Kirillov et al. 2019 (the decoder); the folding is ours.
    """
    c2, c3, c4, c5 = features[-4:]
    p5 = decoder.p5(c5)
    p4 = decoder.p4(p5, c4)
    skip2, skip3, skip4 = (level.skip_conv for level in (decoder.p2, decoder.p3, decoder.p4))
    w2, w3, w4 = (segmentation.block[0].block[0].weight for segmentation in decoder.seg_blocks[:0:-1])
    convolved = (
        _doubled(p5, w4) + _own(c4, skip4, w4),
        _quadrupled(p5, w3) + _doubled(*_through(c4, skip4, w3)) + _own(c3, skip3, w3),
        _quadrupled(p4, w2) + _doubled(*_through(c3, skip3, w2)) + _own(c2, skip2, w2),
    )
    merged = decoder.seg_blocks[0](p5)
    for level, segmentation in zip(convolved, decoder.seg_blocks[1:], strict=True):
        first, *others = segmentation.block
        _, norm, activation = first.block
        features_here = activation(norm(level))
        if first.upsample:
            features_here = functional.interpolate(features_here, scale_factor=2.0, mode="bilinear", align_corners=True)
        for block in others:
            features_here = block(features_here)
        merged = merged + features_here
    dropped: torch.Tensor = decoder.dropout(merged)
    return dropped


def _own(
    feature: Float[torch.Tensor, "n c h w"], skip: torch.nn.Conv2d, weight: Float[torch.Tensor, "out m 3 3"]
) -> Float[torch.Tensor, "n out h w"]:
    """The 3 × 3 convolution with `weight` of the 1 × 1 convolution `skip` of `feature`."""
    return functional.conv2d(*_through(feature, skip, weight), padding=1)


def _through(
    feature: Float[torch.Tensor, "n c h w"], skip: torch.nn.Conv2d, weight: Float[torch.Tensor, "out m 3 3"]
) -> tuple[Float[torch.Tensor, "n d h w"], Float[torch.Tensor, "out d 3 3"]]:
    """Features and weights of one convolution that equals `skip`, a 1 × 1 convolution, followed by `weight`.

    The bias of `skip` applies only inside the image. So it becomes a channel of ones, which padding surrounds by zeros.
    """
    assert skip.bias is not None
    through = torch.cat([skip.weight[:, :, 0, 0], skip.bias[:, None]], 1)
    ones = torch.ones_like(feature[:, :1])  # of any size, also in an exported network
    return torch.cat([feature, ones], 1), torch.einsum("omhw,mc->ochw", weight, through)


def _doubled(
    coarse: Float[torch.Tensor, "n m h w"], weight: Float[torch.Tensor, "out m 3 3"]
) -> Float[torch.Tensor, "n out 2*h 2*w"]:
    """The 3 × 3 convolution of `coarse` enlarged twice (nearest neighbour).

    Enlarging is a transposed convolution with a kernel of 2 × 2 ones, so both together are one transposed convolution
    with a kernel of 4 × 4: 4 products per output in place of 9.
    """
    out, middle = weight.shape[:2]
    turned = weight.flip(2, 3).transpose(0, 1).reshape(-1, 1, 3, 3)
    doubling = functional.conv2d(turned, weight.new_ones(1, 1, 2, 2), padding=1).reshape(middle, out, 4, 4)
    return functional.conv_transpose2d(coarse, doubling, stride=2, padding=1)


def _quadrupled(
    coarse: Float[torch.Tensor, "n m h w"], weight: Float[torch.Tensor, "out m 3 3"]
) -> Float[torch.Tensor, "n out 4*h 4*w"]:
    """The 3 × 3 convolution of `coarse` enlarged four times (nearest neighbour): 9 products per 16 outputs, not 144.

    Of four equal rows the two inner ones have equal neighbours. The outer two differ from them only by the difference
    to the next row of `coarse`. The same holds for columns.
    """
    turn = weight.new_tensor(_STEPS)
    parts = torch.einsum("ik,omkl,jl->ijom", turn, weight, turn)[..., None, None]
    padded = functional.pad(coarse, (1, 1, 1, 1))
    across, down = padded[..., 1:] - padded[..., :-1], padded[..., 1:, 1:-1] - padded[..., :-1, 1:-1]
    both = across[..., 1:, :] - across[..., :-1, :]
    own = functional.conv2d(coarse, parts[1, 1])
    left, right = functional.conv2d(across[..., 1:-1, :], torch.cat([parts[1, 0], parts[1, 2]])).chunk(2, 1)
    above, below = functional.conv2d(down, torch.cat([parts[0, 1], parts[2, 1]])).chunk(2, 1)
    corners = functional.conv2d(both, torch.cat([parts[0, 0], parts[0, 2], parts[2, 0], parts[2, 2]])).chunk(4, 1)
    inner = _in_turn((own + left[..., :-1], own, own, own + right[..., 1:]), 3)
    upper, lower = above[..., :-1, :], below[..., 1:, :]
    first, last = corners[0][..., :-1, :-1], corners[1][..., :-1, 1:]
    upper = _in_turn((upper + first, upper, upper, upper + last), 3)
    first, last = corners[2][..., 1:, :-1], corners[3][..., 1:, 1:]
    lower = _in_turn((lower + first, lower, lower, lower + last), 3)
    return _in_turn((inner + upper, inner, inner, inner + lower), 2)


def _in_turn(maps: Sequence[Float[torch.Tensor, "n c h w"]], axis: int) -> Float[torch.Tensor, "n c _ _"]:
    """The first row (axis 2) or column (axis 3) of each map, then the second of each, and so on."""
    if not maps[0].is_contiguous(memory_format=torch.channels_last):
        return torch.stack([*maps], axis + 1).flatten(axis, axis + 1)
    # Keeps the channels last in memory; stacking alone would not.
    turned = torch.stack([each.movedim(1, 3) for each in maps], axis).flatten(axis - 1, axis)
    return turned.movedim(3, 1)
