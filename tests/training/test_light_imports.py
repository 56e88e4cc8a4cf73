"""What the command line imports to show its help does not load torch."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("training.train", "training.evaluate", "training.predict", "training.export_network", "comparison.compare")


def test_torch_is_imported_only_where_it_computes() -> None:
    imports = ", ".join(f"thresher.{module}" for module in MODULES)
    probe = f"import sys, {imports}; print(sorted({{'torch', 'timm', 'onnxruntime', 'ray'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"
