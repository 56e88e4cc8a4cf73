"""The page's weight, and its data within scripts."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher import tables
from thresher.drawings.heat_map import HeatScale, heat_colours
from thresher.drawings.page_charts import KINDS, places_chart
from thresher.drawings.thumbnails import Shown
from thresher.report.blocks import Chart, Grid, number, percent
from thresher.report.page import Pictures, page, script_json
from thresher.report.sections.distributions import (
    DistributionsInput,
    distributions_section,
    spread_out,
)
from thresher.report.sections.mapped import map_section

pytestmark = pytest.mark.slow


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_in_a_script_reads_back_and_holds_no_markup(value: object) -> None:
    text = str(script_json(value))
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028")


def test_cards_and_their_legend_have_the_colours_of_the_drawn_heat_maps() -> None:
    templates = files("thresher.report") / "templates"
    colours = heat_colours(np.linspace(0, 1, 5), HeatScale(0.0, 1.0)).tolist()
    (ramp,) = re.findall(r"RAMP = (\[\[.*?\]\]);", (templates / "report.js").read_text("utf-8"))
    assert json.loads(ramp) == colours
    # The legend shows them as they look over mid-grey: 62 % of them.
    (legend,) = re.findall(r"linear-gradient\(90deg, (.*?)\) #8c8c8c", (templates / "report.css").read_text("utf-8"))
    assert legend.split(", ") == [f"#{red:02x}{green:02x}{blue:02x}9e" for red, green, blue in colours]


def test_numbers_keep_their_value() -> None:
    assert number(1234567.891, 2, "x") is not None
    shown = number(1234567.891, 2, "x")
    assert shown is not None
    assert (shown.value, shown.text, shown.column) == (1234567.891, "1,234,567.89", "x")
    part = percent(0.05)
    assert part is not None
    assert (part.value, part.text) == (0.05, "5.0 %")
    assert percent(None) is None


def scored(count: int) -> DistributionsInput:
    rng = np.random.default_rng(0)
    scores = pl.DataFrame(
        {
            "image_id": [f"open_images/{n:016x}" for n in range(count)],
            "layout": rng.normal(size=count),
            "similarity": rng.normal(50, 20, count),
            "diversity": rng.gamma(2, size=count),
        }
    )
    rows: list[dict[str, object]] = [
        {"image_id": name, "dataset": "open_images", "role": "pool"} for name in scores["image_id"]
    ]
    images = tables.from_rows(rows, tables.INDEXED_IMAGES)
    return DistributionsInput(images, scores, scores.select("image_id").head(3000), None, None, None)


def test_the_map_colours_names_by_frequency_and_what_has_none_in_grey() -> None:
    count = 60
    places = pl.DataFrame({"image_id": [f"{n:02}" for n in range(count)], "x": np.arange(count), "y": np.arange(count)})
    places = places.with_columns(
        set=pl.lit("pool"),
        dataset=pl.lit("only"),
        **{"class": pl.Series(["car"] * 10 + [None] * 30 + ["bus"] * 20)},
        component=pl.lit(None, pl.String),
    )
    (chart,) = map_section(places, None).blocks
    assert isinstance(chart, Chart)
    assert list(chart.variants) == ["set", "data set", "most frequent class"]  # no component is known
    scale = chart.variants["most frequent class"]["encoding"]["color"]["scale"]
    assert scale["domain"] == ["bus", "car", "none"]
    assert scale["range"] == [*KINDS[:2], "#a1a1aa"]
    many = places_chart("class", "", [], names=[str(n) for n in range(len(KINDS) + 2)])["encoding"]["color"]["scale"]
    assert many["range"] == [*KINDS, *KINDS[:2]]


def test_the_page_of_a_large_pool_weighs_less_than_six_megabytes() -> None:
    section = distributions_section(scored(30_000))
    scatter = next(block for block in section.blocks if isinstance(block, Chart) and block.brush)
    assert len(scatter.points["layout"]) == 20_000
    assert sum(name == "selection" for name in scatter.points["set"]) == 3000
    brushed = spread_out(scatter)
    assert 50 < len(brushed) <= 2 * 13 * 13
    picture = Shown("data:image/jpeg;base64," + "A" * 6000, 128, 96)
    html = page("large", "run", [section], Pictures(small=dict.fromkeys(brushed, picture), brushed=brushed), "1")
    assert len(html.encode()) < 6_000_000


def test_bins_and_quantiles_are_of_the_scores() -> None:
    material = scored(500)
    assert material.scores is not None
    section = distributions_section(material)
    table = next(block for block in section.blocks if getattr(block, "name", "") == "similarity-quantiles")
    medians = {row[0]: row[4].value for row in table.rows}  # type: ignore[union-attr]
    assert medians["pool"] == material.scores["similarity"].median()
    chart = next(block for block in section.blocks if getattr(block, "name", "") == "similarity")
    (spec,) = chart.variants.values()  # type: ignore[union-attr]
    rows = spec["data"]["values"]
    for role in ("pool", "selection"):
        assert sum(row["share"] for row in rows if row["role"] == role) == 1.0 or np.isclose(
            sum(row["share"] for row in rows if row["role"] == role), 1
        )


def test_folders_are_told_where_a_data_set_has_several() -> None:
    ids = ["c/train/aachen/1", "c/train/aachen/2", "c/train/bonn/1", "p/day/1", "p/night/1", "p/night/2"]
    rows: list[dict[str, object]] = [
        {"image_id": name, "dataset": name[0], "role": "target" if name[0] == "c" else "pool"} for name in ids
    ]
    images = tables.from_rows(rows, tables.INDEXED_IMAGES)
    chosen = pl.DataFrame({"image_id": ["p/night/2"]})
    section = distributions_section(DistributionsInput(images, None, chosen, None, None, None))
    table = next(block for block in section.blocks if isinstance(block, Grid) and block.name == "folders")
    cells = [[None if cell is None else getattr(cell, "value", cell) for cell in row] for row in table.rows]
    assert cells == [
        ["c/train/aachen", "target", 2, None],
        ["c/train/bonn", "target", 1, None],
        ["p/night", "pool", 2, 1],
        ["p/day", "pool", 1, 0],
    ]
    flat = tables.from_rows(
        [{"image_id": f"p/{n}", "dataset": "p", "role": "pool"} for n in range(3)], tables.INDEXED_IMAGES
    )
    blocks = distributions_section(DistributionsInput(flat, None, None, None, None, None)).blocks
    assert not any(getattr(block, "name", "") == "folders" for block in blocks)
