"""The explorer's page in a real browser, on a run whose names try to break out of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thresher import tables
from thresher.run.folder import Run
from thresher.run.opened import selected
from thresher.stages.select import SelectSettings, select

pytestmark = pytest.mark.slow

POOL = 60
#: Where pictures of the page are kept, for whoever looks at a run of the tests; nowhere if it is not set.
KEPT = os.environ.get("THRESHER_SCREENSHOTS")


@pytest.fixture(scope="module")
def run(hostile_run: Callable[[Path], Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = hostile_run(tmp_path_factory.mktemp("explorer"))
    select(made, SelectSettings("layout", "12", name="twelve"))
    select(made, SelectSettings(coverage="off", name="plain"))
    return made


@pytest.fixture(scope="module")
def address(run: Run) -> Iterator[str]:
    command = [sys.executable, "-m", "thresher", "explore", str(run.folder), "--port", "0", "--selection", "plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("explore: ").strip()
        process.terminate()


def asked(address: str, path: str, **content: object) -> Any:
    request = urllib.request.Request(f"{address}api/{path}", json.dumps(content).encode(), {"x-thresher": "1"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    shown = chromium.new_page(viewport={"width": 1500, "height": 950}, accept_downloads=True)
    requests: list[str] = []
    complaints: list[str] = []
    shown.on("request", lambda request: requests.append(request.url))
    refused = "Failed to load resource"  # said of each refused answer: a picture that is gone, a quota too high
    shown.on("console", lambda message: refused in message.text or complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    for row, _ in asked(address, "choose")["marked"]:  # of the test before
        asked(address, "mark", marks=[[row, "none"]])
    shown.goto(address)
    shown.wait_for_selector("#canvas[data-ready]")
    shown.wait_for_selector("#gallery .card")
    yield shown
    assert not complaints
    assert all(request.startswith((address, "blob:" + address, "data:")) for request in requests)
    assert shown.evaluate("window.hacked") is None
    shown.close()


def until(page: Any, condition: str) -> None:
    """Wait for something to be true in the page. Its policy forbids what playwright's own waiting would inject."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def changed(page: Any, act: Callable[[], object]) -> None:
    """Do something, and wait until the server's next choice is shown."""
    before = int(page.evaluate("document.body.dataset.chosen"))
    act()
    until(page, f"Number(document.body.dataset.chosen) > {before}")


def rows(page: Any) -> list[int]:
    return [int(each) for each in page.eval_on_selector_all(".card", "all => all.map((each) => each.dataset.row)")]


def shows(page: Any, expected: list[int]) -> None:
    """Wait until the gallery shows these rows, in this order."""
    deadline = time.monotonic() + 10
    while rows(page) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert rows(page) == expected


def start(page: Any) -> None:
    """The first six by layout; by way of others, since at half the weight all images tie and the first are the same."""
    slid(page, "weight", 1)
    shows(page, list(range(59, 53, -1)))
    slid(page, "weight", 0)
    shows(page, list(range(6)))


def slid(page: Any, name: str, value: float) -> None:
    script = "(one, value) => { one.value = value; one.dispatchEvent(new Event('input', { bubbles: true })); }"
    changed(page, lambda: page.eval_on_selector(f"#{name}", script, value))


def test_each_part_shows_what_the_tables_say(page: Any, run: Run) -> None:
    assert page.inner_text("#status").startswith("6 of 60 candidates chosen")
    names = page.eval_on_selector_all("#classes tbody th", "all => all.map((each) => each.textContent)")
    assert len(names) == 2 and "<script>" in names[0]
    pool = page.eval_on_selector_all("#classes tbody tr", "all => all.map((each) => each.cells[1].textContent)")
    boxes = tables.read(run.boxes, tables.BOXES)
    shares = [boxes.filter(pl.col("class") == name)["image_id"].n_unique() / POOL for name in names]
    assert pool == [f"{100 * share:.0f} %" for share in shares]
    assert len(rows(page)) == 6
    assert page.locator("#legend li").all_inner_texts() == ["pool", "target", "chosen"]


def kept(page: Any, name: str) -> None:
    if KEPT:
        page.screenshot(path=Path(KEPT) / f"{name}.png")  # makes the folder


def test_sliders_and_quotas_change_the_selection(page: Any, barriers: Callable[[Any], list[str]]) -> None:
    slid(page, "weight", 0)
    shows(page, list(range(6)))
    slid(page, "weight", 1)
    shows(page, list(range(59, 53, -1)))
    slid(page, "budget", 3)
    shows(page, [59, 58, 57])
    changed(page, lambda: page.locator(".quota").nth(1).fill("2"))
    # Signs are on each eighth image: the last two that hold one are 56 and 48.
    shows(page, [59, 56, 48])
    page.locator(".quota").nth(1).fill("4")
    page.wait_for_selector("#notice:not([hidden])")
    assert "sign=4 is missed by 1" in page.inner_text("#notice")
    page.select_option("#view", "last")  # what was shown before stays, and can be looked at
    shows(page, [48, 56, 59])
    assert barriers(page) == []
    kept(page, "explorer-unmet")
    changed(page, lambda: page.click("#notice-act"))  # 2 and 4 were one act
    shows(page, [59, 58, 57])
    assert page.locator("#notice").is_hidden() and page.input_value(".quota >> nth=1") == ""
    changed(page, lambda: page.locator(".set").nth(1).uncheck())
    shows(page, [58, 56, 54])


