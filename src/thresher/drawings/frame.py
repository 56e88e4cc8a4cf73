"""The frame of a box on a picture."""

from __future__ import annotations

from collections.abc import Sequence


def framed_pixels(edges: Sequence[float]) -> tuple[int, int, int, int]:
    """The first column and row of a box and its last ones, as Pillow's `rectangle` takes them; at least one of each.

    Args:
        edges: x0, y0, x1, y1 in pixels. A box narrower than a pixel is drawn as one.

    >>> framed_pixels([2.0, 3.0, 10.0, 8.0])
    (2, 3, 9, 7)
    >>> framed_pixels([2.0, 3.0, 2.2, 8.0])
    (2, 3, 2, 7)
    """
    left, top, right, bottom = (round(edge) for edge in edges)
    return left, top, max(left, right - 1), max(top, bottom - 1)
