"""The explorer's answers: choices equal to those of select, pictures only of the data, nothing for other origins."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.exports import FORMATS
from thresher.explorer.explore import ExploreSettings, explorer
from thresher.run.folder import Run
from thresher.run.opened import selected
from thresher.selection.methods import ranking
from thresher.stages.select import SelectSettings, select

pytest.importorskip("httpx2", reason="starlette's test client is not installed here")
from starlette.testclient import TestClient

POOL = 60
OWN = {"x-thresher": "1"}
ASK = {"method": "layout", "budget": "10", "quotas": {}, "datasets": [], "coverage": "off"}


@pytest.fixture
def run(hostile_run: Callable[[Path], Run], tmp_path: Path) -> Run:
    return hostile_run(tmp_path)


@pytest.fixture
def client(run: Run) -> Iterator[TestClient]:
    with TestClient(explorer(run, ExploreSettings(person="ada")), base_url="http://127.0.0.1:8765") as one:
        yield one


def asked(client: TestClient, path: str, **content: Any) -> Any:
    answer = client.post(f"/api/{path}", json={**ASK, **content}, headers=OWN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows_of(answer: dict[str, Any]) -> set[int]:
    bits = np.frombuffer(base64.b64decode(answer["rows"]), np.uint8)
    return set(np.flatnonzero(np.unpackbits(bits, bitorder="little")[:POOL]).tolist())


def test_a_choice_is_that_of_select_and_its_counts_are_those_of_the_tables(client: TestClient, run: Run) -> None:
    ids = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool")["image_id"].sort().to_list()
    for wish in ({}, {"method": "layout_and_diversity", "diversity_weight": 0.8}, {"quotas": {"sign": 5}}):
        answer = asked(client, "choose", **wish)
        quotas = tuple(f"{name}={number}" for name, number in wish.get("quotas", {}).items())
        weight = wish.get("diversity_weight", 0.5)
        select(
            run, SelectSettings(wish.get("method", "layout"), "10", name="same", diversity_weight=weight, quotas=quotas)
        )
        taken = selected(run, "same")["image_id"].to_list()
        assert {ids[row] for row in rows_of(answer)} == set(taken)
        boxes = tables.read(run.boxes, tables.BOXES).filter(pl.col("image_id").is_in(taken))
        told = client.get("/api/summary").json()
        for number, each in enumerate(told["classes"]):
            own = boxes.filter(pl.col("class") == each["name"])
            assert answer["class_images"][number] == own["image_id"].n_unique()
            assert answer["class_objects"][number] == own.height
        cards = asked(client, "gallery", view="chosen", **wish)
        assert [card["id"] for card in cards["cards"]] == taken
        assert [card["rank"] for card in cards["cards"]] == list(range(1, 11))


def test_a_large_pool_opens_without_coverage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def opens_with() -> str:
        with TestClient(explorer(run, ExploreSettings()), base_url="http://127.0.0.1:8765") as client:
            return str(client.get("/api/summary").json()["start"]["coverage"])

    assert opens_with() == SelectSettings().coverage != "off"
    monkeypatch.setattr("thresher.explorer.answers.AT_ONCE", 10)
    assert opens_with() == "off"


def test_the_weight_moves_the_choice_from_one_end_to_the_other(client: TestClient) -> None:
    # Layout falls with the number of an image, diversity rises: the ends are the first and the last images.
    at = {
        weight: rows_of(asked(client, "choose", method="layout_and_diversity", diversity_weight=weight))
        for weight in (0, 1)
    }
    assert at == {0: set(range(10)), 1: set(range(POOL - 10, POOL))}


def test_marks_change_the_choice(client: TestClient) -> None:
    asked(client, "mark", marks=[[0, "rejected"]])
    asked(client, "mark", marks=[[POOL - 1, "pinned"]])
    asked(client, "mark", marks=[[3, "accepted"]])
    answer = asked(client, "choose")
    assert rows_of(answer) == {*range(1, 10), POOL - 1}
    assert answer["marks"] == {"rejected": 1, "pinned": 1, "accepted": 1} and answer["candidates"] == POOL - 1
    assert [card["row"] for card in asked(client, "gallery", view="rejected")["cards"]] == [0]
    assert [card["row"] for card in asked(client, "gallery", view="left out", most=2)["cards"]] == [10, 11]
    assert [card["row"] for card in asked(client, "gallery", view="last", most=2)["cards"]] == [POOL - 1, 9]
    asked(client, "mark", marks=[[0, "none"]])
    assert rows_of(asked(client, "choose")) == {*range(9), POOL - 1}


def test_data_sets_quotas_and_a_rectangle(client: TestClient) -> None:
    told = client.get("/api/summary").json()
    even = told["datasets"][0]["name"]
    answer = asked(client, "choose", datasets=[even])
    assert rows_of(answer) == set(range(0, 20, 2)) and answer["datasets"] == {even: 10}
    answer = asked(client, "choose", quotas={"sign": 50}, budget="60")
    assert answer["unmet"] == {"sign": [8, 50]}
    # Layout is 1 − n / 60, diversity n.
    bounds = {"plane": "scores", "x0": 0.5, "y0": 20}
    found = asked(client, "gallery", view="region", region=bounds)
    assert [card["row"] for card in found["cards"]] == list(range(20, 31)) and found["total"] == 11
    drawn = asked(client, "gallery", view="random", most=120)
    assert sorted(card["row"] for card in drawn["cards"]) == list(range(POOL))


def test_two_selections_side_by_side(client: TestClient, run: Run) -> None:
    select(run, SelectSettings("layout", "4", name="four"))
    answer = asked(client, "choose", against="four", budget="6", datasets=[])
    assert rows_of(answer["other"]) == set(range(4)) and (answer["shared"], answer["other"]["count"]) == (4, 4)
    views = {
        view: [card["row"] for card in asked(client, "gallery", view=view, against="four", budget="6")["cards"]]
        for view in ("only here", "only there", "in both")
    }
    assert views == {"only here": [4, 5], "only there": [], "in both": [0, 1, 2, 3]}


def test_a_saved_choice_is_a_selection_that_select_makes_again(client: TestClient, run: Run, tmp_path: Path) -> None:
    asked(client, "choose")
    asked(client, "choose", budget="5", quotas={"sign": 2})
    asked(client, "mark", marks=[[2, "rejected"]])
    asked(client, "mark", marks=[[59, "pinned"]])
    saved = asked(client, "save", name="mine", budget="5", quotas={"sign": 2})
    assert saved["images"] == 5 and "mine" in saved["selections"]
    taken = selected(run, "mine")
    assert taken["image_id"].str.slice(5, 3).to_list() == ["000", "001", "003", "008", "059"]
    entry = run.recorded()["select:mine"]["settings"]
    assert (entry["review"], entry["quotas"], entry["budget"]) == ("mine", ["sign=2"], "5")
    again = SelectSettings("layout", "5", name="mine", quotas=("sign=2",), review="mine")
    assert select(run, again).status == "unchanged"
    log = tables.read(run.review("mine"), tables.REVIEW)
    assert set(log["person"]) == {"ada"}
    assert log.select("what", "value").rows() == [
        ("budget", "5"),
        ("quotas", "['sign=2']"),
        ("mark", "rejected"),
        ("mark", "pinned"),
    ]
    refused = client.post("/api/save", json={**ASK, "name": "mine"}, headers=OWN)
    assert refused.status_code == 400 and "already exists" in refused.json()["error"]
    for name in ("", "../x", "a/b", ".hidden"):
        refused = client.post("/api/save", json={**ASK, "name": name}, headers=OWN)
        assert refused.status_code == 400 and "expected letters" in refused.json()["error"]
    with TestClient(explorer(run, ExploreSettings("mine", "bob")), base_url="http://localhost") as later:
        start = later.get("/api/summary").json()["start"]
        assert (start["budget"], start["quotas"], start["review"]) == ("5", ["sign=2"], "mine")
        asked(later, "mark", marks=[[5, "pinned"]])
        asked(later, "save", name="ours", budget="5", quotas={})
        people = tables.read(run.review("ours"), tables.REVIEW)["person"].to_list()
        assert people == ["ada"] * 4 + ["bob"]
        assert {59, 5} <= rows_of(asked(later, "choose"))


def test_an_export_reads_back(client: TestClient, run: Run) -> None:
    # The first image of the pool is not there: a form that needs its size leaves with words, not with half a file.
    asked(client, "mark", marks=[[0, "rejected"]])
    asked(client, "mark", marks=[[1, "rejected"]])
    asked(client, "save", name="mine", budget="7")
    ids = selected(run, "mine")["image_id"].to_list()
    answer = client.post("/api/export", json={"name": "mine", "format": "parquet"}, headers=OWN)
    assert "mine.parquet" in answer.headers["content-disposition"]
    assert pl.read_parquet(io.BytesIO(answer.content))["image_id"].to_list() == ids
    answer = client.post("/api/export", json={"name": "mine", "format": "coco", "images": "none"}, headers=OWN)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".json")]
        assert len(json.loads(archive.read(name))["images"]) == 7
    for form, name in (("nonsense", "mine"), ("csv", "../mine")):
        refused = client.post("/api/export", json={"name": name, "format": form}, headers=OWN)
        assert refused.status_code == 400 and "no such selection or format" in refused.json()["error"]


def test_pictures_are_of_the_data_alone(client: TestClient, run: Run, tmp_path: Path) -> None:
    answer = client.get("/picture/2/320")
    assert Image.open(io.BytesIO(answer.content)).size == (64, 48)
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    gone = client.get("/picture/0/320")
    assert gone.status_code == 404 and "the file is not there" in gone.json()["error"]
    outside = client.get("/picture/1/320")
    assert outside.status_code == 404 and "outside the folders given to index" in outside.json()["error"]
    assert f"--roots {tmp_path}" in outside.json()["error"]
    for address in (
        "/picture/99/320",
        "/picture/2/10",
        "/picture/-1/320",
        "/picture/..%2F..%2Fetc%2Fpasswd/320",
        "/..%2F..%2Fexplore.py",
        "/explorer.py",
        "/templates/report.html",
    ):
        assert client.get(address).status_code == 404, address
    allowed = ExploreSettings(roots=(tmp_path,))
    with TestClient(explorer(run, allowed), base_url="http://127.0.0.1") as wider:
        assert wider.get("/picture/1/320").status_code == 200


def test_no_export_takes_along_what_lies_outside(client: TestClient, run: Run) -> None:
    asked(client, "mark", marks=[[0, "rejected"]])
    asked(client, "save", name="mine", budget="3")  # image 1, a link that leads out, is in it
    content = {"name": "mine", "format": "coco", "images": "copy"}
    answer = client.post("/api/export", json=content, headers=OWN)
    assert answer.status_code == 404 and "outside the folders given to index" in answer.json()["error"]
    assert (
        client.post("/api/export", json=content | {"format": "csv", "images": "none"}, headers=OWN).status_code == 200
    )


def test_a_path_that_climbs_out_is_refused(run: Run, tmp_path: Path) -> None:
    images = tables.read(run.images, tables.INDEXED_IMAGES)
    climbing = f"{tmp_path}/data/../secret.png"
    tables.write(images.with_columns(path=pl.lit(climbing)), run.images)
    with TestClient(explorer(run, ExploreSettings()), base_url="http://127.0.0.1") as one:
        answer = one.get("/picture/2/320")
        assert answer.status_code == 404 and "outside the folders" in answer.json()["error"]


def test_other_origins_get_nothing(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    refused = client.post("/api/mark", json={"marks": [[2, "pinned"]]})
    assert refused.status_code == 403 and refused.json()["error"] == "only the explorer's own page may ask this."
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http" not in policy and "access-control-allow-origin" not in page.headers
    for name in ("explorer.js", "gallery.js", "plane.js", "controls.js", "ask.js", "explorer.css", ""):
        text = client.get(f"/{name}").text
        assert "innerHTML" not in text
        assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_nonsense_has_words(client: TestClient) -> None:
    for content, words in (
        ({"method": "best"}, "method 'best': unknown"),
        ({"budget": "70"}, "only 60 images can be chosen"),
        ({"quotas": {"tram": 3}}, "no class of interest is called 'tram'"),
        ({"quotas": {"sign": 8}, "budget": "3"}, "at best at_least sign=8 is missed by 5"),
        ({"datasets": ["nowhere"]}, "datasets 'nowhere': no such data set"),
        ({"quotas": {"sign": "many"}}, "quota of sign = 'many': expected a whole number"),
    ):
        answer = client.post("/api/choose", json={**ASK, **content}, headers=OWN)
        assert answer.status_code == 400 and words in answer.json()["error"], answer.text
    assert client.post("/api/choose", content=b"[1]", headers=OWN).json()["error"] == "request: expected a JSON object."
    assert "not JSON" in client.post("/api/choose", content=b"{", headers=OWN).json()["error"]
    assert "view 'every'" in client.post("/api/gallery", json={"view": "every"}, headers=OWN).json()["error"]
    assert client.post("/api/mark", json={"marks": [[63, "pinned"]]}, headers=OWN).status_code == 404


def test_points_are_the_tables_columns_by_row(client: TestClient, run: Run) -> None:
    content = client.get("/api/points").content
    rows = POOL + 6
    floats = np.frombuffer(content, np.float32)
    assert len(floats) == 2 * rows and np.isfinite(floats).all()
    layout = asked(client, "column", name="layout")
    values = np.frombuffer(base64.b64decode(layout["values"]), np.float32)
    np.testing.assert_allclose(values, 1 - np.arange(POOL) / POOL, rtol=1e-6)
    sets = asked(client, "column", name="dataset")
    codes = np.frombuffer(base64.b64decode(sets["values"]), np.int16)
    assert (sets["more"], codes.tolist()) == (0, [number % 2 for number in range(POOL)])
    clusters = asked(client, "column", name="cluster")
    counts = np.bincount(np.frombuffer(base64.b64decode(clusters["values"]), np.int16))
    assert clusters["names"] == [str(number) for number in range(1, len(counts) + 1)]
    assert counts.sum() == POOL and (np.diff(counts) <= 0).all()
    place = tables.read(run.folder / "explorer" / "map.parquet", tables.MAP, key="image_id")
    assert place.height == rows


def test_details_show_the_nearest_of_the_target(client: TestClient) -> None:
    answer = client.get("/api/details/4").json()
    assert [each["id"] for each in answer["nearest"]] == ["target/060", "target/061"]
    assert [box[4] for box in answer["boxes"]] == [0]


def test_a_pinned_image_without_a_score_can_be_exported(run: Run) -> None:
    scores = tables.read(run.scores_path, tables.SCORES)
    name = scores["image_id"].sort()[30]
    layout = pl.when(pl.col("image_id") == name).then(None).otherwise("layout")
    tables.write(scores.with_columns(layout=layout), run.scores_path)
    assert name not in ranking(scores.with_columns(layout=layout), "layout", 0).order["image_id"]
    with TestClient(explorer(run, ExploreSettings(person="ada")), base_url="http://127.0.0.1") as one:
        for row in (0, 1):
            asked(one, "mark", marks=[[row, "rejected"]])
        asked(one, "mark", marks=[[30, "pinned"]])
        asked(one, "save", name="mine", budget="5")
        assert selected(run, "mine")["score"].to_list()[-1] is None
        for form in FORMATS:
            answer = one.post("/api/export", json={"name": "mine", "format": form, "images": "copy"}, headers=OWN)
            assert answer.status_code == 200, (form, answer.text)


def test_marks_of_images_that_have_left_the_pool_are_taken_back(client: TestClient, run: Run) -> None:
    for row, mark in ((5, "pinned"), (6, "rejected"), (7, "pinned")):
        asked(client, "mark", marks=[[row, mark]])
    asked(client, "save", name="mine", budget="7")
    images = tables.read(run.images, tables.INDEXED_IMAGES).sort("image_id")
    left = images.filter(~pl.col("image_id").is_in(images["image_id"][5:7].implode()))
    tables.write(left, run.images)
    tables.write(tables.read(run.scores_path, tables.SCORES).join(left, on="image_id", how="semi"), run.scores_path)
    with TestClient(explorer(run, ExploreSettings("mine", "bob")), base_url="http://127.0.0.1") as later:
        assert asked(later, "choose")["marks"] == {"pinned": 1}
        asked(later, "save", name="ours", budget="7")
    taken_back = tables.read(run.review("ours"), tables.REVIEW).filter(pl.col("value") == "none")
    assert taken_back["person"].to_list() == ["bob", "bob"]
    assert set(taken_back["image_id"]) == set(images["image_id"][5:7])
