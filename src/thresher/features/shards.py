"""Slices on disk: `slices/part-00000.parquet`, …, each written as a whole and read only if it is what was written."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float16

from thresher import tables
from thresher.density.slice_block import SliceBlock
from thresher.errors import DataError, quoted
from thresher.features.image_facts import ImageFacts
from thresher.features.projection import Projection
from thresher.files import replacing
from thresher.run_files import shard_path

#: Columns of `ImageFacts`; shards of older releases have none.
FACTS = ("sharpness", "brightness", "contrast")


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one image: projected slices, and the mean of the unit slices before projection."""

    image_id: str
    grid_h: int
    grid_w: int
    width_px: int | None
    """None if only the vectors of the image are known."""
    height_px: int | None
    slices: Float16[np.ndarray, "s d"]
    vector: Float16[np.ndarray, " c"]
    content: str | None = None
    """Digest of what they were made from."""
    variance_kept: float | None = None
    """Share of the slices' variance about the projection's centre that its axes keep, 0..1."""
    facts: ImageFacts | None = None
    """None if only the vectors of the image are known."""


def has_grid(pooled: pl.DataFrame) -> bool:
    """Whether any image has more than one slice, as heat maps and layout need.

    Args:
        pooled: Columns grid_h and grid_w of table POOLED.

    >>> has_grid(pl.DataFrame({"grid_h": [1, 1], "grid_w": [1, 1]}))
    False
    """
    return bool((pooled["grid_h"].cast(pl.Int64) * pooled["grid_w"].cast(pl.Int64) > 1).any())


def shard_frame(images: Sequence[ImageFeatures], channels: int) -> pl.DataFrame:
    """The rows of a shard, one per image.

    Args:
        channels: c of each image's features: a shard may hold no image.
    """
    vectors = np.stack([i.vector for i in images]) if images else np.empty((0, channels), np.float16)
    plain: dict[str, Any] = {"image_id": pl.String, "grid_h": pl.Int32, "grid_w": pl.Int32}
    plain |= {"width_px": pl.Int32, "height_px": pl.Int32}
    plain |= {"content": pl.String, "variance_kept": pl.Float32}
    columns = {name: pl.Series([getattr(i, name) for i in images], dtype=kind) for name, kind in plain.items()}
    columns |= {name: pl.Series([getattr(i.facts, name, None) for i in images], dtype=pl.Float32) for name in FACTS}
    slices = _lists([image.slices.ravel() for image in images])
    return pl.DataFrame(columns).with_columns(
        slices=slices, vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, channels))
    )


def _lists(rows: Sequence[Float16[np.ndarray, " _n"]]) -> pl.Series:
    """A list per row. Rows of one length are taken together: one by one, lists take a hundred times as long."""
    parts = [pl.Series(dtype=pl.List(pl.Float16))]
    for _, alike in itertools.groupby(rows, key=len):
        parts.append(pl.Series(np.stack([*alike])).cast(pl.List(pl.Float16)))
    return pl.concat(parts, rechunk=True)


def shard_bytes(
    frame: pl.DataFrame, problems: Sequence[dict[str, object]], fingerprint: str, width: int, task: str = ""
) -> bytes:
    """A shard's file: its rows, and in the metadata the images that could not be read and what it was made from.

    Args:
        fingerprint: Of backbone and projection.
        task: Fingerprint of all that shaped it, its list of images included.
    """
    cells = frame["grid_h"].cast(pl.Int64) * frame["grid_w"].cast(pl.Int64)
    metadata = {
        "fingerprint": fingerprint,
        "task": task,
        "width": str(width),
        "images": str(frame.height),
        "slices": str(int(cells.sum())),
        "problems": json.dumps(problems),
    }
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd", metadata=metadata)
    return file.getvalue()


def write_shard(
    path: Path,
    images: Sequence[ImageFeatures],
    problems: list[dict[str, object]],
    fingerprint: str,
    projection: Projection,
    task: str = "",
) -> None:
    """Write one shard; `tables_of_shards` then lists it, and only listed ones are read."""
    width, channels = projection.axes.shape
    with replacing(path) as file:
        file.write(shard_bytes(shard_frame(images, channels), problems, fingerprint, width, task))


def is_made(path: Path, task: str) -> bool:
    """Whether the shard exists and was made by this task, from the same inputs."""
    return _told(path).get("task") == task


def has_fingerprint(path: Path, fingerprint: str) -> bool:
    """Whether the shard exists and was made by this backbone and projection."""
    return _told(path).get("fingerprint") == fingerprint


def _told(path: Path) -> dict[str, str]:
    try:
        return pl.read_parquet_metadata(path) if path.is_file() else {}
    except pl.exceptions.PolarsError:  # after a power failure a file may exist without its content
        return {}


def shard_problems(path: Path | bytes) -> list[dict[str, object]]:
    """The images that this shard could not read, as rows of the problems table with the digest of their content."""
    source = io.BytesIO(path) if isinstance(path, bytes) else path
    rows: list[dict[str, object]] = json.loads(pl.read_parquet_metadata(source)["problems"])
    return rows


