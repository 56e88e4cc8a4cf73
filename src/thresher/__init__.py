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
    "Run": "thresher.run.folder",
    "StageResult": "thresher.run.perform",
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
    "selected": "thresher.run.contents",
    "sheet": "thresher.stages.sheet",
    "InsightSettings": "thresher.stages.insight",
    "insight": "thresher.stages.insight",
    "ReportSettings": "thresher.report.report",
    "write_report": "thresher.report.report",
    "ExploreSettings": "thresher.explorer.explore",
    "explore": "thresher.explorer.explore",
    "TrainSettings": "thresher.training.settings",
    "train": "thresher.training.train",
    "CompareSettings": "thresher.comparison.settings",
    "compare": "thresher.comparison.compare",
    "EvaluateSettings": "thresher.training.evaluate",
    "evaluate": "thresher.training.evaluate",
    "predict": "thresher.training.predict",
    "export_network": "thresher.training.export_network",
    "export": "thresher.stages.export",
    "load_run_file": "thresher.cli.run_file",
    "run_all": "thresher.cli.run_file",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thresher' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
