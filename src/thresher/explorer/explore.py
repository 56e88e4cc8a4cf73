"""explore: a run → a web application of this machine, to look at a selection, change it, and save it."""

from __future__ import annotations

import getpass
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher import extras, tables
from thresher.errors import SettingsError
from thresher.explorer.review import UNMARKED, Review
from thresher.explorer.rows import run_rows
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult
from thresher.settings import Paths, converted, default
from thresher.stages.select import SelectSettings, settings_from


@converted
@dataclass(frozen=True)
class ExploreSettings:
    """What is shown first, to whom, and where."""

    selection: str = ""
    """Open this selection: its settings and, if it has one, its review. Default: select's default settings."""
    person: str = ""
    """Who reviews, as saved reviews will name them; by default the name that you are logged in by."""
    port: int = 8765
    """Port to listen on; 0: any that is free."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but this machine's own opens images and selections to all who can reach it."""
    roots: Paths = default(())
    """Folders whose pictures may be shown besides those that index was given, for instance where links lead."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port = {self.port}: expected 0 to 65535.")


def explore(
    run: AnyRun, settings: ExploreSettings | None = None, *, opened: Callable[[str], None] = lambda address: None
) -> StageResult:
    """Serve the explorer until it is interrupted.

    Args:
        opened: Is told the address once it answers.

    Raises:
        SettingsError: there is no such selection, the port is taken, or the optional part `explore` is not installed.
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
        SettingsError: there is no such selection.
        DataError: score has not run.
    """
    from thresher.explorer.answers import Answers
    from thresher.explorer.application import application

    opened = OpenedRun(run)
    start, before = _start(opened, settings.selection)
    rows = run_rows(opened, settings.roots, start.duplicate_cosine)
    review = Review(settings.person or getpass.getuser(), before)
    gone = review.marks().join(rows.candidates.datasets, on="image_id", how="anti")
    for image_id in gone["image_id"]:  # nobody could take these marks back by hand
        review.mark(image_id, UNMARKED)
    return application(Answers(rows, review, start), _hosts(settings.host))


def _start(opened: OpenedRun, name: str) -> tuple[SelectSettings, pl.DataFrame | None]:
    """The settings of a selection, and its review if it has one."""
    if not name:
        return SelectSettings(), None
    run, recorded = opened.run, opened.settings_of(f"select:{name}")
    if not recorded:
        raise SettingsError(
            f"selection '{name}': {run.manifest} does not say how it was made. "
            f"Run `thresher select {run.folder} --name {name} …` again first."
        )
    settings = settings_from(recorded)
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
            "Name another --port, or 0 for any."
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
    """The names by which browsers may call; whoever listens on all addresses cannot know them."""
    return ["127.0.0.1", "localhost", "[::1]", host] if is_loopback(host) else ["*"]
