"""Estimates for dry runs: images, bytes, memory, disk and approximate time of a stage."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.dataset import IMAGE_SUFFIXES
from thresher.density.slice_block import SliceBlock
from thresher.features.shards import read_blocks
from thresher.run.folder import Run

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
#: Seconds of an EM step per slice and component of 64 dimensions, on one thread; grows with the square of these.
EM_SECONDS, EM_STEPS = 1.5e-7, 30
SELECT_SECONDS_PER_IMAGE = 3e-6


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


def index_plan(sources: list[tuple[str, Path]]) -> Plan:
    """Plan of index, from the file names below each (format, root) and the sizes of the annotation files."""
    images, read, memory = 0, 0, float(BASE_BYTES)
    for source_format, root in dict.fromkeys(sources):
        found, size = _names_below(root)
        images, read = images + found, read + size
        memory += found * IMAGE_BYTES + size * INDEX_BYTES.get(source_format, INDEX_BYTES_OTHERS)
    seconds = images * INDEX_SECONDS_PER_IMAGE + read * INDEX_SECONDS_PER_BYTE
    written = images * 20 + read * BOXES_SHARE
    return Plan(images, read, round(written), round(memory), seconds)


def _names_below(root: Path) -> tuple[int, int]:
    """How many image files there are, and the bytes of all other files."""
    images, size = 0, 0
    for folder, _, names in os.walk(root, followlinks=True):
        others = [name for name in names if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES]
        images += len(names) - len(others)
        size += sum(os.stat(os.path.join(folder, name)).st_size for name in others)  # noqa: PTH116
    return images, size


def fit_plan(run: Run, target_images: int, pool_images: int, drawn: int, fits: float, max_slices: int) -> Plan:
    """Plan of fit, from one shard and the number of EM steps.

    Args:
        drawn: Number of pool images that the layout query is fitted on.
        fits: Total number of components over all mixtures to fit.
    """
    images = target_images + pool_images
    first, files = _first_shard(run)
    if first is None:
        return Plan(images, 0, 0, BASE_BYTES + images * IMAGE_BYTES, None)
    slices, width = len(first.slices) / len(first.image_ids), first.slices.shape[1]
    threads = len(os.sched_getaffinity(0))
    used = min(max_slices, target_images * slices)
    em = fits * EM_STEPS * used * EM_SECONDS * (width / 64) ** 2 / threads
    reading = _seconds(lambda: next(read_blocks(run.slices))) * len(files)
    vectors = drawn * (7 * (width + 1) + first.pooled.shape[1]) * 2
    # The target's slices, twice while they are concatenated; the samples in float32, with their parts.
    memory = BASE_BYTES + images * IMAGE_BYTES + 4 * target_images * slices * width + 2 * vectors
    memory += 4 * max_slices * width * 4
    size = sum(file.stat().st_size for file in files)
    return Plan(images, size, 2 * round(fits) * width * width * 8, round(memory), em + reading)


def score_plan(run: Run, pool_images: int, one_shard: Callable[[SliceBlock], object] | None) -> Plan:
    """Plan of score, from timing one shard; without a time if fit has not run."""
    first, files = _first_shard(run)
    seconds = None
    if first is not None and one_shard is not None:
        one_shard(first)  # warm-up: the first call includes one-off set-up
        seconds = _seconds(lambda: one_shard(next(read_blocks(run.slices)))) * len(files)
        seconds += SELECT_SECONDS_PER_IMAGE * pool_images
    size = sum(path.stat().st_size for path in [*files, run.boxes] if path.is_file())
    memory = BASE_BYTES + pool_images * (IMAGE_BYTES + SCORE_BYTES)
    return Plan(pool_images, size, pool_images * 120, memory, seconds)


def select_plan(run: Run, candidates: int, chosen: int) -> Plan:
    """Plan of select, from the sizes of the tables."""
    read = sum(path.stat().st_size for path in (run.scores_path, run.images, run.boxes) if path.is_file())
    memory = BASE_BYTES + candidates * (IMAGE_BYTES + SCORE_BYTES)
    return Plan(chosen, read, chosen * 100, memory, candidates * SELECT_SECONDS_PER_IMAGE)


def _first_shard(run: Run) -> tuple[SliceBlock | None, list[Path]]:
    files = sorted(run.slices.glob("part-*.parquet"))
    rows = any(pl.scan_parquet(file).select(pl.len()).collect().item() for file in files[:1])
    return (next(read_blocks(run.slices), None) if rows else None), files


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
