"""Coordinates of the explorer's map, computed once and stored in RUN/explorer/map.parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32

from thresher import tables
from thresher.density.map import beside_landmarks, similarity_map
from thresher.explorer.rows import RunRows
from thresher.run.perform import perform
from thresher.run.record import Record

#: Number of target and pool images placed by t-SNE; the others are placed near them.
TARGET_LANDMARKS, POOL_LANDMARKS = 700, 1300
_SEED = 0


def places(rows: RunRows) -> Float32[np.ndarray, "rows 2"]:
    """Map coordinates of each row; NaN for images that embed could not read. Cached in RUN/explorer/map.parquet.

    Raises:
        DataError: embed has not run, or fewer than four images were read.
    """
    run = rows.opened.run
    record = Record(run.folder / "explorer")
    path = record.folder / "map.parquet"
    inputs = {"images": run.images, "pooled": run.pooled}

    def work() -> tuple[dict[str, Any], int]:
        found = _placed(rows)
        tables.write(tables.checked(found, tables.MAP, "map", key="image_id"), path)
        return {"images": found.height}, 0

    perform(run, "map", MapSettings(), inputs, [path], work, record)
    found = rows.images.select("image_id").join(
        tables.read(path, tables.MAP), on="image_id", how="left", maintain_order="left"
    )
    placed: Float32[np.ndarray, "rows 2"] = found.select("x", "y").to_numpy().astype(np.float32)
    return placed


@dataclass(frozen=True)
class MapSettings:
    """Settings of the map."""

    target_landmarks: int = TARGET_LANDMARKS
    pool_landmarks: int = POOL_LANDMARKS
    seed: int = _SEED


def _placed(rows: RunRows) -> pl.DataFrame:
    pooled = rows.opened.pooled.select("image_id", "vector")
    read = rows.images.join(pooled, on="image_id", maintain_order="left")
    vectors = read["vector"].rechunk().to_numpy(allow_copy=False)
    rng = np.random.default_rng(_SEED)
    marks = np.sort(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero((read["role"] == role).to_numpy()))[:most]
                for role, most in (("target", TARGET_LANDMARKS), ("pool", POOL_LANDMARKS))
            ]
        )
    )
    known = read[marks]
    drawn = similarity_map(known["image_id"].to_list(), known["role"].to_list(), vectors[marks], _SEED)
    at = known.select("image_id").join(drawn, on="image_id", maintain_order="left").select("x", "y").to_numpy()
    placed = beside_landmarks(vectors[marks], at, vectors)
    placed[marks] = at
    return read.select("image_id", "role").with_columns(x=pl.Series(placed[:, 0]), y=pl.Series(placed[:, 1]))
