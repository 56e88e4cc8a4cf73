"""How `embed` makes what is missing: the projection, the plan of shards, and the shards themselves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.data.file_states import contents
from thresher.errors import DataError, SettingsError, quoted
from thresher.features.backbone import BackboneSettings
from thresher.features.engine import Work
from thresher.features.projection import fit_projection, load_projection, projection_is_current, save_projection
from thresher.features.shard_plan import Batch, ShardPlan, planned
from thresher.features.shard_tables import Listed, digests_of_files, embedded_of_shards, gather, list_shards
from thresher.features.shards import is_made, listed_shards
from thresher.features.worker import Image, Task, sampled_slices
from thresher.run.digests import damaged_shards, file_digest
from thresher.run.folder import Run
from thresher.run.perform import Track
from thresher.run.state import damaged_outputs
from thresher.run_files import shard_path
from thresher.settings import OptionalPath, converted, younger

#: Small sets have at least this many shards, unless they would be smaller than this many images each.
_FEWEST_SHARDS, _FEWEST_IMAGES = 32, 16
#: Folders in `slices` of running and of killed processes.
_MAKING = ".embed-"
#: The projection is worth fitting again once it loses this many times the variance that it lost when it was fitted.
MOVED = 1.2


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


@dataclass(frozen=True)
class Embedding:
    """What there is, what is wanted, and how one becomes the other."""

    run: Run
    settings: EmbedSettings
    images: pl.DataFrame
    """Every image of the index by id: image_id, path, role, size_bytes, mtime_ns, and the digest of its `content` where
    it is known without reading the image."""
    source: str
    """Digest of what makes features of images."""
    refit: bool = False
    """Whether the projection is fitted again even if the target is as it was."""

    @cached_property
    def last(self) -> pl.DataFrame:
        """Table EMBEDDED when `embed` last ended; empty if it never did."""
        if self.run.embedded.is_file():
            return tables.read(self.run.embedded, tables.EMBEDDED, key="image_id")
        listed = self.run.shards.is_file() and "sha256" in tables.schema_of(self.run.shards)
        return embedded_of_shards(self.run) if listed else tables.empty(tables.EMBEDDED)

    @cached_property
    def drawn(self) -> list[list[Image]]:
        """The images of target and pool that the projection is fitted on."""
        rng = np.random.default_rng(self.settings.seed)
        sides = []
        for role in ("target", "pool"):
            candidates = self.images.filter(pl.col("role") == role)
            rows = np.sort(rng.permutation(candidates.height)[: self.settings.projection_images])
            sides.append(listed_images(candidates[rows.tolist()]))
        return sides

    @cached_property
    def projection_print(self) -> str:
        """Fingerprint of what shapes the projection: the target, but of the pool nothing, so that it may grow."""
        target = self.images.filter(pl.col("role") == "target")["image_id"].to_list()
        drawn = self.images.filter(pl.col("image_id").is_in([image_id for image_id, _ in self.drawn[0]]))
        settings = [self.settings.width, self.settings.projection_images, self.settings.seed]
        shaped_by = [self.source, settings, target, self._contents(drawn)]
        return hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()

    def _contents(self, images: pl.DataFrame) -> list[str | None]:
        """Digests of the images' content; an image is read only if its file has changed since `embed` last ended."""
        known = images.join(self._unchanged_files.select("image_id", then="content"), on="image_id", how="left")
        found: list[str | None] = known.select(pl.coalesce("content", "then")).to_series().to_list()
        unknown = [row for row, content in enumerate(found) if content is None]
        paths = images["path"].gather(unknown).to_list()
        for row, content in zip(unknown, contents(paths), strict=True):
            found[row] = content
        return found

    @cached_property
    def _unchanged_files(self) -> pl.DataFrame:
        """The rows of `last` whose files have the path, size and time that they had."""
        return self.last.join(
            self.images.filter(pl.col("content").is_null()),
            on=["image_id", "path", "size_bytes", "mtime_ns"],
            how="semi",
            nulls_equal=True,
        )

    def projection_is_current(self) -> bool:
        """Whether the run's projection is the one that this target gets."""
        return not self.refit and projection_is_current(self.run.projection, self.projection_print)

    def project(self, target: Any, pool: Any) -> None:
        """Fit the projection to slices of the images drawn."""
        save_projection(fit_projection(target, pool, self.settings.width), self.run.projection, self.projection_print)

    @cached_property
    def shaped_by(self) -> str:
        """Fingerprint of what makes the slices of an image; the projection must be current."""
        return hashlib.sha256((self.source + file_digest(self.run.projection)).encode()).hexdigest()

    @cached_property
    def digests(self) -> Mapping[int, str]:
        """Number and digest of each listed shard that was made by this backbone and projection."""
        if not self.run.shards.is_file():
            return digests_of_files(self.run, self.last["shard"].unique().to_list(), self.shaped_by)
        if "sha256" not in tables.schema_of(self.run.shards):  # of an older release
            return {}
        listed = listed_shards(self.run.slices).filter(fingerprint=self.shaped_by)
        return dict(listed.select("number", "sha256").iter_rows())

    @cached_property
    def damaged(self) -> set[int]:
        """Numbers of the listed shards that are lost or damaged."""
        return set(damaged_shards(self.run.slices)) if self.digests and self.run.shards.is_file() else set()

    @cached_property
    def plan(self) -> ShardPlan:
        """The shards that there will be."""
        last = self.last if self.digests else self.last.clear()
        lost = set(last["shard"].unique()) - set(self.digests) | self.damaged
        columns = ["image_id", "path", "size_bytes", "mtime_ns", "content"]
        size = shard_images(self.settings, self.images.height)
        return planned(self.images.select(columns), self._unchanged(last), last, lost, size, self.shaped_by)

    def _unchanged(self, last: pl.DataFrame) -> pl.DataFrame:
        """image_id and shard of the images whose content is what it was; read are those whose file has changed."""
        if last.is_empty():
            return last.select("image_id", "shard")
        same = self._unchanged_files
        doubtful = last.join(same, on="image_id", how="anti").filter(pl.col("content").is_not_null())
        now = self.images.join(doubtful, on="image_id", how="semi")
        now = now.select("image_id", content=pl.Series(self._contents(now), dtype=pl.String))
        equal = doubtful.join(now, on=["image_id", "content"], how="semi")
        return pl.concat([same, equal]).select("image_id", "shard")

    def tasks(self, folder: Path) -> list[Task]:
        """A task per shard that the backbone has yet to make, which will write to `folder`."""
        paths = dict(self.images.select("image_id", "path").iter_rows())
        projection = str(self.run.projection.absolute())
        return [
            Task(
                "shard",
                batch.number,
                [(image_id, paths[image_id]) for image_id in batch.image_ids],
                str(shard_path(folder, batch.number)),
                self.shaped_by,
                batch.task,
                projection,
            )
            for batch in self.missing
        ]

    @property
    def missing(self) -> list[Batch]:
        """The batches whose shard is not there."""
        return [each for each in self.plan.batches if not is_made(shard_path(self.run.slices, each.number), each.task)]

    def discard_damaged(self) -> None:
        """Remove damaged shards that are to be made again, so that none is taken for what it was."""
        for batch in self.plan.batches:
            if batch.number in self.damaged:
                shard_path(self.run.slices, batch.number).unlink(missing_ok=True)

    def finish(self, embedded_now: int) -> tuple[dict[str, Any], int]:
        """Put shards together from others, and write the tables; gives the summary and how many images failed.

        Raises:
            DataError: no image of the target could be read.
        """
        run, plan = self.run, self.plan
        for each in plan.gatherings:
            if not is_made(shard_path(run.slices, each.number), each.task):
                gather(run, each, self.digests, self.shaped_by)
        removed = self.last.join(self.images, on="image_id", how="anti").height
        listed = list_shards(run, plan.numbers, self.images, {number: self.digests[number] for number in plan.kept})
        run.add_problems("embed", listed.problems)
        roles = self.images.select("image_id", "role")
        read = listed.embedded.filter(pl.col("slices").is_not_null()).join(roles, on="image_id")
        if read.filter(pl.col("role") == "target").is_empty():
            raise DataError(f"{run.folder}: no image of the target could be read. The reasons are in {run.problems}.")
        summary = {
            "images_indexed": self.images.height,
            "images_embedded": read.height,
            "images_unreadable": listed.problems.height,
            "embedded_now": embedded_now,
            "kept": self.images.height - embedded_now,
            "removed": removed,
            **self._told_of(listed),
            **self._told_of_projection(read),
        }
        return summary, listed.problems.height

    def _told_of(self, listed: Listed) -> dict[str, Any]:
        shards = listed.shards
        return {
            "slices": int(shards["slices"].sum()),
            "width": int(shards["width"][0]),
            "shards": shards.height,
            "bytes": int(shards["bytes"].sum()),
        }

    def _told_of_projection(self, read: pl.DataFrame) -> dict[str, Any]:
        """The variance that the projection keeps, when it was fitted and now, of an equal mix of target and pool."""
        fitted = load_projection(self.run.projection).explained
        read = read.filter(pl.col("role") != "guard")
        now = float(read.group_by("role").agg(pl.col("variance_kept").mean())["variance_kept"].mean())  # type: ignore[arg-type]
        told: dict[str, Any] = {"variance_kept": round(fitted, 4), "variance_kept_now": round(now, 4)}
        if 1 - now > MOVED * (1 - fitted) + 1e-3:
            told["warning"] = (
                f"the pool has moved: the projection keeps {now:.1%} of the variance, {fitted:.1%} when it was "
                f"fitted. `thresher embed {quoted(self.run.folder)} … --refit-projection` fits it again and "
                "embeds every image anew."
            )
        return told


