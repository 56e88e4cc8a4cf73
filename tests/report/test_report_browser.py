"""The page in a browser: it asks for nothing, draws everything, and keeps nobody out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thresher.run.folder import Run

pytestmark = pytest.mark.slow

#: Where a canvas is coloured below its title and legend, in shares of its width and height: on the dots.
COLOURED = """(selector) => {
  const canvas = document.querySelector(selector), { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const found = [];
  for (let y = Math.round(0.35 * height); y < height; y += 2) for (let x = 0; x < width; x += 2) {
    const sign = data.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
    if (Math.max(...sign) - Math.min(...sign) > 60) found.push([(x + 0.5) / width, (y + 0.5) / height]);
  }
  return found.filter((_, n) => n % Math.ceil(found.length / 20) === 0);
}"""


def opened(chromium: Any, html: Path, **how: Any) -> tuple[Any, list[str]]:
    """The page, and what it complains of or asks the network for."""
    shown, found = chromium.new_page(reduced_motion="reduce", **how), []
    shown.on("request", lambda each: found.extend([each.url] * (not each.url.startswith(("file:", "data:")))))
    shown.on("console", lambda message: found.append(message.text))
    shown.on("pageerror", lambda error: found.append(str(error)))
    shown.goto(html.as_uri())
    return shown, found


def test_the_dark_page_is_drawn_and_keeps_nobody_out(
    chromium: Any, barriers: Callable[[Any], list[str]], html: Path
) -> None:
    shown, complaints = opened(chromium, html, color_scheme="dark")
    shown.evaluate("thresher.drawAll()")
    assert all(chart.query_selector("svg, canvas") for chart in shown.query_selector_all("[data-chart]"))
    assert barriers(shown) == []
    assert complaints == []
    shown.close()


def test_the_page_opens_in_a_browser_without_any_request(
    chromium: Any, barriers: Callable[[Any], list[str]], html: Path
) -> None:
    shown, complaints = opened(chromium, html, color_scheme="light")
    shown.evaluate("thresher.drawAll()")
    charts = shown.query_selector_all("[data-chart]")
    assert len(charts) >= 7
    assert all(chart.query_selector("svg, canvas") for chart in charts)
    assert all(section.inner_text().strip() for section in shown.query_selector_all("main > section"))
    levels = [int(each.evaluate("each => each.tagName[1]")) for each in shown.query_selector_all("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    shown.locator("details.more > summary").first.click()
    shown.locator(".look").first.click()
    pixel = "[...document.querySelector('.heated canvas').getContext('2d').getImageData(1, 1, 1, 1).data]"
    assert shown.evaluate(pixel) == [38, 12, 74, 255]  # the far slice has the darkest colour
    assert barriers(shown) == []
    shown.locator(".look").first.click()
    assert shown.locator(".heated").count() == 0
    shown.locator("[data-chart=map]").scroll_into_view_if_needed()
    box = shown.locator("[data-chart=map] canvas").bounding_box()
    for across, down in shown.evaluate(COLOURED, "[data-chart=map] canvas"):
        shown.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        if shown.locator("[data-chart=map] .preview img").is_visible():
            break
    assert shown.locator("[data-chart=map] .preview").inner_text().split(":")[0] in ("target", "pool", "selection")
    # Bounds list the images within them, as the brush does.
    scores = json.loads(shown.eval_on_selector("#chart-scatter", "e => e.textContent"))["points"]
    bound = sorted(scores["diversity"])[-5]
    shown.fill("[name=y0]", str(bound))
    within = sum(value >= bound for value in scores["diversity"])
    assert shown.inner_text(".found").startswith(f"{within} images")
    assert shown.query_selector(".brushed img")
    shown.query_selector("[data-chart=scatter] canvas").scroll_into_view_if_needed()
    box = shown.query_selector("[data-chart=scatter] canvas").bounding_box()
    shown.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    shown.mouse.down()
    shown.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    shown.mouse.up()
    for _ in range(200):
        if shown.input_value("[name=x1]"):
            break
        shown.wait_for_timeout(20)
    low, high = (float(shown.input_value(f"[name={name}]")) for name in ("x0", "x1"))
    assert min(scores["layout"]) - 1 < low < high < max(scores["layout"]) + 1
    assert shown.evaluate("window.hacked") is None
    assert complaints == []
    shown.close()


def test_sheets_have_the_legend_of_what_was_on_the_screen(chromium: Any, html: Path) -> None:
    shown = chromium.new_page()
    shown.goto(html.as_uri())
    shown.locator("details.more > summary").first.click()
    button = shown.locator(".look").first
    for pressed in ("true", "false"):
        button.focus()
        shown.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == pressed
        shown.emulate_media(media="print")
        assert shown.locator(".legend ul").is_visible()
        assert shown.locator(".scale").is_visible() == (pressed == "true")
        assert not button.is_visible() and not shown.locator(".legend label").is_visible()
        shown.emulate_media(media="screen")
    shown.uncheck("#boxes")
    shown.emulate_media(media="print")
    assert not shown.locator(".legend ul").is_visible()
    shown.close()


def test_two_selections_stand_side_by_side_and_the_page_fits_a_telephone(chromium: Any, html: Path, run: Run) -> None:
    shown = chromium.new_page(viewport={"width": 1200, "height": 800})
    shown.goto(html.as_uri())
    answers = shown.locator(".answer")
    assert [each.is_visible() for each in answers.all()] == [True, False]
    shown.select_option("[name=beside]", "drawn")
    first, second = (each.bounding_box() for each in answers.all())
    assert first["y"] == second["y"] and second["x"] > first["x"] + first["width"]
    ids = [set(pl.read_parquet(run.selection_path(name))["image_id"]) for name in ("mine", "drawn")]
    assert shown.inner_text(".shared") == f"{len(ids[0] & ids[1])} images are in both"
    shown.select_option("[name=beside]", "")
    shown.select_option("[name=shown]", "drawn")
    assert [each.is_visible() for each in answers.all()] == [False, True]
    shown.set_viewport_size({"width": 390, "height": 844})
    shown.evaluate("thresher.drawAll()")
    assert shown.evaluate("document.documentElement.scrollWidth") == 390
    for chart in shown.query_selector_all(".canvas svg, .canvas canvas"):
        assert chart.bounding_box()["width"] <= 390
    shown.close()


def test_a_planted_barrier_is_found(chromium: Any, barriers: Callable[[Any], list[str]]) -> None:
    shown = chromium.new_page()
    shown.set_content(
        "<html lang=en><title>t</title><main><h1>t</h1><img src='data:,'><p style='color:#eee'>pale</p></main>"
    )
    found = barriers(shown)
    assert [each.split()[0] for each in found] == ["color-contrast", "image-alt"]
    shown.close()
