"""Choose the few images of a huge weakly labelled pool that make a segmentation network better in your domain.

The public names, loaded when they are first used:

    from thresher import Run, IndexSettings, index, embed, fit, score, select

Importing thresher imports none of numpy, polars or torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from thresher.run.stages import STAGES as STAGES

__version__ = "0.2.0.dev0"


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
    "audit": "thresher.reasons.audit",
    "why": "thresher.reasons.why",
    "budget": "thresher.reasons.budget",
    "BudgetSettings": "thresher.reasons.budget",
    "status": "thresher.run.update",
    "update": "thresher.run.update",
    "SelectionDataset": "thresher.training.dataset",
    "load_run_file": "thresher.cli.run_file",
    "run_all": "thresher.cli.run_file",
    **_of_stages(),
}
__all__ = list(_HOMES)

if TYPE_CHECKING:  # the same names, where type checkers and editors look for them; tests compare the two
    from thresher.cli.run_file import load_run_file as load_run_file
    from thresher.cli.run_file import run_all as run_all
    from thresher.comparison.compare import compare as compare
    from thresher.comparison.settings import CompareSettings as CompareSettings
    from thresher.data.source_text import read_source as read_source
    from thresher.errors import DataError as DataError
    from thresher.errors import SettingsError as SettingsError
    from thresher.errors import ThresherError as ThresherError
    from thresher.explorer.explore import ExploreSettings as ExploreSettings
    from thresher.explorer.explore import explore as explore
    from thresher.features.similarity import similarity as similarity
    from thresher.labelling.export_labels import export_labels as export_labels
    from thresher.labelling.settings import LabelSettings as LabelSettings
    from thresher.labelling.stage import labels as labels
    from thresher.reasons.audit import audit as audit
    from thresher.reasons.budget import BudgetSettings as BudgetSettings
    from thresher.reasons.budget import budget as budget
    from thresher.reasons.why import why as why
    from thresher.report.report import ReportSettings as ReportSettings
    from thresher.report.report import write_report as write_report
    from thresher.run.folder import Run as Run
    from thresher.run.opened import OpenedRun as OpenedRun
    from thresher.run.opened import selected as selected
    from thresher.run.perform import StageResult as StageResult
    from thresher.run.stages import STAGES as STAGES
    from thresher.run.update import status as status
    from thresher.run.update import update as update
    from thresher.selection.on_frames import choose as choose
    from thresher.selection.on_frames import diversity as diversity
    from thresher.stages.download import DownloadSettings as DownloadSettings
    from thresher.stages.download import download as download
    from thresher.stages.embed import EmbedSettings as EmbedSettings
    from thresher.stages.embed import embed as embed
    from thresher.stages.embed import merge as merge
    from thresher.stages.export import export as export
    from thresher.stages.export import sheet as sheet
    from thresher.stages.fit import FitSettings as FitSettings
    from thresher.stages.fit import fit as fit
    from thresher.stages.index import IndexSettings as IndexSettings
    from thresher.stages.index import index as index
    from thresher.stages.insight import InsightSettings as InsightSettings
    from thresher.stages.insight import insight as insight
    from thresher.stages.score import ScoreSettings as ScoreSettings
    from thresher.stages.score import score as score
    from thresher.stages.select import SelectSettings as SelectSettings
    from thresher.stages.select import select as select
    from thresher.training.dataset import SelectionDataset as SelectionDataset
    from thresher.training.evaluate import EvaluateSettings as EvaluateSettings
    from thresher.training.evaluate import evaluate as evaluate
    from thresher.training.export_network import export_network as export_network
    from thresher.training.predict import predict as predict
    from thresher.training.settings import TrainSettings as TrainSettings
    from thresher.training.train import train as train


if not TYPE_CHECKING:  # to a type checker, a name that is not listed above is a mistake

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'thresher' has no attribute '{name}'")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
