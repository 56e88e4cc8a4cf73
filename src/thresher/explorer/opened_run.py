"""A run's tables in memory for the explorer: read once, then asked by row number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32, Int16, Int32, Int64

from thresher import tables
from thresher.data.source_text import parsed_sources
from thresher.data.sources import split_address
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError
from thresher.run.folder import Record, Run
from thresher.run.perform import file_digest, perform
from thresher.stages.candidates import Candidates, read_candidates

#: The map's landmarks: so many images of the target and of the pool are placed by t-SNE, the others beside them.
TARGET_LANDMARKS, POOL_LANDMARKS = 700, 1300
_SEED = 0
#: Where `why` and the explorer rank an image among the pool, and by what.
RANKED = {"layout_rank": "layout", "similarity_rank": "similarity_nats", "diversity_rank": "diversity"}


@dataclass(frozen=True)
class RowBoxes:
    """The boxes of interest of every row, the largest first; row i owns `starts[i]` to `starts[i + 1]`."""

    starts: Int64[np.ndarray, " rows_plus_1"]
    corners: Float32[np.ndarray, "n 4"]
    """x0, y0, x1, y1 in shares of the picture."""
    classes: Int16[np.ndarray, " n"]
    """Numbers into the classes of interest."""

    def of(self, row: int) -> list[list[float]]:
        """x0, y0, x1, y1 and the class's number of each box of a row."""
        own = slice(self.starts[row], self.starts[row + 1])
        corners = self.corners[own].astype(np.float64).round(4).tolist()
        return [[*four, number] for four, number in zip(corners, self.classes[own].tolist(), strict=True)]


@dataclass(frozen=True)
class Workbench:
    """What a choice is made from and shown with. Rows are the pool's images in the order of their ids, then the
    target's.
    """

    run: Run
    candidates: Candidates
    images: pl.DataFrame
    """row, image_id, path, dataset, role."""
    pool: int
    """How many of the rows are the pool's."""
    scores: pl.DataFrame
    """The scores of the pool's rows, in their order, with their ranks (`RANKED`); null where score had nothing."""
    counts: Int32[np.ndarray, "pool classes"]
    """Objects of each class of interest."""
    boxes: RowBoxes
    roots: tuple[Path, ...]
    """The folders and files, resolved, in which all pictures must lie."""

    def rows_of(self, ids: pl.DataFrame) -> Int64[np.ndarray, " n"]:
        """The rows of the images named in column image_id, in its order."""
        found = ids.select("image_id").join(self.images, on="image_id", how="left", maintain_order="left")
        rows: Int64[np.ndarray, " n"] = found["row"].to_numpy()
        return rows

    def path(self, row: int) -> Path:
        """Where the picture of a row lies.

        Raises:
            DataError: outside all roots, for instance by a link that leads out of them.
        """
        path = self.images["path"][row]
        address = split_address(path)
        place = Path(path if address is None else address[0]).resolve()
        if not any(place.is_relative_to(root) for root in self.roots):
            raise DataError(f"{path}: lies outside the data's folders, so it is not shown. If it may be, start the "
                            f"explorer with --roots {place.parent}.")  # fmt: skip
        return Path(path)


def workbench(run: Run, roots: Sequence[Path] = (), duplicate_cosine: float = 0.0) -> Workbench:
    """Read the tables of a run.

    Args:
        roots: Folders whose pictures may be shown besides those that index was given.
        duplicate_cosine: As in the settings of select.

    Raises:
        DataError: score has not run.
    """
    candidates = read_candidates(run, duplicate_cosine)
    images = _images(run)
    pool = images.filter(role="pool")
    classes = list(candidates.classes)
    ranks = [pl.col(name).rank("min", descending=True).cast(pl.Int64).alias(place) for place, name in RANKED.items()]
    scores = pool.select("image_id").join(candidates.scores, on="image_id", how="left", maintain_order="left")
    counts = pool.select("image_id").join(candidates.counts, on="image_id", how="left", maintain_order="left")
    numbers = counts.select(pl.col(classes).fill_null(0).cast(pl.Int32)).to_numpy() if classes else np.zeros((0, 0))
    allowed = [*_source_roots(run), *roots]
    return Workbench(
        run,
        candidates,
        images,
        pool.height,
        scores.with_columns(ranks),
        numbers.reshape(pool.height, len(classes)).astype(np.int32),
        _row_boxes(run, images, classes),
        tuple(root.expanduser().resolve() for root in allowed),
    )


def _images(run: Run) -> pl.DataFrame:
    columns = tables.some(tables.INDEXED_IMAGES, "image_id", "path", "dataset", "role")
    images = tables.read(run.images, columns, key="image_id")
    ordered = pl.concat([images.filter(role=role).sort("image_id") for role in ("pool", "target")])
    return ordered.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))


