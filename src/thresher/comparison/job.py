"""One job of a comparison: a training and its test, or a few steps of a training to see how long they take.

`thresher.workers` calls `answerer` in a process of its own or in an actor on a cluster. A job is a line of JSON, and so
is its outcome; everything else goes through the run's folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import time
import traceback
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher import tables
from thresher.errors import ThresherError
from thresher.run.folder import Run
from thresher.run.perform import as_json
from thresher.training.settings import TrainSettings
from thresher.training.train import train

#: Steps taken for their time, after a first one that is not counted, and images validated.
_STEPS, _JUDGES = 3, 2
#: Weak images among which the steps draw theirs.
_WEAK = 64


@dataclass(frozen=True)
class Job:
    """What is to be trained, where, and on what the network is measured besides."""

    run: str
    """The run's folder, the same on every machine."""
    training: dict[str, Any]
    """`TrainSettings` as plain values."""
    test: str = ""
    """FORMAT:ROOT[#SPLIT] of images with masks; none if empty."""
    kind: Literal["train", "time"] = "train"


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    training: str
    failure: str = ""
    """Why it failed, in words; empty if it did not."""
    trace: str = ""
    """Where, if that was a bug."""
    miou: float | None = None
    """On the validation images."""
    seconds: float = 0.0
    pace: dict[str, float] = dataclasses.field(default_factory=dict)
    """Of kind time: seconds of a step, of a validated image, and of all that comes once."""


def as_job(run: Run, settings: TrainSettings, test: str = "", kind: Literal["train", "time"] = "train") -> Job:
    """The job that trains with these settings."""
    return Job(str(run.folder.absolute()), as_json(settings), test, kind)


def settings_of(job: Job) -> TrainSettings:
    """The settings that `as_job` was given."""
    kinds = typing.get_type_hints(TrainSettings)
    values: dict[str, Any] = {}
    for name, value in job.training.items():
        is_path = isinstance(value, str) and Path in typing.get_args(kinds[name])
        values[name] = Path(value) if is_path else tuple(value) if isinstance(value, list) else value
    return TrainSettings(**values)


def answerer(first_line: str) -> Callable[[str], str]:
    """What a worker process calls for each job (`thresher.workers.serve`); there is nothing in the first line."""
    return answer


def answer(line: str) -> str:
    """The outcome of a job as a line of JSON; what goes wrong in a job is its outcome, and costs only this job."""
    job = Job(**json.loads(line))
    name = job.training["name"]
    started = time.monotonic()
    try:
        outcome = WORK[job.kind](job)
    except (ThresherError, OSError) as error:
        outcome = Outcome(name, str(error))
    except Exception as error:  # a bug, or a library's own words for a device out of memory
        outcome = Outcome(name, f"{type(error).__name__}: {error}", traceback.format_exc())
    from thresher.segmentation.devices import release_memory

    release_memory()
    return json.dumps(dataclasses.asdict(dataclasses.replace(outcome, seconds=time.monotonic() - started)))


def _trained(job: Job) -> Outcome:
    run, settings = Run(job.run), settings_of(job)
    result = train(run, settings)
    if job.test:
        from thresher.training.evaluate import EvaluateSettings, evaluate

        evaluate(run, EvaluateSettings(training=settings.training_name, images=job.test, name="test"))
    return Outcome(settings.training_name, miou=result.summary["miou"])


class _Enough(Exception):
    """Raised into a training whose time is known."""


def _timed(job: Job) -> Outcome:
    """Take a few steps of the very training, on the very images, in a folder that is thrown away."""
    run, settings = Run(job.run), settings_of(job)
    limit = (_STEPS + 1) * settings.strong_batch
    few = dataclasses.replace(settings, epochs=1, strong_limit=min(limit, settings.strong_limit or limit), name="timed")
    loops: dict[str, list[float]] = {"training": [], "validating": []}

    def track(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        seconds = loops.get(what.split(",", maxsplit=1)[0].split(maxsplit=1)[0], [])
        last = time.monotonic()
        for item in items:
            yield item
            seconds.append(time.monotonic() - last)
            last = time.monotonic()
            if len(loops["validating"]) == _JUDGES:
                raise _Enough

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
        other = Run(folder)
        for path in (run.images, run.boxes, run.masks, run.taxonomy, run.manifest):
            (other.folder / path.name).symlink_to(path.absolute())
        if settings.selection != "none":
            few = dataclasses.replace(few, selection="some")
            tables.write(_some_weak(run), other.selection("some"))
        with contextlib.suppress(_Enough):
            train(other, few, track=track)
    overall = time.monotonic() - started
    pace = {
        "step": _mean(loops["training"][1:] or loops["training"]),
        "image": _mean(loops["validating"]),
        "once": overall - sum(loops["training"]) - sum(loops["validating"]),
    }
    return Outcome(settings.name, pace=pace)


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds) if seconds else 0.0


def _some_weak(run: Run) -> pl.DataFrame:
    """A selection of images of the pool with understood boxes, as a stand-in for one that need not exist yet."""
    images = tables.scan(run.images, tables.INDEXED_IMAGES).filter(pl.col("role") == "pool").select("image_id")
    boxed = tables.scan(run.boxes, tables.BOXES).filter(pl.col("class").is_not_null()).select("image_id").unique()
    ids = images.join(boxed, on="image_id", how="semi").sort("image_id").collect()["image_id"]
    some = ids.gather_every(max(1, len(ids) // _WEAK)).head(_WEAK)
    rows = [{"image_id": name, "rank": rank, "score": 0.0} for rank, name in enumerate(some, 1)]
    return tables.from_rows(rows, tables.SELECTION)


WORK = {"train": _trained, "time": _timed}
