"""Which images a network is trained on and which validate it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from thresher.errors import SettingsError
from thresher.segmentation.settings import TrainingSettings
from thresher.settings import converted


@converted
@dataclass(frozen=True)
class TrainSettings(TrainingSettings):
    """Which images a network is trained on and which ones judge it."""

    selection: str = "none"
    """Weak images: a selection's name, none, or all of the pool."""
    strong_limit: int | None = None
    """Train on at most this many strong images, evenly spread over the order of their ids."""
    validation: str = ""
    """FORMAT:ROOT[#SPLIT] of the images that judge; without it the target's split val, or its last ids."""
    validation_share: float = 0.2
    """Share of the target's images, the last in the order of their ids, that are held out where nothing else judges."""
    checkpoint_epochs: int = 5
    """Epochs between checkpoints, each of which is validated."""
    name: str = ""
    """What to call the training; SELECTION[-strongN]-seedN by default."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        super().__post_init__()
        if self.mode == "strong" and self.selection != "none":
            raise SettingsError(f"mode = strong uses no boxes, but selection = {self.selection}. Give none, "
                                "or a mode that uses them.")  # fmt: skip
        for name in ("strong_limit", "checkpoint_epochs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")
        if not 0 < self.validation_share < 1:
            raise SettingsError(f"validation_share = {self.validation_share}: expected a share between 0 and 1.")
        if not re.fullmatch(r"[\w][\w.+-]*", self.training_name):
            raise SettingsError(f"name '{self.training_name}': expected letters, digits, '.', '-', '+' or '_'.")

    @property
    def training_name(self) -> str:
        """The name given, or SELECTION[-strongN]-seedN."""
        limited = "" if self.strong_limit is None else f"-strong{self.strong_limit}"
        return self.name or f"{self.selection}{limited}-seed{self.seed}"
