"""What the explorer says when it cannot start, and where it listens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from thresher.cli.main import main
from thresher.errors import DataError, SettingsError
from thresher.explorer.explore import ExploreSettings, explorer, is_loopback
from thresher.run.folder import Run


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    return hostile_run(tmp_path)


def test_a_run_that_is_not_there_has_words(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scores.parquet: no such file. `score` writes it"):
        run.scores_path.unlink()
        explorer(run, ExploreSettings())
    with pytest.raises(SettingsError, match="selection 'x'"):
        explorer(run, ExploreSettings("x"))
    with pytest.raises(SettingsError, match="port = 70000: expected 0 to 65535"):
        ExploreSettings(port=70000)


def test_a_port_that_is_taken_has_words(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as left:
            main(["explore", str(run.folder), "--port", str(port)])
    assert left.value.code == 2
    assert f"127.0.0.1:{port}: cannot listen there" in capsys.readouterr().err


def test_only_this_machine_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.5", "example")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
