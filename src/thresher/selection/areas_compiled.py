"""The loop of `areas`, compiled by numba when it is first called; without annotations, which numba does not read."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def add_areas(starts, x0, y0, x1, y1, areas):
    """areas[i] = the area under boxes starts[i] to starts[i + 1]; all arrays contiguous, corners of one type.

    The vertical sides cut the picture into strips. Within a strip the boxes that cross it, by their upper side, leave
    intervals that are merged from the top down.
    """
    most = 1
    for i in range(len(areas)):
        most = max(most, starts[i + 1] - starts[i])
    order, sides = np.empty(most, np.int64), np.empty(2 * most)
    lefts, tops, rights, bottoms = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    for i in range(len(areas)):
        count = 0
        for b in range(starts[i], starts[i + 1]):
            if x1[b] > x0[b] and y1[b] > y0[b]:
                # Insertion: most images have a few boxes.
                place = count
                while place > 0 and y0[order[place - 1]] > y0[b]:
                    order[place] = order[place - 1]
                    place -= 1
                order[place] = b
                insert(sides, 2 * count, x0[b])
                insert(sides, 2 * count + 1, x1[b])
                count += 1
        for place in range(count):
            b = order[place]
            lefts[place], tops[place], rights[place], bottoms[place] = x0[b], y0[b], x1[b], y1[b]
        area = 0.0
        for s in range(2 * count - 1):
            left, right = sides[s], sides[s + 1]
            if right > left:
                height, reached = 0.0, -np.inf
                for b in range(count):
                    # Without branches, which no processor would foresee.
                    bottom = bottoms[b] if lefts[b] <= left and rights[b] >= right else -np.inf
                    top = tops[b] if tops[b] > reached else reached
                    height += bottom - top if bottom > top else 0.0
                    reached = bottom if bottom > reached else reached
                area += (right - left) * height
        areas[i] = area


@njit(nogil=True, cache=True)
def insert(values, count, value):
    """Put a number in its place among the first `count`, which are sorted."""
    place = count
    while place > 0 and values[place - 1] > value:
        values[place] = values[place - 1]
        place -= 1
    values[place] = value
