"""The user's own vectors, written like those of the backbone: a projection and shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from thresher.data.dataset import size_px
from thresher.data.file_states import content_digest
from thresher.errors import DataError
from thresher.features.given_vectors import GivenVectors
from thresher.features.projection import load_projection
from thresher.features.shards import write_shard
from thresher.features.worker import Image, Report, Task, UnitSlices, projected_features


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


def with_contents(given: GivenVectors, images: pl.DataFrame) -> pl.DataFrame:
    """image_id, path and role of the images, and of their vectors the digest of the `content`; "-" where unusable.

    Files have no part in it: `size_bytes` and `mtime_ns` are null.
    """
    contents = []
    for image_id, width, height in images.select("image_id", "width_px", "height_px").iter_rows():
        try:
            grid = given.grid(image_id)
        except DataError:
            contents.append("-")
        else:
            contents.append(content_digest(f"{width} {height} {grid.shape} ".encode() + grid.tobytes()))
    nothing = pl.lit(None, pl.Int64)
    return images.select("image_id", "path", "role").with_columns(
        size_bytes=nothing, mtime_ns=nothing, content=pl.Series(contents, dtype=pl.String)
    )


def project_given(
    given: GivenVectors, drawn: Sequence[Sequence[Image]]
) -> tuple[Float32[np.ndarray, "n c"], Float32[np.ndarray, "m c"] | None]:
    """The vectors of the sampled images of target and pool, to fit the projection to.

    Raises:
        DataError: none of the target's is usable.
    """
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
    return target, pool


def write_given(
    given: GivenVectors, images: pl.DataFrame, contents: Mapping[str, str], tasks: Sequence[Task]
) -> Iterator[Report]:
    """Write a shard per task; gives the reports that workers would give.

    Args:
        images: Table IMAGES.
        contents: Digest of each image's vectors, as `with_contents` gives it.
    """
    sizes = _Sizes(
        {
            name: (width, height)
            for name, width, height in images.select("image_id", "width_px", "height_px").iter_rows()
        }
    )
    for task in tasks:
        projection = load_projection(Path(task.projection))
        features, problems = [], list[dict[str, object]]()
        for image_id, path in task.images:
            try:
                grid = given.grid(image_id)
            except DataError as error:
                row = {"image_id": image_id, "path": path, "stage": "embed", "content": contents[image_id]}
                problems.append({**row, "problem": "vector_missing", "detail": str(error)})
                continue
            height, width = grid.shape[:2]
            flat = grid.reshape(-1, given.channels)
            unit = UnitSlices(height, width, *sizes.of(image_id, path), flat, contents[image_id])
            features.append(projected_features(image_id, unit, projection))
        write_shard(Path(task.path), features, problems, task.fingerprint, projection, task.task)
        yield Report(task.number, len(features), len(problems), 0.0)


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
