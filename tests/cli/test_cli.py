"""The command as a user meets it: exit codes, words, JSON."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from thresher import __version__
from thresher.cli.main import COMMANDS
from thresher.selection.methods import COMBINED
from thresher.stages.score import SCORES

SOURCE = Path(__file__).parents[2] / "src" / "thresher"


def test_help_names_every_command_without_loading_numpy_or_polars() -> None:
    probe = (
        "import sys, io, contextlib; from thresher.cli.main import main\n"
        "out = io.StringIO()\n"
        "with contextlib.redirect_stdout(out):\n"
        "    try: main(['--help'])\n"
        "    except SystemExit as left: assert left.code == 0\n"
        "print(out.getvalue()); print(sorted({'numpy', 'polars', 'torch', 'onnxruntime'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert all(f" {name} " in shown for name in COMMANDS)
    assert shown.strip().endswith("[]")


def test_help_of_select_has_every_method_and_its_words_as_they_are_written(
    capsys: pytest.CaptureFixture[str], thresher: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert thresher("select", "--help") == 0
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "sequence:*=20, folder:*=50" in shown and "0.7*layout + 0.3*diversity" in shown
    named = shown[shown.index("How the pool is ranked") : shown.index("--budget")]
    for method in (*COMBINED, *(score.name for score in SCORES)):
        assert re.search(rf"\b{method}\b", named), method


def test_a_command_in_an_error_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int]
) -> None:
    folder = tmp_path / "my runs"
    assert thresher("score", str(folder)) == 3
    assert f"run `thresher index '{folder}' --target FORMAT:ROOT`" in capsys.readouterr().err
    written = [
        path
        for path in SOURCE.rglob("*.py")
        if re.search(r"`thresher [a-z-]+ \{(?!quoted)[^}]*(run|folder|parent)", path.read_text("utf-8"))
    ]
    assert written == []


def test_the_version(capsys: pytest.CaptureFixture[str], thresher: Callable[..., int]) -> None:
    assert thresher("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_exit_codes_and_words_of_wrong_usage(
    photos: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int], indexed: Callable[..., Path]
) -> None:
    run = indexed(photos)
    capsys.readouterr()
    assert thresher("fit", run, "--covariance", "round") == 2
    assert "full" in capsys.readouterr().err
    assert thresher("fit", run, "--components", "many") == 2
    assert "components = 'many': expected 'auto' or a number" in capsys.readouterr().err
    assert thresher("score", run) == 3
    assert "thresher: " in capsys.readouterr().err
    assert thresher("index", photos / "other", "--target", f"coco:{photos / 'nowhere'}") == 3
    assert "no such folder" in capsys.readouterr().err
    assert thresher("nonsense") == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[fitt]", "unknown key 'fitt'. Did you mean 'fit'"),
        ('[index]\ntarget = "folder:."\n[fit]\ncomponent = 3', "unknown key 'component'. Did you mean 'components'"),
        ('[index]\ntarget = "folder:."\n[fit]\ncovariance = "round"', "expected 'full' or 'diagonal'"),
        ('[index]\ntarget = "folder:."\n[embed]\nshort_side = "big"', "short_side = 'big': expected a whole number"),
        ('[index]\ntarget = "folder:."\n[embed]\nallow_download = 1', "allow_download = 1: expected true or false"),
        ('[index]\npool = "folder:."', "no target"),
        ('[index]\ntarget = "folder:."\n[compare]\nmethods = ["best"]', "method 'best': unknown"),
        ('[index]\ntarget = "folder:."\n[compare]\n[train]\nseed = 3', "seed = 3: a comparison sets it for each"),
        ("[index", "not a readable TOML file"),
    ],
)
def test_words_about_a_wrong_run_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str, thresher: Callable[..., int]
) -> None:
    (tmp_path / "job.toml").write_text(content)
    assert thresher("run", tmp_path / "job.toml") == 2
    error = capsys.readouterr().err
    assert re.search(words, error), error


def test_words_about_a_wrong_comparison(
    photos: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int], indexed: Callable[..., Path]
) -> None:
    run = indexed(photos)
    capsys.readouterr()
    assert thresher("compare", run, "--methods", "layout,best") == 2
    assert "method 'best': unknown. Known: random, holds_class, both" in capsys.readouterr().err
    assert thresher("compare", run, "--seed", 3) == 2
    assert "Did you mean --seeds" in capsys.readouterr().err
    assert thresher("compare", run, "--budgets", "3%,10%", "--strong-limit", 4) == 3
    assert "no image of the target has a mask" in capsys.readouterr().err


def test_doctor_finds_nothing_missing(capsys: pytest.CaptureFixture[str], thresher: Callable[..., int]) -> None:
    assert thresher("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)["stages"][0]
    assert told["missing"] == []
    assert told["weights"]["tf_efficientnet_lite0"].endswith(".pth")
    assert told["threads"] >= 1


def test_what_steers_a_terminal_is_shown_not_sent(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str], thresher: Callable[..., int]
) -> None:
    """A label and a file name of somebody else's data: clear the screen, set the title, write from right to left."""
    evil = "\x1b[2J\x1b]0;owned\x07\u202ecar"
    pool = tmp_path / "yolo"
    (pool / "images").mkdir(parents=True)
    shutil.copy(next((photos / "pool").iterdir()), pool / "images" / "a.jpg")
    (pool / "images" / "a.txt").write_text("")
    (pool / "labels").mkdir()
    (pool / "labels" / "a.txt").write_text("0 .5 .5 .1 .1")
    (pool / "classes.txt").write_text(evil, "utf-8")
    assert thresher("index", tmp_path / "run", f"--target=folder:{photos}/target", f"--pool=yolo:{pool}") == 0
    assert thresher("index", tmp_path / "run", f"--target=folder:{tmp_path / evil}") == 3
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert "\\x1b[2J" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
