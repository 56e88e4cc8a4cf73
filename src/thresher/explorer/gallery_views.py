"""The views of the explorer's gallery, as rows in display order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64

from thresher.errors import SettingsError
from thresher.selection.choose import Selection
from thresher.selection.edge import edge_words, places_by_score
from thresher.settings import as_type
from thresher.stages.candidates import shortlist_of
from thresher.stages.select import SelectSettings

#: Rows of a `RunRows`, and one flag for each row of the pool.
Rows: TypeAlias = Int64[np.ndarray, " n"]
Flags: TypeAlias = Bool[np.ndarray, " pool"]
#: The views that need a second selection.
COMPARED = ("only here", "only there", "in both")
VIEWS = (
    "chosen",
    "last",
    "left out",
    "all",
    "duplicates",
    "random",
    "accepted",
    "pinned",
    "rejected",
    "region",
    "like",
    *COMPARED,
)
#: Number of random images to compare with, and their seed.
DRAWN, _SEED = 120, 0
#: Most corners of an outline; a page that sends more has not thinned it out.
_MOST_CORNERS = 2000


@dataclass(frozen=True)
class GallerySelection:
    """A selection as rows."""

    settings: SelectSettings
    made: Selection
    rows: Rows
    """The chosen, best first."""
    within: Flags
    """Whether each row of the pool is chosen."""
    rows_of: Callable[[pl.DataFrame], Rows]
    """The rows of images by their ids (`RunRows.rows_of`)."""
    alike: float | None = None
    """Of the candidates (`Candidates.alike`)."""
    version: int = 0
    """Of the marks that it was made with (`Review.now`)."""
    seconds: float = 0.0
    """How long it took to make."""

    @cached_property
    def next(self) -> Rows:
        """The candidates that were not chosen, best first."""
        ordered = self.rows_of(self.made.candidates)
        found: Rows = ordered[~self.within[ordered]]
        return found

    @cached_property
    def places(self) -> pl.DataFrame:
        """The candidates' places by score (`places_by_score`)."""
        return places_by_score(self.made.candidates)

    @property
    def shortlist(self) -> int | None:
        """How many of the best ranked were chosen from; None without coverage."""
        if self.settings.coverage == "off":
            return None
        return shortlist_of(self.settings, len(self.rows), self.made.candidates.height, self.alike)

    def edge(self, ids: pl.Series) -> dict[str, str]:
        """By image_id, what decided against an image that is not chosen (`edge_words`)."""
        return edge_words(self.made, self.places, self.shortlist, ids)


def rows_of_view(view: str, shown: GallerySelection, inside: Flags | None = None, other: Flags | None = None) -> Rows:
    """The rows of a view that depends on no marks.

    Args:
        inside: For `region`: which pool rows are in it.
        other: For the views of `COMPARED`: which rows the second selection holds.
    """
    if view in ("chosen", "last"):
        return shown.rows if view == "chosen" else shown.rows[::-1]
    if view == "left out":
        return shown.next
    if view == "duplicates":
        return shown.rows_of(shown.made.steps.filter(step="near-duplicate"))
    if view == "random":
        drawn: Rows = np.random.default_rng(_SEED).permutation(len(shown.within))[:DRAWN].astype(np.int64)
        return drawn
    wanted = np.ones(len(shown.within), bool) if view == "all" else inside
    if view != "region" and other is not None:
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


def within_region(points: Float32[np.ndarray, "pool 2"], region: Mapping[str, Any]) -> Flags:
    """Which points are in a region: inside the outline of its `polygon`, or within its bounds x0, x1, y0 and y1.

    Raises:
        SettingsError: not numbers, or an outline that is none.

    >>> points = np.array([[0.5, 0.5], [2.0, 0.5]], np.float32)
    >>> within_region(points, {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}).tolist()
    [True, False]
    """
    polygon = region.get("polygon")
    if polygon is None:
        return within_bounds(points, region)
    corners = [as_type(each, tuple[float, ...], "polygon") for each in as_type(polygon, list, "polygon")]
    if not 3 <= len(corners) <= _MOST_CORNERS or any(len(each) != 2 for each in corners):
        raise SettingsError(f"polygon: expected 3 to {_MOST_CORNERS:,} corners [x, y].")
    return within_polygon(points, corners)


def within_bounds(points: Float32[np.ndarray, "pool 2"], bounds: Mapping[str, Any]) -> Flags:
    """Which points are within x0 to x1 and y0 to y1; missing bounds are open, NaN is outside."""
    (x, y), inside = points.T, np.ones(len(points), bool)
    for name, values, sign in (("x0", x, 1), ("x1", x, -1), ("y0", y, 1), ("y1", y, -1)):
        inside &= ~np.isnan(values)
        if name in bounds:
            inside &= sign * values >= sign * as_type(bounds[name], float, name)
    return inside


def within_polygon(points: Float32[np.ndarray, "pool 2"], corners: Sequence[tuple[float, ...]]) -> Flags:
    """Which points are inside an outline: a ray from each crosses it an odd number of times. NaN is outside."""
    outline = np.array(corners, np.float64)
    inside = np.zeros(len(points), bool)
    low, high = outline.min(0), outline.max(0)
    rows = np.flatnonzero(((points >= low) & (points <= high)).all(1))
    x, y = points[rows].astype(np.float64).T
    crossings = np.zeros(len(rows), np.int64)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, 0), strict=True):
        spans = (y0 > y) != (y1 > y)
        crossings[spans] += x[spans] < x0 + (y[spans] - y0) * (x1 - x0) / (y1 - y0)
    inside[rows] = crossings % 2 == 1
    return inside
