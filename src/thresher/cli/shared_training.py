"""The flags of `compare` that are common to all of its trainings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: F401 - the inherited settings' annotations name it
from typing import Annotated, Any, Literal  # noqa: F401 - as above

from cyclopts import Parameter

from thresher.settings import converted
from thresher.training.settings import TrainSettings

#: Settings that the grid of a comparison sets are not flags.
_OF_GRID = Parameter(parse=False, show=False)


@converted
@dataclass(frozen=True)
class SharedTraining(TrainSettings):
    """Settings common to all trainings of a comparison."""

    selection: Annotated[str, _OF_GRID] = "none"
    labels: Annotated[str, _OF_GRID] = ""
    mode: Annotated[Any, _OF_GRID] = TrainSettings.mode
    seed: Annotated[int, _OF_GRID] = 0
    name: Annotated[str, _OF_GRID] = ""
    fill_batch: Annotated[bool, _OF_GRID] = False
