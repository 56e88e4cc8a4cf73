"""Summary of a run in a few lines, for a prompt and notebooks; raises nothing."""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher.errors import ThresherError, quoted
from thresher.run.record import Record
from thresher.run.state import LINE, RunState, StageState


@dataclass(frozen=True)
class RunSummary:
    """Summary of a run; its texts are for display."""

    folder: Path
    images: Mapping[str, int]
    """Number of images of target and pool; empty before index."""
    stages: Mapping[str, str]
    """State of each stage in words."""
    selections: Mapping[str, str]
    trainings: Mapping[str, str]
    label_sets: Mapping[str, str]
    comparisons: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Heading and content of each line."""
        if not self.folder.is_dir():
            return [("folder", f"not there yet; thresher index {quoted(self.folder)} --target FORMAT:ROOT makes it")]
        found = [("images", ", ".join(f"{number:,} {role}" for role, number in self.images.items()) or "none yet")]
        found += list(self.stages.items())
        for heading, named in (("selections", self.selections), ("trainings", self.trainings)):
            found.append((heading, ", ".join(f"{name} ({words})" for name, words in named.items()) or "none"))
        if self.label_sets:
            found.append(("label sets", ", ".join(f"{name} ({words})" for name, words in self.label_sets.items())))
        if self.comparisons:
            found.append(("comparisons", ", ".join(self.comparisons)))
        return found

    def as_text(self) -> str:
        """As `repr` shows it."""
        lines = self.lines()
        width = max(len(heading) for heading, _ in lines)
        return "\n".join(
            [f"Run({str(self.folder)!r})", *(f"  {heading:<{width}}  {words}" for heading, words in lines)]
        )

    def as_html(self) -> str:
        """As a notebook shows it."""
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(heading)}</th>'
            f'<td style="text-align:left">{html.escape(words)}</td></tr>'
            for heading, words in self.lines()
        )
        return f"<div><b>Run</b> <code>{html.escape(str(self.folder))}</code><table>{rows}</table></div>"


def run_summary(folder: Path) -> RunSummary:
    """The summary of a run, whose folder need not exist."""
    states = _states(Record(folder))
    stages = {
        name: _words(folder, state)
        for name, state in states.items()
        if name in LINE or not name.startswith(("select:", "train:", "labels:"))
    }
    selections = {
        path.stem: _words(folder, states.get(f"select:{path.stem}", StageState("", "done")), _chosen(path))
        for path in sorted((folder / "selections").glob("*.parquet"))
    }
    trainings = {path.name: _trained(path) for path in sorted((folder / "trainings").glob("*")) if path.is_dir()}
    label_sets = {
        name.partition(":")[2]: _words(folder, state) for name, state in states.items() if name.startswith("labels:")
    }
    comparisons = tuple(path.name for path in sorted((folder / "comparisons").glob("*")) if path.is_dir())
    return RunSummary(folder, _images(folder), stages, selections, trainings, label_sets, comparisons)


def _states(run: Record) -> dict[str, StageState]:
    try:
        return {state.name: state for state in RunState(run).all()}
    except ThresherError:  # a damaged manifest
        return {name: StageState(name, "missing") for name in LINE}


def _recorded(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / "manifest.json").read_text("utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _images(folder: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, pl.exceptions.PolarsError):
        counted = pl.scan_parquet(folder / "images.parquet").group_by("role").len().sort("role", descending=True)
        return {role: int(number) for role, number in counted.collect().iter_rows()}
    return {}


def _chosen(path: Path) -> str:
    with contextlib.suppress(OSError, pl.exceptions.PolarsError):
        return f"{pl.scan_parquet(path).select(pl.len()).collect().item():,} images"
    return "cannot be read"


def _trained(folder: Path) -> str:
    entry = _recorded(folder).get("train", {})
    summary = entry.get("summary", {}) if isinstance(entry, dict) else {}
    if not summary:
        return "unfinished"
    iou = summary.get("miou")
    return f"mIoU {iou:.3f}" if isinstance(iou, int | float) else "done"


def _words(folder: Path, state: StageState, done: str = "done") -> str:
    """The state of a stage or selection, with the command that mends it."""
    if state.word == "done":
        return done
    stage = state.name.partition(":")[0]
    again = (
        f"thresher {stage} {quoted(folder)}"
        if state.word == "missing" or stage == "labels"
        else f"thresher run {quoted(folder)}"
    )
    words = "not done" if state.word == "missing" else state.in_words()
    return f"{words}; run: {again}" if done == "done" else f"{done}; {words}; run: {again}"
