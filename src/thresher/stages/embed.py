"""embed: images → slices/part-*.parquet, shards, embedded, pooled, projection; unreadable images → problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from thresher import extras
from thresher.data.file_states import states_digest, with_states
from thresher.errors import DataError, SettingsError, quoted
from thresher.features.backbone import backbone_digest
from thresher.features.engine import workers
from thresher.features.given_shards import digest_of, known_here, project_given, with_contents, write_given
from thresher.features.given_vectors import GivenVectors, given_vectors
from thresher.features.network_file import calibrated_network, worker_settings
from thresher.features.shards import shard_problems
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.inputs import images_here
from thresher.run.perform import StageResult, Track, perform, untracked
from thresher.run_files import shard_path
from thresher.stages.embedding import (
    Embedding,
    EmbedSettings,
    discard_damaged_tables,
    make,
    making,
    sample,
    shard_images,
    sweep_making,
)
from thresher.stages.plan import BASE_BYTES, Plan, Slices, timed_images
from thresher.workers.settings import EngineSettings

__all__ = ["EmbedSettings", "embed", "merge"]

Work: TypeAlias = Callable[[], tuple[dict[str, Any], int]]
#: A dry run times images out of so many, evenly spread over all.
_TIMED_IMAGES = 32


def embed(
    run: AnyRun,
    settings: EmbedSettings | None = None,
    *,
    engine: EngineSettings | None = None,
    shard: str = "",
    refit_projection: bool = False,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Run every image of the index through the backbone and store its projected slices.

    Only new and changed images are worked on; the others' slices are kept, as is the projection while the target stays.
    Lost and damaged shards are made again. An interrupted run continues.

    Args:
        run: The run, or the path of its folder.
        engine: Where the workers run; changes no result.
        shard: "I/N": only the shards of job I of N (I from 1), for many machines without a cluster. Run 0/N first: it
            fits the projection that all jobs share. Once all jobs are done, `merge` completes the stage.
        refit_projection: Fit the projection again, to the target and the pool as they are now; embeds every image anew.
        dry_run: Only estimate images, bytes, memory and time.
        track: Wraps an iterable to show progress.

    Raises:
        SettingsError: the backbone or its weights are not available, the optional part `embed` is not installed, or
            `shard` is not I/N.
        DataError: index has not run, or no image of the target can be read.
    """
    run, settings, engine = as_run(run), settings or EmbedSettings(), engine or EngineSettings()
    images = _indexed(run)
    job, jobs = _job(shard, refit_projection)
    if settings.vectors is not None:
        if shard:
            raise SettingsError(f"shard = '{shard}': cannot be combined with vectors. Leave it out.")
        return _embed_given(run, settings, Path(settings.vectors), images, refit_projection, dry_run, track)
    if absent := extras.missing("embed"):
        raise SettingsError(
            f"embed needs {', '.join(absent)}: {extras.install('embed')} "
            f"(or use your own embeddings: `thresher embed {quoted(run.folder)} --vectors FILE`)"
        )
    states, inputs = _states(run, settings, images)
    if dry_run:
        new = _new_images(_embedding(run, settings, states, refit_projection), images)
        told = planned_embed(run, new, settings, engine, track)[0] if new.height else {"images": 0, "seconds": 0}
        return StageResult("embed", "planned", told | {"kept": images.height - new.height})

    def shards(embedding: Embedding, job: int, jobs: int) -> int:
        with making(run) as folder, workers(worker_settings(run, settings, embedding.drawn), engine) as work:
            samples = sample(embedding, folder, work, track)
            if not shard:
                embedding.discard_damaged()
            tasks = [replace(task, samples=samples) for task in (embedding.tasks(folder) if job else [])]
            return make(embedding, [task for task in tasks if task.number % jobs == job - 1], work, track)

    if shard:
        # No lock: the jobs of an array run concurrently, each on its own files.
        embedding = _embedding(run, settings, states, refit_projection)
        shards(embedding, job, jobs)
        mine = [each for each in embedding.plan.batches if job and each.number % jobs == job - 1]
        summary = {"shard": shard, "shards": len(mine), "images": sum(len(each.image_ids) for each in mine)}
        failed = sum(len(shard_problems(shard_path(run.slices, each.number))) for each in mine)
        return StageResult("embed", "done", summary, failed)

    def work() -> tuple[dict[str, Any], int]:
        embedding = _embedding(run, settings, states, refit_projection)
        if embedding.projection_is_current():
            embedding.discard_damaged()
        return embedding.finish(shards(embedding, 1, 1) if _has_work(embedding) else 0)

    return _performed(run, settings, inputs, work, refit_projection)


