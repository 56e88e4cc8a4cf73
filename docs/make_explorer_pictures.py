"""Draws docs/images/explorer*.jpg: the explorer on the demo's run, as a browser shows it.

Run: thresher demo demo && python docs/make_explorer_pictures.py demo/run    (needs Chromium and playwright)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from thresher.run.folder import Run
from thresher.run.opened import OpenedRun

IMAGES = Path(__file__).parent / "images"
#: The states in which a page is to be looked at.
STATES = [(width, scheme) for width in (1400, 1024, 390) for scheme in ("light", "dark")]
#: The map of a run that is shown for the first time takes a while.
WAIT_MS = 120_000


def save(picture: Image.Image, name: str, width: int) -> None:
    """The picture, no wider than so many pixels."""
    picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    picture.save(IMAGES / f"{name}.jpg", quality=80, optimize=True)


def shot(page: Page) -> Image.Image:
    """What the window shows, once every picture in it is there."""
    page.evaluate("[...document.images].forEach((each) => { each.decoding = 'sync'; })")
    page.wait_for_timeout(1500)
    return Image.open(BytesIO(page.screenshot(timeout=WAIT_MS))).convert("RGB")


def opened(browser: Browser, address: str, size: tuple[int, int], scheme: str = "light") -> Page:
    """The page with its first choice and its map, and nothing that still waits."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page.set_default_timeout(WAIT_MS)
    page.goto(address, timeout=WAIT_MS)
    page.wait_for_selector("#canvas[data-ready]")
    page.wait_for_selector("#notice", state="hidden")
    return page


def states(browser: Browser, address: str) -> Image.Image:
    """The first screen in all states on one sheet, light above and dark below."""
    shots = []
    for width, scheme in STATES:
        page = opened(browser, address, (width, 900), scheme)
        shots.append(shot(page))
        page.close()
    sheet = Image.new("RGB", (sum(each.width for each in shots[::2]) + 40, 1820), (128, 128, 128))
    for number, each in enumerate(shots):
        left = sum(wide.width + 20 for wide in shots[: number - number % 2 : 2])
        sheet.paste(each, (left, 920 * (number % 2)))
    return sheet


def main(run: Path) -> None:
    """Every picture."""
    command = [sys.executable, "-m", "thresher", "explore", str(run), "--port", "0"]
    with sync_playwright() as playwright, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise ValueError("the explorer prints no address")
            address = process.stdout.readline().removeprefix("explore: ").strip()
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = opened(browser, address, (1440, 900))
            save(shot(page), "explorer", 1440)
            page.set_input_files("#picture-file", OpenedRun(Run(run)).target["path"][0])  # an image of the target
            page.wait_for_selector("#query:not([hidden])")
            box = page.locator("#gallery-part").bounding_box()
            if box is None:
                raise ValueError("the gallery is not on the page")
            found = shot(page).crop((int(box["x"]) - 8, int(box["y"]) - 8, int(box["x"] + box["width"]) + 8, 900))
            save(found, "explorer-picture", 900)
            page.close()
            page = opened(browser, address, (1100, 900))
            page.locator("#gallery .card .shot").first.click()
            page.wait_for_selector("#details .reasons li")
            page.click("#details button:has-text('Heat map')")
            page.wait_for_selector("#details .heat img")
            save(shot(page), "explorer-heat", 1100)
            page.close()
            save(states(browser, address), "explorer-states", 1600)
            browser.close()
        finally:
            process.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
