"""What a comparison trains: its settings, and the grid of trainings that they come to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args, get_type_hints

from thresher.errors import SettingsError
from thresher.selection.written import Budgets, Names
from thresher.settings import converted, default, did_you_mean
from thresher.stages.select import SelectSettings
from thresher.training.settings import TrainSettings

#: The anchors: no weak image, and every one of the pool.
NONE, ALL = "none", "all"
#: The mode of a training without weak images; one such training per seed is the anchor of every mode.
STRONG = "strong"
#: Of a training's settings, what the grid says.
GRID = ("selection", "mode", "seed", "name")


@converted
@dataclass(frozen=True)
class CompareSettings:
    """Which selections are compared, and how often each."""

    methods: Names = default(("layout_and_diversity", "random"))
    """Methods of `select`, with commas between them."""
    budgets: Budgets = default(("10%",))
    """How many images each chooses: numbers (500) or shares (3%), with commas between them."""
    modes: Names = default(("hierarchical",))
    """Modes of `train` that use boxes, with commas between them."""
    seeds: int = 3
    """How often each is trained, with seeds 0, 1, …; an interval needs two, and is of use from about five."""
    baselines: Names = default((NONE, ALL))
    """Anchors besides: none (no weak image), all (the whole pool)."""
    test: str = ""
    """FORMAT:ROOT[#SPLIT] of images with masks on which each network is measured besides, once it is trained."""
    name: str = "comparison"
    """What to call the comparison; stands at the head of its trainings' names."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        modes = tuple(mode for mode in get_args(get_type_hints(TrainSettings)["mode"]) if mode != STRONG)
        known = {"modes": modes, "baselines": (NONE, ALL)}
        for name, options in known.items():
            for value in getattr(self, name):
                if value not in options:
                    raise SettingsError(f"{name}: '{value}' is unknown.{did_you_mean(value, options)}")
        if not self.modes or not (self.baselines or (self.methods and self.budgets)):
            raise SettingsError("compare: nothing to train. Give modes, and methods with budgets or baselines.")
        if self.seeds < 1:
            raise SettingsError(f"seeds = {self.seeds}: expected 1 or more.")
        if not re.fullmatch(r"[\w][\w+-]*", self.name):
            raise SettingsError(f"name '{self.name}': expected letters, digits, '-', '+' or '_'.")

    def cells(self) -> list[Cell]:
        """Every training of it, in the order in which they start."""
        return grid(self.name, self.methods, self.budgets, self.modes, self.seeds, self.baselines, _selection_name)


def _selection_name(method: str, budget: str, seed: int) -> str:
    return SelectSettings(method, budget, seed).selection_name


def refuse_grid_of(training: TrainSettings) -> None:
    """See to it that what all trainings have in common leaves open what the grid sets.

    Raises:
        SettingsError: names the setting.
    """
    plain = TrainSettings()
    for name in GRID:
        if getattr(training, name) != getattr(plain, name):
            raise SettingsError(f"{name} = {getattr(training, name)!r}: a comparison sets it for each training. "
                                "Leave it out; methods, modes and seeds say what is trained.")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One training of a comparison."""

    method: str
    """How the weak images were chosen; none and all are the anchors."""
    budget: str | None
    """How many were asked for; None for an anchor."""
    mode: str
    seed: int
    selection: str
    """The selection that it learns from, none or all."""
    training: str
    """What it is called in the run: COMPARISON.SELECTION-MODE-seedSEED."""


def grid(
    name: str,
    methods: Sequence[str],
    budgets: Sequence[str],
    modes: Sequence[str],
    seeds: int,
    baselines: Sequence[str],
    selection_name: Callable[[str, str, int], str],
) -> list[Cell]:
    """Every training of a comparison, seed by seed: one that is broken off has whole seeds to show.

    Of a seed the anchors come first. The one without weak images is the same in every mode, and is trained once.

    Args:
        name: The comparison's, at the head of each training's name.
        seeds: How many; they are 0, 1, …
        selection_name: What the selection of a method, a budget and a seed is called.
    """
    cells = []
    for seed in range(seeds):
        wanted: list[tuple[str, str | None, str, str]] = []
        if NONE in baselines:
            wanted.append((NONE, None, STRONG, NONE))
        if ALL in baselines:
            wanted += [(ALL, None, mode, ALL) for mode in modes]
        wanted += [
            (method, budget, mode, selection_name(method, budget, seed))
            for mode in modes
            for budget in budgets
            for method in methods
        ]
        cells += [
            Cell(method, budget, mode, seed, selection, f"{name}.{selection}-{mode}-seed{seed}")
            for method, budget, mode, selection in wanted
        ]
    return cells
