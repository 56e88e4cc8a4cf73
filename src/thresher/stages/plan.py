"""Estimates for dry runs: images, bytes, memory, disk and approximate time of a stage."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.dataset import IMAGE_SUFFIXES
from thresher.data.source_text import Source, read
from thresher.density.slice_block import SliceBlock
from thresher.features.engine import workers
from thresher.features.network_file import worker_settings
from thresher.features.shards import read_blocks
from thresher.features.worker import Task, sampled_slices
from thresher.run.folder import Run
from thresher.run.perform import Track, untracked
from thresher.selection.compared import Compared
from thresher.selection.facility import EXACT_COSINES
from thresher.workers.settings import EngineSettings
from thresher.workers.slowness import slowness

#: Memory of the libraries and small tables in every stage.
BASE_BYTES = 250_000_000
#: Measured with benchmarks/scale.py on two cores; meant to be right within a factor of two. Bytes per image in the
#: tables of index, fit and score, and per row of scores with the ids of its neighbours.
IMAGE_BYTES, SCORE_BYTES = 400, 600
#: Memory of index per byte of annotations: Open Images is streamed, other formats are parsed to Python objects.
INDEX_BYTES = {"open_images": 1.0}
INDEX_BYTES_OTHERS = 10.0
INDEX_SECONDS_PER_IMAGE, INDEX_SECONDS_PER_BYTE = 2.5e-5, 4e-8
#: Boxes on disk per byte of annotations.
BOXES_SHARE = 0.25
#: Sources with at most so many bytes of annotations and image files are read for the plan.
LITTLE_BYTES, LITTLE_FILES = 20_000_000, 20_000
#: Words in the names of folders that hold label pictures.
MASK_FOLDERS = ("annot", "gtfine", "gtcoarse", "label", "mask", "segmentation")
#: Images that each worker is timed on.
TIMED_IMAGES = 8
#: Memory of a worker: Python, torch, onnxruntime, the network and a decoded image.
WORKER_BYTES = 500_000_000
#: Of an image's slices to project and write; of each slice drawn for the projection, times channels squared.
SHARD_SECONDS_PER_IMAGE, PROJECTION_SECONDS = 5e-4, 5e-11
READ_SECONDS_PER_BYTE = 1e-9
#: What a stage takes whatever its size: to start, to read and write its tables.
ONCE_SECONDS, FIT_SECONDS = 0.3, 2.5
#: Seconds of an EM step per component of 64 dimensions (grows with their square) on one thread, per slice and once.
EM_SECONDS, EM_SECONDS_ONCE, EM_STEPS = 3.6e-7, 6.6e-4, 30
#: Per slice of 64 dimensions: of a pool image that the layout query learns from, and of one that gets a score.
LAYOUT_SECONDS, SCORE_SECONDS = 2e-6, 2.5e-6
SELECT_SECONDS_PER_IMAGE = 3e-6
#: To open, shrink and draw a photo, and for an image in the map of `insight`; bytes of a photo and its thumbnail.
PICTURE_SECONDS, MAP_SECONDS, PHOTO_BYTES, PICTURE_BYTES = 0.006, 0.013, 200_000, 20_000


@dataclass(frozen=True)
class Plan:
    """Estimated cost of a stage; `seconds` is None if it cannot be estimated yet."""

    images: int
    read_bytes: int
    bytes: int
    """Bytes to write."""
    memory_bytes: int
    seconds: float | None

    def summary(self, run: Run) -> dict[str, Any]:
        """The plan, with the free disk and memory of this machine."""
        return {
            "images": self.images,
            "read_bytes": round(self.read_bytes),
            "bytes": round(self.bytes),
            "disk_free_bytes": disk_free(run.folder),
            "memory_bytes": round(self.memory_bytes),
            "memory_free_bytes": os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "seconds": None if self.seconds is None else round(self.seconds, 1),
        }


def disk_free(folder: Path) -> int:
    """Free bytes on the disk of the folder, which need not exist yet."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


@dataclass(frozen=True)
class Slices:
    """The slices of all images, as they are on disk or as embed will write them."""

    per_image: float
    width: int
    channels: int
    """Dimensions of a pooled vector."""
    bytes: float
    read_seconds: float

    @classmethod
    def expected(cls, images: int, per_image: float, width: int, channels: int) -> Slices:
        """Of images that are not embedded yet."""
        size = images * 2.0 * (per_image * width + channels)
        return cls(per_image, width, channels, size, size * READ_SECONDS_PER_BYTE)

    @classmethod
    def of(cls, run: Run) -> Slices | None:
        """From one shard of the run; None before embed."""
        first, files = _first_shard(run)
        if first is None:
            return None
        read = _seconds(lambda: next(read_blocks(run.slices))) * len(files)
        size = float(sum(file.stat().st_size for file in files))
        per_image = len(first.slices) / len(first.image_ids)
        return cls(per_image, first.slices.shape[1], first.pooled.shape[1], size, read)


