"""report on a run of made-up tables, whose names try to break out of the page."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import math
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.cli.main import app, main
from thresher.comparison.settings import CompareSettings
from thresher.comparison.statistics import differences, summary
from thresher.density.mixture import Mixture, save_mixture
from thresher.errors import DataError, SettingsError
from thresher.features.projection import Projection
from thresher.features.shards import ImageFeatures, shard_path, write_shard
from thresher.report import tables as report_tables
from thresher.report.blocks import Missing, Words
from thresher.report.command_lines import SETTINGS, command_lines
from thresher.report.report import ReportSettings, write_report
from thresher.report.sections.compared import comparison_section
from thresher.report.tables import comparisons, reported_selection
from thresher.run.folder import Record, Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import as_json
from thresher.selection.methods import ranking
from thresher.stages.embed import EmbedSettings
from thresher.stages.fit import FitSettings
from thresher.stages.index import IndexSettings
from thresher.stages.score import ScoreSettings
from thresher.stages.select import SelectSettings, select
from thresher.training.settings import TrainSettings

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
CAR, SIGN = f"car{EVIL}", "sign"
POOL, TAKEN = 90, 64
TAXONOMY = f"""
name = "made up"
void_id = 9
[groups]
[classes.{json.dumps(CAR)}]
id = 0
colour = [1, 2, 3]
thing = true
[classes.{SIGN}]
id = 1
colour = [4, 5, 6]
thing = true
"""
#: Where a canvas is coloured below its title and legend, in shares of its width and height: on the dots.
COLOURED = """(selector) => {
  const canvas = document.querySelector(selector), { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const found = [];
  for (let y = Math.round(0.35 * height); y < height; y += 2) for (let x = 0; x < width; x += 2) {
    const sign = data.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
    if (Math.max(...sign) - Math.min(...sign) > 60) found.push([(x + 0.5) / width, (y + 0.5) / height]);
  }
  return found.filter((_, n) => n % Math.ceil(found.length / 60) === 0);
}"""


def image_id(number: int) -> str:
    return f"pool/{number:03}{EVIL}"


def write_index(run: Run) -> None:
    rng = np.random.default_rng(0)
    run.folder.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for number in range(POOL + 5):
        role = "target" if number >= POOL else "pool"
        path = run.folder / f"{number}.png"
        if number:  # the first image is not there
            Image.effect_noise((64, 48 + number % 3), 60).convert("RGB").save(path)
        name = f"target/{number:03}" if role == "target" else image_id(number)
        dataset = role if role == "target" else f"set {number % 2}{EVIL}"
        rows.append({"image_id": name, "path": str(path), "dataset": dataset, "role": role})
    tables.write(tables.from_rows(rows, tables.INDEXED_IMAGES), run.images)
    boxes: list[dict[str, object]] = []
    for number in range(0, POOL, 2):
        for _ in range(1 + number % 4):
            x, y = rng.uniform(0, 0.5, 2)
            name = SIGN if number % 16 == 0 else CAR
            corners = {"x0": x, "y0": y, "x1": x + 0.3, "y1": y + 0.4}
            boxes.append({"image_id": image_id(number), "label": name, "class": name, **corners})
        boxes.append({"image_id": image_id(number), "label": EVIL, "x0": 0.0, "y0": 0.0, "x1": 0.1, "y1": 0.1})
    tables.write(tables.from_rows(boxes, tables.BOXES), run.boxes)
    masks = [{"image_id": f"target/{n:03}", "path": "m.png", "encoding": "class_index"} for n in range(POOL, POOL + 4)]
    tables.write(tables.from_rows(masks, tables.MASKS), run.masks)  # type: ignore[arg-type]
    labels = [
        {"dataset": "set", "label": EVIL, "name": EVIL, "boxes": 45, "images": 45},
        {"dataset": "set", "label": CAR, "name": CAR, "class": CAR, "boxes": 60, "images": 30},
    ]
    tables.write(tables.from_rows(labels, tables.LABELS), run.labels)  # type: ignore[arg-type]
    problem = {"stage": "index", "problem": "box_outside", "detail": f"beyond {EVIL}", "path": "p"}
    problems = [{**problem, "image_id": image_id(number)} for number in (1, 1, 2)]
    tables.write(tables.from_rows(problems, tables.PROBLEMS), run.problems)  # type: ignore[arg-type]
    run.taxonomy.write_text(TAXONOMY, "utf-8")
    index = IndexSettings(target=("folder:/a b",), pool=("folder:/p's", "coco:/q"), taxonomy=str(run.taxonomy))
    run.note("index", {"settings": as_json(index), "summary": {}, "versions": {"thresher": "1", "python": "3"}})


def write_scores(run: Run) -> None:
    rng = np.random.default_rng(1)
    ids = tables.read(run.images, tables.INDEXED_IMAGES)["image_id"].to_list()
    vectors = pl.Series(rng.normal(size=(len(ids), 6)).astype(np.float16), dtype=pl.Array(pl.Float16, 6))
    size = pl.lit(3, pl.Int32)
    pooled = pl.DataFrame({"image_id": ids}).with_columns(
        grid_h=size, grid_w=size, width_px=pl.lit(64, pl.Int32), height_px=pl.lit(48, pl.Int32), vector=vectors
    )
    tables.write(pooled, run.pooled)
    scores: list[dict[str, object]] = [
        {
            "image_id": image_id(number),
            "layout": float(rng.normal()),
            "similarity": float(rng.normal(50, 20)),
            "diversity": float(rng.gamma(2)),
            "nearest_ids": [f"target/{POOL:03}", f"target/{POOL + 1:03}"],
        }
        for number in range(POOL)
    ]
    tables.write(tables.from_rows(scores, tables.SCORES), run.scores)
    fitted = {"summary": {"components": 2, "covariance": "full"}}
    for stage, settings in (("embed", EmbedSettings(width=32)), ("score", ScoreSettings(neighbours=2))):
        run.note(stage, {"settings": as_json(settings), "summary": {}})
    run.note("fit", {"settings": as_json(FitSettings(components="2", double=True)), **fitted})


def write_slices(run: Run) -> None:
    """Four slices for two images of the pool, of which the last is far from a standard normal mixture."""
    slices = np.zeros((4, 3), np.float16)
    slices[3] = 9
    features = [ImageFeatures(image_id(n), 2, 2, 64, 48, slices, np.zeros(5, np.float16)) for n in (2, 3)]
    projection = Projection(np.zeros(5, np.float32), np.eye(3, 5, dtype=np.float32), 1.0)
    write_shard(shard_path(run.slices, 0), features, [], "made up", projection)
    save_mixture(Mixture.standard(3), run.mixture)


def write_insight(run: Run) -> None:
    run.insight.mkdir()
    told: dict[str, object] = {"heat_scale_nats": [-40.0, -2.0]}
    told |= {"domain_gap": {"auc": 0.98765, "low": 0.9, "high": 0.99999}, "share_of_pool_that_reaches_it": 0.12345}
    (run.insight / "summary.json").write_text(json.dumps(told))
    sizes = [{"component": n, "weight": w, "target_share": w, "pool_share": 1 - w} for n, w in enumerate((0.3, 0.7))]
    tried = [{"components": n, "held_out_nats": 10.0 - n, "fitted_nats": 10.0 + n} for n in (1, 2)]
    similar = [
        {"image_id": f"target/{n}", "role": "target", "similarity": 60.0 + n, "fitted_nats": 65.0} for n in range(5)
    ]
    heat = [{"name": "best-1", "image_id": image_id(3), "row": 0, "column": 0, "log_density_nats": 1.0}]
    for name, rows, schema in (
        ("components", sizes, tables.COMPONENTS),
        ("components_tried", tried, tables.COMPONENTS_TRIED),
        ("similarities", similar, tables.SIMILARITIES),
        ("heat", heat, tables.HEAT),
    ):
        tables.write(tables.from_rows(rows, schema), run.insight / f"{name}.parquet")  # type: ignore[arg-type]
    (run.insight / "heat").mkdir()
    for name in ("component_slices.png", "heat/best-1.png"):
        Image.effect_noise((300, 200), 40).convert("RGB").save(run.insight / name)


def write_comparison(run: Run) -> None:
    record = Record(run.comparison("both"))
    record.folder.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for method, budget, images in (("random", "10", 10), ("layout", "10", 10), ("none", None, 0)):
        for seed in range(3):
            for name, iou in ((CAR, 0.4), (SIGN, 0.2), (None, 0.3)):
                value = iou + 0.01 * seed + (0.05 if method == "layout" else 0) + 0.001 * seed * (method == "random")
                about = {"method": method, "mode": "hierarchical", "budget": budget, "images": images, "seed": seed}
                rows.append({**about, "set": "validation", "class": name, "iou": value, "weak_images": images})
    results = tables.from_rows(rows, tables.RESULTS)
    counted = [{"of": "target", "class": CAR, "of_images": 4, "images": 3, "strong_px": 10, "strong_share": 0.5}]
    for name, table in (
        ("results", results),
        ("summary", summary(results)),
        ("differences", differences(results)),
        ("frequencies", tables.from_rows(counted, tables.FREQUENCIES)),  # type: ignore[arg-type]
    ):
        tables.write(table, record.folder / f"{name}.parquet")
    settings = CompareSettings(("layout", "random"), ("10",), baselines=("none",), name="both")
    record.note("compare", {"settings": as_json(settings), "training": as_json(TrainSettings(epochs=7))})


@dataclass
class Page(HTMLParser):
    """What a page shows: rows of each table, numbers of each card, and the elements that could do harm."""

    tables: dict[str, list[list[Any]]] = field(default_factory=dict)
    cards: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    data: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._table: list[list[Any]] | None = None
        self._card: dict[str, float] | None = None
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.tags.append((tag, own))
        self._within = tag
        if tag == "table":
            self._table = self.tables.setdefault(str(own["id"]), [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th") and self._table:
            self._table[-1].append("")
        elif tag == "li" and own.get("class") == "card":
            self._card = {}
            self.cards.setdefault(str(own["data-image-id"]), []).append(self._card)
        elif tag == "data":
            self.data.append((str(own["value"]), ""))
            if self._card is not None:
                self._card[str(own["data-column"])] = float(str(own["value"]))
            elif self._table:
                self._table[-1][-1] = float(str(own["value"]))

    def handle_endtag(self, tag: str) -> None:
        self._within = ""
        if tag == "table":
            self._table = None
        elif tag == "li":
            self._card = None

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts.append(data)
            return
        self.text += data
        if self._within == "data":
            self.data[-1] = (self.data[-1][0], data)
        elif self._table and self._table[-1] and isinstance(self._table[-1][-1], str) and data.strip():
            self._table[-1][-1] += data


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("made") / "run")
    write_index(run)
    write_scores(run)
    select(run, SelectSettings("layout_and_diversity", str(TAKEN), name="mine"))
    # A column that is younger than the run is not there.
    tables.write(pl.read_parquet(run.scores).drop("yield_area"), run.scores)
    write_slices(run)
    write_insight(run)
    write_comparison(run)
    return run


@pytest.fixture(scope="module")
def html(run: Run) -> Path:
    out = run.folder.parent / "page.html"
    done = write_report(run, ReportSettings(out=out, map_images=40))
    assert done.summary["pictures_unreadable"] == 1
    return out


@pytest.fixture(scope="module")
def page(html: Path) -> Page:
    return parsed(html)


def test_every_number_reads_as_its_value_rounded(page: Page) -> None:
    assert len(page.data) > 300
    for value, text in page.data:
        bare = text.replace(",", "")
        digits = len(bare.removesuffix(" %").partition(".")[2])
        shown, exact = float(bare.removesuffix(" %")), float(value)
        # Shares and IoU are shown in per cent.
        assert min(abs(shown - exact), abs(shown - 100 * exact)) <= 0.5000001 * 10.0**-digits, (value, text)


def test_cards_hold_the_numbers_of_the_selection_and_the_scores(run: Run, page: Page) -> None:
    chosen = tables.read(run.selection("mine"), tables.SELECTION).rows_by_key("image_id", named=True, unique=True)
    scores = pl.read_parquet(run.scores).rows_by_key("image_id", named=True, unique=True)
    order = ranking(pl.read_parquet(run.scores), "layout_and_diversity", 0).order["image_id"].to_list()
    cards = [(name, card) for name, each in page.cards.items() for card in each]
    assert len(cards) == 48 + 12 + 12 + 12
    for name, card in cards:
        for column in ("layout", "similarity", "diversity"):
            assert card[column] == scores[name][column]
        assert card["rank"] == order.index(name) + 1
        if name in chosen:
            assert card["score"] == chosen[name]["score"]
            for column in ("layout_rank", "similarity_rank", "diversity_rank"):
                assert card[column] == chosen[name]["why"][column]
    shown = [name for name, each in page.cards.items() for _ in each]
    assert set(order[:48]) | set(order[TAKEN - 12 : TAKEN + 12]) <= set(shown)


def test_cards_of_images_with_slices_bring_their_log_densities(html: Path, page: Page) -> None:
    found = re.findall(r'data-rows="2" data-columns="2" data-levels="([^"]+)"', html.read_text("utf-8"))
    shown = sum(name in (image_id(2), image_id(3)) for name, each in page.cards.items() for _ in each)
    assert len(found) == shown >= 1
    # log N(0; 0, I) in three dimensions, between −40 and −2 nats; the far slice lies below.
    near = round(255 * (40 - 1.5 * math.log(2 * math.pi)) / 38)
    assert all(list(base64.b64decode(each)) == [near] * 3 + [0] for each in found)


def test_the_map_tells_classes_and_components(html: Path) -> None:
    (text,) = re.findall(r'id="chart-map">(.*?)</script>', html.read_text("utf-8"))
    chart = json.loads(text)
    points = pl.DataFrame(chart["points"])
    labels = [each["label"] for each in chart["variants"]]
    assert labels[:3] == ["set", "data set", "most frequent class"]
    for name, found, component in points.select("image_id", "class", "component").iter_rows():
        number = int(name[5:8]) if name.startswith("pool") else -1
        boxed = number >= 0 and number % 2 == 0
        assert found == ((SIGN if number % 16 == 0 else CAR) if boxed else "none")
        assert component == ("0" if number in (2, 3) else "none")


def test_counts_are_those_of_the_tables(run: Run, page: Page) -> None:
    head, target, pool = page.tables["counts"]
    assert head[1:3] == ["found", "read"]
    assert target == ["target", 5, 5, 0, 1, 4]
    assert pool == ["pool", POOL, POOL, 0, POOL / 2, 0]
    taken = pl.read_parquet(run.selection("mine"))["image_id"].to_list()
    for name, in_pool, chosen, share in page.tables["taken"][1:]:
        own = [one for one in taken if int(one[5:8]) % 2 == int(name[4])]
        assert (in_pool, chosen, share) == (POOL / 2, len(own), len(own) / (POOL / 2))
    boxes = pl.read_parquet(run.boxes)
    rows = {row[0]: row for row in page.tables["class-frequencies"][1:]}
    for name in (CAR, SIGN):
        images = boxes.filter(pl.col("class") == name)["image_id"].unique()
        assert rows[name][2:4] == [len(images), len(images) / POOL]
        assert rows[name][-2] == images.is_in(taken).sum()
    assert rows[CAR][4:6] == [3, 0.75]
    assert (rows[CAR][1], rows[SIGN][1]) == ("", "rare")
    assert page.tables["problem-kinds"][1] == ["box outside", "index", 3, 2]
    assert page.tables["unmapped"][1][-2:] == [45, 45]


def test_findings_and_comparison_are_those_of_their_tables(run: Run, page: Page) -> None:
    assert {"0.98765", "0.9", "0.99999", "0.12345"} <= {value for value, _ in page.data}
    assert page.tables["components"][1:] == [["1", 0.7, 0.7, 1 - 0.7], ["0", 0.3, 0.3, 0.7]]
    assert page.tables["components-tried"][1:] == [["1", 9.0, 11.0], ["2", 8.0, 12.0]]
    folder = run.comparison("both")
    means = pl.read_parquet(folder / "summary.parquet").filter(pl.col("class").is_null())
    expected = means.sort("iou", descending=True).select("method", "iou", "iou_low", "iou_high").rows()
    assert [(row[0], *row[5:]) for row in page.tables["miou-both-validation"][1:]] == expected
    pairs = pl.read_parquet(folder / "differences.parquet").filter(pl.col("class").is_null())
    found = {(row[0], row[5]): tuple(row[6:]) for row in page.tables["differences-both-validation"][1:]}
    assert found == {
        (row["method"], row["against"]): (row["iou_difference"], row["low"], row["high"])
        for row in pairs.iter_rows(named=True)
    }
    assert {row[0] for row in page.tables["classes-both-validation"][1:]} == {CAR, SIGN}


def test_names_from_data_are_shown_and_never_run(html: Path, page: Page) -> None:
    assert image_id(1) in page.text
    kinds = [own.get("type") for tag, own in page.tags if tag == "script"]
    assert kinds.count(None) == 2
    assert set(kinds) == {None, "application/json"}
    assert all(not name.startswith("on") for _, own in page.tags for name in own)
    assert all(own["src"] != "x" for tag, own in page.tags if tag == "img")
    policy = next(str(own["content"]) for tag, own in page.tags if own.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe-inline'; script-src 'sha256-" in policy
    assert not [own for tag, own in page.tags if str(own.get("src") or own.get("href") or "").startswith("http")]


def test_the_page_finds_its_pictures_beside_it_or_within(run: Run, html: Path, page: Page) -> None:
    # The picture of the dot under the pointer is there from the start, and empty.
    sources = {str(own["src"]) for tag, own in page.tags if tag == "img"} - {"data:,"}
    assert sources
    for source in sources:
        with Image.open(html.parent / source) as picture:
            assert picture.format == "JPEG"
    stale = html.parent / "page_files" / f"{'0' * 20}-320.jpg"
    own = html.parent / "page_files" / "mine.jpg"
    for path in (stale, own):
        path.write_bytes(b"")
    before = html.read_bytes()
    write_report(run, ReportSettings(out=html, map_images=40))
    assert html.read_bytes() == before
    assert (stale.exists(), own.exists()) == (False, True)
    alone = html.parent / "alone" / "page.html"
    write_report(run, ReportSettings(out=alone, single_file=True, map_images=0))
    assert list(alone.parent.iterdir()) == [alone]
    images = [str(own["src"]) for tag, own in parsed(alone).tags if tag == "img" and own["src"] != "data:,"]
    assert images
    assert all(source.startswith("data:image/jpeg;base64,") for source in images)
    missing = parsed(alone).text
    assert f"{image_id(0)} cannot be shown" in missing


def test_a_run_that_was_only_indexed_says_what_makes_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    write_index(run)
    with pytest.raises(SystemExit) as left:
        main(["report", str(run.folder), "--json"])
    assert left.value.code == 0
    (told,) = json.loads(capsys.readouterr().out)["stages"]
    assert (told["selection"], told["sections"]) == ("none", 7)
    page = parsed(run.folder / "report.html")
    for command in ("embed", "score", "select", "insight", "compare"):
        assert f"thresher {command} {run.folder}" in page.text
    assert page.tables["counts"][2][1] == POOL


def test_words_of_what_cannot_be_reported(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No selection named 'other' in .*Available: mine"):
        write_report(run, ReportSettings(selection="other"))
    with pytest.raises(SettingsError, match="map_images = 3: expected 0, or 4 to 5000"):
        ReportSettings(map_images=3)
    with pytest.raises(DataError, match="no such file"):
        write_report(Run(tmp_path))
    assert write_report(run, ReportSettings(out=tmp_path / "x.html"), dry_run=True).status == "planned"
    assert not (tmp_path / "x.html").exists()


def test_who_was_left_out_is_not_told_of_scores_that_have_changed(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    scores = pl.read_parquet(run.scores).with_columns(pl.col("layout") * -1)
    tables.write(scores, other.scores)
    write_report(other, ReportSettings(map_images=0))
    page = parsed(other.folder / "report.html")
    assert "who was left out cannot be told" in page.text
    assert "thresher select" in page.text


def test_near_duplicates_and_leaks_of_the_selection_are_shown_with_their_cosines(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    pooled = tables.read(run.pooled, tables.POOLED)
    vectors = dict(zip(pooled["image_id"], pooled["vector"].to_numpy(), strict=True))
    first, second, third = tables.read(run.selection("mine"), tables.SELECTION)["image_id"][:3]
    target = f"target/{POOL + 2:03}"
    vectors[second], vectors[third] = vectors[first] * 2, vectors[target] / 2
    twins = pl.Series(np.stack([vectors[name] for name in pooled["image_id"]]), dtype=pl.Array(pl.Float16, 6))
    tables.write(pooled.with_columns(vector=twins), other.pooled)
    write_report(other, ReportSettings(map_images=0, duplicate_cosine=0.999))
    page = parsed(other.folder / "report.html")
    words, leaks = page.text.split("nearly the same as an image of the target")[:2]
    assert "2 images, 2 taken, cosine 1.000" in words
    assert all(f"taken: {name}" in words for name in (first, second))
    assert "cosine 1.000" in leaks and f"taken: {third}" in leaks and f"target: {target}" in leaks
    assert f"taken: {third}" not in words


def test_predictions_that_are_missing_say_what_draws_them(run: Run, page: Page) -> None:
    (said,) = re.findall(r"networks of both decide is not drawn.*?This makes it: (.*)\n", page.text)
    words = shlex.split(said)[1:]
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    compared = Record(run.comparison("both")).recorded()["compare"]
    assert bound.arguments["run"] == run.folder
    assert as_json(bound.arguments["settings"]) == compared["settings"]
    assert as_json(bound.arguments["training"]) == compared["training"]


def test_a_copied_comparison_is_made_again_under_its_own_name(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    shutil.copytree(other.comparison("both"), other.comparison("copied"))
    line = "thresher compare RUN --methods layout --methods random --budgets 10 --baselines none --name {} --epochs 7"
    assert {each.name: each.command for each in comparisons(other)} == {
        name: line.format(name) for name in ("both", "copied")
    }
    (other.comparison("copied") / "manifest.json").unlink()
    assert {each.command for each in comparisons(other)} >= {"thresher compare RUN --name copied"}


def test_libraries_that_are_not_installed_come_before_the_command(run: Run) -> None:
    (one,) = comparisons(run)
    words = [
        block.text
        for block in comparison_section([dataclasses.replace(one, lacking=("accelerate",))]).blocks
        if isinstance(block, Missing)
    ]
    assert len(words) == 1
    assert words[0].endswith("accelerate not installed: pip install 'thresher[train,report]' comes first.")


def test_the_scale_of_heat_is_told_also_where_no_boxes_are_drawn(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    tables.write(tables.empty(tables.BOXES), other.boxes)
    write_report(other, ReportSettings(map_images=0))
    page = parsed(other.folder / "report.html")
    assert any(own.get("class") == "look" for _, own in page.tags)
    assert "-40 nats or less" in page.text and "Draw boxes" not in page.text


def test_the_command_lines_make_the_same_settings_again(run: Run) -> None:
    recorded = run.recorded()
    compared = Record(run.comparison("both")).recorded()["compare"]
    lines = command_lines(run.folder, recorded, {"both": compared})
    assert [line.split()[1] for line in lines] == ["index", "embed", "fit", "score", "select", "compare"]
    for line in lines:
        words = shlex.split(line.replace("\\\n", ""))[1:]
        _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        given = bound.arguments
        assert given["run"] == run.folder
        if words[0] == "compare":
            assert as_json(given["settings"]) == compared["settings"]
            assert as_json(given["training"]) == compared["training"]
            continue
        entry = next(each for stage, each in recorded.items() if stage.partition(":")[0] == words[0])
        made = given["settings"] if "settings" in given else SETTINGS[words[0]]()
        assert as_json(made) == entry["settings"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_in_a_browser_without_any_request(
    chromium: Any, barriers: Callable[[Any], list[str]], html: Path, scheme: str
) -> None:
    shown = chromium.new_page(color_scheme=scheme, reduced_motion="reduce")
    requests: list[str] = []
    complaints: list[str] = []
    shown.on("request", lambda request: requests.append(request.url))
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.goto(html.as_uri())
    shown.evaluate("thresher.drawAll()")
    charts = shown.query_selector_all("[data-chart]")
    assert len(charts) >= 7
    assert all(chart.query_selector("svg, canvas") for chart in charts)
    assert all(section.inner_text().strip() for section in shown.query_selector_all("main > section"))
    levels = [int(each.evaluate("each => each.tagName[1]")) for each in shown.query_selector_all("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    shown.locator(".look").first.click()
    pixel = "[...document.querySelector('.heated canvas').getContext('2d').getImageData(1, 1, 1, 1).data]"
    assert shown.evaluate(pixel) == [38, 12, 74, 255]  # the far slice has the darkest colour
    assert barriers(shown) == []
    shown.locator(".look").first.click()
    assert shown.locator(".heated").count() == 0
    shown.locator("[data-chart=map]").scroll_into_view_if_needed()
    box = shown.locator("[data-chart=map] canvas").bounding_box()
    for across, down in shown.evaluate(COLOURED, "[data-chart=map] canvas"):
        shown.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        if shown.locator("[data-chart=map] .preview img").is_visible():
            break
    assert shown.locator("[data-chart=map] .preview").inner_text().split(":")[0] in ("target", "pool", "selection")
    # Bounds list the images within them, as the brush does.
    scores = json.loads(shown.eval_on_selector("#chart-scatter", "e => e.textContent"))["points"]
    bound = sorted(scores["diversity"])[-5]
    shown.fill("[name=y0]", str(bound))
    within = sum(value >= bound for value in scores["diversity"])
    assert shown.inner_text(".found").startswith(f"{within} images")
    assert shown.query_selector(".brushed img")
    shown.query_selector("[data-chart=scatter] canvas").scroll_into_view_if_needed()
    box = shown.query_selector("[data-chart=scatter] canvas").bounding_box()
    shown.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    shown.mouse.down()
    shown.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    shown.mouse.up()
    for _ in range(200):
        if shown.input_value("[name=x1]"):
            break
        shown.wait_for_timeout(20)
    low, high = (float(shown.input_value(f"[name={name}]")) for name in ("x0", "x1"))
    assert min(scores["layout"]) - 1 < low < high < max(scores["layout"]) + 1
    assert shown.evaluate("window.hacked") is None
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    shown.close()


def test_sheets_have_the_legend_of_what_was_on_the_screen(chromium: Any, html: Path) -> None:
    shown = chromium.new_page()
    shown.goto(html.as_uri())
    button = shown.locator(".look").first
    for pressed in ("true", "false"):
        button.focus()
        shown.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == pressed
        shown.emulate_media(media="print")
        assert shown.locator(".legend ul").is_visible()
        assert shown.locator(".scale").is_visible() == (pressed == "true")
        assert not button.is_visible() and not shown.locator(".legend label").is_visible()
        shown.emulate_media(media="screen")
    shown.uncheck("#boxes")
    shown.emulate_media(media="print")
    assert not shown.locator(".legend ul").is_visible()
    shown.close()


def test_no_module_of_the_report_is_loaded_for_a_plain_import() -> None:
    import subprocess

    probe = "import thresher.cli.commands, sys; print(sorted({'altair', 'jinja2', 'vl_convert', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_who_was_left_out_is_told_also_with_quotas_and_weights(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    write_index(run)
    write_scores(run)
    wished = SelectSettings(
        budget="10", name="wished", diversity_weight=0.3, quotas=("sign=4",), datasets=(f"set 0{EVIL}",)
    )
    select(run, wished)
    pool = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").select("image_id", "dataset")
    found = reported_selection(OpenedRun(run), "wished")
    signs = set(tables.read(run.boxes, tables.BOXES).filter(pl.col("class") == SIGN)["image_id"])
    assert len(signs & set(found.taken["image_id"])) == 4
    assert found.left_out is not None
    ids = found.left_out["image_id"].to_list()
    assert len(ids) == 12 and not set(ids) & set(found.taken["image_id"])
    even = pool.filter(dataset=f"set 0{EVIL}")["image_id"]
    order = ranking(tables.read(run.scores, tables.SCORES), "layout_and_diversity", 0, 0.3).order
    rest = [each for each in order["image_id"] if each in set(even) - set(found.taken["image_id"])]
    assert ids == rest[:12]


@pytest.mark.parametrize("change", ["no slices", "no mixture", "slices of another width"])
def test_without_slices_or_a_mixture_of_them_cards_have_no_button(run: Run, tmp_path: Path, change: str) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    if change == "no slices":
        shutil.rmtree(other.slices)
    elif change == "no mixture":
        other.mixture.unlink()
    else:
        save_mixture(Mixture.standard(4), other.mixture)
    write_report(other, ReportSettings(map_images=40))
    page = parsed(other.folder / "report.html")
    assert page.cards
    assert not [own for tag, own in page.tags if tag == "button" and own.get("class") == "look"]
    assert "Log p of a part" not in page.text


def test_of_a_pool_too_large_near_duplicates_are_not_looked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool").select("image_id", "dataset")
    monkeypatch.setattr(report_tables, "MOST_COMPARED", POOL - 1)
    (words,) = report_tables.redundant(OpenedRun(run), pool.select("image_id").head(3), 0.95)
    assert isinstance(words, Words)
    assert words.text.startswith(f"Near-duplicates were not looked for: the pool has {POOL} images")
