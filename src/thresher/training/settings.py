"""Which images a network is trained on and which validate it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path  # noqa: F401 - the annotations of inherited settings are read in this module
from typing import Any, Literal  # noqa: F401 - likewise

from thresher.errors import SettingsError
from thresher.run.folder import check_name
from thresher.segmentation.settings import NetworkSettings
from thresher.settings import converted


def unused_weights(mode: str, *, has_weak: bool) -> dict[str, Any]:
    """The weights that the loss of a training does not use, each at a fixed value.

    Whether a training is done is told with these values, so that it stays done when one of them is changed.

    Args:
        mode: A mode of `train`.
        has_weak: Whether there are weakly labelled images.

    >>> unused_weights("hierarchical", has_weak=True)
    {'label_weight': 1.0, 'box_weight': 1.0}
    >>> unused_weights("labels", has_weak=True)
    {'box_weight': 1.0, 'group_weight': 0.1}
    """
    used = {
        "label_weight": mode == "labels" and has_weak,
        "box_weight": mode == "box_head",
        "group_weight": mode != "labels",
    }
    # Not the defaults, which may change: those with which finished trainings were recorded.
    fixed = {"label_weight": 1.0, "box_weight": 1.0, "group_weight": 0.1}
    return {name: fixed[name] for name, is_used in used.items() if not is_used}


@converted
@dataclass(frozen=True)
class TrainSettings(NetworkSettings):
    """Which images a network is trained on and which validate it."""

    selection: str = "none"
    """Weakly labelled images to learn from: the name of a selection, none, or all of the pool."""
    labels: str = ""
    """Name of the label set (`thresher labels`) that holds the pixel labels of the weak images (mode = labels)."""
    strong_limit: int | None = None
    """Train on at most this many strong images (those with masks), evenly spread over their image ids in order."""
    validation: str = ""
    """Validation set as FORMAT:ROOT[#SPLIT]. Default: the target's `val` split, else its last 20 % by image id."""
    validation_share: float = 0.2
    """Share of the target's images, the last by image id, that is held out for validation where neither `validation`
    nor a `val` split gives a validation set."""
    checkpoint_epochs: int = 5
    """Epochs between checkpoints; the network is validated at each."""
    name: str = ""
    """Name of the training. Default: SELECTION[-strongN]-seedN, in mode labels SELECTION[-strongN]-labels-seedN."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        super().__post_init__()
        if self.mode == "strong" and self.selection != "none":
            raise SettingsError(
                f"mode = strong ignores boxes, so selection must be 'none' (got '{self.selection}'). "
                "Set selection = none, or mode = hierarchical or box_head."
            )
        self._refuse_wrong_labels()
        for name in ("strong_limit", "checkpoint_epochs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")
        if not 0 < self.validation_share < 1:
            raise SettingsError(f"validation_share = {self.validation_share}: expected a share between 0 and 1.")
        check_name(self.training_name)

    def _refuse_wrong_labels(self) -> None:
        if self.labels and self.mode != "labels":
            raise SettingsError(f"labels = {self.labels}: only mode = labels uses pixel labels (got {self.mode}).")
        if self.mode == "labels" and self.selection != "none" and not self.labels:
            raise SettingsError(
                f"mode = labels learns from pixel labels. Make them: `thresher labels RUN --selection {self.selection} "
                "--name NAME`; then set labels = NAME. Or set selection = none, to train on masks alone."
            )
        if self.labels and self.selection == "none":
            raise SettingsError(
                f"labels = {self.labels}, selection = none: nothing would be learnt from the labels. Set selection to "
                "the selection that was labelled, or to all."
            )
        if self.labels:
            check_name(self.labels)

    @property
    def as_used(self) -> TrainSettings:
        """The same training, with the weights that it does not use at fixed values."""
        return dataclasses.replace(self, **self.unused)

    @property
    def unused(self) -> dict[str, Any]:
        """The weights that it does not use (`unused_weights`)."""
        return unused_weights(self.mode, has_weak=self.selection != "none")

    @property
    def training_name(self) -> str:
        """The name given, or SELECTION[-strongN][-labels]-seedN."""
        limited = "" if self.strong_limit is None else f"-strong{self.strong_limit}"
        mode = "-labels" if self.mode == "labels" else ""
        return self.name or f"{self.selection}{limited}{mode}-seed{self.seed}"
