"""The flags of `compare` that say what all of its trainings have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: F401 - the inherited settings' annotations name it
from typing import Annotated, Any, Literal  # noqa: F401 - as above

from cyclopts import Parameter

from thresher.training.settings import TrainSettings

#: What the grid of a comparison sets is no flag of its own.
_OF_GRID = Parameter(parse=False, show=False)


@dataclass(frozen=True)
class SharedTraining(TrainSettings):
    """What all trainings of a comparison have in common."""

    selection: Annotated[str, _OF_GRID] = "none"
    mode: Annotated[Any, _OF_GRID] = TrainSettings.mode
    seed: Annotated[int, _OF_GRID] = 0
    name: Annotated[str, _OF_GRID] = ""
