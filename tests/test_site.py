"""The documentation as a site: every page is in it, and every link within it leads somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]


def pages(nav: list[Any]) -> Iterator[str]:
    for each in nav:
        if isinstance(each, str):
            yield each
        else:
            for below in each.values():
                yield from pages(below)


def test_every_page_is_in_the_navigation_once() -> None:
    listed = list(pages(PROJECT["nav"]))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(listed) == there
    assert len(listed) == len(set(listed))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / PROJECT["site_dir"]


def test_links_and_pictures_of_the_site_are_there(site: Path) -> None:
    built = sorted(site.rglob("*.html"))
    assert len(built) >= len(list(pages(PROJECT["nav"])))
    missing = []
    for page in built:
        if page.name == "404.html":  # its links are from the root of a server
            continue
        for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text("utf-8")):
            place = unquote(unescape(link)).split("#")[0].split("?")[0]
            if place and not re.match(r"[a-z]+:|//", place) and not (page.parent / place).exists():
                missing.append(f"{page.relative_to(site)}: {link}")
    assert missing == []


def test_no_page_asks_for_fonts_or_scripts_of_another_server(site: Path) -> None:
    asked = set()
    for page in site.rglob("*.html"):
        found = re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="?(https?://[^">\s]+)', page.read_text("utf-8"))
        asked |= {each for each in found if "rel=canonical" not in each}
    assert asked <= {"https://unpkg.com/iframe-worker/shim"}, "only search in a page opened from a file needs this one"
