"""The page and its pictures as files: names from data are shown and never run, pictures are beside it or within."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run

pytestmark = pytest.mark.slow


def test_names_from_data_are_shown_and_never_run(html: Path, page: Any, made: Any) -> None:
    assert made.image_id(1) in page.text
    kinds = [own.get("type") for tag, own in page.tags if tag == "script"]
    assert kinds.count(None) == 2
    assert set(kinds) == {None, "application/json"}
    assert all(not name.startswith("on") for _, own in page.tags for name in own)
    assert all(own["src"] != "x" for tag, own in page.tags if tag == "img")
    policy = next(str(own["content"]) for tag, own in page.tags if own.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe-inline'; script-src 'sha256-" in policy
    assert not [own for tag, own in page.tags if str(own.get("src") or own.get("href") or "").startswith("http")]


def test_the_page_finds_its_pictures_beside_it_or_within(
    run: Run, html: Path, page: Any, made: Any, parsed: Callable[[Path], Any]
) -> None:
    # The picture of the dot under the pointer is there from the start, and empty.
    sources = {str(own["src"]) for tag, own in page.tags if tag == "img"} - {"data:,"}
    assert sources
    for source in sources:
        with Image.open(html.parent / source) as picture:
            assert picture.format == "JPEG"
    stale = html.parent / "page_files" / f"{'0' * 20}-320.jpg"
    own = html.parent / "page_files" / "mine.jpg"
    for path in (stale, own):
        path.write_bytes(b"")
    before = html.read_bytes()
    write_report(run, ReportSettings(out=html, map_images=40))
    assert html.read_bytes() == before
    assert (stale.exists(), own.exists()) == (False, True)
    alone = html.parent / "alone" / "page.html"
    write_report(run, ReportSettings(out=alone, single_file=True, map_images=0))
    assert list(alone.parent.iterdir()) == [alone]
    images = [str(own["src"]) for tag, own in parsed(alone).tags if tag == "img" and own["src"] != "data:,"]
    assert images
    assert all(source.startswith("data:image/jpeg;base64,") for source in images)
    missing = parsed(alone).text
    assert f"{made.image_id(0)} cannot be shown" in missing


def test_no_module_of_the_report_is_loaded_for_a_plain_import() -> None:
    import subprocess

    heavy = "{'altair', 'jinja2', 'vl_convert', 'sklearn'}"
    probe = f"import thresher.cli.commands, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"
