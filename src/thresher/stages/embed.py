"""embed: images → slices/part-*.parquet, pooled.parquet, projection; unreadable images → problems."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path  # noqa: F401 - the inherited settings' annotations name it
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.features.backbone import Backbone, BackboneSettings, backbone_digest, load_backbone
from thresher.features.engine import UnitSlices, each_image, projected_features
from thresher.features.projection import Projection, fit_projection, save_projection
from thresher.features.shards import (
    ImageFeatures,
    shard_files,
    shard_is_current,
    shard_path,
    shard_problems,
    write_shard,
)
from thresher.run import Run, StageResult, Track, file_digest, perform, untracked

Image = tuple[str, str]
#: Images tried by a dry run to tell how long the whole will take.
_TIMED_IMAGES = 8


@dataclass(frozen=True)
class EmbedSettings(BackboneSettings):
    """How images become slices."""

    width: int = 64
    """d, the numbers kept of each slice: the first axes of a PCA."""
    projection_images: int = 512
    """The PCA is fitted on this many images of the target and as many of the pool."""
    shard_images: int = 512
    """Images in one file of slices: what a broken-off run may have to do again."""
    seed: int = 0
    """Seed of the draw of images for the PCA."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        super().__post_init__()
        for name in ("width", "projection_images", "shard_images"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")


def embed(
    run: Run,
    settings: EmbedSettings | None = None,
    *,
    threads: int | None = None,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Run every image of the index through the backbone and keep its projected slices.

    Shards that are there already, made from the same inputs, are kept: a broken-off run goes on where it was.

    Args:
        threads: Images worked on at once; as many as there are processors by default. Does not change the result.

    Raises:
        SettingsError: the backbone or its weights are not to be had.
        DataError: no index, or not one readable image in the target.
    """
    settings = settings or EmbedSettings()
    threads = threads or len(os.sched_getaffinity(0))
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id").sort("image_id")
    backbone_hash = backbone_digest(settings)
    if dry_run:
        return StageResult("embed", "planned", _plan(run, settings, images, threads))
    inputs = {"images": file_digest(run.images), "backbone": backbone_hash}

    def work() -> tuple[dict[str, Any], int]:
        backbone = load_backbone(settings, run.backbone)
        projection, seen = _projection(images, backbone, settings, threads, track)
        save_projection(projection, run.projection)
        shaped_by = hashlib.sha256((backbone_hash + file_digest(run.projection)).encode()).hexdigest()
        listed = _listed(images)
        starts = range(0, len(listed), settings.shard_images)
        batches = [listed[start : start + settings.shard_images] for start in starts]
        for number, batch in enumerate(track(batches, len(batches), "embedding images")):
            _one_shard(run, number, batch, shaped_by, backbone, projection, seen, settings, threads)
        for stale in shard_files(run.slices)[len(batches) :]:
            stale.unlink()
        return _finish(run, images, projection)

    return perform(run, "embed", settings, inputs, [run.pooled, run.projection, run.slices], work)


def _listed(images: pl.DataFrame) -> list[Image]:
    return list(zip(images["image_id"].to_list(), images["path"].to_list(), strict=True))


def _projection(
    images: pl.DataFrame, backbone: Backbone, settings: EmbedSettings, threads: int, track: Track[Any]
) -> tuple[Projection, dict[str, UnitSlices]]:
    """The projection, and the slices it was fitted on, which need not be made again."""
    rng = np.random.default_rng(settings.seed)
    seen: dict[str, UnitSlices] = {}
    sides = []
    for role in ("target", "pool"):
        candidates = images.filter(pl.col("role") == role)
        drawn = np.sort(rng.permutation(candidates.height)[: settings.projection_images])
        sample = _listed(candidates[drawn.tolist()])
        results = each_image(sample, backbone, settings.short_side, threads)
        found = [
            (image_id, result)
            for image_id, _, result in track(results, len(sample), f"sampling the {role}")
            if not isinstance(result, DataError)
        ]
        seen |= dict(found)
        sides.append(np.concatenate([unit.slices for _, unit in found]) if found else None)
    target, pool = sides
    if target is None:
        raise DataError("embed: not one of the target's sampled images could be read. Are the paths right?")
    return fit_projection(target, pool, settings.width), seen


def _one_shard(
    run: Run,
    number: int,
    batch: Sequence[Image],
    shaped_by: str,
    backbone: Backbone,
    projection: Projection,
    seen: Mapping[str, UnitSlices],
    settings: EmbedSettings,
    threads: int,
) -> None:
    path = shard_path(run.slices, number)
    fingerprint = hashlib.sha256(json.dumps([shaped_by, batch]).encode()).hexdigest()
    if shard_is_current(path, fingerprint):
        return
    new = [image for image in batch if image[0] not in seen]
    units: dict[str, UnitSlices | DataError] = {image_id: seen[image_id] for image_id, _ in batch if image_id in seen}
    units |= {image_id: unit for image_id, _, unit in each_image(new, backbone, settings.short_side, threads)}
    features: list[ImageFeatures] = []
    problems: list[dict[str, object]] = []
    for image_id, image_path in batch:
        unit = units[image_id]
        if isinstance(unit, DataError):
            row = {"image_id": image_id, "path": image_path, "stage": "embed"}
            problems.append({**row, "problem": "image_unreadable", "detail": str(unit)})
        else:
            features.append(projected_features(image_id, unit, projection))
    write_shard(path, features, problems, fingerprint, projection)


def _finish(run: Run, images: pl.DataFrame, projection: Projection) -> tuple[dict[str, Any], int]:
    files = shard_files(run.slices)
    pooled = pl.concat([pl.read_parquet(path, columns=list(tables.POOLED)) for path in files])
    tables.write(tables.checked(pooled, tables.POOLED, "pooled", key="image_id"), run.pooled)
    problems = [row for path in files for row in shard_problems(path)]
    run.add_problems("embed", tables.from_rows(problems, tables.PROBLEMS))
    target = images.filter(pl.col("role") == "target").join(pooled, on="image_id", how="semi")
    if target.is_empty():
        raise DataError("embed: no image of the target could be read; see problems.parquet.")
    summary = {
        "images_indexed": images.height,
        "images_embedded": pooled.height,
        "images_unreadable": len(problems),
        "slices": int((pooled["grid_h"].cast(pl.Int64) * pooled["grid_w"].cast(pl.Int64)).sum()),
        "width": int(projection.axes.shape[0]),
        "variance_kept": round(projection.explained, 4),
        "bytes": sum(path.stat().st_size for path in files),
    }
    return summary, len(problems)


def _plan(run: Run, settings: EmbedSettings, images: pl.DataFrame, threads: int) -> dict[str, Any]:
    """What embed would take, from running a few images."""
    rows = [number * images.height // _TIMED_IMAGES for number in range(min(_TIMED_IMAGES, images.height))]
    run.folder.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(settings, run.backbone)
    started = time.perf_counter()
    results = [unit for _, _, unit in each_image(_listed(images[rows]), backbone, settings.short_side, threads)]
    seconds = (time.perf_counter() - started) / max(1, len(rows))
    cells = [len(unit.slices) for unit in results if not isinstance(unit, DataError)]
    slices = float(np.mean(cells)) if cells else 0.0
    sampled = min(2 * settings.projection_images, images.height)
    return {
        "images": images.height,
        "shards": -(-images.height // settings.shard_images),
        "bytes": round(images.height * slices * settings.width * 2),
        "disk_free_bytes": shutil.disk_usage(run.folder).free,
        "memory_bytes": round(sampled * slices * 320 * 4),
        "seconds": round(images.height * seconds),
        "threads": threads,
    }
