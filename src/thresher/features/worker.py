"""What a worker of `embed` does with one task: it runs images through the backbone and writes the result to one file.

`thresher.workers` calls `answerer` in a process of its own or in an actor on a cluster. Tasks and reports are lines of
JSON; everything else goes through files, so that nothing is pickled and any machine that sees the files can work.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float16, Float32
from safetensors import safe_open
from safetensors.numpy import save

from thresher.data.file_states import content_digest
from thresher.data.images import rgb_pixels
from thresher.data.sources import image_bytes
from thresher.errors import DataError
from thresher.features.backbone import Backbone, open_backbone
from thresher.features.image_facts import ImageFacts, image_facts
from thresher.features.pixels import network_pixels, object_crop
from thresher.features.projection import Projection, load_projection
from thresher.features.shards import ImageFeatures, is_made, shard_bytes, shard_frame
from thresher.vectors import unit_length
from thresher.workers.store import exists, fetch, is_url, local_copy, written

#: (image id, path)
Image = tuple[str, str]


@dataclass(frozen=True)
class WorkerSettings:
    """What all tasks have in common. Paths must mean the same to every worker."""

    backbone: str
    """The ONNX file."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    short_side: int
    fast: bool = False


@dataclass(frozen=True)
class Task:
    """Some images, and the file to which their features are written."""

    kind: Literal["sample", "shard", "objects"]
    number: int
    images: Sequence[Image]
    path: str
    """In a folder that the process that asked removes when it ends, or the next one does: a worker that has outlived
    the one finds no place to write to."""
    fingerprint: str = ""
    """Of backbone and projection; only for a shard."""
    task: str = ""
    """Of all that shapes the shard."""
    projection: str = ""
    """The projection's file; only for a shard."""
    samples: Sequence[str] = ()
    """Files with features of images that have been through the backbone already."""
    fatal: Sequence[str] = ()
    """Ids of images that killed the workers reading them: listed as unreadable, not tried again."""
    boxes: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    """By image id the boxes to cut out (x0, y0, x1, y1; 0..1); only for objects."""


@dataclass(frozen=True)
class Report:
    """The result of a task: how many images were embedded and how many could not be read."""

    number: int
    images: int
    problems: int
    seconds: float
    made: bool = True
    """False if the shard was in the store already, made from the same inputs."""


@dataclass(frozen=True)
class UnitSlices:
    """The slices of one image, at unit length and not yet projected."""

    grid_h: int
    grid_w: int
    width_px: int | None
    height_px: int | None
    slices: Float32[np.ndarray, "s c"]
    content: str | None = None
    """Digest of what they were made from; None in a sample file."""
    facts: ImageFacts | None = None
    """None where no image was read."""


class Worker:
    """Holds the network in memory from task to task. It uses one thread; open as many workers as processors."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Open the backbone."""
        self.settings = settings
        self.backbone: Backbone = open_backbone(local_copy(settings.backbone), settings.mean, settings.std)
        self.sampled = _Samples(())

    def done(self, task: Task) -> Report:
        """Do a task; returns its report."""
        started = time.perf_counter()
        if task.kind == "shard" and _is_in_store(task):
            return Report(task.number, 0, 0, 0.0, made=False)
        if tuple(task.samples) != self.sampled.paths:
            self.sampled = _Samples(task.samples)
        found: dict[str, Any] = {}
        problems: list[dict[str, object]] = []
        for image_id, image_path in task.images:
            content = None
            try:
                content = content_digest(image_bytes(image_path))
                if image_id in task.fatal:
                    raise DataError(f"{image_path}: reading it ended the process, twice (out of memory, or a crash)")
                if task.kind == "objects":
                    found[image_id] = self.object_vectors(Path(image_path), task.boxes[image_id])
                    continue
                unit = self.sampled.get(image_id) or self.unit_slices(Path(image_path))
                found[image_id] = dataclasses.replace(unit, content=content)
            except DataError as error:
                row = {"image_id": image_id, "path": image_path, "stage": "embed", "content": content}
                problems.append({**row, "problem": "image_unreadable", "detail": str(error)})
        with written(task.path) as path:
            _write_whole(path, self._written(task, found, problems))
        return Report(task.number, len(found), len(problems), time.perf_counter() - started)

    def _written(self, task: Task, found: dict[str, Any], problems: list[dict[str, object]]) -> bytes:
        if task.kind == "objects":
            content: bytes = save(found, metadata={"problems": json.dumps(problems)})
            return content
        return _sample(found) if task.kind == "sample" else self._shard(task, found, problems)

    def _shard(self, task: Task, found: dict[str, UnitSlices], problems: list[dict[str, object]]) -> bytes:
        projection = load_projection(local_copy(task.projection))
        images = [projected_features(image_id, unit, projection) for image_id, unit in found.items()]
        width, channels = projection.axes.shape
        return shard_bytes(shard_frame(images, channels), problems, task.fingerprint, width, task.task)

    def object_vectors(self, path: Path, boxes: Sequence[Sequence[float]]) -> Float16[np.ndarray, "boxes c"]:
        """For each box of an image the mean of the unit-length slices of what is cut out around it (`object_crop`).

        Raises:
            DataError: the image cannot be read.
        """
        pixels = rgb_pixels(path)
        features = [self.backbone.features(object_crop(pixels, box, self.settings.short_side)) for box in boxes]
        pooled = [unit_length(each.reshape(-1, each.shape[2])).mean(axis=0) for each in features]
        return np.stack(pooled).astype(np.float16)

    def unit_slices(self, path: Path) -> UnitSlices:
        """One image through the network.

        Raises:
            DataError: the image cannot be read.
        """
        pixels = network_pixels(path, self.settings.short_side, self.settings.fast)
        features = self.backbone.features(pixels.image)
        grid_h, grid_w, channels = features.shape
        slices = unit_length(features.reshape(-1, channels))
        return UnitSlices(grid_h, grid_w, pixels.width_px, pixels.height_px, slices, facts=image_facts(pixels.image))


