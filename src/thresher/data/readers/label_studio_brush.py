"""What was painted with Label Studio's brush: the pixels of a picture of four channels, packed bit by bit.

Source: https://labelstud.io/tags/brushlabels and @thi.ng/rle-pack, which it names: 32 bits with the number of values,
5 with the bits of a value less 1, four times 4 with the bits of a run's length less 1; then runs: a bit that says
whether one value is repeated, 2 which of the four widths, the length less 1, and the value or values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from thresher.data.run_lengths import MOST_PX

_CHANNELS = 4


def painted_mask(packed: Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The painted pixels: those whose last channel (alpha) is above 0.

    Args:
        packed: Bytes, 0 to 255.
        size: Width and height in pixels.

    Raises:
        ValueError: it ends too soon, or is not of this size.
    """
    bits = np.unpackbits(np.array(packed, np.uint8))
    at = 0

    def number(width: int) -> int:
        nonlocal at
        if at + width > len(bits):
            raise ValueError("a brush that ends within a run")
        found = int.from_bytes(np.packbits(bits[at : at + width]).tobytes(), "big") >> (-width % 8)
        at += width
        return found

    count, word = number(32), number(5) + 1
    if count != size[0] * size[1] * _CHANNELS or count > MOST_PX * _CHANNELS:
        raise ValueError(f"a brush of {count:,} values; expected {size[0]} × {size[1]} × {_CHANNELS}")
    widths = [number(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8)
    place = 0
    while place < count:
        repeated = number(1)
        length = number(widths[number(2)]) + 1
        if repeated:
            values[place : place + length] = number(word)
        else:
            for each in range(place, min(place + length, count)):
                values[each] = number(word)
        place += length
    alpha: Bool[np.ndarray, "h w"] = values.reshape(size[1], size[0], _CHANNELS)[..., -1] > 0
    return alpha
