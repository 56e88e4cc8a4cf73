"""Near-duplicate images, by the cosine of their pooled vectors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32, Int64

from thresher.selection.cells import Cells, in_cells
from thresher.vectors import nearest_rows, unit_length

#: The cluster of images that are nearly the same as one of the target.
LIKE_TARGET = -1
#: More than the last digits of a cosine may be off.
_ROUGHNESS = 1e-4
#: Rows that are looked at together.
_BLOCK = 4_096
#: Up to so many images each is compared with all kept ones. Beyond, they are divided into cells of about so many rows,
#: and an image is compared with those of so many cells at most: the nearest that may hold a near-duplicate.
EXACT_ROWS, _CELL_ROWS, _PROBES = 50_000, 1_000, 32


@dataclass(frozen=True)
class Near:
    """What near-duplicates are found from, whatever the ranking; the last answer is kept."""

    ids: pl.DataFrame
    """image_id of the pool's images, a row for each vector."""
    vectors: Float[np.ndarray, "n c"]
    cosine: float
    like_target: Bool[np.ndarray, " n"]
    """Which are near-duplicates of an image of the target."""
    _last: dict[str, tuple[pl.Series, frozenset[str], int | None, pl.DataFrame]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def clusters(self, order: pl.DataFrame, always: Collection[str] = (), enough: int | None = None) -> pl.DataFrame:
        """The cluster of each image: its kept one and what is dropped for it (`leaders`), or `LIKE_TARGET`.

        Args:
            order: image_id, best first; images without a vector are in no cluster.
            always: Ids of images that are kept in any case.
            enough: Of more than `EXACT_ROWS` images look no further down than for so many kept ones, besides those of
                `always`. Default: at all.

        Returns:
            image_id, cluster, of (id of the kept image; null for what is like the target), cosine (with it); of the
            images looked at, in the order, and of all that are like the target.
        """
        firm = frozenset(always)
        if order.height <= EXACT_ROWS:
            enough = None
        if "last" in self._last:
            ids, before, depth, found = self._last["last"]
            if (before, depth) == (firm, enough) and ids.equals(order["image_id"]):
                return found
        numbered = order.select("image_id").join(self.ids.with_row_index("row"), on="image_id", maintain_order="left")
        numbered = numbered.with_columns(held=pl.col("image_id").is_in(list(firm))).sort(
            "held", descending=True, maintain_order=True
        )
        row = numbered["row"].to_numpy().astype(np.int64)
        held = numbered["held"].to_numpy()
        part = numbered.filter(pl.Series(held | ~self.like_target[row]))
        firsts = int(held.sum())
        made = leaders(
            self.vectors[part["row"].to_numpy()], self.cosine, firsts, None if enough is None else firsts + enough
        )
        names, looked_at = part["image_id"], len(made.rows)
        clustered = pl.DataFrame(
            {
                "image_id": names.head(looked_at),
                "cluster": part["row"].gather(made.rows).cast(pl.Int64),
                "of": names.gather(made.rows),
                "cosine": made.cosines.astype(np.float64),
            }
        )
        target = numbered.join(part, on="image_id", how="anti").select(
            "image_id",
            cluster=pl.lit(LIKE_TARGET, pl.Int64),
            of=pl.lit(None, pl.String),
            cosine=pl.lit(None, pl.Float64),
        )
        found = pl.concat([clustered, target])
        self._last["last"] = (order["image_id"], firm, enough, found)
        return found


@dataclass(frozen=True)
class Leaders:
    """For each image, the kept one that it is a near-duplicate of; itself if it is kept."""

    rows: Int64[np.ndarray, " n"]
    cosines: Float32[np.ndarray, " n"]
    """With that image, 1 for a kept one."""

    @property
    def kept(self) -> Bool[np.ndarray, " n"]:
        """Which images are kept."""
        found: Bool[np.ndarray, " n"] = self.rows == np.arange(len(self.rows))
        return found


def leaders(vectors: Float[np.ndarray, "n c"], cosine: float, always: int = 0, enough: int | None = None) -> Leaders:
    """Which of the images remain when, from the first to the last, all near-duplicates of a kept one are dropped.

    No two kept images have a cosine of `cosine` or more, and every dropped one has it with the kept image that it is
    told to be like: of a long chain of images, such as the frames of a drive, one remains wherever it has moved on.

    No table of all pairs is made. Of more than `EXACT_ROWS` images, each is compared with the kept ones of the nearest
    cells (k-means) into which the cosine can reach, 32 at most: of 20,000 made-up pairs with cosines of 0.95 to 0.98
    among 200,000 images 99.9 % are found (benchmarks/covering.py).

    Args:
        vectors: In order, best first. Of any length; a vector of zeros is like no other.
        cosine: Above 0, at most 1.
        always: The first so many images are kept in any case.
        enough: Stop once so many are kept; the answer is then that of the first images alone, for a few more than need
            be. Default: look at all.

    Source: the leader algorithm (Hartigan 1975, §3.2).

    >>> found = leaders(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01]]), 0.99)
    >>> found.rows.tolist(), found.cosines.round(2).tolist()
    ([0, 1, 0], [1.0, 1.0, 1.0])
    """
    count = len(vectors)
    cells = Cells(np.zeros((1, vectors.shape[1]), np.float32))
    if count > EXACT_ROWS:
        cells = in_cells(vectors, count // _CELL_ROWS)
    own = cells.nearest(vectors) if len(cells.centres) > 1 else np.zeros(count, np.int64)
    shelf = _Shelf.of(own, cells, vectors.shape[1])
    found = Leaders(np.arange(count), np.ones(count, np.float32))
    for start in range(0, count, _BLOCK):
        if enough is not None and shelf.filled.sum() >= enough:
            return Leaders(found.rows[:start], found.cosines[:start])
        rows = np.arange(start, min(count, start + _BLOCK))
        unit = unit_length(vectors[rows])
        firm = int(np.clip(always - start, 0, len(rows)))
        alike, best = shelf.most_alike(unit, cosine)
        alike[:firm], best[:firm] = -1, -1
        _within(unit, cosine, firm, alike, best, start)
        dropped = alike >= 0
        found.rows[rows[dropped]], found.cosines[rows[dropped]] = alike[dropped], best[dropped]
        shelf.add(rows[~dropped], unit[~dropped], own[rows[~dropped]])
    return found


def _within(
    unit: Float32[np.ndarray, "b c"],
    cosine: float,
    firm: int,
    alike: Int64[np.ndarray, " b"],
    best: Float32[np.ndarray, " b"],
    start: int,
) -> None:
    """Drop what is like a kept one of the same block; changes `alike` and `best`."""
    free = np.flatnonzero(alike < 0)
    near = unit[free] @ unit[free].T
    close = np.triu(near >= cosine, 1)
    for place in np.flatnonzero(close.any(axis=1)):
        if alike[free[place]] >= 0:
            continue
        later = np.flatnonzero(close[place])
        later = later[(free[later] >= firm) & (near[place, later] > best[free[later]])]
        alike[free[later]], best[free[later]] = start + free[place], near[place, later]


@dataclass
class _Shelf:
    """The kept vectors, cell by cell, each cell's in a piece of one array."""

    cells: Cells
    starts: Int64[np.ndarray, " k"]
    filled: Int64[np.ndarray, " k"]
    vectors: Float32[np.ndarray, "n c"]
    rows: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, own: Int64[np.ndarray, " n"], cells: Cells, width: int) -> _Shelf:
        sizes = np.bincount(own, minlength=len(cells.centres))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        vectors = np.empty((len(own), width), np.float32)
        return cls(cells, starts, np.zeros(len(sizes), np.int64), vectors, np.empty(len(own), np.int64))

    def add(
        self, rows: Int64[np.ndarray, " b"], unit: Float32[np.ndarray, "b c"], own: Int64[np.ndarray, " b"]
    ) -> None:
        order = np.argsort(own, kind="stable")
        cell = own[order]
        place = self.starts[cell] + self.filled[cell] + np.arange(len(cell)) - np.searchsorted(cell, cell)
        self.vectors[place], self.rows[place] = unit[order], rows[order]
        self.filled += np.bincount(cell, minlength=len(self.filled))

    def most_alike(
        self, unit: Float32[np.ndarray, "b c"], cosine: float
    ) -> tuple[Int64[np.ndarray, " b"], Float32[np.ndarray, " b"]]:
        """The kept row of highest cosine for each vector, −1 where none reaches `cosine`; and the cosine."""
        alike, best = np.full(len(unit), -1, np.int64), np.full(len(unit), -1, np.float32)
        row, cell = self._asked(unit, cosine)
        order = np.argsort(cell, kind="stable")
        used, firsts = np.unique(cell[order], return_index=True)
        for number, asking in zip(used, np.split(row[order], firsts[1:]), strict=True):
            piece = slice(self.starts[number], self.starts[number] + self.filled[number])
            if piece.start == piece.stop:
                continue
            near = unit[asking] @ self.vectors[piece].T
            most = near.argmax(axis=1)
            value = near[np.arange(len(asking)), most]
            better = (value >= cosine) & (value > best[asking])
            alike[asking[better]] = self.rows[piece][most[better]]
            best[asking[better]] = value[better]
        return alike, best

    def _asked(
        self, unit: Float32[np.ndarray, "b c"], cosine: float
    ) -> tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " a"]]:
        """Which vector is compared with which cell."""
        centres = self.cells.centres
        if len(centres) == 1:
            return np.arange(len(unit)), np.zeros(len(unit), np.int64)
        near = unit @ centres.T
        most = min(_PROBES, len(centres))
        cell = np.argpartition(-near, most - 1, axis=1)[:, :most]
        own = near.argmax(axis=1)
        # A vector's distance to the plane between two centres; beyond it begins the other's cell.
        lead = near[np.arange(len(unit)), own][:, None] - np.take_along_axis(near, cell, axis=1)
        apart = np.linalg.norm(centres[own][:, None] - centres[cell], axis=2)
        reach = np.sqrt(2 - 2 * cosine) + 1e-4
        within = lead <= reach * apart + 1e-6
        return np.nonzero(within)[0], cell[within]


def like_any(
    vectors: Float[np.ndarray, "n c"], others: Float[np.ndarray, "m c"], cosine: float
) -> Bool[np.ndarray, " n"]:
    """Whether each image has a cosine of at least `cosine` with any of the others."""
    found: Bool[np.ndarray, " n"] = np.zeros(len(vectors), bool)
    if not len(others):
        return found
    known = unit_length(others)
    for start in range(0, len(vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found[rows] = (unit_length(vectors[rows]) @ known.T).max(axis=1) >= cosine - _ROUGHNESS
    few = np.flatnonzero(found)
    if len(few):  # the last digits depend on how many were multiplied at once
        found[few] = nearest_rows(vectors[few], others)[1][:, 0] >= cosine
    return found
