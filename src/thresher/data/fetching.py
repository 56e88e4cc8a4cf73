"""Files fetched by HTTP: several at once, at a bounded rate, each tried again with growing pauses, whole or not there.

Every file is written under another name first and renamed once it is complete, so what is there is whole, and a second
call fetches only what is missing.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import random
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thresher.data.faults import reason
from thresher.data.image_files import decoding, opened_image
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.settings import converted, default

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

#: Answers after which another try may help: too busy, or a fault of the server. Source: RFC 9110, section 15.
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
#: The first pause before another try, doubled each time, and the longest, also of those that a server asks for.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 120.0
LARGEST_BYTES = 500_000_000
_CHUNK, _REDIRECTS = 1 << 16, 5


@converted
@dataclass(frozen=True)
class DownloadSettings:
    """How images are downloaded."""

    parallel: int = 8
    """Images fetched at the same time."""
    per_second: float = 50.0
    """At most so many requests per second. 0 = no limit."""
    tries: int = 5
    """Tries of each address, with growing pauses between them; what is not there (404) is tried once."""
    timeout_s: float = 30.0
    """A connection that is silent for so long, or an image that takes ten times as long, is given up."""
    originals: bool = default(False)
    """Where the data set's own copy cannot be had, take the photo that was uploaded, if its address is known (Open
    Images: a larger file of the same picture, compared with its checksum)."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: a number below the least that works.
        """
        for name, least in (("parallel", 1), ("tries", 1), ("per_second", 0), ("timeout_s", 0.01)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected {least} or more.")


@dataclass(frozen=True)
class Address:
    """Where a file is to be had."""

    url: str
    md5: str | None = None
    """MD5 of its bytes in hexadecimal digits."""
    size_bytes: int | None = None


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: the first of its addresses that gives it will do."""

    name: str
    path: Path
    addresses: Sequence[Address]


@dataclass(frozen=True)
class Fetched:
    """What became of a file: its size, or why it is not there."""

    wanted: Wanted
    size_bytes: int = 0
    problem: str = ""


