"""The tables that list what the shards hold, and shards put together from rows of others."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from thresher import tables
from thresher.features.projection import load_projection
from thresher.features.shard_plan import Gathering
from thresher.features.shards import (
    FACTS,
    has_fingerprint,
    listed_shards,
    shard_bytes,
    shard_content,
    shard_digest,
    shard_problems,
)
from thresher.files import replacing
from thresher.run.digests import damaged_shards
from thresher.run.folder import Run
from thresher.run_files import shard_path

_ROW = ["image_id", "grid_h", "grid_w", "width_px", "height_px", "content", "variance_kept", "vector"]


@dataclass(frozen=True)
class Listed:
    """What the tables hold."""

    shards: pl.DataFrame
    """Table SHARDS."""
    embedded: pl.DataFrame
    """Table EMBEDDED."""
    problems: pl.DataFrame
    """Table PROBLEMS of embed."""


def list_shards(run: Run, numbers: Iterable[int], images: pl.DataFrame, known: Mapping[int, str]) -> Listed:
    """Read each shard once and write pooled, facts, embedded and, last, shards; then remove every other shard.

    The tables do not depend on how images are spread over shards, except for the shards' numbers.

    Args:
        images: image_id, path, size_bytes and mtime_ns of every image, as it was when embed began.
        known: Number and digest of the shards that were listed before.

    Raises:
        DataError: a shard that was listed before is lost or damaged.
    """
    wanted = sorted(numbers)
    shards, parts, failed = [], [], list[dict[str, object]]()
    for number in wanted:
        path = shard_path(run.slices, number)
        content = shard_content(run.slices, number, known[number]) if number in known else path.read_bytes()
        problems = shard_problems(content)
        shards.append(_shard_row(number, content, len(problems)))
        part = _rows(content)
        parts.append(part.with_columns(shard=pl.lit(number, pl.Int64)))
        failed += [{**problem, "shard": number} for problem in problems]
    found = pl.concat(parts)
    if not found["image_id"].is_sorted():
        found = found.sort("image_id")
    listed = Listed(
        tables.from_rows(shards, tables.SHARDS), _embedded(found, failed, images), _problems(failed, images)
    )
    tables.write(tables.checked(found, tables.POOLED, "pooled", key="image_id").rechunk(), run.pooled)
    tables.write(tables.checked(found, tables.IMAGE_FACTS, "facts", key="image_id"), run.facts)
    tables.write(tables.checked(listed.embedded, tables.EMBEDDED, "embedded", key="image_id"), run.embedded)
    tables.write(tables.checked(listed.shards, tables.SHARDS, "shards", key="number"), run.shards)
    for path in set(run.slices.glob("part-*.parquet")) - {shard_path(run.slices, number) for number in wanted}:
        path.unlink()
    return listed


def _rows(content: bytes) -> pl.DataFrame:
    """All of a shard but its slices; facts that an older release did not work out are null."""
    there = pl.read_parquet_schema(io.BytesIO(content))
    part = pl.read_parquet(io.BytesIO(content), columns=[*_ROW, *(name for name in FACTS if name in there)])
    return part.with_columns(pl.lit(None, pl.Float32).alias(name) for name in FACTS if name not in there).select(
        *_ROW, *FACTS
    )


def _shard_row(number: int, content: bytes, problems: int) -> dict[str, object]:
    metadata = pl.read_parquet_metadata(io.BytesIO(content))
    return {
        "number": number,
        "images": int(metadata["images"]),
        "problems": problems,
        "slices": int(metadata["slices"]),
        "width": int(metadata["width"]),
        "bytes": len(content),
        "fingerprint": metadata["fingerprint"],
        "sha256": shard_digest(content),
    }


def _embedded(found: pl.DataFrame, failed: list[dict[str, object]], images: pl.DataFrame) -> pl.DataFrame:
    cells = pl.col("grid_h").cast(pl.Int64) * pl.col("grid_w").cast(pl.Int64)
    read = found.select("image_id", "shard", cells.alias("slices"), "variance_kept", "content")
    listed = tables.some(tables.EMBEDDED, "image_id", "shard", "content")
    unread = tables.from_rows([{name: row.get(name) for name in listed} for row in failed], listed)
    rows = pl.concat([read, unread], how="diagonal")
    files = images.select("image_id", "path", "size_bytes", "mtime_ns")
    return rows.join(files, on="image_id", how="left").sort("image_id").select(list(tables.EMBEDDED))


def _problems(failed: list[dict[str, object]], images: pl.DataFrame) -> pl.DataFrame:
    """The problems under the paths that the images have now, by image id."""
    ids = [row["image_id"] for row in failed]
    now = dict(images.filter(pl.col("image_id").is_in(ids)).select("image_id", "path").iter_rows())
    rows: list[dict[str, object]] = []
    for row in failed:
        path = now[row["image_id"]]
        detail = str(row["detail"]).replace(str(row["path"]), path)
        rows.append({name: row[name] for name in tables.PROBLEMS} | {"path": path, "detail": detail})
    return tables.from_rows(rows, tables.PROBLEMS).sort("image_id")


def gather(run: Run, gathering: Gathering, known: Mapping[int, str], fingerprint: str) -> None:
    """Put a shard together from rows of others, without the backbone.

    Raises:
        DataError: one of the others is lost or damaged.
    """
    frames, problems = [], []
    for number, ids in gathering.sources.items():
        content = shard_content(run.slices, number, known[number])
        frames.append(pl.read_parquet(io.BytesIO(content)).filter(pl.col("image_id").is_in(ids)))
        problems += [problem for problem in shard_problems(content) if problem["image_id"] in ids]
    frame = pl.concat(frames, how="diagonal").sort("image_id").rechunk()
    width = len(load_projection(run.projection).axes)
    with replacing(shard_path(run.slices, gathering.number)) as file:
        file.write(shard_bytes(frame, problems, fingerprint, width, gathering.task))


def embedded_of_shards(run: Run) -> pl.DataFrame:
    """Table EMBEDDED from the whole shards, should it be lost; of the images' files nothing is known."""
    parts, failed = [tables.empty(tables.EMBEDDED)], list[dict[str, object]]()
    damaged = damaged_shards(run.slices)
    columns = ["image_id", "grid_h", "grid_w", "content", "variance_kept"]
    for number in set(listed_shards(run.slices)["number"]) - set(damaged):
        path = shard_path(run.slices, number)
        parts.append(pl.read_parquet(path, columns=columns).with_columns(shard=pl.lit(number, pl.Int64)))
        failed += [{**problem, "shard": number} for problem in shard_problems(path)]
    found = pl.concat(parts, how="diagonal")
    unknown = tables.empty(tables.some(tables.IMAGES, "image_id", "path")).with_columns(
        size_bytes=pl.lit(None, pl.Int64), mtime_ns=pl.lit(None, pl.Int64)
    )
    return _embedded(found, failed, unknown)


def digests_of_files(run: Run, numbers: Iterable[int], fingerprint: str) -> dict[int, str]:
    """Number and digest of those of the shards that are there and have this fingerprint, should their list be lost."""
    found = {}
    for number in numbers:
        path = shard_path(run.slices, number)
        if has_fingerprint(path, fingerprint):
            found[number] = shard_digest(path.read_bytes())
    return found
