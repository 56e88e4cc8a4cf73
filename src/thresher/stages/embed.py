"""embed: images → slices/part-*.parquet, shards, pooled, projection; unreadable images → problems."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import extras, tables
from thresher.errors import DataError, SettingsError
from thresher.features.backbone import BackboneSettings, backbone_digest
from thresher.features.engine import Work, workers
from thresher.features.given_shards import digest_of, known_here, project_given, write_given
from thresher.features.given_vectors import given_vectors
from thresher.features.network_file import worker_settings
from thresher.features.projection import fit_projection, load_projection, projection_is_current, save_projection
from thresher.features.shards import shard_files, shard_is_current, shard_path, shard_problems, shard_row
from thresher.features.worker import Image, Task, Worker, sampled_slices
from thresher.run.digests import file_digest
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.perform import StageResult, Track, perform, untracked
from thresher.settings import OptionalPath, converted, younger
from thresher.workers.settings import EngineSettings

_TIMED_IMAGES = 8  #: In a dry run.
#: Memory of a worker: Python, torch, onnxruntime, the network and a decoded image.
_WORKER_BYTES = 500_000_000
#: Small sets have at least this many shards, unless they would be smaller than this many images each.
_FEWEST_SHARDS, _FEWEST_IMAGES = 32, 16


@converted
@dataclass(frozen=True)
class EmbedSettings(BackboneSettings):
    """How each image becomes a grid of feature vectors (slices), and how these are projected and stored."""

    width: int = 64
    """Dimensions kept of each slice (d): the first axes of a PCA over slices of target and pool."""
    projection_images: int = 512
    """The PCA is fitted on at most this many images of the target and as many of the pool."""
    shard_images: int = 512
    """Maximum number of images per shard (one file of slices); an interrupted worker repeats at most one shard."""
    seed: int = 0
    """Seed of the random sample of images for the PCA."""
    vectors: OptionalPath = younger(None)
    """Your own embeddings instead of the backbone's: Parquet with image_id and a column of lists (or one column per
    dimension), or .npy with `ids`. One vector or a grid of h × w vectors per image; each is scaled to unit length."""
    ids: OptionalPath = younger(None)
    """For .npy: file with the image ids in the order of the array: one per line (.txt) or in column image_id (.csv)."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        super().__post_init__()
        for name in ("width", "projection_images", "shard_images"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")
        if self.ids is not None and self.vectors is None:
            raise SettingsError(f"ids = '{self.ids}': only used with vectors = FILE.npy. Give both or neither.")


def embed(
    run: AnyRun,
    settings: EmbedSettings | None = None,
    *,
    engine: EngineSettings | None = None,
    shard: str = "",
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Run every image of the index through the backbone and store its projected slices.

    Shards that exist already and were made from the same inputs are kept, so an interrupted run continues.

    Args:
        run: The run, or the path of its folder.
        engine: Where the workers run; changes no result.
        shard: "I/N": only the shards of job I of N (I from 1), for many machines without a cluster. Run 0/N first: it
            fits the projection that all jobs share. Once all jobs are done, `merge` completes the stage.
        dry_run: Only estimate images, bytes, memory and time.
        track: Wraps an iterable to show progress.

    Raises:
        SettingsError: the backbone or its weights are not available, the optional part `embed` is not installed, or
            `shard` is not I/N.
        DataError: index has not run, or no image of the target can be read.
    """
    run, settings, engine = as_run(run), settings or EmbedSettings(), engine or EngineSettings()
    images = _indexed(run)
    job, jobs = _job(shard)
    if settings.vectors is not None:
        if shard:
            raise SettingsError(f"shard = '{shard}': cannot be combined with vectors. Leave it out.")
        return _embed_given(run, settings, Path(settings.vectors), images, dry_run, track)
    if absent := extras.missing("embed"):
        raise SettingsError(
            f"embed needs {', '.join(absent)}: pip install 'thresher[embed]' "
            f"(or use your own embeddings: `thresher embed {run.folder} --vectors FILE`)"
        )
    if dry_run:
        backbone_digest(settings)
        return StageResult("embed", "planned", _plan(run, settings, images, engine))
    inputs = _inputs(run, settings)
    embedding = _Embedding(run, settings, images, inputs, engine, track)
    if shard:
        # No lock: the jobs of an array run concurrently, each on its own files.
        mine = embedding.shards(job, jobs)
        summary = {"shard": shard, "shards": len(mine), "images": sum(len(task.images) for task in mine)}
        return StageResult("embed", "done", summary, sum(len(shard_problems(Path(task.path))) for task in mine))

    def work() -> tuple[dict[str, Any], int]:
        _sweep_samples(run)
        return _finish(run, images, embedding.shards(1, 1))

    return perform(run, "embed", settings, inputs | {"images": run.images}, _outputs(run), work)


@dataclass(frozen=True)
class _Embedding:
    """What the shards are made from, and where."""

    run: Run
    settings: EmbedSettings
    images: pl.DataFrame
    inputs: dict[str, str]
    engine: EngineSettings
    track: Track[Any]

    def shards(self, job: int, jobs: int) -> list[Task]:
        """Make the shards of job I of N that are not there yet; I = 0 makes the projection alone."""
        run, settings = self.run, self.settings
        drawn = _drawn(self.images, settings)
        # A folder per process: concurrent jobs each compute the same sample.
        folder = run.folder.absolute() / f"samples-{os.uname().nodename}-{os.getpid()}"
        try:
            with workers(worker_settings(run, settings, drawn), self.engine) as work:
                samples = self._samples(drawn, folder, work)
                tasks = _tasks(run, settings, self.images, self.inputs)
                mine = [replace(task, samples=samples) for task in (tasks[job - 1 :: jobs] if job else [])]
                for _ in self.track(work(mine), len(mine), "embedding images"):
                    pass
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return mine

    def _samples(self, drawn: Sequence[Sequence[Image]], folder: Path, work: Work) -> list[str]:
        """Fit the projection unless it is current; returns the files with the sampled images' slices."""
        run, fingerprint = self.run, _projection_print(self.settings, self.inputs)
        if projection_is_current(run.projection, fingerprint):
            return []
        sides = []
        for side, images in zip(("target", "pool"), drawn, strict=True):
            batches = [images[start : start + _FEWEST_IMAGES] for start in range(0, len(images), _FEWEST_IMAGES)]
            paths = [str(folder / f"{side}-{number:03d}.safetensors") for number in range(len(batches))]
            tasks = [Task("sample", number, *each) for number, each in enumerate(zip(batches, paths, strict=True))]
            for _ in self.track(work(tasks), len(tasks), f"sampling the {side}"):
                pass
            sides.append(paths)
        target, pool = (sampled_slices(paths) for paths in sides)
        if target is None:
            raise DataError(
                f"{run.folder}: no sampled image of the target can be read. Check the paths in {run.images}."
            )
        save_projection(fit_projection(target, pool, self.settings.width), run.projection, fingerprint)
        return [path for paths in sides for path in paths]


def _embed_given(
    run: Run, settings: EmbedSettings, vectors: Path, images: pl.DataFrame, dry_run: bool, track: Track[Any]
) -> StageResult:
    """The stage with the user's own vectors."""
    ids = Path(settings.ids) if settings.ids else None
    inputs = {"images": file_digest(run.images), "vectors": digest_of(vectors, ids)}
    given = given_vectors(vectors, ids)
    counts = {"vectors": len(given.rows), "vectors_not_in_index": len(given.rows) - known_here(given, images)}
    if dry_run:
        return StageResult("embed", "planned", {"images": images.height, **counts, "channels": given.channels})

    def work() -> tuple[dict[str, Any], int]:
        fingerprint = _projection_print(settings, inputs)
        project_given(run, given, _drawn(images, settings), settings.width, fingerprint)
        tasks = _tasks(run, settings, images, inputs)
        write_given(run, given, images, tasks, track)
        summary, failed = _finish(run, images, tasks)
        return summary | counts, failed

    return perform(run, "embed", settings, inputs | {"images": run.images}, _outputs(run), work)


def merge(run: AnyRun, settings: EmbedSettings | None = None) -> StageResult:
    """Complete the embed stage once all jobs of `embed` with `shard` are done.

    Args:
        settings: The same settings as for the jobs.

    Raises:
        DataError: shards are missing or were made from other inputs; lists them and how to find their jobs.
    """
    run, settings = as_run(run), settings or EmbedSettings()
    images, inputs = _indexed(run), _inputs(run, settings)

    def work() -> tuple[dict[str, Any], int]:
        _sweep_samples(run)
        if not projection_is_current(run.projection, _projection_print(settings, inputs)):
            raise DataError(
                f"{run.projection}: missing, or made from other images or settings. "
                f"Run `thresher embed {run.folder} --shard 0/N …` first."
            )
        tasks = _tasks(run, settings, images, inputs)
        missing = [task.number for task in tasks if not shard_is_current(Path(task.path), task.fingerprint)]
        if missing:
            shown = ", ".join(map(str, missing[:20])) + (" …" if len(missing) > 20 else "")
            raise DataError(
                f"{run.slices}: {len(missing)} of {len(tasks)} shards are missing or were made from other inputs "
                f"(numbers {shown}; shard s belongs to job s mod N + 1). Run those jobs again "
                f"(`thresher embed {run.folder} --shard I/N …`), then `thresher merge {run.folder} …`."
            )
        return _finish(run, images, tasks)

    return perform(run, "embed", settings, inputs | {"images": run.images}, _outputs(run), work)


def _sweep_samples(run: Run) -> None:
    """Remove samples left by killed processes; the lock excludes running ones."""
    for folder in run.folder.glob("samples-*"):
        shutil.rmtree(folder)


def _job(shard: str) -> tuple[int, int]:
    if not shard:
        return 1, 1
    job, _, jobs = shard.partition("/")
    if not (job.isdigit() and jobs.isdigit() and 0 <= int(job) <= int(jobs) and int(jobs) > 0):
        raise SettingsError(f"shard = '{shard}': expected I/N, such as 3/8 (job 3 of 8) or 0/8 (the projection only).")
    return int(job), int(jobs)


def _indexed(run: Run) -> pl.DataFrame:
    return tables.read(run.images, tables.INDEXED_IMAGES, key="image_id").sort("image_id")


def _inputs(run: Run, settings: EmbedSettings) -> dict[str, str]:
    return {"images": file_digest(run.images), "backbone": backbone_digest(settings)}


def _outputs(run: Run) -> list[Path]:
    return [run.pooled, run.projection, run.shards, run.slices]


def _listed(images: pl.DataFrame) -> list[Image]:
    return list(zip(images["image_id"].to_list(), images["path"].to_list(), strict=True))


def _projection_print(settings: EmbedSettings, inputs: dict[str, str]) -> str:
    shaped_by = [inputs, settings.width, settings.projection_images, settings.seed]
    return hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()


def _tasks(run: Run, settings: EmbedSettings, images: pl.DataFrame, inputs: dict[str, str]) -> list[Task]:
    """A task per shard, independent of the number of workers and jobs."""
    source = inputs.get("vectors") or inputs["backbone"]
    shaped_by = hashlib.sha256((source + file_digest(run.projection)).encode()).hexdigest()
    listed = _listed(images)
    size = _shard_images(settings, len(listed))
    tasks = []
    for number, start in enumerate(range(0, len(listed), size)):
        batch = listed[start : start + size]
        fingerprint = hashlib.sha256(json.dumps([shaped_by, batch]).encode()).hexdigest()
        path = str(shard_path(run.slices.absolute(), number))
        tasks.append(Task("shard", number, batch, path, fingerprint, str(run.projection.absolute())))
    return tasks


def _shard_images(settings: EmbedSettings, images: int) -> int:
    return min(settings.shard_images, max(_FEWEST_IMAGES, -(-images // _FEWEST_SHARDS)))


def _drawn(images: pl.DataFrame, settings: EmbedSettings) -> list[list[Image]]:
    """The images of target and pool that the projection is fitted on."""
    rng = np.random.default_rng(settings.seed)
    sides = []
    for role in ("target", "pool"):
        candidates = images.filter(pl.col("role") == role)
        rows = np.sort(rng.permutation(candidates.height)[: settings.projection_images])
        sides.append(_listed(candidates[rows.tolist()]))
    return sides


def _finish(run: Run, images: pl.DataFrame, tasks: Sequence[Task]) -> tuple[dict[str, Any], int]:
    for stale in shard_files(run.slices)[len(tasks) :]:
        stale.unlink()
    files = shard_files(run.slices)
    shards = pl.DataFrame([shard_row(path) for path in files], schema=dict(tables.SHARDS), orient="row")
    tables.write(tables.checked(shards, tables.SHARDS, "shards", key="number"), run.shards)
    pooled = pl.concat([pl.read_parquet(path, columns=list(tables.POOLED)) for path in files])
    tables.write(tables.checked(pooled, tables.POOLED, "pooled", key="image_id"), run.pooled)
    problems = [row for path in files for row in shard_problems(path)]
    run.add_problems("embed", tables.from_rows(problems, tables.PROBLEMS))
    target = images.filter(pl.col("role") == "target").join(pooled, on="image_id", how="semi")
    if target.is_empty():
        raise DataError(f"{run.folder}: no image of the target could be read. The reasons are in {run.problems}.")
    summary = {
        "images_indexed": images.height,
        "images_embedded": pooled.height,
        "images_unreadable": len(problems),
        "slices": int((pooled["grid_h"].cast(pl.Int64) * pooled["grid_w"].cast(pl.Int64)).sum()),
        "width": int(shards["width"][0]),
        "variance_kept": round(load_projection(run.projection).explained, 4),
        "shards": len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }
    return summary, len(problems)


def _plan(run: Run, settings: EmbedSettings, images: pl.DataFrame, engine: EngineSettings) -> dict[str, Any]:
    """Estimates for a dry run, from timing a few images."""
    rows = [number * images.height // _TIMED_IMAGES for number in range(min(_TIMED_IMAGES, images.height))]
    run.folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(worker_settings(run, settings, [_listed(images[rows])]))
    cells, started = [], time.perf_counter()
    for _, path in _listed(images[rows]):
        try:
            cells.append(len(worker.unit_slices(Path(path)).slices))
        except DataError:
            continue  # an unreadable image takes time too
    seconds = (time.perf_counter() - started) / max(1, len(rows))
    slices = float(np.mean(cells)) if cells else 0.0
    workers = engine.workers or len(os.sched_getaffinity(0))
    sampled = min(2 * settings.projection_images, images.height)
    return {
        "images": images.height,
        "shards": -(-images.height // _shard_images(settings, images.height)),
        "bytes": round(images.height * slices * settings.width * 2),
        "disk_free_bytes": shutil.disk_usage(run.folder).free,
        "memory_bytes": round(sampled * slices * 320 * 8 + workers * _WORKER_BYTES),
        "seconds": round(images.height * seconds / workers),
        "workers": workers,
    }
