"""The choice that meets every wish with the best ranks: greedily, or as an integer program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from thresher.errors import SettingsError
from thresher.selection.bounds import Bound, greedy, improved

#: Most variables of the integer program; beyond, images alike in all that is wished count in blocks.
MOST_VARIABLES = 20_000
#: Seconds for one solution; when they are over the best so far is taken.
TIME_LIMIT_S = 30.0
#: Most wishes that an error names.
_MOST_MISSED = 6
#: Above this many kinds of images a choice that the greedy way has found is good enough.
MOST_KINDS = 4_000
#: How far from the best the mean rank may be, relatively.
GAP = 1e-4


@dataclass(frozen=True)
class Choice:
    """The rows that are chosen, and how that was found."""

    taken: Bool[np.ndarray, " rows"]
    exact: bool
    """Whether no other choice that meets the wishes has a better mean rank (within `GAP`, and the blocks)."""


def best_choice(
    rows: int, count: int, fixed: Bool[np.ndarray, " rows"], bounds: Sequence[Bound], patient: bool = True
) -> Choice:
    """The rows with the least sum of ranks that meet the bounds; soft ones as far as they go. (The method is ours.)

    Greedily where that is the best there is: no bounds, or only caps on groups of images, or one lower bound. Else by
    an integer program, in which images alike in all bounds are one kind, of which the best ranked are taken first.

    Args:
        rows: How many can be chosen, best first.
        count: How many are.
        fixed: Rows that are chosen in any case.
        patient: Whether to look for better than what the greedy way finds.

    Raises:
        SettingsError: the bounds cannot all be met; says which is short, and by how much.

    >>> none = np.zeros(4, bool)
    >>> bus = Bound("at_least bus=1", np.array([3]), np.array([1.0]), 1, np.inf)
    >>> best_choice(4, 2, none, [bus]).taken.tolist()
    [True, False, False, True]
    """
    if fixed.sum() > count:
        raise SettingsError(f"{int(fixed.sum())} images are pinned or kept; the budget is {count}. Raise the budget.")
    bounds = [each for each in bounds if each.least > -math.inf or each.most < math.inf]
    binding = [each for each in bounds if each.has_least or each.amounts.sum() > each.most]
    taken = improved(greedy(rows, count, fixed, binding), fixed, binding)
    met = taken.sum() == count and not any(each.off_by(taken) > 1e-6 for each in binding)
    if met and (not patient or _greedy_is_best(rows, binding)):
        return Choice(taken, _greedy_is_best(rows, binding))
    return _solved(rows, count, fixed, binding, taken if met else None)


def _greedy_is_best(rows: int, bounds: Sequence[Bound]) -> bool:
    lower = [each for each in bounds if each.has_least]
    caps = [each for each in bounds if each.most < math.inf]
    if any((each.amounts != 1).any() for each in bounds):
        return False
    if not caps:
        return len(lower) <= 1
    covered = np.zeros(rows, np.int32)
    for each in caps:
        covered[each.rows] += 1
    return not lower and bool(covered.max() <= 1)


@dataclass(frozen=True)
class _Kinds:
    """Rows that are alike in all bounds, best first; block b is a run of rows of one kind."""

    rows: list[Int64[np.ndarray, " _n"]]
    """By kind, its rows."""
    amounts: Any
    """Sparse matrix (bounds, kinds): what a row of the kind adds."""

    @classmethod
    def of(cls, free: Int64[np.ndarray, " n"], rows: int, bounds: Sequence[Bound], most: int) -> _Kinds:
        """The kinds of these rows, of each the best `most`."""
        from scipy.sparse import csc_array

        columns = np.concatenate([np.empty(0, np.int64), *(each.rows for each in bounds)])
        numbers = np.repeat(np.arange(len(bounds)), [len(each.rows) for each in bounds])
        amounts = np.concatenate([np.empty(0), *(each.amounts for each in bounds)])
        matrix = csc_array((amounts, (numbers, columns)), shape=(len(bounds), rows))
        # Rows of one kind have the same product with any vector; two kinds have one only by chance of 2^-50.
        keys = matrix.T @ np.random.default_rng(0).random(len(bounds)) if bounds else np.zeros(rows)
        _, first, kind = np.unique(keys[free], return_index=True, return_inverse=True)
        order = np.argsort(kind, kind="stable")
        parts = np.split(free[order], np.cumsum(np.bincount(kind))[:-1])
        return cls([part[:most] for part in parts], matrix[:, free[first]])


def _solved(
    rows: int,
    count: int,
    fixed: Bool[np.ndarray, " rows"],
    bounds: Sequence[Bound],
    known: Bool[np.ndarray, " rows"] | None,
) -> Choice:
    """By an integer program; `known` is a choice that meets the bounds, to fall back on."""
    left = count - int(fixed.sum())
    kinds = _Kinds.of(np.flatnonzero(~fixed), rows, bounds, left)
    if known is not None and len(kinds.rows) > MOST_KINDS:
        return Choice(known, False)
    if len(kinds.rows) > MOST_VARIABLES:
        kinds = _fewer(kinds, greedy(rows, count, fixed, bounds), bounds, rows, fixed, left)
    if len(kinds.rows) > MOST_VARIABLES:
        raise SettingsError(
            f"the wishes divide the candidates into {len(kinds.rows):,} kinds; no choice that meets them all was "
            "found. Ask for less, or end a wish in ? to have it met as far as it goes."
        )
    ends = np.array([[b.least - b.total(fixed), b.most - b.total(fixed)] for b in bounds]).reshape(-1, 2)
    taken_of: Int64[np.ndarray, " kinds"] | None = None
    exact, sizes = True, [len(each) for each in kinds.rows]
    for _ in range(2):  # coarsely, then finely around what was found
        program = _Program(kinds, _blocks(sizes, taken_of), ends, left, rows, bounds)
        found = _solution(program)
        if found.x is None:
            if known is not None:
                return Choice(known, False)
            raise _infeasible(program, found)
        taken_of = np.rint(found.x[: len(sizes)]).astype(np.int64)
        exact = found.status == 0
        if len(program.blocks) == sum(sizes):
            break
    taken = fixed.copy()
    for own, number in zip(kinds.rows, taken_of if taken_of is not None else (), strict=True):
        taken[own[:number]] = True
    return Choice(taken, exact)


def _fewer(
    kinds: _Kinds,
    found: Bool[np.ndarray, " rows"],
    bounds: Sequence[Bound],
    rows: int,
    fixed: Bool[np.ndarray, " rows"],
    left: int,
) -> _Kinds:
    """Kinds of fewer rows: those that the greedy way takes, and as many of the best for each lower bound."""
    wanted = found & ~fixed
    for each in bounds:
        if each.least > 0:
            wanted[each.rows[: 4 * math.ceil(each.least)]] = True
    wanted &= ~fixed
    kept = []
    for each in bounds:  # a cap that cannot be reached any more divides nothing
        here = wanted[each.rows]
        if each.has_least or each.amounts[here].sum() > each.most:
            kept.append(Bound(each.text, each.rows[here], each.amounts[here], each.least, each.most, each.soft))
        else:
            kept.append(Bound(each.text, each.rows[:0], each.amounts[:0], -math.inf, math.inf, each.soft))
    return _Kinds.of(np.flatnonzero(wanted), rows, kept, left)


def _blocks(sizes: Sequence[int], around: Int64[np.ndarray, " kinds"] | None) -> Int64[np.ndarray, "blocks 3"]:
    """Kind, first row and end of each block: single rows if there are few enough, else finer around what was taken."""
    total = sum(sizes)
    length = 1 if total <= MOST_VARIABLES else math.ceil(total / max(1, MOST_VARIABLES - len(sizes)))
    window = MOST_VARIABLES // (2 * max(1, len(sizes)))
    found = []
    for kind, size in enumerate(sizes):
        if around is None or length == 1:
            starts = [*range(0, size, length)]
        else:
            near = range(max(0, int(around[kind]) - window // 2), min(size, int(around[kind]) + window // 2 + 1))
            starts = sorted({0, *near} - {size})
        ends = [*starts[1:], size] if size else []
        found += [(kind, start, end) for start, end in zip(starts, ends, strict=True)]
    return np.array(found, np.int64).reshape(-1, 3)


@dataclass(frozen=True)
class _Program:
    """How many rows of each block, at the least mean rank."""

    kinds: _Kinds
    blocks: Int64[np.ndarray, "blocks 3"]
    ends: Float64[np.ndarray, "bounds 2"]
    left: int
    rows: int
    bounds: Sequence[Bound]

    def costs(self) -> Float64[np.ndarray, " blocks"]:
        """The mean rank of a block's rows, 0..1."""
        sums = [np.concatenate([[0], np.cumsum(own + 1.0)]) for own in self.kinds.rows]
        means = [(sums[kind][end] - sums[kind][start]) / (end - start) for kind, start, end in self.blocks.tolist()]
        return np.array(means) / self.rows

    def solve(self, elastic: Sequence[int], short: bool, slack_cost: bool, most_slack: float = math.inf) -> Any:
        """Solve; the variables are the kinds, the blocks, over and under of each elastic bound, what is short.

        Args:
            elastic: Numbers of the bounds that may be missed.
            short: Whether fewer may be chosen.
            slack_cost: Whether to make what is missed least, rather than the ranks.
            most_slack: Most that may be missed, weighted.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import block_array, coo_array, eye_array

        kinds, blocks, slacks = len(self.kinds.rows), len(self.blocks), 2 * len(elastic) + 1
        over_under = coo_array(
            (
                np.tile([1.0, -1.0], len(elastic)),
                (np.repeat(np.array(elastic, np.int64), 2), np.arange(2 * len(elastic))),
            ),
            shape=(len(self.bounds), slacks),
        )
        # Columns: whole rows of each kind, parts of each block, what is missed. Only the first must be integers: within
        # a kind the blocks get dearer, so that they are filled in their order.
        of_kind = coo_array((np.ones(blocks), (self.blocks[:, 0], np.arange(blocks))), shape=(kinds, blocks))
        weights = np.concatenate([self._weights(elastic), [0.1 / max(1, self.left)]])
        matrix = block_array(
            [
                [self.kinds.amounts, None, over_under],
                [eye_array(kinds), -of_kind, None],
                [np.ones((1, kinds)), None, coo_array(np.eye(1, slacks, slacks - 1))],
                [None, coo_array((1, blocks)), coo_array(weights[None])],
            ],
            format="csr",
        )
        lower = np.concatenate([self.ends[:, 0], np.zeros(kinds), [self.left, -math.inf]])
        upper = np.concatenate([self.ends[:, 1], np.zeros(kinds), [self.left, most_slack]])
        sizes = (self.blocks[:, 2] - self.blocks[:, 1]).astype(np.float64)
        top = np.concatenate([np.full(kinds, np.inf), sizes, np.full(slacks - 1, np.inf), [np.inf if short else 0.0]])
        costs = [np.zeros(kinds), np.zeros(blocks) if slack_cost else self.costs()]
        return milp(
            np.concatenate([*costs, weights if slack_cost else np.zeros(slacks)]),
            integrality=np.concatenate([np.ones(kinds), np.zeros(blocks + slacks)]),
            bounds=Bounds(np.zeros(len(top)), top),
            constraints=LinearConstraint(matrix, lower, upper),
            options={"time_limit": TIME_LIMIT_S, "mip_rel_gap": GAP, "presolve": False},
        )

    def _weights(self, elastic: Sequence[int]) -> Float64[np.ndarray, " twice"]:
        """What missing each bound by one costs: relative to what is asked for."""
        asked = [self.bounds[n].least if self.bounds[n].least > 0 else self.bounds[n].most for n in elastic]
        return np.repeat([1 / each if 0 < each < math.inf else 1.0 for each in asked], 2)


def _solution(program: _Program) -> Any:
    """Soft bounds as well met as can be, then the least ranks."""
    soft = [number for number, each in enumerate(program.bounds) if each.soft]
    most = math.inf
    if soft:
        least = program.solve(soft, short=False, slack_cost=True)
        if least.x is not None:
            most = float(least.fun) * (1 + 1e-6) + 1e-9
    return program.solve(soft, short=False, slack_cost=False, most_slack=most)


def _infeasible(program: _Program, found: Any) -> SettingsError:
    """Which wishes are missed at least, and by how much."""
    every = list(range(len(program.bounds)))
    nearest = program.solve(every, short=True, slack_cost=True)
    if found.status == 1 or nearest.x is None:
        return SettingsError(
            f"no choice that meets all wishes was found in {TIME_LIMIT_S:.0f} s. Ask for less, or end a wish in ? to "
            "have it met as far as it goes."
        )
    slacks = nearest.x[len(program.kinds.rows) + len(program.blocks) :]
    words = []
    for number, each in enumerate(program.bounds):
        off = float(slacks[2 * number : 2 * number + 2].max())
        if off > 1e-6 and not each.soft:
            words.append(f"{each.text} is missed by {off:.0f}" if off >= 0.5 else f"{each.text} is missed by {off:.2g}")
    if slacks[-1] > 0.5:
        words.append(f"the budget is missed by {slacks[-1]:.0f} images")
    if len(words) > _MOST_MISSED:
        words = [*words[: _MOST_MISSED - 1], f"{len(words) - _MOST_MISSED + 1} more wishes are missed"]
    return SettingsError(
        f"the wishes cannot all be met: at best {', and '.join(words)}. Ask for less, change the budget, or end a wish "
        "in ? to have it met as far as it goes."
    )