def listed_shards(folder: Path) -> pl.DataFrame:
    """Table SHARDS of the run to which this folder of slices belongs.

    Raises:
        DataError: embed has not run.
    """
    table = folder.parent / "shards.parquet"
    if not table.is_file():
        raise DataError(f"{folder}: no slices. Run `thresher embed {quoted(folder.parent)}` first.")
    return tables.read(table, tables.SHARDS, key="number")


def shard_files(folder: Path) -> list[Path]:
    """All shards of a run, in order.

    Raises:
        DataError: the run has none.
    """
    return [shard_path(folder, number) for number in listed_shards(folder)["number"].sort()]


def shard_digest(content: bytes) -> str:
    """SHA-256 of a shard's bytes, as table SHARDS holds it."""
    return hashlib.sha256(content).hexdigest()


def shard_content(folder: Path, number: int, sha256: str) -> bytes:
    """The bytes of a listed shard.

    Raises:
        DataError: it is lost or damaged.
    """
    path = shard_path(folder, number)
    again = f"Run the same `thresher embed {quoted(folder.parent)} …` again: it makes this shard alone."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, though {folder.parent / 'shards.parquet'} lists it. {again}") from None
    if shard_digest(content) != sha256:
        if os.access(path, os.W_OK):
            os.utime(path)  # embed looks into a shard that is younger than the list
        raise DataError(f"{path}: damaged; its bytes are not those that embed wrote. {again}")
    return content


def read_blocks(folder: Path, numbers: Iterable[int] | None = None) -> Iterator[SliceBlock]:
    """The slices of each shard, one shard in memory at a time, without copying what was read.

    Args:
        numbers: Those of the shards to read, in the order in which to read them; all in their own order by default.

    Raises:
        DataError: a shard is lost or damaged.
    """
    digests = dict(listed_shards(folder).sort("number").select("number", "sha256").iter_rows())
    for number in digests if numbers is None else numbers:
        content = io.BytesIO(shard_content(folder, number, digests[number]))
        frame = pl.read_parquet(content, columns=["image_id", "grid_h", "grid_w", "slices", "vector"])
        if frame.is_empty():
            continue
        grids = frame.select("grid_h", "grid_w").cast(pl.Int64).to_numpy()
        flat = frame["slices"].rechunk().explode().to_numpy(allow_copy=False)
        starts = np.concatenate([[0], np.cumsum(grids.prod(axis=1))]).astype(np.int64)
        pooled = frame["vector"].rechunk().to_numpy(allow_copy=False)
        yield SliceBlock(flat.reshape(starts[-1], -1), starts, grids, pooled, frame["image_id"].to_list())


def shards_with_slices(folder: Path, wanted: set[str]) -> pl.DataFrame:
    """image_id, shard and number of slices of those wanted images that have any."""
    table = tables.scan(folder.parent / "embedded.parquet", tables.EMBEDDED).filter(pl.col("slices").is_not_null())
    found: pl.DataFrame = table.select("image_id", "shard", "slices").collect()
    return found.join(pl.DataFrame({"image_id": list(wanted)}, schema={"image_id": pl.String}), on="image_id")


def with_slices(folder: Path, wanted: set[str]) -> set[str]:
    """Which of the wanted images have slices here; none where there are no shards. No shard is read."""
    if not (folder.is_dir() and (folder.parent / "embedded.parquet").is_file()):
        return set()
    return set(shards_with_slices(folder, wanted)["image_id"])


def slices_of(folder: Path, wanted: set[str]) -> SliceBlock:
    """The slices of the wanted images together in memory, in the order of their ids.

    Raises:
        DataError: embed has not run, a shard is lost or damaged, or none of the images has slices.
    """
    numbers = shards_with_slices(folder, wanted)["shard"].unique().sort()
    parts = [owned(block, [name in wanted for name in block.image_ids]) for block in read_blocks(folder, numbers)]
    if not parts:
        raise DataError(f"{folder}: none of the {len(wanted)} images has slices. The reasons are in problems.parquet.")
    image_ids = [image_id for part in parts for image_id in part.image_ids]
    lengths = np.concatenate([np.diff(part.starts) for part in parts])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    slices, grids, pooled = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("slices", "grids", "pooled")
    )
    order = sorted(range(len(image_ids)), key=image_ids.__getitem__)
    if order == list(range(len(order))):  # as embed writes them; putting them in order would copy all slices
        return SliceBlock(slices, starts, grids, pooled, image_ids)
    rows = np.concatenate([np.arange(starts[image], starts[image + 1]) for image in order])
    sorted_starts = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    return SliceBlock(slices[rows], sorted_starts, grids[order], pooled[order], [image_ids[image] for image in order])


def owned(block: SliceBlock, mine: Sequence[bool] | Bool[np.ndarray, " images"]) -> SliceBlock:
    """A copy of those images of the block for which `mine` is true: the others' memory can be given back."""
    kept = np.asarray(mine, bool)
    lengths = np.diff(block.starts)
    return SliceBlock(
        block.slices[np.repeat(kept, lengths)],
        np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64),
        block.grids[kept],
        block.pooled[kept],
        list(itertools.compress(block.image_ids, kept)),
    )