def index_plan(
    sources: Sequence[Source], limit: int | None, columns: Mapping[str, str] | None = None
) -> tuple[Plan, dict[str, int]]:
    """Plan of index, and the images that target and pool will have.

    Sources with little to read are read, so that their images are counted as index will count them. Of others the image
    files and annotations are counted whose path names the split asked for.
    """
    images = {"target": 0, "pool": 0} | {source.role: 0 for source in sources}
    bytes_read, memory, seconds = 0, float(BASE_BYTES), 0.0
    for source in sources:
        paths, size = _files_of(source)
        files = len(paths)
        started = time.perf_counter()
        found = files
        if size <= LITTLE_BYTES and files <= LITTLE_FILES:
            found = read(source, columns or {}).images.height
        expected = files * INDEX_SECONDS_PER_IMAGE + size * INDEX_SECONDS_PER_BYTE
        seconds += max(time.perf_counter() - started, expected)
        memory += files * IMAGE_BYTES + size * INDEX_BYTES.get(source.format, INDEX_BYTES_OTHERS)
        images[source.role] += found if limit is None else min(found, limit)
        bytes_read += size
    total = sum(images.values())
    return Plan(
        total, bytes_read, round(total * 20 + bytes_read * BOXES_SHARE), round(memory), seconds + ONCE_SECONDS
    ), images


