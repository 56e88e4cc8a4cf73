"""The commands that reproduce a run, from its manifests."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.comparison.settings import GRID, CompareSettings
from thresher.run.stages import STAGES
from thresher.training.settings import TrainSettings

#: The stages that the run's own manifest records, in the order in which they are done.
RECORDED = {stage.name: stage for stage in STAGES if stage.version and stage.home.startswith("thresher.stages.")}
#: Longer lines are broken.
_WIDTH = 100


def in_order(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's stages that are known and ended, in the order in which they are done."""
    places = list(RECORDED)
    known = {
        stage: entry for stage, entry in recorded.items() if stage.partition(":")[0] in RECORDED and "summary" in entry
    }
    return dict(sorted(known.items(), key=lambda each: (places.index(each[0].partition(":")[0]), each[0])))


def command_lines(folder: Path, recorded: Mapping[str, Any], comparisons: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One command for each stage and comparison, to be pasted into a shell; settings at their default are left out.

    Args:
        recorded: The run's manifest.
        comparisons: The entry `compare` of each comparison's manifest.
    """
    lines = []
    for stage, entry in in_order(recorded).items():
        name = stage.partition(":")[0]
        lines.append(_line(name, folder, _flags(RECORDED[name].settings, entry["settings"])))
    for entry in comparisons.values():
        shared = {name: value for name, value in entry["training"].items() if name not in GRID}
        flags = _flags(CompareSettings, entry["settings"]) + _flags(TrainSettings, shared)
        lines.append(_line("compare", folder, flags))
    return lines


def _line(command: str, folder: Path, flags: list[str]) -> str:
    """The command; if long, with one flag per line."""
    words = ["thresher", command, str(folder), *flags]
    if len(shlex.join(words)) <= _WIDTH:
        return shlex.join(words)
    parts = [words[:3]]
    for word in flags:
        if word.startswith("--"):
            parts.append([word])
        else:
            parts[-1].append(word)
    return " \\\n    ".join(shlex.join(part) for part in parts)


def _flags(kind: type, settings: Mapping[str, Any]) -> list[str]:
    """The flags of all settings that are not at their default, with their values."""
    words: list[str] = []
    for field in dataclasses.fields(kind):
        if field.name not in settings:  # newer than the manifest
            continue
        value, default = settings[field.name], field.default
        if value == (list(default) if isinstance(default, tuple) else default):
            continue
        flag = f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag] if value else []
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [flag, str(each)]
    return words
