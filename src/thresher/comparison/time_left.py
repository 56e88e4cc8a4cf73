"""How long the trainings of a comparison will take: from those that have finished, else from a few steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_high

from thresher.comparison.settings import NONE, Trial

#: Mode, and whether there are weak images.
Kind = tuple[str, bool]


@dataclass
class TimeEstimate:
    """Seconds that a training takes, by its kind (`kind_of`).

    `timed` is an estimate from a few steps; the median of finished trainings replaces it.
    """

    timed: dict[Kind, float] = field(default_factory=dict)
    finished: dict[Kind, list[float]] = field(default_factory=dict)
    label_set: float = 0.0
    """Seconds until a label set is made."""
    made: set[str] = field(default_factory=set)
    """The label sets that are there."""

    def add(self, trial: Trial, seconds: float) -> None:
        """Add a training that has finished."""
        self.finished.setdefault(kind_of(trial), []).append(seconds)

    def unknown(self, trials: Iterable[Trial]) -> dict[Kind, Trial]:
        """One trial of each kind that there is no estimate for."""
        return {kind_of(trial): trial for trial in trials if self.seconds(trial) is None}

    def seconds(self, trial: Trial) -> float | None:
        """How long this training will take, in seconds; None if there is no estimate."""
        kind = kind_of(trial)
        return median_high(self.finished[kind]) if kind in self.finished else self.timed.get(kind)

    def left(self, trials: Iterable[Trial], workers: int) -> float:
        """Seconds until all of these are done, so many at once, with the labels that they need. A rough estimate."""
        todo = list(trials)
        each = [self.seconds(trial) or 0.0 for trial in todo]
        label_sets = {trial.labels for trial in todo if trial.labels} - self.made
        return max([sum(each) / workers, *each]) + len(label_sets) * self.label_set


def kind_of(trial: Trial) -> Kind:
    """What decides how long a training takes: its mode, and whether it learns from weak images."""
    return trial.mode, trial.method != NONE


def in_words(seconds: float) -> str:
    """A rough time as people say it.

    >>> in_words(40), in_words(400), in_words(40_000)
    ('1 minute', '7 minutes', '11.1 hours')
    """
    minutes = max(1, round(seconds / 60))
    if minutes >= 120:
        return f"{seconds / 3600:.1f} hours"
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
