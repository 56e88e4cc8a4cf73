"""Looking for a picture of one's own and for words, in a real browser."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thresher import tables
from thresher.run.folder import Run
from thresher.stages.select import SelectSettings, select

pytestmark = pytest.mark.slow

SAYS_WORDS = importlib.util.find_spec("tokenizers") is not None


@pytest.fixture
def address(
    looking_run: Callable[[Path], Run], text_files: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> Iterator[str]:
    run = looking_run(tmp_path)
    select(run, SelectSettings("layout", "12", coverage="off", name="plain"))
    command = [sys.executable, "-m", "thresher", "explore", str(run.folder), "--port", "0", "--selection", "plain"]
    if SAYS_WORDS:
        own = tables.read(run.pooled, tables.POOLED).filter(pl.col("image_id").str.starts_with("pool/023"))["vector"]
        encoder, tokenizer = text_files(tmp_path, own.to_numpy()[[0, 0, 0, 0]])
        command += ["--text-encoder", str(encoder), "--tokenizer", str(tokenizer)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("explore: ").strip()
        process.terminate()


def rows(page: Any) -> list[int]:
    return [int(each) for each in page.eval_on_selector_all(".card", "all => all.map((each) => each.dataset.row)")]


def until(page: Any, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not reached():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def test_a_picture_or_words_order_the_pool_until_they_are_taken_away(
    chromium: Any, address: str, tmp_path: Path, barriers: Callable[[Any], list[str]]
) -> None:
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#gallery .card")
    page.set_input_files("#picture-file", tmp_path / "data" / "17.png")
    until(page, lambda: rows(page)[:1] == [17])
    assert page.input_value("#view") == "all" and page.inner_text("#query-shown") == "Most like 17.png"
    assert page.inner_text(".card >> nth=0").count("cosine 1.000 to what you look for") == 1
    page.fill("#query-nearest", "5")
    page.keyboard.press("Enter")
    until(page, lambda: len(rows(page)) == 5)
    nearest = rows(page)
    assert barriers(page) == []
    page.select_option("#view", "chosen")
    until(page, lambda: rows(page) == [row for row in nearest if row < 12])
    page.click("#query-off")
    until(page, lambda: rows(page) == list(range(12)))
    assert page.is_hidden("#query")
    page.click("#undo")
    page.click("#undo")
    until(page, lambda: rows(page) == nearest)
    for _ in range(2):
        page.click("#undo")
    until(page, lambda: rows(page) == list(range(12)))
    assert page.is_hidden("#query") and page.is_disabled("#undo")
    page.click("#redo")
    until(page, lambda: rows(page)[:1] == [17])
    page.set_input_files("#picture-file", {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem").startswith("your picture: expected a file in JPEG")
    assert rows(page)[:1] == [17] and page.inner_text("#shown") == "58 of 58"
    if SAYS_WORDS:
        page.fill("#words", "a tram")
        page.keyboard.press("Enter")
        until(page, lambda: rows(page)[:1] == [23])
        assert page.inner_text("#query-shown") == "Looks like “a tram”"
        page.click("#undo")
        until(page, lambda: rows(page)[:1] == [17])
        assert page.input_value("#words") == ""
    else:
        assert page.is_hidden("#words")
    assert not complaints
    page.close()
