"""Masks as COCO's run lengths: encoded and decoded, as counts or as COCO's short text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from thresher.errors import DataError


def run_lengths(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """The lengths of the runs of 0, 1, 0, … down the columns, the first of which may be 0.

    Source: COCO's `counts`, https://cocodataset.org/#format-data.

    >>> run_lengths(np.array([[0, 1], [1, 1]], bool)), run_lengths(np.array([[1, 0]], bool))
    ([1, 3], [0, 1, 1])
    """
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.append(changes[changes < mask.size], mask.size)
    return [int(length) for length in np.diff(ends, prepend=0)]


def mask_of(counts: Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The mask of some run lengths.

    Args:
        size: Height and width in pixels.

    Raises:
        DataError: a length is below 0, or they do not sum to the number of pixels.

    >>> mask_of([1, 3], (2, 2)).astype(int).tolist()
    [[0, 1], [1, 1]]
    """
    if any(count < 0 for count in counts) or sum(counts) != size[0] * size[1]:
        raise DataError(
            f"run lengths of a mask: they sum to {sum(counts)}; expected {size[0] * size[1]}, for {size[1]} × {size[0]}"
            " pixels, and none below 0."
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size, order="F")


def as_text(counts: Sequence[int]) -> str:
    """Run lengths as COCO's text: of each from the fourth on its difference to the last but one, in groups of 5 bits.

    Source: rleToString of https://github.com/cocodataset/cocoapi (common/maskApi.c); written anew.

    >>> as_text([1, 3]), as_text([5, 40, 3, 38])
    ('13', '5X13N')
    """
    letters = []
    for place, count in enumerate(counts):
        left, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            group, left = left & 0x1F, left >> 5
            more = left != (-1 if group & 0x10 else 0)
            letters.append(chr((group | (0x20 if more else 0)) + 48))
    return "".join(letters)


def from_text(text: str) -> list[int]:
    """The run lengths of COCO's text.

    Raises:
        DataError: it ends within a number, or a character is none of its own.

    >>> from_text("5X13N")
    [5, 40, 3, 38]
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64:
            raise DataError(f"run lengths of a mask: '{letter}' is no character of COCO's text.")
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError("run lengths of a mask: COCO's text ends within a number.")
    return counts
