"""What a run lacks: the page says so, and what makes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thresher import tables
from thresher.cli.main import main
from thresher.density.mixture import Mixture, save_mixture
from thresher.errors import DataError, SettingsError
from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run

pytestmark = pytest.mark.slow


def test_a_run_that_was_only_indexed_says_what_makes_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Any, parsed: Callable[[Path], Any]
) -> None:
    run = Run(tmp_path / "run")
    made.write_index(run)
    with pytest.raises(SystemExit) as left:
        main(["report", str(run.folder), "--json"])
    assert left.value.code == 0
    (told,) = json.loads(capsys.readouterr().out)["stages"]
    assert (told["selection"], told["sections"]) == ("none", 7)
    page = parsed(run.folder / "report.html")
    for command in ("embed", "score", "select", "insight", "compare"):
        assert f"thresher {command} …/run" in page.text
    assert str(tmp_path) not in page.text
    assert page.tables["counts"][2][1] == made.pool


def test_words_of_what_cannot_be_reported(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No selection named 'other' in .*Available: drawn, mine"):
        write_report(run, ReportSettings(selection="other"))
    with pytest.raises(SettingsError, match="map_images = 3: expected 0, or 4 to 5000"):
        ReportSettings(map_images=3)
    with pytest.raises(DataError, match="no such file"):
        write_report(Run(tmp_path))
    assert write_report(run, ReportSettings(out=tmp_path / "x.html"), dry_run=True).status == "planned"
    assert not (tmp_path / "x.html").exists()


def test_the_scale_of_heat_is_told_also_where_no_boxes_are_drawn(
    run: Run, tmp_path: Path, parsed: Callable[[Path], Any]
) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    tables.write(tables.empty(tables.BOXES), other.boxes)
    other.manifest.unlink()  # else the selection would be outdated
    write_report(other, ReportSettings(map_images=0))
    page = parsed(other.folder / "report.html")
    assert any(own.get("class") == "look" for _, own in page.tags)
    assert "log p of a slice (nats): -40 or less" in page.text and "Draw boxes" not in page.text


@pytest.mark.parametrize("change", ["no slices", "no mixture", "slices of another width"])
def test_without_slices_or_a_mixture_of_them_cards_have_no_button(
    run: Run, tmp_path: Path, change: str, parsed: Callable[[Path], Any]
) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    if change == "no slices":
        shutil.rmtree(other.slices)
    elif change == "no mixture":
        other.mixture.unlink()
    else:
        save_mixture(Mixture.standard(4), other.mixture)
    write_report(other, ReportSettings(map_images=40))
    page = parsed(other.folder / "report.html")
    assert page.cards
    assert not [own for tag, own in page.tags if tag == "button" and own.get("class") == "look"]
    assert "Heat map, " not in page.text
