"""The views of the explorer's gallery, as rows in display order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Int64

from thresher.selection.choose import Selection
from thresher.settings import as_type
from thresher.stages.select import SelectSettings

#: Rows of a `RunRows`, and one flag for each row of the pool.
Rows: TypeAlias = Int64[np.ndarray, " n"]
Flags: TypeAlias = Bool[np.ndarray, " pool"]
#: The views that need a second selection.
COMPARED = ("only here", "only there", "in both")
VIEWS = ("chosen", "last", "left out", "random", "accepted", "pinned", "rejected", "rectangle", *COMPARED)
#: Number of random images to compare with, and their seed.
DRAWN, _SEED = 120, 0


@dataclass(frozen=True)
class GallerySelection:
    """A selection as rows."""

    settings: SelectSettings
    made: Selection
    rows: Rows
    """The chosen, best first."""
    next: Rows
    """The candidates that were not chosen, best first."""
    within: Flags
    """Whether each row of the pool is chosen."""


def rows_of_view(view: str, shown: GallerySelection, inside: Flags | None = None, other: Flags | None = None) -> Rows:
    """The rows of a view that depends on no marks.

    Args:
        inside: For `rectangle`: which pool rows are in it.
        other: For the views of `COMPARED`: which rows the second selection holds.
    """
    if view in ("chosen", "last"):
        return shown.rows if view == "chosen" else shown.rows[::-1]
    if view == "left out":
        return shown.next
    if view == "random":
        drawn: Rows = np.random.default_rng(_SEED).permutation(len(shown.within))[:DRAWN].astype(np.int64)
        return drawn
    if view == "rectangle":
        wanted = inside
    elif other is not None:
        own = shown.within
        wanted = {"only here": own & ~other, "only there": other & ~own, "in both": own & other}[view]
    if wanted is None:
        raise ValueError(f"view {view} needs flags")
    # The chosen first, then the other candidates, each best first; last those that cannot be ranked.
    rest = np.ones(len(shown.within), bool)
    rest[shown.rows] = rest[shown.next] = False
    ordered = np.concatenate([shown.rows, shown.next, np.flatnonzero(rest)])
    found: Rows = ordered[wanted[ordered]]
    return found


def within_bounds(points: Float32[np.ndarray, "pool 2"], bounds: Mapping[str, Any]) -> Flags:
    """Which points are within x0 to x1 and y0 to y1; missing bounds are open, NaN is outside."""
    (x, y), inside = points.T, np.ones(len(points), bool)
    for name, values, sign in (("x0", x, 1), ("x1", x, -1), ("y0", y, 1), ("y1", y, -1)):
        inside &= ~np.isnan(values)
        if name in bounds:
            inside &= sign * values >= sign * as_type(bounds[name], float, name)
    return inside
