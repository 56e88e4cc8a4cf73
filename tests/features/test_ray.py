"""A real Ray cluster of two nodes on this machine: the bytes of a local run, also when a node is lost on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from thresher import Run
from thresher.stages.embed import EmbedSettings, embed
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

pytest.importorskip("ray", reason="Ray is an extra")

SETTINGS = EmbedSettings(short_side=128, width=8, shard_images=16)
#: In a process of its own: Ray starts threads and warns of what the test suite would not let pass.
ON_RAY = """
import json, os, signal, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from thresher import EmbedSettings, Run, embed
from thresher.workers.settings import EngineSettings
run, loses_a_node = Run(sys.argv[1]), sys.argv[2] == "lose"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
def parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0
def lose():
    while len(list(run.slices.glob("part-*"))) < 3:
        time.sleep(0.02)
    # As when a machine loses power: its workers end at once, not when they find that their node has gone.
    raylet = second.all_processes["raylet"][0].process.pid
    ours = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(pid) == raylet]
    for pid in ours:
        os.kill(pid, signal.SIGKILL)
    cluster.remove_node(second, allow_graceful=False)
    lost.append(len(list(run.slices.glob("part-*"))))
lost = []
if loses_a_node:
    threading.Thread(target=lose, daemon=True).start()
settings = EmbedSettings(short_side=128, width=8, shard_images=16)
done = embed(run, settings, engine=EngineSettings(engine="ray", address=cluster.address))
told = {"summary": done.summary, "shards_when_lost": lost}
Path(sys.argv[3]).write_text(json.dumps(told))  # Ray may print at any time
"""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, noise_run: Callable[[Path, int, int], Run]) -> Run:
    run = noise_run(tmp_path_factory.mktemp("local"), 10, 470)
    embed(run, SETTINGS, engine=EngineSettings(workers=2))
    return run


@pytest.mark.parametrize("what", ["keep", "lose"])
def test_two_nodes_give_the_bytes_of_one_process(local: Run, tmp_path: Path, what: str) -> None:
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    for path in (local.images, local.problems):
        (run.folder / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-c", ON_RAY, str(run.folder), what, str(tmp_path / "told.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["summary"]["images_embedded"] == 480
    if what == "lose":
        assert "a worker died at task" in done.stderr
        assert told["shards_when_lost"][0] < told["summary"]["shards"], "the node was lost too late to matter"
    for name in ("pooled.parquet", "shards.parquet", "projection.safetensors"):
        assert (run.folder / name).read_bytes() == (local.folder / name).read_bytes()
    made, expected = (sorted(path.name for path in each.slices.iterdir()) for each in (run, local))
    assert made == expected
    for name in expected:
        assert (run.slices / name).read_bytes() == (local.slices / name).read_bytes()