def test_a_slow_choice_waits_for_a_click(page: Any, run: Run, barriers: Callable[[Any], list[str]]) -> None:
    def slow(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"seconds": 3.0})

    page.route("**/api/choose", slow)
    changed(page, lambda: page.select_option("#coverage", "images"))  # what it takes is not known yet
    select(run, SelectSettings(budget="6", name="six"))
    shows(page, [int(each[5:8]) for each in selected(run, "six")["image_id"]])
    page.locator("#budget").fill("4")
    until(page, "document.getElementById('notice-act').textContent === 'Apply'")
    assert len(rows(page)) == 6 and "about 3.0 s" in page.inner_text("#notice") and barriers(page) == []
    page.select_option("#view", "left out")  # of the selection that is shown
    until(page, "document.querySelector('.edge').textContent.startsWith('Left out by coverage: place ')")
    changed(page, lambda: page.click("#notice-act"))
    assert page.inner_text("#status").startswith("4 of 60")


def test_keys_move_and_mark(page: Any) -> None:
    start(page)
    page.locator(".card").nth(0).focus()
    page.keyboard.press("ArrowRight")
    changed(page, lambda: page.keyboard.press("r"))  # rejects image 1, and goes on to 2
    changed(page, lambda: page.keyboard.press("P"))  # pins image 2
    marks = page.eval_on_selector_all(".card", "all => all.map((each) => each.dataset.mark)")
    assert marks == ["none", "rejected", "pinned", "none", "none", "none"]
    assert page.evaluate("Number(document.activeElement.dataset.row)") == 3
    assert "1 pinned" in page.inner_text("#status") and "1 rejected" in page.inner_text("#status")
    page.select_option("#view", "rejected")
    shows(page, [1])
    page.select_option("#view", "chosen")
    shows(page, [0, 2, 3, 4, 5, 6])
    page.select_option("#view", "rejected")
    shows(page, [1])
    page.locator(".card").nth(0).focus()
    changed(page, lambda: page.keyboard.press("u"))
    page.select_option("#view", "pinned")
    shows(page, [2])
    page.locator(".card").nth(0).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#details[open]")
    assert page.locator("#details .near figure").count() == 2
    page.keyboard.press("Escape")
    assert page.locator("#details").is_hidden()
    changed(page, lambda: page.locator(".card [data-mark=pinned]").click())  # a second time takes it back
    assert "pinned" not in page.inner_text("#status")


def test_a_rectangle_filters(page: Any) -> None:
    page.select_option("#plane", "scores")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] - 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 2, steps=4)
    page.mouse.up()
    # Layout falls with the number: the left half are the images behind the middle.
    until(page, "document.querySelectorAll('.card').length >= 29")
    assert set(rows(page)) <= set(range(29, POOL))
    assert page.input_value("#view") == "region"
    page.fill("#bounds [name=y0]", "55")
    until(page, "document.querySelectorAll('.card').length === 5")
    assert sorted(rows(page)) == [55, 56, 57, 58, 59]
    kept(page, "explorer-rectangle")
    page.click("#bounds [type=reset]")
    until(page, "document.querySelectorAll('.card').length === 6")
    page.mouse.move(box["x"] + box["width"] - 13, box["y"] + box["height"] - 13)
    page.wait_for_selector("#hover:not([hidden])")


def test_unreadable_images_say_why(page: Any) -> None:
    start(page)
    until(page, "document.querySelectorAll('.unreadable').length === 2")
    until(
        page,
        "[...document.querySelectorAll('.unreadable')].every((each) => each.textContent.startsWith('Cannot be shown'))",
    )
    words = page.locator(".unreadable").all_inner_texts()
    assert "the file is not there" in words[0] and "outside the folders given to index" in words[1]


