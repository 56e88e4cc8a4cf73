"""Choose the few images of a huge weakly labelled pool that make a segmentation network better in your domain.

The public names, loaded when they are first used:

    from thresher import Run, IndexSettings, index, embed, fit, score, select

Importing thresher imports none of numpy, polars or torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from thresher.run.stages import STAGES

__version__ = "0.1.0.dev0"


def _of_stages() -> dict[str, str]:
    found = {stage.run_name: stage.home for stage in STAGES}
    return found | {stage.settings_name: stage.settings_home for stage in STAGES if stage.settings_name}


_HOMES = {
    "Run": "thresher.run.folder",
    "OpenedRun": "thresher.run.opened",
    "StageResult": "thresher.run.perform",
    "STAGES": "thresher.run.stages",
    "ThresherError": "thresher.errors",
    "DataError": "thresher.errors",
    "SettingsError": "thresher.errors",
    "similarity": "thresher.features.similarity",
    "diversity": "thresher.selection.on_frames",
    "choose": "thresher.selection.on_frames",
    "read_source": "thresher.data.source_text",
    "selected": "thresher.run.opened",
    "load_run_file": "thresher.cli.run_file",
    "run_all": "thresher.cli.run_file",
    **_of_stages(),
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thresher' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
