"""What a comparison trains: its settings, and the grid of trainings that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args, get_type_hints

from thresher.errors import SettingsError
from thresher.run.folder import check_name
from thresher.selection.written import Budgets, Names
from thresher.settings import converted, default, did_you_mean
from thresher.stages.select import SelectSettings
from thresher.training.settings import TrainSettings

#: The baselines: no weakly labelled image, and every one of the pool.
NONE, ALL = "none", "all"
#: The mode of a training without weakly labelled images. There is one per seed; every mode is compared with it.
STRONG = "strong"
#: The settings of a training that the grid sets.
GRID = ("selection", "mode", "seed", "name")


@converted
@dataclass(frozen=True)
class CompareSettings:
    """Which selections are compared, and how often each."""

    methods: Names = default(("layout_and_diversity", "random"))
    """Methods of `select`, separated by commas."""
    budgets: Budgets = default(("10%",))
    """How many images each method chooses: numbers (500) or shares of the pool (3%), separated by commas."""
    modes: Names = default(("hierarchical",))
    """Modes of `train` that use boxes, separated by commas."""
    seeds: int = 3
    """How many trainings of each kind, with seeds 0, 1, …; an interval needs two, and is useful from about five."""
    baselines: Names = default((NONE, ALL))
    """Trainings to compare with: none (no weakly labelled image), all (the whole pool)."""
    test: str = ""
    """Test set as FORMAT:ROOT[#SPLIT]: images with masks on which each network is evaluated once it is trained.
    Default: none; the networks are compared on the validation set."""
    name: str = "comparison"
    """Name of the comparison; the names of its trainings begin with it."""

    def __post_init__(self) -> None:
        """Split texts at commas, and refuse values that cannot work.

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
        check_name(self.name)
        if "." in self.name:
            raise SettingsError(
                f"name '{self.name}': expected no '.'; in the names of its trainings, it ends the comparison's name."
            )

    def trials(self) -> list[Trial]:
        """Every training of the comparison, in the order in which they start.

        They go seed by seed, so that a comparison that is interrupted has whole seeds to show. Within a seed the
        baselines come first. The one without weakly labelled images is the same in every mode, and is trained once.
        """
        trials = []
        for seed in range(self.seeds):
            if NONE in self.baselines:
                trials.append(self._trial(NONE, None, STRONG, seed))
            if ALL in self.baselines:
                trials += [self._trial(ALL, None, mode, seed) for mode in self.modes]
            for mode in self.modes:
                trials += [
                    self._trial(method, budget, mode, seed) for budget in self.budgets for method in self.methods
                ]
        return trials

    def _trial(self, method: str, budget: str | None, mode: str, seed: int) -> Trial:
        selection = method if budget is None else SelectSettings(method, budget, seed).selection_name
        return Trial(method, budget, mode, seed, selection, f"{self.name}.{selection}-{mode}-seed{seed}")


@dataclass(frozen=True)
class Trial:
    """One training of a comparison."""

    method: str
    """How the weakly labelled images were chosen; none and all are the baselines."""
    budget: str | None
    """How many were asked for; None for a baseline."""
    mode: str
    seed: int
    selection: str
    """Name of the selection that it learns from, or none, or all."""
    training: str
    """Name of the training: COMPARISON.SELECTION-MODE-seedSEED."""


def refuse_grid_of(training: TrainSettings) -> None:
    """Refuse settings common to all trainings that set what the grid sets.

    Raises:
        SettingsError: names the setting.
    """
    plain = TrainSettings()
    for name in GRID:
        if getattr(training, name) != getattr(plain, name):
            raise SettingsError(
                f"{name} = {getattr(training, name)!r}: a comparison sets it for each training. Leave it out; "
                "methods, modes and seeds say what is trained."
            )
