"""What a comparison trains: its settings, and the grid of trainings that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from thresher.errors import SettingsError
from thresher.labelling.settings import Route
from thresher.run.folder import Run, check_name
from thresher.selection.methods import DEFAULT_METHOD, SEEDED
from thresher.selection.written import Budgets, Names
from thresher.settings import converted, default, did_you_mean, younger
from thresher.stages.select import SelectSettings
from thresher.training.settings import TrainSettings

#: The baselines: no weak image; the images of the first method without their boxes; all of the pool; the images of the
#: first method with true masks.
NONE, UNLABELLED, ALL, TRUE = "none", "unlabelled", "all", "true"
BASELINES = (NONE, UNLABELLED, ALL, TRUE)
#: The mode of a training without weakly labelled images in the modes that use boxes as they are. There is one per seed.
STRONG = "strong"
#: The mode that learns from pixel labels made of the boxes.
LABELS = "labels"
#: What a head on frozen features can learn by: modes, and rules that make pixel labels; the one taken for auto.
PROXY_MODES, PROXY_ROUTES, PROXY_ROUTE = ("hierarchical", LABELS), ("gate", "fill"), "fill"
#: In place of a budget: the selection was made beforehand.
SAVED = "saved"
#: The settings of a training that the grid sets.
GRID = ("selection", "mode", "seed", "name", "labels", "fill_batch")


@converted
@dataclass(frozen=True)
class CompareSettings:
    """Which selections are compared, and how often each."""

    methods: Names = default((DEFAULT_METHOD, "random"))
    """Methods of `select`, separated by commas; METHOD+COVERAGE for one with coverage, such as holds_class+images."""
    budgets: Budgets = default(("10%",))
    """How many images each method chooses: numbers (500) or shares of the pool (3%), separated by commas."""
    selections: Names = default(())
    """Saved selections to compare as well, by name: with their quotas, near-duplicates and review."""
    modes: Names = default(("hierarchical",))
    """Modes of `train` that use boxes, separated by commas."""
    seeds: int = 3
    """How many trainings of each kind, with seeds 0, 1, …; an interval needs two, and is useful from about five."""
    baselines: Names = default((NONE, ALL))
    """Trainings to compare with: none (no weak images, but as many images per step), all (the whole pool); in mode
    labels also unlabelled (the first method's images without their boxes) and true (the same with true masks)."""
    label_route: Route = "auto"
    """How boxes become pixel labels (mode = labels): a route of `thresher labels` that uses boxes."""
    true_masks: str = ""
    """True masks of pool images as FORMAT:ROOT[#SPLIT], for baseline true."""
    endpoint: Names = default(())
    """Classes whose mean IoU is the endpoint, named beforehand; reported beside the mIoU."""
    margin: float = 0.01
    """A selection counts as not worse than the whole pool if its IoU is at most this much lower (0.01 = 1 point)."""
    test: str = ""
    """Test set as FORMAT:ROOT[#SPLIT]: images with masks on which each network is evaluated once it is trained.
    Default: none; the networks are compared on the validation set."""
    name: str = "comparison"
    """Name of the comparison; the names of its trainings begin with it. That of a comparison by proxy ends in -proxy,
    which is added if need be."""
    proxy: bool = younger(False)
    """Train small heads on the features of the frozen encoder, in seconds each, in place of whole networks: to sort
    many selections with many seeds, not to judge."""
    label_routes: Names = younger(())
    """Proxy: several rules by which boxes become pixel labels (gate, fill), each with trainings of its own, whose modes
    are called labels-gate and labels-fill. Default: label_route alone, and fill where that is auto."""

    def __post_init__(self) -> None:
        """Split texts at commas, and refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        modes = tuple(mode for mode in get_args(get_type_hints(TrainSettings)["mode"]) if mode != STRONG)
        known = {"modes": modes, "baselines": BASELINES}
        for name, options in known.items():
            for value in getattr(self, name):
                if value not in options:
                    raise SettingsError(f"{name}: '{value}' is unknown.{did_you_mean(value, options)}")
        if not self.modes or not (self.baselines or self._kinds()):
            raise SettingsError(
                "compare: nothing to train. Give modes, and methods with budgets, selections or baselines."
            )
        if self.seeds < 1:
            raise SettingsError(f"seeds = {self.seeds}: expected 1 or more.")
        if self.label_route in (UNLABELLED, "given"):
            raise SettingsError(
                f"label_route = {self.label_route}: expected a route that uses boxes. Baseline unlabelled has the same "
                "images without boxes, baseline true has true masks."
            )
        if not 0 <= self.margin < 1:
            raise SettingsError(f"margin = {self.margin}: expected a share of 0 or more and below 1 (0.01 = 1 point).")
        self._refuse_baselines_without_images()
        self._refuse_names()

    def _refuse_names(self) -> None:
        for selection in self.selections:
            check_name(selection)
            if selection in (*BASELINES, *SEEDED):
                raise SettingsError(f"selections: '{selection}' is also a baseline or a method that draws. Rename it.")
        self._refuse_wrong_proxy()
        check_name(self.name)
        if "." in self.name:
            raise SettingsError(
                f"name '{self.name}': expected no '.'; in the names of its trainings, it ends the comparison's name."
            )

    def _refuse_wrong_proxy(self) -> None:
        for route in self.label_routes:
            if route not in PROXY_ROUTES:
                raise SettingsError(f"label_routes: '{route}' is unknown.{did_you_mean(route, PROXY_ROUTES)}")
        if not self.proxy and self.label_routes:
            raise SettingsError("label_routes are of comparisons by proxy. Set proxy, or label_route for a single one.")
        if not self.proxy:
            return
        if wrong := [mode for mode in self.modes if mode not in PROXY_MODES]:
            raise SettingsError(f"modes = {wrong[0]}: a proxy learns in the modes {' and '.join(PROXY_MODES)}.")
        if self.label_route not in ("auto", *PROXY_ROUTES):
            raise SettingsError(f"label_route = {self.label_route}: a proxy knows {', '.join(PROXY_ROUTES)}, and auto.")
        if not self.name.endswith("-proxy"):
            object.__setattr__(self, "name", f"{self.name}-proxy")

    def _refuse_baselines_without_images(self) -> None:
        for name in (UNLABELLED, TRUE):
            if name in self.baselines and (LABELS not in self.modes or not self._kinds()):
                raise SettingsError(
                    f"baselines: '{name}' are the images of the first method, learnt from in mode labels. Give modes = "
                    "labels and a method with budgets, or leave it out."
                )
        if (TRUE in self.baselines) != bool(self.true_masks):
            raise SettingsError(
                "baselines = true and true_masks belong together: true_masks = FORMAT:ROOT says where the true masks "
                "of pool images lie."
            )

    def _kinds(self) -> list[tuple[str, str]]:
        """Method and budget of each kind of selection."""
        return [(method, budget) for budget in self.budgets for method in self.methods] + [
            (selection, SAVED) for selection in self.selections
        ]

    def trials(self) -> list[Trial]:
        """Every training of the comparison, in the order in which they start.

        They go seed by seed, so that a comparison that is interrupted has whole seeds to show. Within a seed the
        baselines come first. The one without weak images has the same loss in all modes that use boxes as they are, and
        is trained once for these; in mode labels it is also the teacher that labels the pool.
        """
        trials = []
        for seed in range(self.seeds):
            if NONE in self.baselines or LABELS in self.modes:
                trials += [self._trial(NONE, None, mode, seed) for mode in self._modes_of_none()]
            if ALL in self.baselines:
                trials += [self._trial(ALL, None, mode, seed) for mode in self.arms]
            for mode in self.arms:
                trials += [self._trial(*kind, mode, seed) for kind in self._kinds()]
            for name in (UNLABELLED, TRUE):
                if name in self.baselines:
                    trials += [self._twin(name, *kind, seed) for kind in self._firsts()]
        return trials

    @property
    def arms(self) -> tuple[str, ...]:
        """The modes of trainings with boxes: in place of labels one for each of `label_routes`, if there are any."""
        by_rule = tuple(f"{LABELS}-{route}" for route in self.label_routes) or (LABELS,)
        return tuple(arm for mode in self.modes for arm in (by_rule if mode == LABELS else (mode,)))

    def proxy_route(self, trial: Trial) -> str:
        """How the weak images of a training by proxy are labelled; empty if it learns from boxes as they are."""
        if trial.method in (UNLABELLED, TRUE):
            return {UNLABELLED: UNLABELLED, TRUE: "given"}[trial.method]
        if trial.mode == LABELS:
            return PROXY_ROUTE if self.label_route == "auto" else self.label_route
        return trial.mode.removeprefix(f"{LABELS}-") if trial.mode.startswith(LABELS) else ""

    def kept(self, run: Run, training: str) -> Path:
        """The folder of one of its trainings. Those by proxy are no networks, and lie within the comparison."""
        return run.comparison(self.name) / "proxy" / training if self.proxy else run.training(training)

    def _modes_of_none(self) -> list[str]:
        modes = [STRONG] if NONE in self.baselines and set(self.modes) - {LABELS} else []
        return modes + ([LABELS] if LABELS in self.modes else [])

    def _firsts(self) -> list[tuple[str, str]]:
        """The first method with each budget; the first saved selection if there are no methods."""
        return [(self.methods[0], budget) for budget in self.budgets] if self.methods else self._kinds()[:1]

    def _trial(self, method: str, budget: str | None, mode: str, seed: int) -> Trial:
        selection = _selection(method, budget, seed)
        labels = self.label_set(method, seed) if mode == LABELS and method != NONE else ""
        return Trial(method, budget, mode, seed, selection, f"{self.name}.{selection}-{mode}-seed{seed}", labels)

    def _twin(self, name: str, method: str, budget: str, seed: int) -> Trial:
        """A training on the images of a method with other labels."""
        selection = _selection(method, budget, seed)
        training = f"{self.name}.{selection}-{name}-seed{seed}"
        return Trial(name, budget, LABELS, seed, selection, training, self.label_set(name, seed))

    def label_set(self, method: str, seed: int) -> str:
        """The name of the label set that a method's trainings of a seed learn from; true masks are the same in all."""
        if method == TRUE:
            return f"{self.name}.{TRUE}"
        return f"{self.name}.{UNLABELLED if method == UNLABELLED else LABELS}-seed{seed}"


def _selection(method: str, budget: str | None, seed: int) -> str:
    return method if budget in (None, SAVED) else SelectSettings(method, budget, seed).selection_name


@dataclass(frozen=True)
class Trial:
    """One training of a comparison."""

    method: str
    """How the weak images were chosen: a method of `select`, a saved selection, or one of the baselines."""
    budget: str | None
    """How many were asked for; `saved` for a saved selection, None for none and all."""
    mode: str
    seed: int
    selection: str
    """Name of the selection that it learns from, or none, or all."""
    training: str
    """Name of the training: COMPARISON.SELECTION-MODE-seedSEED."""
    labels: str = ""
    """Name of the label set that it learns from; empty in other modes than labels, and without weak images."""


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
