"""A comparison on a real Ray cluster of two nodes on this machine: the measures of local processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from thresher import tables
from thresher.comparison.compare import compare
from thresher.comparison.settings import CompareSettings
from thresher.run.folder import Run
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

pytest.importorskip("ray", reason="Ray is an extra")
pytest.importorskip("altair", reason="the charts are an extra")

SMALL = TrainSettings(height_px=64, width_px=96, strong_batch=2, weak_batch=2, epochs=1, zoom=1.2)
#: In a process of its own: Ray starts threads and warns of what the test suite would not let pass.
ON_RAY = """
import json, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from thresher import Run, compare
from thresher.workers.settings import EngineSettings
from thresher.comparison.settings import CompareSettings
from thresher.training.settings import TrainSettings
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
small = TrainSettings(height_px=64, width_px=96, strong_batch=2, weak_batch=2, epochs=1, zoom=1.2)
grid = CompareSettings(methods=(), seeds=1, name="far")
done = compare(Run(sys.argv[1]), grid, small, engine=EngineSettings(engine="ray", address=cluster.address))
Path(sys.argv[2]).write_text(json.dumps({"failed": done.failed_items, **done.summary}))  # Ray may print at any time
"""


def test_two_nodes_measure_what_local_processes_do(tmp_path: Path) -> None:
    scenes = tmp_path / "made_up"
    write_dataset(scenes, SyntheticSettings(target_images=4, val_images=2, pool_images=12, street_share=0.6))
    run = Run(tmp_path / "run")
    index(run, IndexSettings((f"cityscapes:{scenes / 'cityscapes'}",), (f"open_images:{scenes / 'open_images'}",)))
    command = [sys.executable, "-c", ON_RAY, str(run.folder), str(tmp_path / "told.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["failed"], told["trained_now"]) == (0, 2)
    compare(run, CompareSettings(methods=(), seeds=1, name="near"), SMALL, engine=EngineSettings(workers=1))
    far, near = (
        tables.read(run.comparison(name) / "results.parquet", tables.RESULTS).drop("seconds").sort("method", "class")
        for name in ("far", "near")
    )
    assert far["method"].unique(maintain_order=True).to_list() == ["all", "none"]
    assert far.filter(pl.col("iou").is_not_null()).height > 0
    assert far.equals(near)
