"""Every number of the page is that of a table."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.run.folder import Run
from thresher.selection.methods import ranking


def test_every_number_reads_as_its_value_rounded(page: Any) -> None:
    assert len(page.data) > 300
    for value, text in page.data:
        bare = text.replace(",", "")
        digits = len(bare.removesuffix(" %").partition(".")[2])
        shown, exact = float(bare.removesuffix(" %")), float(value)
        # Shares and IoU are shown in per cent.
        assert min(abs(shown - exact), abs(shown - 100 * exact)) <= 0.5000001 * 10.0**-digits, (value, text)


def test_cards_hold_the_numbers_of_the_selection_and_the_scores(run: Run, page: Any, made: Any) -> None:
    chosen = tables.read(run.selection_path("mine"), tables.SELECTION).rows_by_key("image_id", named=True, unique=True)
    scores = pl.read_parquet(run.scores_path).rows_by_key("image_id", named=True, unique=True)
    order = ranking(pl.read_parquet(run.scores_path), "layout_and_diversity", 0).order["image_id"].to_list()
    cards = [(name, card) for name, each in page.cards.items() for card in each]
    assert len(cards) == 48 + 12 + 12 + 12
    for name, card in cards:
        for column in ("layout", "similarity", "diversity"):
            assert card[column] == scores[name][column]
        # Of an image left out, the words for why say its place.
        assert card["rank"] == order.index(name) + 1 if "rank" in card else name not in chosen
        if name in chosen:
            assert card["score"] == chosen[name]["score"]
            for column in ("layout_rank", "diversity_rank"):
                assert card[column] == chosen[name]["why"][column]
    shown = [name for name, each in page.cards.items() for _ in each]
    assert set(order[:48]) | set(order[made.taken - 12 : made.taken + 12]) <= set(shown)


def test_cards_of_images_with_slices_bring_their_log_densities(html: Path, page: Any, made: Any) -> None:
    found = re.findall(r'data-rows="2" data-columns="2" data-levels="([^"]+)"', html.read_text("utf-8"))
    shown = sum(name in (made.image_id(2), made.image_id(3)) for name, each in page.cards.items() for _ in each)
    assert len(found) == shown >= 1
    # log N(0; 0, I) in three dimensions, between −40 and −2 nats; the far slice lies below.
    near = round(255 * (40 - 1.5 * math.log(2 * math.pi)) / 38)
    assert all(list(base64.b64decode(each)) == [near] * 3 + [0] for each in found)


def test_the_map_tells_classes_and_components(html: Path, made: Any) -> None:
    (text,) = re.findall(r'id="chart-map">(.*?)</script>', html.read_text("utf-8"))
    chart = json.loads(text)
    points = pl.DataFrame(chart["points"])
    labels = [each["label"] for each in chart["variants"]]
    assert labels[:3] == ["set", "data set", "most frequent class"]
    for name, found, component in points.select("image_id", "class", "component").iter_rows():
        number = int(name[5:8]) if name.startswith("pool") else -1
        boxed = number >= 0 and number % 2 == 0
        assert found == ((made.sign if number % 16 == 0 else made.car) if boxed else "none")
        assert component == ("0" if number in (2, 3) else "none")


def test_counts_are_those_of_the_tables(run: Run, page: Any, made: Any) -> None:
    head, target, pool = page.tables["counts"]
    assert head[1:3] == ["found", "read"]
    assert target == ["target", 5, 5, 0, 1, 4]
    assert pool == ["pool", made.pool, made.pool, 0, made.pool / 2, 0]
    taken = pl.read_parquet(run.selection_path("mine"))["image_id"].to_list()
    for name, in_pool, chosen, share in page.tables["taken"][1:]:
        own = [one for one in taken if int(one[5:8]) % 2 == int(name[4])]
        assert (in_pool, chosen, share) == (made.pool / 2, len(own), len(own) / (made.pool / 2))
    boxes = pl.read_parquet(run.boxes)
    rows = {row[0]: row for row in page.tables["class-frequencies"][1:]}
    for name in (made.car, made.sign):
        images = boxes.filter(pl.col("class") == name)["image_id"].unique()
        assert rows[name][2:4] == [len(images), len(images) / made.pool]
        assert rows[name][-2] == images.is_in(taken).sum()
    assert rows[made.car][4:6] == [3, 0.75]
    assert (rows[made.car][1], rows[made.sign][1]) == ("", "rare")
    assert page.tables["problem-kinds"][1] == ["box outside", "index", 3, 2]
    assert page.tables["unmapped"][1][-2:] == [45, 45]


def test_findings_and_comparison_are_those_of_their_tables(run: Run, page: Any, made: Any) -> None:
    assert {"0.98765", "0.9", "0.99999", "0.12345"} <= {value for value, _ in page.data}
    assert page.tables["components"][1:] == [["1", 0.7, 0.7, 1 - 0.7], ["0", 0.3, 0.3, 0.7]]
    assert page.tables["components-tried"][1:] == [["1", 9.0, 11.0], ["2", 8.0, 12.0]]
    folder = run.comparison("both")
    means = pl.read_parquet(folder / "summary.parquet").filter(pl.col("class").is_null())
    expected = means.sort("iou", descending=True).select("method", "iou", "iou_low", "iou_high").rows()
    assert [(row[0], *row[5:]) for row in page.tables["miou-both-validation"][1:]] == expected
    pairs = pl.read_parquet(folder / "differences.parquet").filter(pl.col("class").is_null())
    columns = ("iou_difference", "low", "high", "low_holm", "high_holm", "p_holm")
    found = {(row[0], row[5]): tuple(row[6:]) for row in page.tables["differences-both-validation"][1:]}
    assert found == {
        (row["method"], row["against"]): tuple(row[name] for name in columns) for row in pairs.iter_rows(named=True)
    }
    assert {row[0] for row in page.tables["classes-both-validation"][1:]} == {made.car, made.sign}
