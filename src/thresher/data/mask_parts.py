"""The objects of a mask: connected parts of one class, and the boxes around them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64, UInt8

#: Nobody draws boxes around objects below this share of the image (ours: 6 pixels of 256 × 256).
LEAST_AREA = 1e-4


def boxes_of_parts(
    labels: UInt8[np.ndarray, "h w"], numbers: Iterable[int]
) -> tuple[Float64[np.ndarray, "boxes 4"], Int64[np.ndarray, " boxes"]]:
    """A tight box around each connected part (of 8 neighbours) of each of these classes, and its class.

    Objects that touch share a box. Parts below `LEAST_AREA` of the image have none.

    Returns:
        x0, y0, x1, y1 as shares of the image's sides, 0..1; and the class's number in `labels`.

    >>> labels = np.zeros((20, 20), np.uint8)
    >>> labels[5:10, 5:] = 8
    >>> boxes_of_parts(labels, [8])[0].tolist()
    [[0.25, 0.25, 1.0, 0.5]]
    """
    from scipy import ndimage

    height, width = labels.shape
    corners, found = [], []
    for number in numbers:
        parts, count = ndimage.label(labels == number, np.ones((3, 3), np.int8))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        for part, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
            if sizes[part] >= LEAST_AREA * labels.size:
                corners.append((columns.start / width, rows.start / height, columns.stop / width, rows.stop / height))
                found.append(int(number))
    return np.array(corners, np.float64).reshape(-1, 4), np.array(found, np.int64)
