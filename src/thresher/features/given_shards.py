"""The user's own vectors, written like those of the backbone: a projection and shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.data.dataset import size_px
from thresher.errors import DataError
from thresher.features.given_vectors import GivenVectors
from thresher.features.projection import fit_projection, load_projection, projection_is_current, save_projection
from thresher.features.shards import shard_is_current, write_shard
from thresher.features.worker import Image, Task, UnitSlices, projected_features
from thresher.run.folder import Run
from thresher.run.perform import Track


@dataclass(frozen=True)
class _Sizes:
    """Size of each image in pixels, from the index, else from its file header."""

    known: dict[str, tuple[int | None, int | None]]

    def of(self, image_id: str, path: str) -> tuple[int | None, int | None]:
        width, height = self.known[image_id]
        if width and height:
            return width, height
        try:
            return size_px(Path(path))
        except DataError:  # the image itself is not needed
            return None, None


def known_here(given: GivenVectors, images: pl.DataFrame) -> int:
    """How many images of the index have vectors.

    Raises:
        DataError: none of them has, or none of the target's.
    """
    ids = images["image_id"].to_list()
    found = sum(image_id in given.rows for image_id in ids)
    if not found:
        raise DataError(
            f"{given.path}: none of its {len(given.rows)} image ids is in the index. Its first is "
            f"'{next(iter(given.rows))}'; the index's is '{ids[0]}' (images.parquet, column image_id)."
        )
    target = images.filter(role="target")["image_id"].to_list()
    if not any(image_id in given.rows for image_id in target):
        raise DataError(
            f"{given.path}: no vector of an image of the target (ids such as '{target[0] if target else '–'}'). Write "
            "the vectors of target and pool to one file."
        )
    return found


def project_given(
    run: Run, given: GivenVectors, drawn: Sequence[Sequence[Image]], width: int, fingerprint: str
) -> None:
    """Fit the projection to the vectors of the sampled images, unless it is current."""
    if projection_is_current(run.projection, fingerprint):
        return
    sides = []
    for images in drawn:
        grids = []
        for image_id, _ in images:
            try:
                grids.append(given.grid(image_id).reshape(-1, given.channels))
            except DataError:
                continue  # listed when its shard is made
        sides.append(np.concatenate(grids) if grids else None)
    target, pool = sides
    if target is None:
        raise DataError(f"{given.path}: none of the target's sampled images has a usable vector.")
    save_projection(fit_projection(target, pool, width), run.projection, fingerprint)


def write_given(run: Run, given: GivenVectors, images: pl.DataFrame, tasks: Sequence[Task], track: Track[Any]) -> None:
    """Write a shard per task; current shards are kept."""
    projection = load_projection(run.projection)
    sizes = _Sizes(
        {
            name: (width, height)
            for name, width, height in images.select("image_id", "width_px", "height_px").iter_rows()
        }
    )
    for task in track(tasks, len(tasks), "reading vectors"):
        if shard_is_current(Path(task.path), task.fingerprint):
            continue
        features, problems = [], []
        for image_id, path in task.images:
            try:
                grid = given.grid(image_id)
            except DataError as error:
                row = {"image_id": image_id, "path": path, "stage": "embed"}
                problems.append({**row, "problem": "vector_missing", "detail": str(error)})
                continue
            height, width = grid.shape[:2]
            unit = UnitSlices(height, width, *sizes.of(image_id, path), grid.reshape(-1, given.channels))
            features.append(projected_features(image_id, unit, projection))
        write_shard(Path(task.path), features, list[dict[str, object]](problems), task.fingerprint, projection)


def digest_of(vectors: Path, ids: Path | None) -> str:
    """A hash of the files of vectors and ids.

    Raises:
        DataError: one is not there.
    """
    digests = []
    for path in (vectors, ids):
        if path is not None:
            try:
                with path.open("rb") as file:
                    digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            except FileNotFoundError:
                raise DataError(f"{path}: no such file.") from None
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()
