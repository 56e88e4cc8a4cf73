"""explore: a run → a local web application to view, change and save a selection."""

from __future__ import annotations

import getpass
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher import extras, tables
from thresher.errors import SettingsError, quoted
from thresher.explorer.review import UNMARKED, Review
from thresher.explorer.rows import run_rows
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult
from thresher.run.state import refuse_outdated
from thresher.settings import OptionalPath, Paths, converted, default, restored
from thresher.stages.select import SelectSettings

if TYPE_CHECKING:
    from thresher.features.words import TextEncoder


@converted
@dataclass(frozen=True)
class ExploreSettings:
    """What the explorer opens, who reviews, and the address it serves."""

    selection: str = ""
    """Open this selection: its settings and, if it has one, its review. Default: the default settings of select, with
    method layout+images if the pool has no boxes."""
    person: str = ""
    """Name of the reviewer, stored in saved reviews. Default: your login name."""
    port: int = 8765
    """Port to listen on. 0 = any free port."""
    host: str = "127.0.0.1"
    """Address to listen on. With any but a loopback address, everyone who can reach it sees the images and can save."""
    text_encoder: OptionalPath = default(None)
    """Search images by words: the text encoder (.onnx) of the model whose image encoder the run was embedded with."""
    tokenizer: OptionalPath = default(None)
    """The text encoder's tokenizer.json."""
    roots: Paths = default(())
    """Further folders whose images may be shown, such as targets of links. Default: only the roots given to index."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port = {self.port}: expected 0 to 65535.")
        if (self.text_encoder is None) != (self.tokenizer is None):
            given = f"text_encoder = {self.text_encoder}" if self.tokenizer is None else f"tokenizer = {self.tokenizer}"
            raise SettingsError(f"{given}: expected text_encoder and tokenizer together.")


def explore(
    run: AnyRun, settings: ExploreSettings | None = None, *, opened: Callable[[str], None] = lambda address: None
) -> StageResult:
    """Serve the explorer until it is interrupted.

    Args:
        opened: Called with the address once the server is listening.

    Raises:
        SettingsError: there is no such selection, the port is taken, the text encoder does not suit the run, or the
            optional part `explore` or `text` is not installed.
        DataError: score has not run.
    """
    run = as_run(run)
    settings = settings or ExploreSettings()
    extras.require("explore", "explore")
    import uvicorn

    listening = _listening(settings)
    with listening:
        app = explorer(run, settings)
        address = f"http://{settings.host}:{listening.getsockname()[1]}/"
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        opened(address)
        server.run(sockets=[listening])
    return StageResult("explore", "done", {"address": address})


def explorer(run: Run, settings: ExploreSettings) -> Any:
    """The web application (ASGI) for one run and one person.

    Raises:
        SettingsError: there is no such selection, or the text encoder does not suit the run.
        DataError: score has not run, or a table is outdated or damaged.
    """
    from thresher.explorer.answers import Answers
    from thresher.explorer.application import application

    # Of a selection only settings and review are read, and the choice is made anew: it may be outdated.
    refuse_outdated(run, ["index", "embed", "fit", "score"])
    opened = OpenedRun(run)
    start, before = _start(opened, settings.selection)
    rows = run_rows(opened, settings.roots, start)
    review = Review(settings.person or getpass.getuser(), before)
    gone = review.marks().join(rows.candidates.images, on="image_id", how="anti")
    review.mark((image_id, UNMARKED) for image_id in gone["image_id"])  # the page cannot: they are not in the pool
    return application(Answers(rows, review, start, _words(opened, settings)), _hosts(settings.host))


def _words(opened: OpenedRun, settings: ExploreSettings) -> TextEncoder | None:
    """The text encoder that was given; None without one."""
    if settings.text_encoder is None or settings.tokenizer is None:
        return None
    from thresher.features.words import text_encoder_of_width

    width = opened.pooled["vector"].dtype.shape[0]  # type: ignore[attr-defined]
    return text_encoder_of_width(settings.text_encoder, settings.tokenizer, width)


def _start(opened: OpenedRun, name: str) -> tuple[SelectSettings, pl.DataFrame | None]:
    """The settings of a selection, and its review if it has one."""
    from thresher.explorer.answers import AT_ONCE

    if not name:
        plain = SelectSettings() if opened.scores["diversity"].count() else SelectSettings("layout+images")
        # Of a large pool the first choice with coverage takes tens of seconds: the page opens without it.
        covers = opened.has_vectors and opened.pool.height <= AT_ONCE
        return plain if covers else replace(plain, coverage="off"), None
    run, recorded = opened.run, opened.settings_of(f"select:{name}")
    if not recorded:
        raise SettingsError(
            f"selection '{name}': {run.manifest} has no record of it. "
            f"Run `thresher select {quoted(run.folder)} --name {name} …` again first."
        )
    settings = restored(SelectSettings, recorded)
    return settings, tables.read(run.review(settings.review), tables.REVIEW) if settings.review else None


def _listening(settings: ExploreSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"{settings.host}:{settings.port}: cannot listen there ({error.strerror}). "
            "Choose another --port, or 0 for any free one."
        ) from error
    listening.listen(128)
    return listening


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(host: str) -> list[str]:
    """Host names that requests may use; all, if the explorer does not listen on loopback."""
    return ["127.0.0.1", "localhost", "[::1]", host] if is_loopback(host) else ["*"]
