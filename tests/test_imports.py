"""Importing any module changes nothing that a process has in common: warnings, limits, threads, loggers."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

#: Imports every module of thresher once their libraries are there, and compares what a process has in common.
PROBE = """
import importlib, logging, os, pkgutil, sys, warnings
import PIL.Image, numpy as np, polars as pl
import thresher

names = [each.name for each in pkgutil.walk_packages(thresher.__path__, "thresher.") if "__main__" not in each.name]
if len(sys.argv) == 1:
    for name in names:
        importlib.import_module(name)
    ours = sys.stdlib_module_names | {"thresher"}
    print(*[name for name in sys.modules if name.split(".")[0] not in ours])
    sys.exit()
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:  # parts of a library that cannot be imported on their own
        pass
import torch

def common():
    threads = torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled()
    loggers = {name: (each.level, list(each.handlers)) for name, each in logging.root.manager.loggerDict.items()
               if isinstance(each, logging.Logger) and not name.startswith("thresher")}
    hooks = sys.excepthook, warnings.showwarning, sys.path[:], os.getcwd(), sys.getrecursionlimit()
    return {"pixels": PIL.Image.MAX_IMAGE_PIXELS, "warnings": list(warnings.filters), "environment": dict(os.environ),
            "logging": (logging.root.level, list(logging.root.handlers), loggers), "numpy": np.geterr(),
            "polars": pl.Config.state(), "torch": threads, "hooks": hooks,
            "random": np.random.get_state()[1].tolist(), "seed": torch.initial_seed()}

before = common()
for name in names:
    importlib.import_module(name)
after = common()
changed = [name for name in before if before[name] != after[name]]
print(len(names), changed, [each for each in after['warnings'] if each not in before['warnings']])
"""


def test_importing_every_module_changes_nothing_that_a_process_has_in_common() -> None:
    def said(*arguments: str) -> str:
        command = [sys.executable, "-c", PROBE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    number, changed = said(*said().split()).split(maxsplit=1)
    assert int(number) > 100
    assert changed.strip() == "[] []"
