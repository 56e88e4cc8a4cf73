"""All settings of a run, as one TOML file holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thresher.comparison.settings import CompareSettings
from thresher.data.exports import Format
from thresher.report.report import ReportSettings
from thresher.settings import AnyPath, converted, required
from thresher.stages.embed import EmbedSettings
from thresher.stages.fit import FitSettings
from thresher.stages.index import IndexSettings
from thresher.stages.insight import InsightSettings
from thresher.stages.score import ScoreSettings
from thresher.stages.select import SelectSettings
from thresher.training.settings import TrainSettings


@converted
@dataclass(frozen=True)
class ExportSettings:
    """One export of a selection."""

    name: str
    """Name of the selection to write."""
    format: Format
    """Format: csv, txt, parquet, coco, yolo, voc, cvat, label_studio, open_images, fiftyone, lightly, atlas or hf."""
    out: AnyPath = required()
    """File or folder to write, relative to the TOML file."""
    images: str = "link"
    """link, copy or leave out (none) the image files, in formats that hold images."""
    pool: bool = False
    """Also write the pool images that were not chosen (atlas only)."""


@dataclass(frozen=True)
class RunFile:
    """All settings of a run, as one TOML file holds them."""

    folder: Path
    index: IndexSettings
    embed: EmbedSettings
    fit: FitSettings
    score: ScoreSettings
    select: tuple[SelectSettings, ...]
    export: tuple[ExportSettings, ...]
    insight: InsightSettings | None = None
    report: ReportSettings | None = None
    train: TrainSettings | None = None
    """A training; with `compare`, the settings common to all trainings of the comparison."""
    compare: CompareSettings | None = None