class _Again(Exception):
    """A try that failed and may succeed later, and the pause that the server asks for, in seconds."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class _Pace:
    """When the next request may begin: one after the other at the rate, and none while a server asks for a pause."""

    def __init__(self, per_second: float) -> None:
        self._step = 1 / per_second if per_second else 0.0
        self._next, self._lock, self.stopped = 0.0, threading.Lock(), threading.Event()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._step
        self.stopped.wait(at - now)

    def hold(self, seconds: float) -> None:
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def fetched(
    wanted: Iterable[Wanted],
    settings: DownloadSettings,
    draw: Callable[[], float] = random.random,
) -> Iterator[Fetched]:
    """Each file once it is there or given up, in the order in which they end.

    A file is complete if it has the length that the server states and the checksum that is known, and is an image.

    Args:
        draw: A number from 0 to 1 that spreads the pauses, so that tries do not come all at once.

    Raises:
        OSError: a file cannot be written.
    """
    web, pace = _Web(settings), _Pace(settings.per_second)
    waiting: set[Future[Fetched]] = set()
    todo = iter(wanted)
    with ThreadPoolExecutor(settings.parallel) as threads:
        try:
            more = True
            while more or waiting:
                while more and len(waiting) < 2 * settings.parallel:
                    each = next(todo, None)
                    more = each is not None
                    if each is not None:
                        waiting.add(threads.submit(_one, each, web, pace, settings, draw))
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:  # also where the caller has had enough, or is interrupted
            pace.stopped.set()
            threads.shutdown(cancel_futures=True)


def _one(wanted: Wanted, web: _Web, pace: _Pace, settings: DownloadSettings, draw: Callable[[], float]) -> Fetched:
    failures = []
    for address in wanted.addresses:
        content, why = _tried(address, web, pace, settings, draw)
        if content is not None:
            with replacing(wanted.path) as file:
                file.write(content)
            return Fetched(wanted, len(content))
        failures.append(f"{address.url}: {why}")
    return Fetched(wanted, problem="; ".join(failures) or "no address is known")


def _tried(
    address: Address, web: _Web, pace: _Pace, settings: DownloadSettings, draw: Callable[[], float]
) -> tuple[bytes | None, str]:
    """The content at an address, or why it is not to be had."""
    why = ""
    for number in range(1, settings.tries + 1):
        pace.wait()
        if pace.stopped.is_set():
            return None, "interrupted"
        try:
            return web.content(address), ""
        except DataError as error:
            return None, str(error)
        except _Again as error:
            why = f"{error} ({number} {'tries' if number > 1 else 'try'})"
            if error.pause_s:  # the server speaks for all requests
                pace.hold(min(error.pause_s, LONGEST_PAUSE_S))
            elif number < settings.tries:
                pause = min(FIRST_PAUSE_S * 2 ** (number - 1), LONGEST_PAUSE_S)
                pace.stopped.wait(pause * (0.5 + draw() / 2))
    return None, why


class _Web:
    """Connections that are kept open, through the proxy that the environment names."""

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings, self._managers = settings, dict[str, Any]()
        self._proxies, self._lock = urllib.request.getproxies(), threading.Lock()

    def _manager(self, url: str) -> PoolManager:
        import urllib3

        scheme, host = url.partition("://")[0].lower(), urllib.parse.urlsplit(url).hostname or ""
        proxy = "" if urllib.request.proxy_bypass(host) else self._proxies.get(scheme, "")
        with self._lock:
            if proxy not in self._managers:
                many, headers = self._settings.parallel, {"User-Agent": "thresher"}
                plain = urllib3.PoolManager(maxsize=many, headers=headers)
                made = urllib3.ProxyManager(proxy, maxsize=many, headers=headers) if proxy else plain
                self._managers[proxy] = made
            manager: PoolManager = self._managers[proxy]
        return manager

    def content(self, address: Address) -> bytes:
        """The complete content.

        Raises:
            DataError: it is not there, or is something else: another try would not help.
            _Again: another try may help.
        """
        import urllib3

        if not address.url.lower().startswith(("http://", "https://")):
            raise DataError("no address of http or https")
        limits = urllib3.Timeout(connect=self._settings.timeout_s, read=self._settings.timeout_s)
        retries = urllib3.Retry(
            connect=0, read=0, status=0, other=0, redirect=_REDIRECTS, respect_retry_after_header=False
        )
        try:
            answer = self._manager(address.url).request(
                "GET", address.url, timeout=limits, retries=retries, preload_content=False, decode_content=False
            )
            with contextlib.closing(answer):
                return self._checked(answer, address)
        except urllib3.exceptions.LocationParseError as error:
            raise DataError(f"no address ({reason(error)})") from error
        except urllib3.exceptions.HTTPError as error:
            if isinstance(getattr(error, "reason", None), urllib3.exceptions.ResponseError):
                raise DataError(f"more than {_REDIRECTS} redirections") from error
            raise _Again(_in_words(error)) from error

    def _checked(self, answer: BaseHTTPResponse, address: Address) -> bytes:
        if answer.status in TRY_AGAIN:
            raise _Again(f"HTTP {answer.status}", _asked_pause(answer.headers.get("Retry-After", "")))
        if answer.status != 200:
            raise DataError(f"HTTP {answer.status}")
        content = self._read(answer)
        expected = address.md5 or _stated_md5(answer)
        if expected is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != expected.lower():
            raise _Again("another checksum than is stated")
        if address.size_bytes is not None and len(content) != address.size_bytes:
            raise _Again(f"{len(content)} bytes in place of {address.size_bytes}")
        whole = expected is not None or "Content-Length" in answer.headers
        _refuse_no_image(content, address.url, whole)
        return content

    def _read(self, answer: BaseHTTPResponse) -> bytes:
        content, ends = io.BytesIO(), time.monotonic() + 10 * self._settings.timeout_s
        while chunk := answer.read(_CHUNK):
            content.write(chunk)
            if content.tell() > LARGEST_BYTES:
                raise DataError(f"longer than {LARGEST_BYTES >> 20} MiB")
            if time.monotonic() > ends:
                raise _Again(f"not complete after {10 * self._settings.timeout_s:g} s")
        return content.getvalue()


def _refuse_no_image(content: bytes, url: str, whole: bool) -> None:
    """Refuse what is no image; if nobody has stated the length, also one that is cut off, which costs its decoding."""
    cut = ""
    with decoding(url), opened_image(io.BytesIO(content)) as image:
        if not whole:
            image.draft("RGB", (64, 64))
            try:
                image.load()
            except OSError as error:
                cut = reason(error)
    if cut:
        raise _Again(f"cut off ({cut})")


def _stated_md5(answer: BaseHTTPResponse) -> str | None:
    """The checksum that the server states: RFC 1864's header, or the tag of an object that S3 keeps in one piece."""
    stated = answer.headers.get("Content-MD5")
    if stated:
        with contextlib.suppress(ValueError):
            return base64.b64decode(stated).hex()
    tag = answer.headers.get("ETag", "").strip('"')
    encrypted = any(name.lower().startswith("x-amz-server-side-encryption") for name in answer.headers)
    plain = answer.headers.get("Server", "") == "AmazonS3" and not encrypted
    return tag if plain and len(tag) == 32 and all(digit in "0123456789abcdef" for digit in tag) else None


def _asked_pause(text: str) -> float:
    """The seconds of a header Retry-After; 0 without one, or where it is a date."""
    return float(text) if text.strip().isdecimal() else 0.0


def _in_words(error: Exception) -> str:
    """What went wrong on the way.

    urllib3's own words hold the address and the connection's place in memory.
    """
    import urllib3.exceptions as kinds

    cause = getattr(error, "reason", None) or error
    cause = cause.__cause__ if isinstance(cause.__cause__, kinds.IncompleteRead) else cause
    for kind, words in (
        (kinds.NameResolutionError, "the host's name is not known"),
        (kinds.ConnectTimeoutError, "no connection in time"),
        (kinds.ReadTimeoutError, "silent for too long"),
        (kinds.IncompleteRead, "cut off"),
        (kinds.SSLError, "no secure connection"),
        (kinds.NewConnectionError, "no connection"),
        (kinds.ProtocolError, "the connection was broken off"),
    ):
        if isinstance(cause, kind):
            return words
    return type(cause).__name__
