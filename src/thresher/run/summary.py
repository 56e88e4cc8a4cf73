"""Summary of a run in a few lines, for a prompt and notebooks; raises nothing and reads no large file."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

#: The stages that a selection needs, in order.
LINE = ("index", "embed", "fit", "score")
#: The inputs of stages by name in the manifest, and the file of each.
_FILES = {
    "images": "images.parquet",
    "boxes": "boxes.parquet",
    "masks": "masks.parquet",
    "taxonomy": "taxonomy.toml",
    "pooled": "pooled.parquet",
    "projection": "projection.safetensors",
    "mixture": "mixture.safetensors",
    "mixture_json": "mixture.json",
    "evidence": "evidence.safetensors",
    "scores": "scores.parquet",
}
#: Files up to this size are compared by content; larger ones count as changed if their time is newer.
_HASHED_BYTES = 50_000_000
_DONE, _UNFINISHED, _MISSING = "done", "unfinished", "not done"


@dataclass(frozen=True)
class RunSummary:
    """Summary of a run; its texts are for display."""

    folder: Path
    images: Mapping[str, int]
    """Number of images of target and pool; empty before index."""
    stages: Mapping[str, str]
    """State of each stage: done, unfinished, not done, or which inputs have changed since."""
    selections: Mapping[str, str]
    trainings: Mapping[str, str]
    comparisons: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Heading and content of each line."""
        if not self.folder.is_dir():
            return [("folder", f"not there yet; thresher index {self.folder} --target FORMAT:ROOT makes it")]
        found = [("images", ", ".join(f"{number:,} {role}" for role, number in self.images.items()) or "none yet")]
        found += list(self.stages.items())
        for heading, named in (("selections", self.selections), ("trainings", self.trainings)):
            found.append((heading, ", ".join(f"{name} ({words})" for name, words in named.items()) or "none"))
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
    """The summary of a run's folder, which need not exist."""
    recorded = _recorded(folder)
    others = [name for name in recorded if name not in LINE and not name.startswith("select:")]
    stages = {name: _state(folder, name, recorded) for name in (*LINE, *sorted(others))}
    selections = {
        path.stem: _state(folder, f"select:{path.stem}", recorded, _chosen(path))
        for path in sorted((folder / "selections").glob("*.parquet"))
    }
    trainings = {path.name: _trained(path) for path in sorted((folder / "trainings").glob("*")) if path.is_dir()}
    comparisons = tuple(path.name for path in sorted((folder / "comparisons").glob("*")) if path.is_dir())
    return RunSummary(folder, _images(folder), stages, selections, trainings, comparisons)


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
        return _UNFINISHED
    iou = summary.get("miou")
    return f"mIoU {iou:.3f}" if isinstance(iou, int | float) else _DONE


def _state(folder: Path, stage: str, recorded: Mapping[str, Any], done: str = _DONE) -> str:
    """State of a stage: done, unfinished, not done, or done with the names of inputs that have changed since."""
    entry = recorded.get(stage)
    if not isinstance(entry, dict):
        # A selection may have been saved by the explorer, which keeps no record of what it read.
        return done if done != _DONE else f"{_MISSING}; run: thresher {stage} {folder}"
    if "fingerprint" not in entry:
        return f"{_UNFINISHED}; run: thresher {stage.replace(':', ' … --name ')} {folder}"
    changed = _changed(folder, entry)
    return f"{done}; older than {', '.join(changed)}" if changed else done


def _changed(folder: Path, entry: Mapping[str, Any]) -> list[str]:
    """The inputs of a stage that have changed since."""
    outputs = [path for name in entry.get("outputs", []) if (path := folder / name).is_file()]
    if not outputs:
        return []
    made = min(path.stat().st_mtime_ns for path in outputs)
    found = []
    for name, digest in entry.get("inputs", {}).items():
        path = folder / _FILES.get(name, "")
        newer = name in _FILES and path.is_file() and path not in outputs and path.stat().st_mtime_ns > made
        if newer and not _is(path, digest):
            found.append(path.name)
    return found


def _is(path: Path, digest: str) -> bool:
    small = path.stat().st_size <= _HASHED_BYTES
    return small and hashlib.sha256(path.read_bytes()).hexdigest() == digest
