"""Downloads from a server of our own that drops, truncates, stalls, redirects, and answers 404, 429 and 500."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from thresher.data.fetching import Address, DownloadSettings, Fetched, Wanted, fetched
from thresher.errors import SettingsError


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 48), shade).convert("RGB").save(file, "JPEG")
    return file.getvalue()


PICTURE = jpeg(60)
MD5 = hashlib.md5(PICTURE).hexdigest()


class Server(ThreadingHTTPServer):
    """Counts what is asked for; a path `/KIND-N/…` misbehaves N times and then gives the picture."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.asked[self.path] += 1
            server.times.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            kind, _, often = self.path.split("/")[1].partition("-")
            if server.asked[self.path] <= int(often or 0):
                self.misbehave(kind)
            else:
                self.give(PICTURE)
        finally:
            with server.lock:
                server.at_once -= 1

    def misbehave(self, kind: str) -> None:
        half = len(PICTURE) // 2
        answers = {
            "drop": {"content": b"", "cut": 0, "status": 0},
            "truncate": {"content": PICTURE, "cut": half},
            # Without a length only the picture shows that it is cut off.
            "endless": {"content": PICTURE[:half], "length": False},
            "stall": {"content": PICTURE, "cut": 100, "pause": 0.6},
            "slow": {"content": PICTURE, "before": 0.1},
            "other": {"content": jpeg(90)},
            "page": {"content": b"<html>Please log in</html>"},
            "redirect": {"status": 302, "headers": {"Location": "/ok/there.jpg"}},
            "circle": {"status": 302, "headers": {"Location": self.path}},
            "wait": {"status": 429, "headers": {"Retry-After": "1"}},
        }
        self.give(**answers.get(kind) or {"status": int(kind)})  # type: ignore[arg-type]

    def give(
        self,
        content: bytes = b"",
        status: int = 200,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
        pause: float = 0.0,
        before: float = 0.0,
        length: bool = True,
    ) -> None:
        self.close_connection = not length or cut is not None
        if not status:
            return
        time.sleep(before)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])
        self.wfile.flush()
        time.sleep(pause)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(folder: Path, *addresses: Address | str, **settings: float) -> Fetched:
    known = [each if isinstance(each, Address) else Address(each) for each in addresses]
    asked = DownloadSettings(**{"tries": 3, "timeout_s": 0.3, "per_second": 0} | settings)  # type: ignore[arg-type]
    (found,) = fetched([Wanted("a", folder / "a.jpg", known)], asked, draw=lambda: -0.9)
    return found


@pytest.mark.parametrize(
    ("kind", "requests"),
    [("ok", 1), ("drop-2", 3), ("truncate-1", 2), ("endless-1", 2), ("stall-1", 2), ("500-2", 3), ("redirect-1", 1)],
)
def test_a_fault_of_the_way_is_tried_again_until_the_picture_is_whole(
    tmp_path: Path, server: Server, kind: str, requests: int
) -> None:
    found = get(tmp_path, Address(server.at(f"{kind}/a.jpg"), None if kind == "endless-1" else MD5))
    assert found.problem == ""
    assert (tmp_path / "a.jpg").read_bytes() == PICTURE
    assert server.asked[f"/{kind}/a.jpg"] == requests


@pytest.mark.parametrize(
    ("kind", "requests", "words"),
    [
        ("404-9", 1, "HTTP 404"),
        ("403-9", 1, "HTTP 403"),
        ("500-9", 3, r"HTTP 500 \(3 tries\)"),
        ("truncate-9", 3, r"cut off \(3 tries\)"),
        ("stall-9", 3, r"silent for too long \(3 tries\)"),
        ("other-9", 3, r"another checksum than is stated \(3 tries\)"),
        ("page-9", 1, "not a readable image"),
        ("circle-99", 6, "more than 5 redirections"),
    ],
)
def test_what_cannot_be_had_says_why_and_leaves_no_file(
    tmp_path: Path, server: Server, kind: str, requests: int, words: str
) -> None:
    found = get(tmp_path, Address(server.at(f"{kind}/a.jpg"), None if kind == "page-9" else MD5))
    assert found.size_bytes == 0
    assert re.search(words, found.problem), found.problem
    assert server.asked[f"/{kind}/a.jpg"] == requests
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_asks_for_a_pause_gets_it(tmp_path: Path, server: Server) -> None:
    begun = time.monotonic()
    assert get(tmp_path, server.at("wait-1/a.jpg")).problem == ""
    assert time.monotonic() - begun >= 1


def test_the_next_address_is_taken_where_the_first_has_nothing(tmp_path: Path, server: Server) -> None:
    assert get(tmp_path, server.at("404-9/a.jpg"), server.at("ok/a.jpg")).problem == ""
    assert (tmp_path / "a.jpg").read_bytes() == PICTURE


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a.jpg", "http://", "http://127.0.0.1:1/a.jpg"])
def test_no_server_is_one_line(tmp_path: Path, url: str) -> None:
    found = get(tmp_path, url, tries=1)
    assert found.problem.startswith(f"{url}: ")
    assert "\n" not in found.problem


def test_several_at_once_and_no_faster_than_allowed(tmp_path: Path, server: Server) -> None:
    wanted = [Wanted(str(n), tmp_path / f"{n}.jpg", [Address(server.at(f"slow-1/{n}.jpg"))]) for n in range(12)]
    found = list(fetched(wanted, DownloadSettings(parallel=4, per_second=40)))
    assert sorted(each.wanted.name for each in found) == sorted(map(str, range(12)))
    assert not any(each.problem for each in found)
    assert 2 <= server.most_at_once <= 4
    assert server.times[-1] - server.times[0] >= 11 / 40 - 0.02


def test_who_stops_early_leaves_whole_files_only(tmp_path: Path, server: Server) -> None:
    wanted = [Wanted(str(n), tmp_path / f"{n}.jpg", [Address(server.at(f"slow-1/{n}.jpg"))]) for n in range(40)]
    found = fetched(wanted, DownloadSettings(parallel=2, per_second=0))
    next(found)
    found.close()  # type: ignore[attr-defined]
    there = list(tmp_path.iterdir())
    assert 1 <= len(there) < 40
    assert all(path.read_bytes() == PICTURE for path in there)


@pytest.mark.parametrize("setting", [{"parallel": 0}, {"tries": 0}, {"per_second": -1}, {"timeout_s": 0}])
def test_settings_that_cannot_work_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        DownloadSettings(**setting)
