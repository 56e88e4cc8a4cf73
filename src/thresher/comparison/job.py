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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from thresher import tables
from thresher.errors import ThresherError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import as_json
from thresher.run.stages import stage_named
from thresher.settings import restored
from thresher.training.settings import TrainSettings
from thresher.training.train import train

#: Steps that are timed, after a first one that is not counted, and batches of validation images.
_STEPS, _VALIDATED = 3, 2
#: How many weakly labelled images there are to draw from in those steps.
_WEAK = 64


@dataclass(frozen=True)
class Job:
    """A training to be done or timed, and the test set on which its network is evaluated."""

    run: str
    """The run's folder, the same on every machine."""
    training: dict[str, Any]
    """`TrainSettings` as plain values."""
    test: str = ""
    """FORMAT:ROOT[#SPLIT] of images with masks; empty if there is no test set."""
    kind: Literal["train", "time"] = "train"


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    training: str
    failure: str = ""
    """Why the job failed; empty if it did not."""
    trace: str = ""
    """The stack trace, if a bug made it fail."""
    miou: float | None = None
    """On the validation set, 0..1."""
    seconds: float = 0.0
    times: dict[str, float] = dataclasses.field(default_factory=dict)
    """Of kind time: seconds of a `step`, of a validated `image`, of a `checkpoint` besides, and of all that comes
    `once`."""


def as_job(run: Run, settings: TrainSettings, test: str = "", kind: Literal["train", "time"] = "train") -> Job:
    """The job that trains with these settings."""
    return Job(str(run.folder.absolute()), as_json(settings), test, kind)


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
    except Exception as error:  # a bug, or a library's error for a device out of memory
        outcome = Outcome(name, f"{type(error).__name__}: {error}", traceback.format_exc())
    from thresher.segmentation.devices import release_memory

    release_memory()
    return json.dumps(dataclasses.asdict(dataclasses.replace(outcome, seconds=time.monotonic() - started)))


def _trained(job: Job) -> Outcome:
    run, settings = Run(job.run), restored(TrainSettings, job.training)
    result = train(run, settings)
    if job.test:
        from thresher.training.evaluate import EvaluateSettings, evaluate

        evaluate(run, EvaluateSettings(training=settings.training_name, images=job.test, name="test"))
    return Outcome(settings.training_name, miou=result.summary["miou"])


class _EnoughError(Exception):
    """Raised into a training once it is known how long its parts take."""


@dataclass
class _Stopwatch:
    """Seconds that a training's loops take for each item; ends the training when enough images are validated."""

    training: list[float] = dataclasses.field(default_factory=list)
    validating: list[float] = dataclasses.field(default_factory=list)
    last_step: float = 0.0
    """When the last step began."""
    last_step_and_checkpoint: float = 0.0
    """From then until the validation began: the last step, and the network made ready for validation."""

    def track(self, items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        """The loop, timed."""
        seconds = {"training": self.training, "validating": self.validating}[what]
        last = time.monotonic()
        if what == "validating":
            self.last_step_and_checkpoint = last - self.last_step
        for item in items:
            if what == "training":
                self.last_step = time.monotonic()
            yield item
            seconds.append(time.monotonic() - last)
            last = time.monotonic()
            if len(self.validating) == _VALIDATED:
                raise _EnoughError

    def times(self, overall: float, images: int) -> dict[str, float]:
        """The `times` of an outcome; `images` are validated in one batch."""
        step = _mean(self.training[1:] or self.training)
        return {
            "step": step,
            "image": _mean(self.validating) / images,
            "checkpoint": max(0.0, self.last_step_and_checkpoint - step),
            "once": overall - sum(self.training) - sum(self.validating) - self.last_step_and_checkpoint,
        }


def _timed(job: Job) -> Outcome:
    """Take a few steps of this very training, on its very images, in a folder that is thrown away."""
    from thresher.segmentation.inference import batch_size

    run, settings = Run(job.run), restored(TrainSettings, job.training)
    limit = (_STEPS + 1) * settings.strong_batch
    few = dataclasses.replace(settings, epochs=1, strong_limit=min(limit, settings.strong_limit or limit), name="timed")
    watch = _Stopwatch()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
        other = Run(folder)
        for name in (*stage_named("index").writes, run.problems.name, run.manifest.name):
            (other.folder / name).symlink_to((run.folder / name).absolute())
        if settings.selection != "none":
            few = dataclasses.replace(few, selection="some")
            tables.write(_some_weak(run), other.selection_path("some"))
        with contextlib.suppress(_EnoughError):
            train(other, few, track=watch.track)
    return Outcome(settings.name, times=watch.times(time.monotonic() - started, batch_size()))


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds) if seconds else 0.0


def _some_weak(run: Run) -> pl.DataFrame:
    """Some images of the pool with boxes of known classes, in place of a selection that may not be made yet."""
    opened = OpenedRun(run)
    images = opened.pool.lazy().select("image_id")
    boxed = opened.lazy_boxes().filter(pl.col("class").is_not_null()).select("image_id").unique()
    ids = images.join(boxed, on="image_id", how="semi").sort("image_id").collect()["image_id"]
    some = ids.gather_every(max(1, len(ids) // _WEAK)).head(_WEAK)
    rows = [{"image_id": name, "rank": rank, "score": 0.0} for rank, name in enumerate(some, 1)]
    return tables.from_rows(rows, tables.SELECTION)


WORK = {"train": _trained, "time": _timed}