def test_save_compare_and_export(page: Any, run: Run, tmp_path: Path) -> None:
    slid(page, "weight", 0)
    slid(page, "budget", 20)
    page.click("#open-save")
    page.fill("#save-name", "no/name")
    assert not page.evaluate("document.getElementById('save-name').checkValidity()")
    page.fill("#save-name", "mine")
    page.click("#save-form button:not([data-close])")
    until(page, "document.getElementById('status').textContent.startsWith('Saved mine: 20 images')")
    assert selected(run, "mine").height == 20
    changed(page, lambda: page.select_option("#against", "twelve"))
    assert page.inner_text("#compared") == "12 in the other, 12 in both: 8 only here, 0 only there."
    page.select_option("#view", "only here")
    shows(page, list(range(12, 20)))
    page.click("#open-export")
    page.select_option("#export-name", "mine")
    page.select_option("#export-format", "csv")
    with page.expect_download() as waited:
        page.click("#export-form button:not([data-close])")
    waited.value.save_as(tmp_path / waited.value.suggested_filename)
    assert pl.read_csv(tmp_path / "mine.csv")["image_id"].to_list() == selected(run, "mine")["image_id"].to_list()
    page.click("#open-save")
    page.fill("#save-name", "mine")
    page.click("#save-form button:not([data-close])")
    until(page, "document.querySelector('#save .error').textContent.includes('already exists')")
    kept(page, "explorer-save")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(page: Any, barriers: Callable[[Any], list[str]], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    start(page)
    changed(page, lambda: page.select_option("#against", "twelve"))
    assert barriers(page) == []
    page.locator(".card").nth(2).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#details[open]")
    assert barriers(page) == []
    page.keyboard.press("Escape")
    for name in ("save", "export", "help"):
        page.click(f"#open-{name}")
        assert barriers(page) == []
        page.keyboard.press("Escape")
    kept(page, f"explorer-{scheme}")


def test_an_opened_image_says_why_and_leads_to_the_next(page: Any, barriers: Callable[[Any], list[str]]) -> None:
    start(page)
    page.select_option("#view", "left out")
    shows(page, list(range(6, 60)))
    page.locator(".card").nth(0).focus()
    page.keyboard.press("w")  # in the card
    page.wait_for_selector(".card .reasons li")
    assert "Not taken: place 7 of 60" in page.inner_text(".card .reasons")
    page.keyboard.press("Enter")
    page.wait_for_selector("#details .reasons li")
    assert "Not taken: place 7 of 60 candidates by layout_and_diversity" in page.inner_text("#details .reasons")
    assert page.locator("#details .reasons figure").count() == 1 and barriers(page) == []
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('details-title').textContent.startsWith('pool/007')")
    changed(page, lambda: page.keyboard.press("p"))  # pins it, and goes on
    until(page, "document.getElementById('details-title').textContent.startsWith('pool/008')")
    page.keyboard.press("+")
    assert page.evaluate("document.querySelector('.frame').classList.contains('zoomed')")
    kept(page, "explorer-opened")
    page.click("#previous")
    until(page, "document.getElementById('details').dataset.mark === 'pinned'")
    page.click("#like")
    until(page, """!document.querySelector('.card[data-row="7"]')""")  # all are like it, but itself
    assert page.input_value("#view") == "like" and len(rows(page)) == POOL - 1


def test_every_act_can_be_undone_and_done_again(page: Any, barriers: Callable[[Any], list[str]]) -> None:
    start(page)
    changed(page, lambda: page.locator(".quota").nth(1).fill("3"))
    shows(page, [0, 1, 2, 3, 8, 16])
    page.locator("#wishes summary").click()
    page.select_option("#wish-kind", "where")
    page.fill("#wish-text", "diversity < 30")
    changed(page, lambda: page.keyboard.press("Enter"))
    page.locator(".card").nth(0).focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.inner_text("#picked") == "3 selected"
    changed(page, lambda: page.keyboard.press("r"))
    page.fill("#search", "/00")
    shows(page, [3, 4, 5, 8])
    page.select_option("#tool", "lasso")
    page.select_option("#plane", "scores")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    for x, y in ((0.5, 0.01), (0.5, 0.99), (0.01, 0.99)):
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=3)
    page.mouse.up()
    until(page, "document.getElementById('view').value === 'region'")
    assert barriers(page) == []
    kept(page, "explorer-wishes")
    controls = "JSON.stringify([...document.querySelectorAll('#settings input, #view, #search, .chips code')]" + (
        ".map((one) => one.value ?? one.textContent))"
    )
    at_the_end = page.evaluate(controls)
    for _ in range(9):
        if page.is_enabled("#undo"):
            page.locator(".quota").nth(1).focus()  # where the browser's own undo would empty the field
            changed(page, lambda: page.keyboard.press("Control+z"))
            if page.input_value(".quota >> nth=1") == "3":
                quota_was_there = True
    assert not page.is_enabled("#undo") and quota_was_there
    assert page.input_value(".quota >> nth=1") == "" and page.locator(".chips code").count() == 0
    assert page.input_value("#view") == "chosen" and page.input_value("#search") == ""
    assert page.locator(".card:not([data-mark=none])").count() == 0
    while page.is_enabled("#redo"):
        changed(page, lambda: page.keyboard.press("Control+Shift+z"))
    assert page.evaluate(controls) == at_the_end
    assert "3 rejected" in page.inner_text("#status")
