"""demo: synthetic street scenes → every stage on them, the precision of the selections, and a comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from thresher import extras, tables
from thresher.cli.run_file import run_all
from thresher.cli.run_settings import RunFile
from thresher.comparison.settings import CompareSettings
from thresher.report.report import write_report
from thresher.run.folder import Run
from thresher.run.perform import StageResult, Track, untracked
from thresher.stages.embed import EmbedSettings
from thresher.stages.fit import FitSettings
from thresher.stages.index import IndexSettings
from thresher.stages.insight import insight
from thresher.stages.score import ScoreSettings
from thresher.stages.select import SelectSettings
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings

#: Small images and few steps, so that the comparison takes a minute or two.
_SHORT = TrainSettings(height_px=96, width_px=128, decoder_channels=64, epochs=6, weak_batch=4, checkpoint_epochs=6)


def demo(
    folder: Path,
    *,
    target_images: int = 60,
    pool_images: int = 400,
    seed: int = 0,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> Iterator[StageResult]:
    """Write synthetic scenes, run every stage on them, and measure how many chosen images are street scenes."""
    scenes = SyntheticSettings(seed=seed, target_images=target_images, pool_images=pool_images)
    summary = {
        "folder": str(folder / "scenes"),
        "target_images": scenes.target_images,
        "pool_images": scenes.pool_images,
    }
    if dry_run:
        yield StageResult("scenes", "planned", summary)
        return
    write_dataset(folder / "scenes", scenes)
    yield StageResult("scenes", "done", summary)
    truth = pl.read_parquet(folder / "scenes" / "truth.parquet")
    planted = int(truth["is_street"].sum())
    methods = ("layout", "similarity", "diversity", "layout_and_diversity", "both", "random")
    run_file = RunFile(
        folder / "run",
        IndexSettings(
            target=(f"cityscapes:{folder / 'scenes' / 'cityscapes'}#train",),
            pool=(f"open_images:{folder / 'scenes' / 'open_images'}",),
        ),
        EmbedSettings(),
        FitSettings(),
        ScoreSettings(),
        tuple(SelectSettings(method, str(planted), name=method) for method in methods),
        (),
    )
    with_comparison = dataclasses.replace(run_file, train=_SHORT, compare=_comparison(planted))
    yield from run_all(run_file if extras.missing("train", "report") else with_comparison, track=track)
    run = Run(run_file.folder)
    if not extras.missing("report"):
        yield insight(run, track=track)
        yield write_report(run, track=track)
    found = {method: _precision(run, method, truth) for method in methods}
    yield StageResult(
        "demo",
        "done",
        {
            "planted_street_images": planted,
            "precision": found,
            "sheet": str(run.folder / "sheets" / "layout_and_diversity.png"),
            "figure": _figure(run),
            "report": _left_out("report") if extras.missing("report") else str(run.folder / "report.html"),
        },
    )


def _comparison(planted: int) -> CompareSettings:
    """Two methods, one budget, two seeds: enough to show a comparison, too few to draw conclusions."""
    return CompareSettings(("layout_and_diversity", "random"), (str(planted),), seeds=2, baselines=("none",))


def _figure(run: Run) -> str:
    if extras.missing("train", "report"):
        return _left_out("train,report")
    return str(run.comparison("comparison") / "figure.png")


def _left_out(parts: str) -> str:
    return f"left out: pip install 'thresher[{parts}]'"


def _precision(run: Run, name: str, truth: pl.DataFrame) -> float:
    """Share of street scenes in a selection, 0..1."""
    chosen = tables.read(run.selection_path(name), tables.SELECTION)
    bare = chosen.select(image_id=pl.col("image_id").str.split("/").list.last())
    return round(float(bare.join(truth, on="image_id", how="left")["is_street"].mean() or 0.0), 4)  # type: ignore[arg-type]
