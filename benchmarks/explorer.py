"""How long the explorer takes: to start, to draw the map, to answer a slider, on a pool of any size.

Run:     python benchmarks/explorer.py [--run RUN] [--images 100000] [--json FILE]
Prints:  one line per thing done: median and worst seconds of so many tries; in Chromium, where it is installed, from
         the moved slider to the painted answer. And requests that left the machine (none may), and bytes of the page.

Without --run the pool is made up (`made_up_run`), and deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from browser import opened_page
from made_up_run import made_up_run

TRIES, CLIENTS = 15, 50
Figures = dict[str, float]


def told(figures: Figures, name: str, seconds: list[float]) -> None:
    """Print and keep a median and the worst."""
    figures[f"{name}, median s"], figures[f"{name}, worst s"] = statistics.median(seconds), max(seconds)
    print(
        f"{name:44s} median {statistics.median(seconds):6.3f} s, worst {max(seconds):6.3f} s of {len(seconds)}",
        flush=True,
    )


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def served(address: str, figures: Figures) -> None:
    """The server alone."""

    def ask(path: str, content: dict[str, Any] | None = None) -> bytes:
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{address}{path}", data, {"x-thresher": "1"})) as answer:
            found: bytes = answer.read()
            return found

    facts = json.loads(ask("api/summary"))
    told(figures, "map, first time", [timed(lambda: ask("api/points"))])
    told(figures, "map, from then on", [timed(lambda: ask("api/points")) for _ in range(3)])
    budget = str(max(1, facts["pool"] // 10))
    first, ranked = facts["classes"][0]["name"], {"method": "layout_and_diversity"}
    for name, wish in (
        ("weight", {}),
        ("weight with a quota", {"quotas": {first: 50}}),
        ("weight of one data set", {"datasets": [facts["datasets"][0]["name"]]}),
    ):
        asked = [
            ranked | {"diversity_weight": (n + 1) / 20, "budget": budget if not wish else "200"} | wish
            for n in range(TRIES)
        ]
        told(figures, f"answer to a changed {name}", [timed(lambda one=one: ask("api/choose", one)) for one in asked])
    one = ranked | {"budget": budget}
    ask("api/choose", one)
    pages = [one | {"view": "chosen", "from": 60 * n, "most": 60} for n in range(5)]
    told(figures, "60 cards", [timed(lambda each=each: ask("api/gallery", each)) for each in pages])
    together(ask, one, first, figures)
    told(figures, "a thumbnail", [timed(lambda n=n: ask(f"picture/{n}/320")) for n in range(TRIES)])


def together(ask: Callable[..., bytes], settings: dict[str, Any], name: str, figures: Figures) -> None:
    """Many clients at once, each with settings of its own; and each with the same ones."""
    for words, wish in (("", {}), (" with a quota", {"quotas": {name: 50}})):
        for same in (False, True):
            asked = [settings | {"diversity_weight": 0.301 if same else 0.4 + n / 1000} | wish for n in range(CLIENTS)]
            with ThreadPoolExecutor(CLIENTS) as pool:
                started = time.perf_counter()

                def one(content: dict[str, Any], started: float = started) -> float:
                    ask("api/choose", content)
                    return time.perf_counter() - started

                seconds = list(pool.map(one, asked))
            told(figures, f"{CLIENTS} clients at once{words}, {'the same' if same else 'all different'}", seconds)


def in_chromium(address: str, figures: Figures) -> None:
    """The page as a person sees it."""
    # Painted: the frame after the one in which the answer was put into the page.
    moved = """([control, value]) => new Promise((done) => {
      const one = document.querySelector(control), before = document.body.dataset.chosen, start = performance.now();
      one.value = value;
      one.dispatchEvent(new Event('input', { bubbles: true }));
      const look = () => (document.body.dataset.chosen === before ? requestAnimationFrame(look)
        : requestAnimationFrame(() => requestAnimationFrame(() => done((performance.now() - start) / 1000))));
      look();
    })"""
    requests: list[str] = []
    with opened_page(requests, viewport={"width": 1500, "height": 950}) as page:
        if page is None:
            return
        opening = timed(lambda: (page.goto(address), page.wait_for_selector(".card")))
        told(figures, "page open, first cards there", [opening])
        told(figures, "map painted after that", [timed(lambda: page.wait_for_selector("#canvas[data-ready]"))])
        again = [timed(lambda: (page.goto(address), page.wait_for_selector(".card"))) for _ in range(5)]
        told(figures, "page opened again, first cards there", again)
        page.wait_for_selector("#canvas[data-ready]")
        for words, control, values in (
            ("slider moved", "#weight", [(n + 1) / 20 for n in range(TRIES)]),
            ("quota changed", ".quota", [100 + n for n in range(TRIES)]),
        ):
            seconds = []
            for value in values:
                seconds.append(page.evaluate(moved, [control, value]))
                page.wait_for_timeout(600)  # a person looks at it
            told(figures, f"{words} to answer painted", seconds)
        away = [each for each in requests if not each.startswith((address, "data:", "blob:"))]
        figures["requests to elsewhere"] = len(away)
        print(f"requests to elsewhere: {len(away)} of {len(requests)}")


def main() -> None:
    """Print every figure and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--json", default="explorer.json")
    asked = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        run = asked.run or made_up_run(Path(folder) / "made_up", asked.images).folder
        command = [sys.executable, "-m", "thresher", "explore", str(run), "--port", "0"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = process.stdout.readline().removeprefix("explore: ").strip()
            told(figures, "start, tables read", [time.perf_counter() - started])
            try:
                served(address, figures)
                in_chromium(address, figures)
            finally:
                memory = next(
                    line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line
                )
                figures["server's peak MB"] = int(memory.split()[1]) / 1024
                print(f"server's peak: {figures['server' + chr(39) + 's peak MB']:.0f} MB")
                process.terminate()
    Path(asked.json).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
