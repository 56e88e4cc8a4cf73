"""Looking for a picture of one's own: the run's backbone sees it as it saw the pool, and nothing of it stays."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.explorer import application
from thresher.explorer.answers import Answers
from thresher.explorer.review import Review
from thresher.explorer.rows import run_rows
from thresher.features.backbone import BackboneSettings
from thresher.features.network_file import network_there
from thresher.features.one_picture import PictureNetwork, embeds_pictures
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.stages.select import SelectSettings

pytest.importorskip("httpx2", reason="starlette's test client is not installed here")
from starlette.testclient import TestClient

POOL = 60
OWN = {"x-thresher": "1"}
ASK = {"method": "layout", "budget": "12", "coverage": "off", "view": "all", "most": 120}


@pytest.fixture(scope="module")
def run(looking_run: Callable[[Path], Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return looking_run(tmp_path_factory.mktemp("queries"))


@pytest.fixture(scope="module")
def client(run: Run) -> Iterator[TestClient]:
    answers = Answers(run_rows(OpenedRun(run)), Review("ada"), SelectSettings(coverage="off"))
    with TestClient(application.application(answers, ["127.0.0.1"]), base_url="http://127.0.0.1:8765") as one:
        yield one


def gallery(client: TestClient, **ask: Any) -> list[dict[str, Any]]:
    answer = client.post("/api/gallery", json={**ASK, **ask}, headers=OWN)
    assert answer.status_code == 200, answer.text
    cards: list[dict[str, Any]] = answer.json()["cards"]
    return cards


def content_of(run: Run, row: int) -> bytes:
    ids = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").sort("image_id")
    return Path(ids["path"][row]).read_bytes()


def test_a_picture_of_the_pool_finds_itself_first_and_leaves_nothing_behind(
    client: TestClient, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told = client.get("/api/summary").json()["query"]
    assert told["picture"] and "image/jpeg" in told["types"]
    answer = client.post("/api/picture", content=content_of(run, 17), headers=OWN)
    assert answer.status_code == 200 and list(tmp_path.iterdir()) == []
    cards = gallery(client, query=answer.json())
    assert cards[0]["row"] == 17 and cards[0]["cosine"] == pytest.approx(1, abs=1e-5) and cards[1]["cosine"] < 0.999
    assert len(cards) == POOL - 2  # two were never read, so they are like nothing


def test_the_nearest_are_those_of_the_whole_pool_in_every_view_and_order(client: TestClient, run: Run) -> None:
    vectors = tables.read(run.pooled, tables.POOLED).filter(pl.col("image_id").str.starts_with("pool/"))
    vectors = vectors.sort("image_id")["vector"].to_numpy().astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    looked_for = unit[40] + 0.3 * unit[3]
    cosines = unit @ looked_for / np.linalg.norm(looked_for)
    order = [int(row) + 2 for row in np.argsort(-cosines)]  # the first two could not be read
    query = {"vector": base64.b64encode(looked_for.astype("<f4").tobytes()).decode()}
    cards = gallery(client, query=query)
    assert [card["row"] for card in cards] == order
    assert [card["cosine"] for card in cards] == pytest.approx(sorted(cosines, reverse=True), abs=1e-3)
    near = query | {"nearest": 9}
    assert [card["row"] for card in gallery(client, query=near)] == order[:9]
    chosen = [card["row"] for card in gallery(client, query=near, view="chosen")]
    assert chosen == [row for row in order[:9] if row < 12]  # the twelve best by layout
    assert [card["row"] for card in gallery(client, query=near, sort="diversity")] == sorted(order[:9], reverse=True)
    kept = [card["row"] for card in gallery(client, query=near, filter=["diversity < 30"])]
    assert kept == [row for row in order[:9] if row < 30]
    assert all(card["cosine"] is None for card in gallery(client))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "your picture: expected a file in JPEG, PNG, "),
        (b"a letter, not a picture", "your picture: expected a file in JPEG, PNG, "),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "your picture: expected a file in JPEG, PNG, "),
        ("cut", "your picture: not a readable image"),
    ],
    ids=["empty", "text", "postscript", "cut off"],
)
def test_what_is_no_picture_is_refused_in_words(client: TestClient, run: Run, content: Any, words: str) -> None:
    content = content_of(run, 17)[:200] if content == "cut" else content
    answer = client.post("/api/picture", content=content, headers=OWN)
    assert answer.status_code == 400 and answer.json()["error"].startswith(words)
    assert tempfile.gettempdir() not in answer.json()["error"]


def test_a_picture_that_is_too_large_and_one_of_another_page_are_refused(
    client: TestClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post("/api/picture", content=content_of(run, 17)).status_code == 403
    monkeypatch.setattr(application, "PICTURE_BYTES", 100)
    answer = client.post("/api/picture", content=content_of(run, 17), headers=OWN)
    assert answer.status_code == 400 and answer.json()["error"] == "request: more than 100 bytes."


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"vector": "AAAA"}, "vector: expected little-endian 32-bit floats"),
        ({"vector": base64.b64encode(np.ones(3, "<f4").tobytes()).decode()}, "vector: expected 8 finite numbers"),
        ({"vector": base64.b64encode(np.full(8, np.nan, "<f4").tobytes()).decode()}, "vector: expected 8 finite"),
        ({"vector": base64.b64encode(np.ones(8, "<f4").tobytes()).decode(), "nearest": 0}, "nearest = 0: expected 1"),
        ("a tram", "query = 'a tram': expected an object"),
    ],
    ids=["bytes", "width", "nan", "nearest", "text"],
)
def test_a_query_that_cannot_be_has_words(client: TestClient, query: Any, words: str) -> None:
    answer = client.post("/api/gallery", json={**ASK, "query": query}, headers=OWN)
    assert answer.status_code == 400 and words in answer.json()["error"]


def test_without_the_runs_own_backbone_no_picture_is_offered(
    hostile_run: Callable[[Path], Run], tmp_path: Path
) -> None:
    run = hostile_run(tmp_path)
    run.note("embed", {"settings": {"vectors": "mine.npy"}, "summary": {}})
    assert not embeds_pictures(OpenedRun(run))
    with pytest.raises(SettingsError, match="no backbone here that could look at a picture"):
        PictureNetwork(OpenedRun(run)).vector(b"")
    with pytest.raises(DataError, match="is not there, or is not what it was"):
        network_there(run, BackboneSettings())
    with pytest.raises(SettingsError, match=r"nowhere.onnx"):
        network_there(run, BackboneSettings(backbone=str(tmp_path / "nowhere.onnx")))
