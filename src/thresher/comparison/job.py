"""One job of a comparison: a training and its test, or a few steps of a training to see how long they take.

`thresher.workers` calls `answerer` in a process of its own or in an actor on a cluster. A job is a line of JSON, and so
is its outcome; everything else goes through the run's folder.
"""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from thresher.errors import ThresherError
from thresher.run.folder import Run
from thresher.run.perform import as_json
from thresher.settings import restored
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import times_of
from thresher.training.train import train, train_watched


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
    """Of kind time: what `times_of` gives."""


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


def _timed(job: Job) -> Outcome:
    settings = restored(TrainSettings, job.training)
    return Outcome(settings.name, times=times_of(Run(job.run), settings, train_watched))


WORK = {"train": _trained, "time": _timed}
