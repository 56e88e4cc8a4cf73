"""Masks as COCO's run lengths: encoded and decoded, as counts or as COCO's short text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from thresher.errors import DataError

#: Longer run lengths are no mask of an image.
MOST_PX = 200_000_000


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


def placed(patch: Bool[np.ndarray, "h w"], left: int, top: int, size: tuple[int, int]) -> dict[str, list[int]]:
    """COCO's run lengths, as numbers, of a mask that is stated for a part of an image.

    Args:
        patch: The mask of the part; what reaches over the image's border is cut off.
        left: Column of its first pixel.
        top: Row of its first pixel.
        size: Height and width of the image in pixels.

    >>> placed(np.array([[1, 1]], bool), left=1, top=0, size=(2, 2))
    {'size': [2, 2], 'counts': [2, 1, 1]}
    """
    whole = np.zeros(size, np.bool_)
    rows, columns = max(0, top), max(0, left)
    inside = patch[rows - top : size[0] - top, columns - left : size[1] - left]
    whole[rows : rows + inside.shape[0], columns : columns + inside.shape[1]] = inside
    return {"size": list(size), "counts": run_lengths(whole)}


def bounds(segmentation: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """The box around COCO's run lengths: left, top, right and bottom border in pixels.

    Raises:
        ValueError: they cover no pixel, or are none.
        DataError: they are not of the size that is stated.

    >>> bounds({"size": [2, 2], "counts": [2, 1, 1]})
    (1, 0, 2, 1)
    """
    height, width = (int(side) for side in segmentation["size"])
    counts = segmentation["counts"]
    runs = from_text(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if sum(runs) > MOST_PX:
        raise ValueError(f"run lengths of {sum(runs):,} pixels")
    mask = mask_of(runs, (height, width))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("run lengths that cover no pixel")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


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
