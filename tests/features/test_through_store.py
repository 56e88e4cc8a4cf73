"""Workers that share nothing but a bucket: a real server of S3's protocol on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thresher import Run
from thresher.errors import SettingsError
from thresher.stages.embed import EmbedSettings, embed
from thresher.workers.settings import EngineSettings
from thresher.workers.store import exists, file_system

pytestmark = pytest.mark.slow

pytest.importorskip("moto", reason="moto is a development extra")

SETTINGS = EmbedSettings(short_side=32, width=8, shard_images=16)
#: Embeds through the bucket; a process of its own, since s3fs leaves an event loop running.
THROUGH = """
import sys
from thresher import EmbedSettings, Run, embed
from thresher.workers.settings import EngineSettings
settings = EmbedSettings(short_side=32, width=8, shard_images=16)
print(embed(Run(sys.argv[1]), settings, engine=EngineSettings(workers=2, store=sys.argv[2])).summary["images_embedded"])
"""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which s3://pool is a bucket on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
    )
    environment = {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    making = [sys.executable, "-c", "import fsspec, sys; fs = fsspec.filesystem('s3'); fs.mkdir('pool')"]
    deadline = time.time() + 60
    while subprocess.run(making, env=os.environ | environment, check=False, capture_output=True).returncode:
        assert time.time() < deadline
        time.sleep(0.5)
    yield environment
    server.terminate()
    server.wait()
    log.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, noise_run: Callable[[Path, int, int], Run]) -> Run:
    run = noise_run(tmp_path_factory.mktemp("local"), 10, 60)
    embed(run, SETTINGS, engine=EngineSettings(workers=1))
    return run


def test_through_a_bucket_the_run_gets_the_bytes_of_a_local_one(
    local: Run, bucket: dict[str, str], tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    for path in (local.images, local.problems):
        (run.folder / path.name).write_bytes(path.read_bytes())

    def through() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", THROUGH, str(run.folder), "s3://pool/mine"]
        return subprocess.run(command, env=os.environ | bucket, check=False, capture_output=True, text=True)

    done = through()
    assert done.stdout.strip() == "70", done.stderr[-2000:]
    for name in ["pooled.parquet", "shards.parquet", *(f"slices/{path.name}" for path in local.slices.iterdir())]:
        assert (run.folder / name).read_bytes() == (local.folder / name).read_bytes(), name
    listing = [sys.executable, "-c", "import fsspec; print(*sorted(fsspec.filesystem('s3').find('pool')))"]
    listed = subprocess.run(listing, env=os.environ | bucket, check=True, capture_output=True, text=True)
    left = listed.stdout.split()
    assert [path for path in left if "sample" in path] == []
    assert sum("/slices/part-" in path for path in left) == 5
    # Lost here but still in the bucket, a shard comes back from there.
    (run.slices / "part-00002.parquet").unlink()
    run.pooled.unlink()
    assert through().stdout.strip() == "70"
    assert (run.slices / "part-00002.parquet").read_bytes() == (local.slices / "part-00002.parquet").read_bytes()


def test_a_store_that_nothing_reads_says_what_to_install() -> None:
    with pytest.raises(SettingsError, match=r"store 'nosuch://x'.*install s3fs"):
        file_system("nosuch://x")


def test_a_file_of_this_machine_is_no_url(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert exists(str(tmp_path / "a"))
    assert not exists(str(tmp_path / "b"))
