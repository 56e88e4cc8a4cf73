"""How long the trainings of a comparison will take: by those that have ended, else by a few steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from thresher.comparison.settings import NONE, Cell


@dataclass
class Pace:
    """Seconds of a training, without and with weak images: steps with these do more.

    `timed` is what a few steps let expect, and gives way to what finished trainings took.
    """

    timed: dict[bool, float] = field(default_factory=dict)
    finished: dict[bool, list[float]] = field(default_factory=dict)

    def add(self, cell: Cell, seconds: float) -> None:
        """Learn from a training that has ended."""
        self.finished.setdefault(is_weak(cell), []).append(seconds)

    def unknown(self, cells: Iterable[Cell]) -> dict[bool, Cell]:
        """Of each kind of training that nobody knows the time of, one."""
        return {is_weak(cell): cell for cell in cells if self.seconds(cell) is None}

    def seconds(self, cell: Cell) -> float | None:
        """What this training will take; None if nothing is known of its kind."""
        known = sorted(self.finished.get(is_weak(cell), []))
        return known[len(known) // 2] if known else self.timed.get(is_weak(cell))

    def left(self, cells: Iterable[Cell], workers: int) -> float:
        """Seconds until all of these are done, so many at once; rough."""
        each = [self.seconds(cell) or 0.0 for cell in cells]
        return max([sum(each) / workers, *each])


def is_weak(cell: Cell) -> bool:
    """Whether the training sees weak images."""
    return cell.method != NONE


def in_words(seconds: float) -> str:
    """A rough time as people say it.

    >>> in_words(40), in_words(400), in_words(40_000)
    ('1 minute', '7 minutes', '11.1 hours')
    """
    minutes = max(1, round(seconds / 60))
    if minutes >= 120:
        return f"{seconds / 3600:.1f} hours"
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
