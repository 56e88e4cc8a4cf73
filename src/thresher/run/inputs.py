"""Inputs of stages that are no file of their own, by name in the manifest: how each is worked out again from a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

#: From the run's folder and the value recorded last time (None if there is none) to the value now.
INPUTS: dict[str, Callable[[Path, str | None], str]] = {}