def discard_damaged_tables(run: Run, recorded: dict[str, Any]) -> None:
    """Remove those tables of embed, and the projection, that are not as it wrote them: they are made again.

    Args:
        recorded: The manifest before `embed` began.
    """
    for path in (run.projection, run.embedded, run.shards):
        if path.is_file() and damaged_outputs(run, recorded.get("embed", {}), [path.name]):
            path.unlink()


def shard_images(settings: EmbedSettings, images: int) -> int:
    """Most images of a shard."""
    return min(settings.shard_images, max(_FEWEST_IMAGES, -(-images // _FEWEST_SHARDS)))


def listed_images(images: pl.DataFrame) -> list[Image]:
    """Id and path of each image."""
    return list(zip(images["image_id"].to_list(), images["path"].to_list(), strict=True))


@contextlib.contextmanager
def making(run: Run) -> Iterator[Path]:
    """Context manager yielding a folder for what workers write until it is put in its place; removed at the end."""
    folder = run.slices.absolute() / f"{_MAKING}{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        _remove(folder)


def sweep_making(run: Run) -> None:
    """Remove what killed processes left; workers that have outlived them find no place to write to."""
    for folder in run.slices.glob(f"{_MAKING}*"):
        _remove(folder)


def _remove(folder: Path) -> None:
    # Under another name first: a worker that still writes cannot put a file into a folder that is being emptied.
    doomed = folder.with_name(f"{folder.name}.gone")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sample(embedding: Embedding, folder: Path, work: Work, track: Track[Any]) -> list[str]:
    """Fit the projection unless it is current; returns the files with the sampled images' slices."""
    if embedding.projection_is_current():
        return []
    sides = []
    for side, images in zip(("target", "pool"), embedding.drawn, strict=True):
        batches = [images[start : start + _FEWEST_IMAGES] for start in range(0, len(images), _FEWEST_IMAGES)]
        paths = [str(folder / f"{side}-{number:03d}.safetensors") for number in range(len(batches))]
        tasks = [Task("sample", number, *each) for number, each in enumerate(zip(batches, paths, strict=True))]
        for _ in track(work(tasks), len(tasks), f"sampling the {side}"):
            pass
        sides.append(paths)
    target, pool = (sampled_slices(paths) for paths in sides)
    if target is None:
        run = embedding.run
        raise DataError(f"{run.folder}: no sampled image of the target can be read. Check the paths in {run.images}.")
    embedding.project(target, pool)
    return [path for paths in sides for path in paths]


def make(embedding: Embedding, tasks: Sequence[Task], work: Work, track: Track[Any]) -> int:
    """Do the tasks and put each shard in its place; returns how many images the backbone worked on."""
    by_number = {task.number: task for task in tasks}
    worked_on = 0
    for report in track(work(tasks), len(tasks), "embedding images"):
        os.replace(by_number[report.number].path, shard_path(embedding.run.slices, report.number))
        worked_on += report.images + report.problems
    return worked_on
