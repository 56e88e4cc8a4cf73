"""A run of made-up tables whose names try to break out of the page, the report on it, and what the page shows."""

from __future__ import annotations

import json
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
from thresher.comparison.settings import CompareSettings
from thresher.comparison.statistics import differences, summary
from thresher.data.file_states import with_states
from thresher.density.mixture import Mixture, save_mixture
from thresher.features.projection import Projection
from thresher.features.shard_tables import list_shards
from thresher.features.shards import ImageFeatures, write_shard
from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run
from thresher.run.perform import as_json
from thresher.run.record import Record
from thresher.run_files import shard_path
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
    tables.write(tables.from_rows(scores, tables.SCORES), run.scores_path)
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
    pooled = run.pooled.read_bytes()
    list_shards(run, [0], with_states(pl.read_parquet(run.images)), {})
    run.pooled.write_bytes(pooled)
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


class Made:
    """What the made-up run holds, for tests that count it, and its parts."""

    evil, car, sign, pool, taken = EVIL, CAR, SIGN, POOL, TAKEN
    image_id = staticmethod(image_id)
    write_index = staticmethod(write_index)
    write_scores = staticmethod(write_scores)


@pytest.fixture(scope="session")
def made() -> type[Made]:
    return Made


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


def page_of(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


@pytest.fixture(scope="session")
def parsed() -> Callable[[Path], Page]:
    """What a page shows, from its file."""
    return page_of


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("made") / "run")
    write_index(run)
    write_scores(run)
    # A column that is younger than the run is not there.
    tables.write(pl.read_parquet(run.scores_path).drop("yield_area"), run.scores_path)
    select(run, SelectSettings("layout_and_diversity", str(TAKEN), name="mine"))
    select(run, SelectSettings("random", "20", name="drawn"))
    write_slices(run)
    write_insight(run)
    write_comparison(run)
    return run


@pytest.fixture(scope="session")
def html(run: Run) -> Path:
    out = run.folder.parent / "page.html"
    done = write_report(run, ReportSettings(out=out, map_images=40))
    assert done.summary["pictures_unreadable"] == 1
    return out


@pytest.fixture(scope="session")
def page(html: Path) -> Page:
    return page_of(html)
