"""Numbers between which something in a selection must lie, and the greedy way to meet them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True)
class Bound:
    """A sum over the chosen rows that must lie between two numbers."""

    text: str
    """The wish, as written."""
    rows: Int64[np.ndarray, " n"]
    """Rows that add something, in the order of the ranking."""
    amounts: Float64[np.ndarray, " n"]
    """What each adds: 1, or its number of objects."""
    least: int | float
    most: int | float
    soft: bool = False
    """Met as far as it goes."""
    wished: int | float | None = None
    """What was wished for, where that is more than there is and therefore more than `least`."""

    @property
    def asked(self) -> int | float:
        """The least that was wished for."""
        return self.least if self.wished is None else self.wished

    def total(self, taken: Bool[np.ndarray, " rows"]) -> float:
        """The sum over the rows taken."""
        return float(self.amounts[taken[self.rows]].sum())

    def off_by(self, taken: Bool[np.ndarray, " rows"]) -> float:
        """How far the sum is from where it must lie; 0 if it is there."""
        total = self.total(taken)
        return max(0.0, self.least - total, total - self.most)

    @property
    def has_least(self) -> bool:
        """Whether it asks for something."""
        return self.least > 0 or bool((self.amounts < 0).any())


def greedy(
    rows: int, count: int, fixed: Bool[np.ndarray, " rows"], bounds: Sequence[Bound]
) -> Bool[np.ndarray, " rows"]:
    """What is fixed; then for each lower bound, that with the fewest rows first, the best; then the best of the rest.

    No row is taken that goes beyond an upper bound. May fall short of bounds and of `count`.
    """
    taken, left = fixed.copy(), count - int(fixed.sum())
    caps = _Caps(rows, [each for each in bounds if each.most < math.inf], taken)
    lower = [each for each in bounds if each.least > 0]
    for bound in sorted(lower, key=lambda each: (len(each.rows), each.text)):
        total = bound.total(taken)
        for row, amount in zip(bound.rows.tolist(), bound.amounts.tolist(), strict=True):
            if total >= bound.least or left <= 0:
                break
            if amount > 0 and not taken[row] and caps.take(row):
                taken[row] = True
                total, left = total + amount, left - 1
    if not caps.bounds:
        taken[np.flatnonzero(~taken)[:left]] = True
        return taken
    for row in np.flatnonzero(~taken).tolist():
        if left <= 0:
            break
        if caps.take(row):
            taken[row] = True
            left -= 1
    return taken


def improved(
    taken: Bool[np.ndarray, " rows"], fixed: Bool[np.ndarray, " rows"], bounds: Sequence[Bound]
) -> Bool[np.ndarray, " rows"]:
    """The same with better ranks: the last that no lower bound needs are given up for the first that are not taken."""
    if not any(each.has_least for each in bounds) or any((each.amounts < 0).any() for each in bounds):
        return taken
    taken = taken.copy()
    lower = _Caps(len(taken), [each for each in bounds if each.least > 0], taken, lower=True)
    caps = _Caps(len(taken), [each for each in bounds if each.most < math.inf], taken)
    waiting = iter(np.flatnonzero(~taken).tolist())
    first = next(waiting, len(taken))
    for last in np.flatnonzero(taken & ~fixed)[::-1].tolist():
        if first > last or not lower.take(last):
            if first > last:
                break
            continue
        caps.give(last)
        while first < last and not caps.take(first):
            first = next(waiting, len(taken))
        if first >= last:
            break
        taken[last], taken[first] = False, True
        lower.give(first)
        first = next(waiting, len(taken))
    return taken


class _Caps:
    """Bounds, and how much of each is left to be taken: up to the most, or above the least."""

    def __init__(
        self, rows: int, bounds: Sequence[Bound], taken: Bool[np.ndarray, " rows"], lower: bool = False
    ) -> None:
        self.bounds = bounds
        self._left = [each.total(taken) - each.least if lower else each.most - each.total(taken) for each in bounds]
        every = [np.empty(0, np.int64), *(each.rows for each in bounds)]
        order = np.argsort(np.concatenate(every), kind="stable")
        numbers = np.repeat(np.arange(len(bounds)), [len(each.rows) for each in bounds])
        amounts = np.concatenate([np.empty(0), *(each.amounts for each in bounds)])
        self._starts = np.searchsorted(np.concatenate(every)[order], np.arange(rows + 1)).tolist()
        self._numbers, self._amounts = numbers[order].tolist(), amounts[order].tolist()

    def take(self, row: int) -> bool:
        """Count a row in, unless one of its bounds has no room for it."""
        places = range(self._starts[row], self._starts[row + 1])
        if any(self._amounts[at] > self._left[self._numbers[at]] + 1e-9 for at in places):
            return False
        for at in places:
            self._left[self._numbers[at]] -= self._amounts[at]
        return True

    def give(self, row: int) -> None:
        """Count a row out again."""
        for at in range(self._starts[row], self._starts[row + 1]):
            self._left[self._numbers[at]] += self._amounts[at]
