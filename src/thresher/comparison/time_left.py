"""How long the trainings of a comparison will take: from those that have finished, else from a few steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_high

from thresher.comparison.settings import NONE, Trial


@dataclass
class TimeEstimate:
    """Seconds that a training takes, for those with (True) and those without (False) weakly labelled images.

    `timed` is an estimate from a few steps; the median of finished trainings replaces it.
    """

    timed: dict[bool, float] = field(default_factory=dict)
    finished: dict[bool, list[float]] = field(default_factory=dict)

    def add(self, trial: Trial, seconds: float) -> None:
        """Add a training that has finished."""
        self.finished.setdefault(has_weak_images(trial), []).append(seconds)

    def unknown(self, trials: Iterable[Trial]) -> dict[bool, Trial]:
        """One trial of each kind that there is no estimate for."""
        return {has_weak_images(trial): trial for trial in trials if self.seconds(trial) is None}

    def seconds(self, trial: Trial) -> float | None:
        """How long this training will take, in seconds; None if there is no estimate."""
        kind = has_weak_images(trial)
        return median_high(self.finished[kind]) if kind in self.finished else self.timed.get(kind)

    def left(self, trials: Iterable[Trial], workers: int) -> float:
        """Seconds until all of these are done, so many at once. A rough estimate."""
        each = [self.seconds(trial) or 0.0 for trial in trials]
        return max([sum(each) / workers, *each])


def has_weak_images(trial: Trial) -> bool:
    """Whether the training learns from weakly labelled images; its steps then do more."""
    return trial.method != NONE


def in_words(seconds: float) -> str:
    """A rough time as people say it.

    >>> in_words(40), in_words(400), in_words(40_000)
    ('1 minute', '7 minutes', '11.1 hours')
    """
    minutes = max(1, round(seconds / 60))
    if minutes >= 120:
        return f"{seconds / 3600:.1f} hours"
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