def _source_roots(run: Run) -> list[Path]:
    """The folders that index was given; of a file, such as a list of images, the folder that holds it."""
    told = run.recorded().get("index", {}).get("settings", {})
    sources = parsed_sources(told.get("target", ()), told.get("pool", ()))
    return [source.root.parent if source.root.is_file() else source.root for source in sources]


def _row_boxes(run: Run, images: pl.DataFrame, classes: Sequence[str]) -> RowBoxes:
    numbers = pl.DataFrame(
        {"class": classes, "number": range(len(classes))}, schema={"class": pl.String, "number": pl.Int16}
    )
    corners = ("x0", "y0", "x1", "y1")
    area = (pl.col("x1") - pl.col("x0")) * (pl.col("y1") - pl.col("y0"))
    found = (
        tables.scan(run.boxes, tables.some(tables.BOXES, "image_id", "class", *corners))
        .join(numbers.lazy(), on="class")
        .join(images.lazy().select("image_id", "row"), on="image_id")
        .select("row", "number", *corners, area=area)
        .collect(engine="streaming")
        .sort("row", "area", "number", *corners, descending=[False, True, *[False] * 5])
    )  # fmt: skip
    starts = np.searchsorted(found["row"].to_numpy(), np.arange(images.height + 1)).astype(np.int64)
    return RowBoxes(starts, found.select(corners).to_numpy().astype(np.float32), found["number"].to_numpy())


def places(bench: Workbench) -> Float32[np.ndarray, "rows 2"]:
    """Where the map puts each row; NaN for images that embed could not read. Kept in RUN/explorer/map.parquet.

    Raises:
        DataError: embed has not run, or fewer than four images were read.
    """
    run = bench.run
    record = Record(run.folder / "explorer")
    path = record.folder / "map.parquet"
    inputs = {"images": file_digest(run.images), "pooled": file_digest(run.pooled)}

    def work() -> tuple[dict[str, Any], int]:
        found = _placed(bench)
        tables.write(tables.checked(found, tables.MAP, "map", key="image_id"), path)
        return {"images": found.height}, 0

    perform(run, "map", MapSettings(), inputs, [path], work, record)
    found = bench.images.select("image_id").join(
        tables.read(path, tables.MAP), on="image_id", how="left", maintain_order="left"
    )
    placed: Float32[np.ndarray, "rows 2"] = found.select("x", "y").to_numpy().astype(np.float32)
    return placed


@dataclass(frozen=True)
class MapSettings:
    """What shapes the map apart from the vectors."""

    target_landmarks: int = TARGET_LANDMARKS
    pool_landmarks: int = POOL_LANDMARKS
    seed: int = _SEED


def _placed(bench: Workbench) -> pl.DataFrame:
    from thresher.density.map import beside_landmarks, similarity_map

    pooled = tables.read(bench.run.pooled, tables.some(tables.POOLED, "image_id", "vector"), key="image_id")
    rows = bench.images.join(pooled, on="image_id", maintain_order="left")
    vectors = rows["vector"].rechunk().to_numpy(allow_copy=False)
    rng = np.random.default_rng(_SEED)
    marks = np.sort(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero((rows["role"] == role).to_numpy()))[:most]
                for role, most in (("target", TARGET_LANDMARKS), ("pool", POOL_LANDMARKS))
            ]
        )
    )
    known = rows[marks]
    drawn = similarity_map(known["image_id"].to_list(), known["role"].to_list(), vectors[marks], _SEED)
    at = known.select("image_id").join(drawn, on="image_id", maintain_order="left").select("x", "y").to_numpy()
    placed = beside_landmarks(vectors[marks], at, vectors)
    placed[marks] = at
    return rows.select("image_id", "role").with_columns(x=pl.Series(placed[:, 0]), y=pl.Series(placed[:, 1]))


def classes_shown(bench: Workbench) -> list[dict[str, Any]]:
    """Each class of interest: its name, whether it is rare, and on how many of the pool's images it is."""
    on_images = (bench.counts > 0).sum(0).tolist()
    rare = bench.candidates.frequencies.rare
    return [
        {"name": name, "rare": name in rare, "pool": images, "target": share}
        for name, images, share in zip(bench.candidates.classes, on_images, _target_shares(bench), strict=True)
    ]


def _target_shares(bench: Workbench) -> list[float | None]:
    """The share of the target's masks that each class is on, where a comparison has counted them; a group is on those
    of no class of its own.
    """
    shares: dict[str, float] = {}
    for path in sorted(bench.run.folder.glob("comparisons/*/frequencies.parquet"))[:1]:
        counted = tables.read(path, tables.FREQUENCIES).filter(of="target")
        shares = {row["class"]: row["images"] / max(1, row["of_images"]) for row in counted.iter_rows(named=True)}
    groups = load_taxonomy(str(bench.run.taxonomy)).groups
    return [None if name in groups else shares.get(name) for name in bench.candidates.classes]