def _new_images(embedding: Embedding, images: pl.DataFrame) -> pl.DataFrame:
    """The images that the backbone must work on; all if the projection has to be fitted."""
    if not embedding.projection_is_current():
        return images
    ids = pl.Series([image_id for each in embedding.missing for image_id in each.image_ids], dtype=pl.String)
    return images.filter(pl.col("image_id").is_in(ids.implode()))


def merge(run: AnyRun, settings: EmbedSettings | None = None) -> StageResult:
    """Complete the embed stage once all jobs of `embed` with `shard` are done.

    Args:
        settings: The same settings as for the jobs.

    Raises:
        DataError: shards are missing or were made from other inputs; lists them and how to find their jobs.
    """
    run, settings = as_run(run), settings or EmbedSettings()
    states, inputs = _states(run, settings, _indexed(run))

    def work() -> tuple[dict[str, Any], int]:
        embedding = _embedding(run, settings, states)
        if not embedding.projection_is_current():
            raise DataError(
                f"{run.projection}: missing, or made from other images or settings. "
                f"Run `thresher embed {quoted(run.folder)} --shard 0/N …` first."
            )
        embedding.discard_damaged()
        missing = [each.number for each in embedding.missing]
        if missing:
            shown = ", ".join(map(str, missing[:20])) + (" …" if len(missing) > 20 else "")
            raise DataError(
                f"{run.slices}: {len(missing)} of {len(embedding.plan.numbers)} shards are missing or were made from "
                f"other inputs (numbers {shown}; shard s belongs to job s mod N + 1). Run those jobs again "
                f"(`thresher embed {quoted(run.folder)} --shard I/N …`), then `thresher merge {quoted(run.folder)} …`."
            )
        return embedding.finish(embedding.plan.embedded_now)

    return _performed(run, settings, inputs, work)