def listed_images(sources: Sequence[Source], limit: int | None) -> pl.DataFrame:
    """image_id, path and role of the image files that `index_plan` counts, for plans before there is an index."""
    parts = []
    for source in sources:
        paths = sorted(_files_of(source)[0])
        if limit is not None and len(paths) > limit:
            paths = [paths[number * len(paths) // limit] for number in range(limit)]
        parts.append(pl.DataFrame({"image_id": paths, "path": paths, "role": source.role}))
    return pl.concat(parts).unique("image_id", maintain_order=True)


def _files_of(source: Source) -> tuple[list[str], int]:
    """The image files of a source, and the bytes of its other files: those of the split alone, if paths name it.

    Folders of label pictures are left out.
    """
    if source.root.is_file():
        return [], source.root.stat().st_size
    images: dict[bool, list[str]] = {True: [], False: []}
    size = dict.fromkeys(images, 0)
    for folder, _, names in os.walk(source.root, followlinks=True):
        below = os.path.relpath(folder, source.root)
        masks = any(word in below.casefold() for word in MASK_FOLDERS)
        for name in names:
            of_split = source.split is None or source.split in re.split(r"[\W_\d]+", os.path.join(below, name))
            path = os.path.join(folder, name)
            if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                size[of_split] += os.stat(path).st_size  # noqa: PTH116
            elif not masks:
                images[of_split].append(path)
    return images[True] or images[False], size[True] or size[False]


def timed_images(
    paths: Sequence[Path | str], settings: Any, engine: EngineSettings, track: Track[Any] = untracked
) -> TimedImages:
    """How long images take in as many workers as will embed them, all at work at the same time.

    Args:
        paths: Some images, evenly from all; they are repeated if they are too few.
        settings: `EmbedSettings`.
    """
    with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
        images = [(str(number), str(path)) for number, path in enumerate(paths)]
        opened = time.perf_counter()
        with workers(worker_settings(Run(folder), settings, [images]), engine) as work:
            at_once = engine.workers or len(os.sched_getaffinity(0))
            first = [_sample(folder, number, images[:1]) for number in range(at_once)]
            warm = [report.seconds for report in work(first)]
            started = time.perf_counter() - opened - max(warm)
            each = [images[(number + n) % len(images)] for number in range(at_once) for n in range(TIMED_IMAGES)]
            tasks = [
                _sample(folder, at_once + number, each[number * TIMED_IMAGES : (number + 1) * TIMED_IMAGES])
                for number in range(at_once)
            ]
            reports = list(track(work(tasks), len(tasks), "timing a few images"))
        done = sum(report.images for report in reports)
        slices = sampled_slices([task.path for task in tasks])
    seconds = sum(report.seconds for report in reports) / (at_once * TIMED_IMAGES)
    cells, channels = (0.0, 0) if slices is None else (len(slices) / done, slices.shape[1])
    return TimedImages(seconds + SHARD_SECONDS_PER_IMAGE, started, cells, channels, at_once)


@dataclass(frozen=True)
class TimedImages:
    """What a few images took, and how many slices they gave."""

    seconds: float
    """For one image in one worker, while the others work too."""
    started: float
    """Seconds until all workers were ready."""
    per_image: float
    channels: int
    workers: int

    def plan(self, images: int, width: int, drawn: int) -> Plan:
        """Plan of embed.

        Args:
            drawn: Number of images that the projection is fitted on.
        """
        written = images * (self.per_image * width + self.channels) * 2
        memory = BASE_BYTES + drawn * self.per_image * self.channels * 8 + self.workers * WORKER_BYTES
        fitted = drawn * self.per_image * self.channels**2 * PROJECTION_SECONDS
        seconds = self.started + images * self.seconds / self.workers + fitted + ONCE_SECONDS
        return Plan(images, 0, round(written), round(memory), seconds)


def _sample(folder: str, number: int, images: list[tuple[str, str]]) -> Task:
    return Task("sample", number, images, os.path.join(folder, f"{number}.safetensors"))


def fit_plan(
    slices: Slices | None, target_images: int, pool_images: int, drawn: int, fits: float, max_slices: int
) -> Plan:
    """Plan of fit, from the number of EM steps; without a time if the slices are not known.

    Args:
        drawn: Number of pool images that the layout query is fitted on.
        fits: Total number of components over all mixtures to fit.
    """
    images = target_images + pool_images
    if slices is None:
        return Plan(images, 0, 0, BASE_BYTES + images * IMAGE_BYTES, None)
    threads, width = len(os.sched_getaffinity(0)), slices.width
    used = min(max_slices, target_images * slices.per_image)
    seconds = fits * EM_STEPS * (used * EM_SECONDS + EM_SECONDS_ONCE) * (width / 64) ** 2 / threads
    seconds += drawn * slices.per_image * LAYOUT_SECONDS * width / 64 + FIT_SECONDS
    vectors = drawn * (7 * (width + 1) + slices.channels) * 2
    # The target's slices, twice while they are concatenated; the samples in float32, with their parts.
    memory = BASE_BYTES + images * IMAGE_BYTES + 4 * target_images * slices.per_image * width + 2 * vectors
    memory += 4 * max_slices * width * 4
    written = 2 * round(fits) * width * width * 8
    return Plan(images, round(slices.bytes), written, round(memory), seconds * slowness(threads) + slices.read_seconds)


def score_plan(
    run: Run, slices: Slices | None, pool: int, scores: int, one_shard: Callable[[SliceBlock], object] | None = None
) -> Plan:
    """Plan of score: from timing one shard if fit has run, else from the number of slices; without a time before embed.

    Args:
        scores: How many are worked out from slices.
        one_shard: Scores a shard; None if fit has not run.
    """
    seconds, (first, files) = None, _first_shard(run)
    if first is not None and one_shard is not None:
        one_shard(first)  # warm-up: the first call includes one-off set-up
        seconds = _seconds(lambda: one_shard(next(read_blocks(run.slices)))) * len(files)
    elif slices is not None:
        worked = pool * slices.per_image * SCORE_SECONDS * scores * slices.width / 64
        seconds = worked * slowness(1) + slices.read_seconds
    if seconds is not None:
        seconds += SELECT_SECONDS_PER_IMAGE * pool + ONCE_SECONDS
    size = (0 if slices is None else round(slices.bytes)) + (run.boxes.stat().st_size if run.boxes.is_file() else 0)
    memory = BASE_BYTES + pool * (IMAGE_BYTES + SCORE_BYTES)
    return Plan(pool, size, pool * 120, memory, seconds)


def select_plan(run: Run, candidates: int, chosen: int, compared: Compared | None = None) -> Plan:
    """Plan of select, from the sizes of the tables and the vectors that are compared."""
    read = sum(path.stat().st_size for path in (run.scores_path, run.images, run.boxes) if path.is_file())
    memory = BASE_BYTES + candidates * (IMAGE_BYTES + SCORE_BYTES)
    seconds = candidates * SELECT_SECONDS_PER_IMAGE + ONCE_SECONDS
    if compared is not None and compared.pairs + compared.cosines:
        seconds += compared.seconds * slowness(1)
        memory += candidates * compared.width * 6 + 4 * min(round(compared.cosines), EXACT_COSINES)
    return Plan(chosen, read, chosen * 100, memory, seconds)


def pictures_plan(pictures: int, images: int, seconds: float, mapped: int = 0) -> Plan:
    """Plan of what draws pictures and tables: sheet, insight, report.

    Args:
        pictures: Number of photos to open and draw.
        images: Number of images in the tables.
        seconds: For all that does not grow with either.
        mapped: Number of images in a map of the pool (t-SNE) and in the statistics beside it.
    """
    drawn = seconds + pictures * PICTURE_SECONDS + mapped * MAP_SECONDS
    took = drawn * slowness(1) + images * SELECT_SECONDS_PER_IMAGE
    read, memory = pictures * PHOTO_BYTES, BASE_BYTES + images * SCORE_BYTES
    return Plan(images, read, pictures * PICTURE_BYTES, memory, took)


def _first_shard(run: Run) -> tuple[SliceBlock | None, list[Path]]:
    files = sorted(run.slices.glob("part-*.parquet"))
    rows = any(pl.scan_parquet(file).select(pl.len()).collect().item() for file in files[:1])
    return (next(read_blocks(run.slices), None) if rows else None), files


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
