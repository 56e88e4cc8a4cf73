"""The command as a user meets it: exit codes, words, JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher import __version__
from thresher.cli.main import COMMANDS, main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, folder in enumerate(["target", "pool", "pool", "pool"]):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.effect_noise((96, 64), 20 + 30 * number).convert("RGB").save(tmp_path / folder / f"photo {number} é.jpg")
    return tmp_path


def thresher(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


def indexed(photos: Path) -> Path:
    run = photos / "run"
    assert thresher("index", run, "--target", f"folder:{photos / 'target'}", "--pool", f"folder:{photos / 'pool'}") == 0
    return run


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


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert thresher("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_from_index_to_export(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = indexed(photos)
    assert thresher("embed", run, "--short-side", 32, "--width", 8) == 0
    assert thresher("fit", run, "--components", 1, "--covariance", "diagonal") == 0
    assert thresher("score", run) == 0
    assert thresher("select", run, "--method", "similarity", "--budget", 2, "--name", "two") == 0
    assert thresher("sheet", run, "two") == 0
    capsys.readouterr()
    assert thresher("export", run, "two", "--format", "txt", "--out", photos / "two.txt", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 1
    assert told["stages"][0]["images"] == 2
    listed = (photos / "two.txt").read_text().splitlines()
    assert [Path(line).parent.name for line in listed] == ["pool", "pool"]
    assert all(Path(line).is_file() for line in listed)


def test_again_says_unchanged(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    indexed(photos)
    capsys.readouterr()
    indexed(photos)
    assert "index: unchanged since last time, nothing to do" in capsys.readouterr().out


def test_a_dry_run_tells_and_makes_no_table(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = photos / "run"
    target = f"folder:{photos / 'target'}"
    assert thresher("index", run, "--target", target, "--dry-run") == 0
    assert not run.exists()
    indexed(photos)
    capsys.readouterr()
    assert thresher("embed", run, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["stages"][0]
    assert plan["status"] == "planned"
    assert plan["images"] == 4
    # 96 × 64 becomes 320 × 224, a grid of 10 × 7, with 64 numbers of 2 bytes each.
    assert plan["bytes"] == 4 * 70 * 64 * 2
    assert plan["seconds"] >= 0
    assert not (run / "pooled.parquet").exists()


def test_images_that_fail_are_listed_and_the_exit_code_says_so(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "pool" / "broken.jpg").write_bytes(b"")
    run = indexed(photos)
    assert thresher("embed", run, "--short-side", 32) == 4
    assert "1 images failed; each is listed" in capsys.readouterr().err
    problems = pl.read_parquet(run / "problems.parquet")
    assert problems.select("image_id", "problem").rows() == [("pool/broken", "image_unreadable")]


def test_exit_codes_and_words_of_wrong_usage(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_run_file_does_it_all_and_paths_are_relative_to_it(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "job.toml").write_text(
        """
        [index]
        target = "folder:target"
        pool = ["folder:pool"]
        [embed]
        short_side = 32
        [fit]
        components = 1
        tolerance = 1
        [[select]]
        method = "random"
        budget = 2
        name = "pair"
        [[export]]
        name = "pair"
        format = "csv"
        out = "pair.csv"
        """
    )
    monkeypatch.chdir(photos.parent)
    assert thresher("run", photos / "job.toml", "--dry-run") == 0
    assert not (photos / "pair.csv").exists()
    assert thresher("run", photos / "job.toml") == 0
    table = pl.read_csv(photos / "pair.csv")
    assert table["rank"].to_list() == [1, 2]
    assert (photos / "job" / "sheets" / "pair.png").is_file()
    capsys.readouterr()
    assert thresher("run", photos / "job.toml", "--json") == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {stage["stage"]: stage["status"] for stage in stages}["embed"] == "unchanged"


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
)  # fmt: skip
def test_words_about_a_wrong_run_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    (tmp_path / "job.toml").write_text(content)
    assert thresher("run", tmp_path / "job.toml") == 2
    error = capsys.readouterr().err
    assert re.search(words, error), error


def test_words_about_a_wrong_comparison(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = indexed(photos)
    capsys.readouterr()
    assert thresher("compare", run, "--methods", "layout,best") == 2
    assert "method 'best': unknown. Known: random, both" in capsys.readouterr().err
    assert thresher("compare", run, "--seed", 3) == 2
    assert "Did you mean --seeds" in capsys.readouterr().err
    assert thresher("compare", run, "--budgets", "3%,10%", "--strong-limit", 4) == 3
    assert "no image of the target has a mask" in capsys.readouterr().err


def test_doctor_finds_nothing_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert thresher("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)["stages"][0]
    assert told["missing"] == []
    assert told["weights"]["tf_efficientnet_lite0"].endswith(".pth")
    assert told["threads"] >= 1