def _states(run: Run, settings: EmbedSettings, images: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """The images with the states of their files, and the digests of what they are embedded from."""
    states = with_states(images.select("image_id", "path", "role")).with_columns(content=pl.lit(None, pl.String))
    return states, {"files": states_digest(states), "backbone": backbone_digest(settings)}


def _embedding(run: Run, settings: EmbedSettings, states: pl.DataFrame, refit: bool = False) -> Embedding:
    """What is to be done with the images as they are now."""
    embedding = Embedding(run, settings, states, backbone_digest(settings), refit)
    network = calibrated_network(run, settings, embedding.drawn)
    return replace(embedding, source=f"{embedding.source} {network}".strip())


def _has_work(embedding: Embedding) -> bool:
    """Whether workers are needed; starting them takes seconds."""
    return not embedding.projection_is_current() or bool(embedding.missing)


def _performed(
    run: Run, settings: EmbedSettings, inputs: dict[str, str], work: Work, refit: bool = False
) -> StageResult:
    outputs = [run.pooled, run.facts, run.projection, run.embedded, run.shards, run.slices, run.problems]
    recorded = run.recorded()

    def whole_work() -> tuple[dict[str, Any], int]:
        sweep_making(run)
        discard_damaged_tables(run, recorded)
        return work()

    return perform(run, "embed", settings, inputs | {"images": run.images}, outputs, whole_work, again=refit)


def _embed_given(
    run: Run,
    settings: EmbedSettings,
    vectors: Path,
    images: pl.DataFrame,
    refit: bool,
    dry_run: bool,
    track: Track[Any],
) -> StageResult:
    """The stage with the user's own vectors."""
    ids = Path(settings.ids) if settings.ids else None
    inputs = {"vectors": digest_of(vectors, ids)}
    given = given_vectors(vectors, ids)
    counts = {"vectors": len(given.rows), "vectors_not_in_index": len(given.rows) - known_here(given, images)}
    if dry_run:
        return StageResult("embed", "planned", {"images": images.height, **counts, "channels": given.channels})

    def work() -> tuple[dict[str, Any], int]:
        summary, failed = _given(run, settings, given, images, refit, track)
        return summary | counts, failed

    return _performed(run, settings, inputs, work, refit)


def _given(
    run: Run, settings: EmbedSettings, given: GivenVectors, images: pl.DataFrame, refit: bool, track: Track[Any]
) -> tuple[dict[str, Any], int]:
    wanted = with_contents(given, images)
    embedding = Embedding(run, settings, wanted, f"vectors of {given.channels} numbers", refit)
    if not embedding.projection_is_current():
        embedding.project(*project_given(given, embedding.drawn))
    embedding.discard_damaged()
    with making(run) as folder:
        contents = dict(wanted.select("image_id", "content").iter_rows())
        made = make(
            embedding, embedding.tasks(folder), lambda tasks: write_given(given, images, contents, tasks), track
        )
    return embedding.finish(made)


def _job(shard: str, refit: bool) -> tuple[int, int]:
    if not shard:
        return 1, 1
    job, _, jobs = shard.partition("/")
    if not (job.isdigit() and jobs.isdigit() and 0 <= int(job) <= int(jobs) and int(jobs) > 0):
        raise SettingsError(f"shard = '{shard}': expected I/N, such as 3/8 (job 3 of 8) or 0/8 (the projection only).")
    if refit and int(job):
        raise SettingsError(f"shard = '{shard}' with refit_projection: only job 0/N fits the projection. Leave it out.")
    return int(job), int(jobs)


def _indexed(run: Run) -> pl.DataFrame:
    images = images_here(run.folder)
    if images.filter(role="pool").is_empty() and run.remote.is_file():
        raise DataError(
            f"{run.folder}: no image of the pool is on disk. Choose some by their boxes (`thresher score "
            f"{quoted(run.folder)} --scores diversity`, `thresher select {quoted(run.folder)} --method diversity`), "
            f"then run `thresher download {quoted(run.folder)} NAME`."
        )
    return images


def planned_embed(
    run: Run, images: pl.DataFrame, settings: EmbedSettings, engine: EngineSettings, track: Track[Any] = untracked
) -> tuple[dict[str, Any], Slices | None]:
    """What embedding all of these images would take, from timing a few; and their slices, if any can be read.

    Args:
        images: image_id, path and role.
    """
    if settings.vectors is not None:
        given = given_vectors(Path(settings.vectors), Path(settings.ids) if settings.ids else None)
        slices = Slices.expected(images.height, 1, min(settings.width, given.channels), given.channels)
        plan = Plan(images.height, round(slices.bytes), round(slices.bytes), BASE_BYTES, slices.read_seconds + 1)
        return plan.summary(run), slices
    rows = [number * images.height // _TIMED_IMAGES for number in range(min(_TIMED_IMAGES, images.height))]
    timed = timed_images(images["path"].gather(rows).to_list(), settings, engine, track)
    width = min(settings.width, timed.channels)
    drawn = sum(min(count, settings.projection_images) for count in images["role"].value_counts()["count"])
    shards = -(-images.height // shard_images(settings, images.height))
    told = {**timed.plan(images.height, width, drawn).summary(run), "shards": shards, "workers": timed.workers}
    known = Slices.expected(images.height, timed.per_image, width, timed.channels) if timed.channels else None
    return told, known
