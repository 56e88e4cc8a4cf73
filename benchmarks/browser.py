"""The system's Chromium, driven by playwright, for the benchmarks that open a page."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def opened_page(requests: list[str], **options: Any) -> Iterator[Any]:
    """An empty page that notes every request that it makes; None, said on stdout, where no Chromium is installed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium is installed: the page was not measured")
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(**options)
        page.on("request", lambda request: requests.append(request.url))
        yield page
        browser.close()