def _is_in_store(task: Task) -> bool:
    """Whether the shard was sent to the store before."""
    if not (is_url(task.path) and exists(task.path)):
        return False
    with tempfile.TemporaryDirectory() as folder:
        fetch(task.path, Path(folder) / "shard")
        return is_made(Path(folder) / "shard", task.task)


def projected_features(image_id: str, unit: UnitSlices, projection: Projection) -> ImageFeatures:
    """What is stored of an image: projected slices, and the mean of the unprojected ones."""
    projected = projection.projected(unit.slices)
    spread = np.square(unit.slices - projection.mean).sum(dtype=np.float64)
    kept = np.square(projected).sum(dtype=np.float64)
    return ImageFeatures(
        image_id,
        unit.grid_h,
        unit.grid_w,
        unit.width_px,
        unit.height_px,
        projected.astype(np.float16),
        unit.slices.mean(axis=0).astype(np.float16),
        unit.content,
        float(kept / spread) if spread else 1.0,
        unit.facts,
    )


def _sample(found: dict[str, UnitSlices]) -> bytes:
    described = {
        image_id: [
            [unit.grid_h, unit.grid_w, unit.width_px, unit.height_px],
            dataclasses.astuple(unit.facts) if unit.facts else None,
        ]
        for image_id, unit in found.items()
    }
    arrays = {str(number): unit.slices for number, unit in enumerate(found.values())}
    content: bytes = save(arrays, metadata={"images": json.dumps(described)})
    return content


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is read only after it has been reported; its folder must be there."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class _Samples:
    """Images in sample files, read one by one on request."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._where: dict[str, tuple[Any, str, Any]] = {}
        for path in self.paths:
            file: Any = safe_open(local_copy(path), framework="numpy")
            described: dict[str, Any] = json.loads(file.metadata()["images"])
            self._where |= {
                image_id: (file, str(number), told) for number, (image_id, told) in enumerate(described.items())
            }

    def get(self, image_id: str) -> UnitSlices | None:
        """The image's slices; None if it is in no sample file."""
        if image_id not in self._where:
            return None
        file, name, ((grid_h, grid_w, width_px, height_px), facts) = self._where[image_id]
        found = ImageFacts(*facts) if facts else None
        return UnitSlices(grid_h, grid_w, width_px, height_px, file.get_tensor(name), facts=found)


def sampled_slices(paths: Iterable[str]) -> Float32[np.ndarray, "n c"] | None:
    """All slices of some sample files, in their order; None if they hold no image."""
    parts = []
    for path in paths:
        with safe_open(path, framework="numpy") as file:
            parts += [file.get_tensor(str(number)) for number in range(len(json.loads(file.metadata()["images"])))]
    return np.concatenate(parts) if parts else None


def from_json(kind: type[Any], text: str) -> Any:
    """A dataclass of plain values from what `as_line` wrote."""
    return kind(**json.loads(text))


def as_line(value: Any) -> str:
    """A dataclass of plain values as one line of JSON."""
    return json.dumps(dataclasses.asdict(value))


def answerer(first_line: str) -> Callable[[str], str]:
    """What a worker process calls for each task (`thresher.workers.serve`); the first line holds `WorkerSettings`."""
    import torch

    torch.set_num_threads(1)  # as many workers as processors; in a process of its own it disturbs nobody
    return functools.partial(answer, Worker(from_json(WorkerSettings, first_line)))


def answer(worker: Worker, line: str) -> str:
    """The report on a task as a line of JSON, or what went wrong. A full disk is not blamed on the images.

    Raises:
        MemoryError: ends the process, as the system would have done.
    """
    try:
        return as_line(worker.done(from_json(Task, line)))
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            return json.dumps({"failed": {"trace": traceback.format_exc()}})
        failed = {"errno": error.errno, "reason": error.strerror, "file": str(error.filename or "")}
    except MemoryError:
        raise
    except Exception:
        failed = {"trace": traceback.format_exc()}
    return json.dumps({"failed": failed})


def report_of(line: str) -> Report:
    """The report that an answer holds.

    Raises:
        OSError: the worker could not write.
        RuntimeError: a bug, with the worker's trace.
    """
    content = json.loads(line)
    if "failed" not in content:
        return Report(**content)
    failed = content["failed"]
    if "trace" in failed:
        raise RuntimeError(f"a worker failed:\n{failed['trace']}")
    raise OSError(failed["errno"], failed["reason"], failed["file"])
