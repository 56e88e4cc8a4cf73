"""doctor: what is installed on this machine, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from thresher import extras
from thresher.errors import SettingsError
from thresher.pretrained import PACKAGED_WEIGHTS, weights_file
from thresher.run.perform import StageResult

#: Packages that the core needs.
_CORE = ("thresher", "numpy", "polars", "pillow", "scipy", "safetensors", "cyclopts")


def doctor(folder: Path) -> StageResult:
    """Versions, optional parts, weights, threads and disk; `failed_items` counts missing packages of the core."""
    versions, missing = {"python": platform.python_version()}, []
    packages = [package for part in extras.EXTRAS.values() for package in part.values()]
    for name in dict.fromkeys([*_CORE, *packages]):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in _CORE:
                missing.append(name)
    weights = {name: _weights(name) for name in PACKAGED_WEIGHTS}
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    return StageResult(
        "doctor",
        "done",
        {
            "versions": versions,
            "optional_parts": {part: _part(part) for part in extras.EXTRAS},
            "weights": weights,
            "threads": len(os.sched_getaffinity(0)),
            "folder": str(existing),
            "disk_free_bytes": shutil.disk_usage(existing).free,
            "missing": missing,
        },
        failed_items=len(missing),
    )


def _part(part: str) -> str:
    absent = extras.missing(part)
    return f"lacks {', '.join(absent)}: {extras.install(part)}" if absent else "installed"


def _weights(backbone: str) -> str:
    try:
        return str(weights_file(backbone))
    except SettingsError:
        return "not installed"
