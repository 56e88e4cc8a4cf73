"""Saving keeps a selection and its review together, and a request that asks for too much costs only itself."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thresher import tables
from thresher.errors import DataError
from thresher.explorer.explore import ExploreSettings, _listening, explorer
from thresher.run.folder import Run
from thresher.run.state import UNFINISHED
from thresher.stages.select import SelectSettings, select

pytest.importorskip("httpx2", reason="starlette's test client is not installed here")
from starlette.testclient import TestClient

OWN = {"x-thresher": "1"}
ASK = {"method": "layout", "budget": "10", "quotas": {}, "datasets": [], "coverage": "off"}


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    return hostile_run(tmp_path)


def client_of(run: Run, person: str = "ada") -> TestClient:
    return TestClient(explorer(run, ExploreSettings(person=person)), base_url="http://127.0.0.1:8765")


@pytest.fixture
def client(run: Run) -> Iterator[TestClient]:
    with client_of(run) as one:
        yield one


def answer(client: TestClient, path: str, **content: Any) -> Any:
    return client.post(f"/api/{path}", json={**ASK, **content}, headers=OWN)


def files_of(run: Run) -> dict[str, bytes]:
    folders = (run.folder / "reviews", run.folder / "selections")
    return {path.name + path.parent.name: path.read_bytes() for each in folders for path in each.glob("[!.]*")}


def test_a_refused_replace_leaves_review_and_selection_as_they_were(client: TestClient, run: Run) -> None:
    answer(client, "mark", marks=[[0, "rejected"]])
    assert answer(client, "save", name="first").status_code == 200
    before = files_of(run)
    answer(client, "mark", marks=[[1, "rejected"]])
    refused = answer(client, "save", name="first")
    assert refused.status_code == 400 and "already exists" in refused.json()["error"]
    assert files_of(run) == before


def test_a_selection_that_cannot_be_made_leaves_no_review_and_the_old_one_whole(client: TestClient, run: Run) -> None:
    assert answer(client, "save", name="first").status_code == 200
    before = files_of(run)
    answer(client, "mark", marks=[[1, "rejected"]])
    with run.locked():
        for name in ("first", "second"):
            failed = answer(client, "save", name=name, replace=True)
            assert (
                failed.status_code == 404 and "another thresher process works in this folder" in failed.json()["error"]
            )
    assert files_of(run) == before
    assert answer(client, "save", name="first", replace=True).status_code == 200
    marks = pl.read_parquet(run.review("first")).filter(what="mark")
    assert marks.height == 1


def test_of_parallel_saves_of_one_name_one_wins_and_the_others_leave_nothing(run: Run) -> None:
    people = [f"person{number}" for number in range(6)]
    codes: dict[str, int] = {}

    def saves(person: str) -> None:
        with client_of(run, person) as client:
            answer(client, "mark", marks=[[people.index(person), "rejected"]])
            codes[person] = answer(client, "save", name="same").status_code

    threads = [threading.Thread(target=saves, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [person for person, code in codes.items() if code == 200]
    assert pl.read_parquet(run.review("same"))["person"].unique().to_list() == [winner]
    rejected = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool")["image_id"].sort()
    taken = pl.read_parquet(run.selection_path("same"))["image_id"]
    assert rejected[people.index(winner)] not in taken.to_list()
    assert run.recorded()["select:same"]["summary"]["images"] == 10


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"{",
        b"[]",
        b'{"marks": [[Infinity, "pinned"]]}',
        b'{"marks": [["a", "pinned"]]}',
        b" " * 2_000_000,
    ],
    ids=["nested", "cut", "list", "infinite", "text", "large"],
)
def test_a_request_that_makes_no_sense_is_refused_in_one_line(client: TestClient, body: bytes) -> None:
    refused = client.post("/api/mark", content=body, headers=OWN)
    assert refused.status_code in (400, 404)
    assert len(refused.json()["error"].splitlines()) == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"from": "x"},
        {"most": []},
        {"view": "region", "region": 3},
        {"view": "region", "region": {"x0": "a"}},
        {"quotas": [1]},
        {"quotas": {"sign": 1e400}},
        {"datasets": 7.5},
        {"budget": {}},
        {"seed": None},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused_and_named(client: TestClient, wish: dict[str, Any]) -> None:
    refused = client.post(
        "/api/gallery", content=json.dumps({**ASK, "view": "chosen", **wish}), headers=OWN | {"content-type": "a/json"}
    )
    assert refused.status_code == 400
    assert "expected" in refused.json()["error"]


def test_the_explorer_opens_nothing_unfinished_but_settings_of_an_outdated_selection(run: Run) -> None:
    select(run, SelectSettings("layout", 5, name="five"))
    scores = pl.read_parquet(run.scores_path)
    tables.write(scores.with_columns(layout=-pl.col("layout")), run.scores_path)
    with TestClient(explorer(run, ExploreSettings("five")), base_url="http://127.0.0.1:8765") as client:
        assert client.get("/api/summary").json()["start"]["budget"] == "5"
    run.note("score", UNFINISHED)
    with pytest.raises(DataError, match=r"score is unfinished: .* Run `thresher run "):
        explorer(run, ExploreSettings(selection="five"))


def test_it_listens_at_one_address_of_this_machine_alone() -> None:
    with _listening(ExploreSettings(port=0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        # Who listens at all addresses answers at this one too.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=10)
