"""Choose the few images of a huge weakly labelled pool that make a segmentation network better in your domain.

The public names, loaded when they are first used:

    from thresher import Run, IndexSettings, index, embed, fit, score, select

Importing thresher imports none of numpy, polars or torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "Run": "thresher.run",
    "StageResult": "thresher.run",
    "ThresherError": "thresher.errors",
    "DataError": "thresher.errors",
    "SettingsError": "thresher.errors",
    "IndexSettings": "thresher.stages.index",
    "index": "thresher.stages.index",
    "EmbedSettings": "thresher.stages.embed",
    "embed": "thresher.stages.embed",
    "FitSettings": "thresher.stages.fit",
    "fit": "thresher.stages.fit",
    "ScoreSettings": "thresher.stages.score",
    "score": "thresher.stages.score",
    "SelectSettings": "thresher.stages.select",
    "select": "thresher.stages.select",
    "selected": "thresher.stages.select",
    "sheet": "thresher.stages.sheet",
    "InsightSettings": "thresher.stages.insight",
    "insight": "thresher.stages.insight",
    "ReportSettings": "thresher.stages.report",
    "write_report": "thresher.stages.report",
    "ExploreSettings": "thresher.stages.explore",
    "explore": "thresher.stages.explore",
    "TrainSettings": "thresher.stages.train",
    "train": "thresher.stages.train",
    "CompareSettings": "thresher.stages.compare",
    "compare": "thresher.stages.compare",
    "EvaluateSettings": "thresher.stages.evaluate",
    "evaluate": "thresher.stages.evaluate",
    "predict": "thresher.stages.predict",
    "export_network": "thresher.stages.export_network",
    "export": "thresher.stages.export",
    "load_run_file": "thresher.stages.run_file",
    "run_all": "thresher.stages.run_file",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thresher' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
