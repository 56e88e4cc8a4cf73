"""The stages of a run and the other commands, each once: what it is called, reads and writes, and where it is.

The command line, the run file, the command lines in the report, the reference and the package's public names are all
made from this table. Functions and settings are named as text, so that reading the table imports none of them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from thresher.run_files import WRITTEN_BY


@dataclass(frozen=True)
class Stage:
    """A command that works on a run."""

    name: str
    """Name on the command line."""
    home: str
    """Module of its function and settings."""
    words: str
    """Help text, one line."""
    version: int = 0
    """Increase it when results change for the same settings and inputs. 0 = not recorded in the manifest."""
    reads: tuple[str, ...] = ()
    """The stages whose tables it reads."""
    settings_name: str = ""
    """Name of its settings class; empty if it has none."""
    function_name: str = ""
    """Name of its function, if it differs from that of the stage."""
    named: bool = False
    """Whether each result has a name, as those of select."""

    @property
    def run_name(self) -> str:
        """The name of its function."""
        return self.function_name or self.name.replace("-", "_")

    @property
    def run(self) -> Any:
        """Its function; imports its module."""
        return getattr(importlib.import_module(self.home), self.run_name)

    @property
    def settings(self) -> Any:
        """The class of its settings, None if it has none; imports its module."""
        return getattr(importlib.import_module(self.settings_home), self.settings_name) if self.settings_name else None

    @property
    def settings_home(self) -> str:
        """The module that holds its settings."""
        room = self.home.rpartition(".")[0]
        return f"{room}.settings" if self.name in ("train", "labels", "compare") else self.home

    @property
    def writes(self) -> tuple[str, ...]:
        """The files in the run's folder that it writes."""
        return tuple(file for file, stage in WRITTEN_BY.items() if stage == self.name)


#: In the order in which they are done.
STAGES = (
    Stage(
        "index",
        "thresher.stages.index",
        "Read annotations and image files of target and pool into tables.",
        version=3,
        settings_name="IndexSettings",
    ),
    Stage(
        "embed",
        "thresher.stages.embed",
        "Run every image through the backbone and keep its feature vectors.",
        version=3,
        reads=("index",),
        settings_name="EmbedSettings",
    ),
    Stage(
        "merge",
        "thresher.stages.embed",
        "Finish `embed` once all `--shard I/N` jobs are done.",
        reads=("index",),
        settings_name="EmbedSettings",
    ),
    Stage(
        "fit",
        "thresher.stages.fit",
        "Fit the models of the target that the scores need.",
        version=6,
        reads=("index", "embed"),
        settings_name="FitSettings",
    ),
    Stage(
        "score",
        "thresher.stages.score",
        "Measure similarity and diversity of every pool image.",
        version=6,
        reads=("index", "embed", "fit"),
        settings_name="ScoreSettings",
    ),
    Stage(
        "select",
        "thresher.stages.select",
        "Choose images from the pool, with the reasons for each.",
        version=3,
        reads=("index", "score"),
        settings_name="SelectSettings",
        named=True,
    ),
    Stage(
        "sheet", "thresher.stages.export", "Draw the first images of a selection as one PNG.", reads=("index", "select")
    ),
    Stage(
        "insight",
        "thresher.stages.insight",
        "Show the components of the mixture and how far the pool is from the target.",
        version=1,
        reads=("index", "embed", "fit", "score"),
        settings_name="InsightSettings",
    ),
    Stage(
        "export",
        "thresher.stages.export",
        "Write a selection as a list, as COCO or Open Images, or for FiftyOne, Lightly, Atlas and others.",
        reads=("index", "embed", "score", "select", "insight"),
    ),
    Stage(
        "download",
        "thresher.stages.download",
        "Fetch the images of a selection that are not on disk yet.",
        reads=("index", "select"),
        settings_name="DownloadSettings",
    ),
    Stage(
        "train",
        "thresher.training.train",
        "Train a segmentation network on the target's masks and the boxes of a selection, and validate it.",
        version=5,
        reads=("index",),
        settings_name="TrainSettings",
        named=True,
    ),
    Stage(
        "labels",
        "thresher.labelling.stage",
        "Turn the boxes of images into pixel labels, with a network trained on the target's masks.",
        version=2,
        reads=("index", "select", "train"),
        settings_name="LabelSettings",
        named=True,
    ),
    Stage(
        "evaluate",
        "thresher.training.evaluate",
        "Measure a trained network on images with masks: IoU per class and confusion matrix.",
        version=1,
        reads=("index",),
        settings_name="EvaluateSettings",
        named=True,
    ),
    Stage(
        "predict",
        "thresher.training.predict",
        "Write the predictions of a trained network on an image or a folder of images: masks and overlays.",
        reads=("train",),
    ),
    Stage(
        "export-network",
        "thresher.training.export_network",
        "Write a trained network as one ONNX file.",
        reads=("train",),
    ),
    Stage(
        "export-labels",
        "thresher.labelling.export_labels",
        "Write a label set for other tools: label maps, COCO, YOLO or CVAT.",
        reads=("labels",),
    ),
    Stage(
        "compare",
        "thresher.comparison.compare",
        "Train a network for each selection, mode and seed, and compare their IoU.",
        version=1,
        reads=("index", "score", "select", "train"),
        settings_name="CompareSettings",
    ),
    Stage(
        "report",
        "thresher.report.report",
        "Write one HTML page on everything done in the run; it works offline.",
        reads=("index", "embed", "fit", "score", "select", "insight", "compare"),
        settings_name="ReportSettings",
        function_name="write_report",
    ),
    Stage(
        "explore",
        "thresher.explorer.explore",
        "View, change and save a selection in the browser.",
        reads=("index", "embed", "fit", "score", "select"),
        settings_name="ExploreSettings",
    ),
)
#: Intermediate tables of a comparison and of the explorer.
PARTS = (
    Stage(
        "frequencies",
        "thresher.comparison.class_frequencies",
        "Count how often each class occurs.",
        version=1,
        reads=("index",),
    ),
    Stage("proxy", "thresher.comparison.proxy.job", "Train a head on frozen features.", version=1, reads=("index",)),
    Stage(
        "map", "thresher.explorer.map", "Place each image in the explorer's map.", version=1, reads=("index", "embed")
    ),
)
_BY_NAME = {stage.name: stage for stage in (*STAGES, *PARTS)}


def stage_named(name: str) -> Stage:
    """The stage of a record's name: "select" and "select:first" are both the stage select.

    >>> stage_named("select:first").name
    'select'
    """
    return _BY_NAME[name.partition(":")[0]]
