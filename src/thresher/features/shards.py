"""Slices on disk: `slices/part-00000.parquet`, …, each written atomically with a fingerprint of its inputs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float16

from thresher.density.slice_block import SliceBlock
from thresher.errors import DataError
from thresher.features.projection import Projection
from thresher.tables import write

SHARD_COLUMNS = ["image_id", "grid_h", "grid_w", "width_px", "height_px", "slices", "vector"]


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


def has_grid(pooled: pl.DataFrame) -> bool:
    """Whether any image has more than one slice, as heat maps and layout need.

    Args:
        pooled: Columns grid_h and grid_w of table POOLED.

    >>> has_grid(pl.DataFrame({"grid_h": [1, 1], "grid_w": [1, 1]}))
    False
    """
    return bool((pooled["grid_h"].cast(pl.Int64) * pooled["grid_w"].cast(pl.Int64) > 1).any())


def shard_path(folder: Path, number: int) -> Path:
    """Path of shard `number`."""
    return folder / f"part-{number:05d}.parquet"


def write_shard(
    path: Path,
    images: Sequence[ImageFeatures],
    problems: list[dict[str, object]],
    fingerprint: str,
    projection: Projection,
) -> None:
    """Write one shard, with its problems in its metadata, so that a resumed run has them."""
    width, channels = projection.axes.shape
    lengths = np.array([image.slices.shape[0] for image in images], np.int64)
    flat = np.concatenate([image.slices.ravel() for image in images]) if images else np.empty(0, np.float16)
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * width
    slices = [pl.Series(flat[a:b]) for a, b in itertools.pairwise(offsets)]
    vectors = np.stack([i.vector for i in images]) if images else np.empty((0, channels), np.float16)
    frame = pl.DataFrame(
        {
            "image_id": pl.Series([image.image_id for image in images], dtype=pl.String),
            "grid_h": pl.Series([image.grid_h for image in images], dtype=pl.Int32),
            "grid_w": pl.Series([image.grid_w for image in images], dtype=pl.Int32),
            "width_px": pl.Series([image.width_px for image in images], dtype=pl.Int32),
            "height_px": pl.Series([image.height_px for image in images], dtype=pl.Int32),
            "slices": pl.Series(slices, dtype=pl.List(pl.Float16)),
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float16, channels)),
        }
    )
    metadata = {
        "fingerprint": fingerprint,
        "width": str(width),
        "images": str(len(images)),
        "slices": str(int(lengths.sum())),
        "problems": json.dumps(problems),
    }
    write(frame, path, metadata)


def shard_is_current(path: Path, fingerprint: str) -> bool:
    """Whether the shard exists, is complete, and was made from the same inputs."""
    try:
        return path.is_file() and pl.read_parquet_metadata(path).get("fingerprint") == fingerprint
    except pl.exceptions.PolarsError:  # after a power failure a file may exist without its content
        return False


def shard_problems(path: Path) -> list[dict[str, object]]:
    """The images that this shard could not read, as rows of the problems table."""
    rows: list[dict[str, object]] = json.loads(pl.read_parquet_metadata(path)["problems"])
    return rows


def shard_row(path: Path) -> dict[str, object]:
    """The shard's row in the table of shards, from its metadata alone."""
    metadata = pl.read_parquet_metadata(path)
    return {
        "number": int(path.stem.removeprefix("part-")),
        "images": int(metadata["images"]),
        "problems": len(json.loads(metadata["problems"])),
        "slices": int(metadata["slices"]),
        "width": int(metadata["width"]),
        "bytes": path.stat().st_size,
        "fingerprint": metadata["fingerprint"],
    }


def shard_files(folder: Path) -> list[Path]:
    """All shards of a run, in order.

    Raises:
        DataError: the run has none.
    """
    files = sorted(folder.glob("part-*.parquet"))
    if not files:
        raise DataError(f"{folder}: no slices. Run `thresher embed {folder.parent}` first.")
    return files


def read_blocks(folder: Path, order: Sequence[int] | None = None) -> Iterator[SliceBlock]:
    """The slices of each shard, one shard in memory at a time, without copying what was read.

    Args:
        order: Numbers of the shards to read, in the order in which to read them; all in their own order by default.
    """
    files = shard_files(folder)
    for path in files if order is None else [files[number] for number in order]:
        frame = pl.read_parquet(path, columns=["image_id", "grid_h", "grid_w", "slices", "vector"])
        if frame.is_empty():
            continue
        width = int(pl.read_parquet_metadata(path)["width"])
        grids = frame.select("grid_h", "grid_w").cast(pl.Int64).to_numpy()
        flat = frame["slices"].rechunk().explode().to_numpy(allow_copy=False)
        starts = np.concatenate([[0], np.cumsum(grids.prod(axis=1))]).astype(np.int64)
        pooled = frame["vector"].rechunk().to_numpy(allow_copy=False)
        yield SliceBlock(flat.reshape(-1, width), starts, grids, pooled, frame["image_id"].to_list())


def slices_in_shards(
    folder: Path, wanted: set[str], order: Sequence[int] | None = None
) -> Iterator[Float16[np.ndarray, "n d"]]:
    """The slices of the wanted images, one array per shard that has any of them; one shard in memory at a time."""
    for block in _blocks_with(folder, wanted, order):
        yield owned(block, [image_id in wanted for image_id in block.image_ids]).slices


def with_slices(folder: Path, wanted: set[str]) -> set[str]:
    """Which of the wanted images have slices here; none where there are no shards. Only ids are read."""
    found: set[str] = set()
    for path in sorted(folder.glob("part-*.parquet")):
        found |= wanted.intersection(pl.read_parquet(path, columns=["image_id"])["image_id"])
    return found


def slices_of(folder: Path, wanted: set[str]) -> SliceBlock:
    """The slices of the wanted images together in memory, in the order of their ids.

    Raises:
        DataError: none of them has slices.
    """
    parts = [
        owned(block, [image_id in wanted for image_id in block.image_ids]) for block in _blocks_with(folder, wanted)
    ]
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


def _blocks_with(folder: Path, wanted: set[str], order: Sequence[int] | None = None) -> Iterator[SliceBlock]:
    """The blocks of the shards that hold any wanted image; of the others only the ids are read."""
    files = shard_files(folder)
    for number in range(len(files)) if order is None else order:
        ids = pl.read_parquet(files[number], columns=["image_id"])["image_id"]
        if not wanted.isdisjoint(ids):
            yield from read_blocks(folder, [number])
