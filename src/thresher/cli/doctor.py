"""doctor: what this machine has, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from thresher.errors import SettingsError
from thresher.features.backbone import BackboneSettings
from thresher.pretrained import PACKAGED_WEIGHTS, weights_file
from thresher.run.perform import StageResult

_NEEDED = ("thresher", "numpy", "polars", "pillow", "onnxruntime", "onnx", "timm", "torch", "safetensors", "cyclopts")


def doctor(folder: Path) -> StageResult:
    """Versions, weights, threads and disk; `failed_items` counts what is needed and missing."""
    versions, missing = {"python": platform.python_version()}, []
    for name in _NEEDED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    weights = {name: _weights(name) for name in PACKAGED_WEIGHTS}
    if weights[BackboneSettings().backbone] == "not installed":
        missing.append(f"weights of {BackboneSettings().backbone}")
    here = folder.resolve()
    while not here.exists():
        here = here.parent
    return StageResult(
        "doctor",
        "done",
        {
            "versions": versions,
            "weights": weights,
            "threads": len(os.sched_getaffinity(0)),
            "folder": str(here),
            "disk_free_bytes": shutil.disk_usage(here).free,
            "missing": missing,
        },
        failed_items=len(missing),
    )


def _weights(backbone: str) -> str:
    try:
        return str(weights_file(backbone))
    except SettingsError:
        return "not installed"
