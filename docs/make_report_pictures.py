"""Draws docs/images/report-*.jpg: the report on the demo's run, as a browser shows it.

Run: thresher demo demo && python docs/make_report_pictures.py demo/run    (needs Chromium, and pip install playwright)
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
#: The states in which a page is to be looked at.
STATES = [(width, scheme) for width in (1400, 1024, 390) for scheme in ("light", "dark")]
#: Parts of the page by the name of their picture: what is shown, and at most how much of its height.
PARTS = {
    "gallery": ("#selection", 1250),
    "distributions": ("[data-chart=similarity]", 700),
    "classes": ("[data-chart=classes]", 900),
    "comparison": ("#comparison", 1500),
    "mixture": ("#mixture", 1700),
    "problems": ("#problems", 1100),
}


def save(content: bytes, name: str, width: int = 1000) -> None:
    """The picture, no wider than so many pixels."""
    picture = Image.open(BytesIO(content)).convert("RGB")
    picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    picture.save(IMAGES / f"report-{name}.jpg", quality=78, optimize=True)


def part(page: Page, selector: str, most: float) -> bytes:
    """A part of the page, from its top."""
    place = page.locator(selector)
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    top = page.evaluate("window.scrollY")
    if box is None:
        raise ValueError(f"{selector}: not on the page")
    clip = {"x": box["x"], "y": box["y"] + top, "width": box["width"], "height": min(box["height"], most)}
    return page.screenshot(clip=clip, full_page=True)  # type: ignore[arg-type]


def brushed(page: Page) -> bytes:
    """The scatter plot with a rectangle over its upper right, and the images within."""
    place = page.locator("[data-chart=scatter]")
    place.scroll_into_view_if_needed()
    box = place.locator("canvas").bounding_box()
    if box is None:
        raise ValueError("the scatter plot is not drawn")
    page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    return part(page, "[data-chart=scatter]", 1200)


def main(run: Path) -> None:
    """Every picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        states = []
        for width, scheme in STATES:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.goto((run / "report.html").absolute().as_uri(), timeout=300_000)
            page.wait_for_timeout(500)
            states.append(Image.open(BytesIO(page.screenshot(timeout=300_000))).convert("RGB"))
            page.close()
        sheet = Image.new("RGB", (sum(each.width for each in states[::2]) + 40, 1820), (128, 128, 128))
        for number, state in enumerate(states):
            left = sum(each.width + 20 for each in states[: number - number % 2 : 2])
            sheet.paste(state, (left, 920 * (number % 2)))
        kept = BytesIO()
        sheet.save(kept, "PNG")
        save(kept.getvalue(), "states", 1600)
        page = browser.new_page(viewport={"width": 1400, "height": 980}, reduced_motion="reduce")
        page.goto((run / "report.html").absolute().as_uri(), timeout=300_000)
        page.wait_for_timeout(500)
        page.set_default_timeout(300_000)
        save(page.screenshot(), "answer", 1200)
        page.evaluate("thresher.drawAll()")
        page.evaluate("[...document.querySelectorAll('#selection .look')].slice(0, 3).forEach((each) => each.click())")
        page.evaluate("[...document.images].forEach((each) => { each.decoding = 'sync'; })")
        page.wait_for_timeout(1500)
        for name, (selector, most) in PARTS.items():
            save(part(page, selector, most), name)
        save(brushed(page), "brush")
        page.select_option("[data-chart=map] select", label="most frequent class")
        page.wait_for_timeout(800)
        save(part(page, "[data-chart=map]", 900), "map")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
