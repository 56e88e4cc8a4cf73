"""A run's images by row number, as the explorer's page addresses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32, Int16, Int32, Int64

from thresher.data.sources import split_address
from thresher.errors import DataError, quoted
from thresher.run.opened import OpenedRun, source_roots
from thresher.stages.candidates import Candidates
from thresher.stages.select import SelectSettings, candidates_for

#: Ranks in the pool, in `why` and the explorer, and the score of each.
RANKED = {"layout_rank": "layout", "similarity_rank": "similarity", "diversity_rank": "diversity"}


@dataclass(frozen=True)
class RowBoxes:
    """The boxes of interest of every row, the largest first; row i owns `starts[i]` to `starts[i + 1]`."""

    starts: Int64[np.ndarray, " rows_plus_1"]
    corners: Float32[np.ndarray, "n 4"]
    """x0, y0, x1, y1 as shares of the image, 0..1."""
    classes: Int16[np.ndarray, " n"]
    """Numbers into the classes of interest."""

    def of(self, row: int) -> list[list[float]]:
        """x0, y0, x1, y1 and the class's number of each box of a row."""
        own = slice(self.starts[row], self.starts[row + 1])
        corners = self.corners[own].astype(np.float64).round(4).tolist()
        return [[*four, number] for four, number in zip(corners, self.classes[own].tolist(), strict=True)]


@dataclass(frozen=True)
class RunRows:
    """The data of the explorer by row: pool images in the order of their ids, then target images."""

    opened: OpenedRun
    candidates: Candidates
    images: pl.DataFrame
    """row, image_id, path, dataset, role."""
    pool: int
    """Number of pool rows."""
    scores: pl.DataFrame
    """The scores of the pool's rows, in their order, with their ranks (`RANKED`); null for images without scores."""
    counts: Int32[np.ndarray, "pool classes"]
    """Objects of each class of interest."""
    boxes: RowBoxes
    roots: tuple[Path, ...]
    """Resolved folders and files; images outside them are not shown."""

    @cached_property
    def _row_by_id(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.images["image_id"])}

    def rows_of(self, ids: pl.DataFrame) -> Int64[np.ndarray, " n"]:
        """The rows of the images named in column image_id, in its order. All of them are images of the run."""
        known, names = self._row_by_id, ids["image_id"].to_list()
        return np.fromiter((known[name] for name in names), np.int64, len(names))

    @cached_property
    def dataset_names(self) -> list[str]:
        """The data sets of the pool, by name."""
        return self.images.head(self.pool)["dataset"].unique().sort().to_list()

    @cached_property
    def dataset_numbers(self) -> Int64[np.ndarray, " pool"]:
        """The place of each pool row's data set in `dataset_names`."""
        places = {name: number for number, name in enumerate(self.dataset_names)}
        return np.fromiter((places[name] for name in self.images.head(self.pool)["dataset"]), np.int64, self.pool)

    def refuse_unknown(self, row: int) -> None:
        """Refuse a number that no image has.

        Raises:
            DataError: says which there are.
        """
        if not 0 <= row < self.images.height:
            raise DataError(f"image {row}: expected 0 to {self.images.height - 1}.")

    def path(self, row: int) -> Path:
        """Path of the image of a row.

        Raises:
            DataError: outside all roots, for instance through a link.
        """
        path = self.images["path"][row]
        address = split_address(path)
        place = Path(path if address is None else address[0]).resolve()
        if not any(place.is_relative_to(root) for root in self.roots):
            raise DataError(
                f"{path}: outside the folders given to index, so it is not shown. To allow it, run "
                f"`thresher explore {quoted(self.opened.run.folder)} --roots {quoted(place.parent)}`."
            )
        return Path(path)


def run_rows(opened: OpenedRun, roots: Sequence[Path] = (), start: SelectSettings | None = None) -> RunRows:
    """Read the explorer's data from a run.

    Args:
        roots: Further folders whose images may be shown, besides those given to index.
        start: Settings of select; its lists, near-duplicates and coverage are read.

    Raises:
        DataError: score has not run, or a list cannot be read.
    """
    start = start or SelectSettings(coverage="off")
    candidates = candidates_for(opened, start)
    images = _images(opened)
    pool = images.filter(role="pool")
    classes = list(candidates.classes)
    ranks = [pl.col(name).rank("min", descending=True).cast(pl.Int64).alias(place) for place, name in RANKED.items()]
    scores = pool.select("image_id").join(candidates.scores, on="image_id", how="left", maintain_order="left")
    counts = pool.select("image_id").join(candidates.counts, on="image_id", how="left", maintain_order="left")
    numbers = counts.select(pl.col(classes).fill_null(0).cast(pl.Int32)).to_numpy() if classes else np.zeros((0, 0))
    allowed = [*source_roots(opened), *roots]
    return RunRows(
        opened,
        candidates,
        images,
        pool.height,
        scores.with_columns(ranks),
        numbers.reshape(pool.height, len(classes)).astype(np.int32),
        _row_boxes(opened, images, classes),
        tuple(root.expanduser().resolve() for root in allowed),
    )


def _images(opened: OpenedRun) -> pl.DataFrame:
    ordered = pl.concat([part.sort("image_id") for part in (opened.pool, opened.target)])
    columns = ordered.select("image_id", "path", "dataset", "role")
    return columns.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))


def _row_boxes(opened: OpenedRun, images: pl.DataFrame, classes: Sequence[str]) -> RowBoxes:
    numbers = pl.DataFrame(
        {"class": classes, "number": range(len(classes))}, schema={"class": pl.String, "number": pl.Int16}
    )
    corners = ("x0", "y0", "x1", "y1")
    area = (pl.col("x1") - pl.col("x0")) * (pl.col("y1") - pl.col("y0"))
    found = (
        opened.lazy_boxes()
        .select("image_id", "class", *corners)
        .join(numbers.lazy(), on="class")
        .join(images.lazy().select("image_id", "row"), on="image_id")
        .select("row", "number", *corners, area=area)
        .collect(engine="streaming")
        .sort("row", "area", "number", *corners, descending=[False, True, *[False] * 5])
    )
    starts = np.searchsorted(found["row"].to_numpy(), np.arange(images.height + 1)).astype(np.int64)
    return RowBoxes(starts, found.select(corners).to_numpy().astype(np.float32), found["number"].to_numpy())


def classes_shown(rows: RunRows) -> list[dict[str, Any]]:
    """Each class of interest: name, whether it is rare, number of pool images and share of target masks with it."""
    on_images = (rows.counts > 0).sum(0).tolist()
    rare = rows.candidates.frequencies.rare
    return [
        {"name": name, "rare": name in rare, "pool": images, "target": share}
        for name, images, share in zip(rows.candidates.classes, on_images, _target_shares(rows), strict=True)
    ]


def _target_shares(rows: RunRows) -> list[float | None]:
    """The share of the target's masks that each class is on, where a comparison has counted them; a group is on those
    of no class of its own.
    """
    shares: dict[str, float] = {}
    for name in rows.opened.compared[:1]:
        counted = rows.opened.counted_target(name)
        shares = {row["class"]: row["images"] / max(1, row["of_images"]) for row in counted.iter_rows(named=True)}
    groups = rows.opened.taxonomy.groups
    return [None if name in groups else shares.get(name) for name in rows.candidates.classes]
