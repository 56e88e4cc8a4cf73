"""The figures of a comparison hold the tables' numbers, and are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from thresher import tables
from thresher.comparison.statistics import summary

pytest.importorskip("altair", reason="the charts are an extra")
from thresher.drawings import charts
from thresher.drawings import comparison_charts as comparison

pytestmark = pytest.mark.slow

POOL = 3410


def made_up(methods: list[str], modes: list[str], seeds: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    kinds: list[tuple[str, str, str | None, int]] = [("none", "strong", None, 0)]
    kinds += [("all", mode, None, POOL) for mode in modes]
    kinds += [
        (method, mode, budget, n) for mode in modes for method in methods for budget, n in (("3%", 102), ("10%", 341))
    ]
    rows: list[dict[str, object]] = [
        {
            "method": method,
            "mode": mode,
            "budget": budget,
            "images": images,
            "set": "validation",
            "class": None,
            "seed": seed,
            "weak_images": images,
            "iou": rng.uniform(0.4, 0.5),
            "labelled_px": 1,
            "seconds": 1.0,
        }
        for method, mode, budget, images in kinds
        for seed in range(seeds)
    ]
    return tables.from_rows(rows, tables.RESULTS)


def held(spec: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of every layer."""
    return [(layer.get("data") or spec["data"])["values"] for layer in spec["layer"]]


def test_the_figure_holds_the_tables_numbers() -> None:
    results = made_up(["layout", "random"], ["m1", "m2"], 5)
    means = summary(results)
    spec = comparison.miou_chart(results, means, "validation", 100)
    rows = [row for layer in held(spec) for row in layer]
    for want in means.iter_rows(named=True):
        same = [
            row
            for row in rows
            if "iou_low" in row and all(row[key] == want[key] for key in ("method", "mode", "budget"))
        ]
        assert same, want
        for row in same:
            assert row["iou"] == pytest.approx(100 * want["iou"])
            assert row["iou_high"] == pytest.approx(100 * want["iou_high"])
            assert row["images"] == want["images"]
    single = [row["iou"] for layer in held(spec) for row in layer if "seed" in row and "iou_low" not in row]
    drawn = results.filter(pl.col("method") != "none")["iou"] * 100
    assert sorted(single) == pytest.approx(sorted(drawn))
    words = " ".join(spec["title"]["subtitle"])
    assert "5 seeds" in words
    assert "100 strong images" in words
    assert "95 % t interval" in words
    axes = {layer["encoding"]["x"].get("title") for layer in spec["layer"] if "x" in layer["encoding"]}
    assert "weak images selected (number, log axis)" in axes
    assert any("strokeDash" in layer["encoding"] for layer in spec["layer"])
    assert charts.png(spec).startswith(b"\x89PNG")
    assert "no weak data" in charts.svg(spec)


def test_few_seeds_are_points_alone_on_an_axis_of_their_own_range() -> None:
    methods = [f"m{n}" for n in range(8)]
    results = made_up(methods, ["m"], 4)
    spec = comparison.miou_chart(results, summary(results), "test", 5)
    assert "Mean over 4 seeds (small points), too few for intervals" in spec["title"]["subtitle"][0]
    rows = [row for layer in held(spec) for row in layer]
    assert all(row.get("iou_low") is None for row in rows)
    domains = {tuple(layer["encoding"]["y"]["scale"]["domain"]) for layer in spec["layer"] if "y" in layer["encoding"]}
    ((low, high),) = domains
    points = results["iou"] * 100
    assert points.min() - 3 < low < points.min() < points.max() < high < points.max() + 3  # type: ignore[operator]
    # Eight methods stand side by side, at most 18 px from the true number of images; lines bend there.
    first, last = next(
        x["scale"]["domain"] for layer in spec["layer"] if "scale" in (x := layer["encoding"].get("x", {}))
    )
    px = [charts.WIDTH * np.log(row["place"] / row["images"]) / np.log(last / first) for row in rows if "place" in row]
    assert max(map(abs, px)) == pytest.approx(17.5) and len(set(np.round(px, 2))) == 8
    lines = [layer["encoding"]["x"]["field"] for layer in spec["layer"] if layer["mark"]["type"] == "line"]
    assert lines == ["images"]


def test_the_endpoint_has_a_figure_of_its_own() -> None:
    results = made_up(["layout"], ["m"], 2).with_columns(pl.lit("mean of car, bus").alias("class"))
    spec = comparison.miou_chart(results, summary(results), "test", 5, "mean of car, bus")
    titles = {layer["encoding"]["y"].get("title") for layer in spec["layer"] if "y" in layer["encoding"]}
    assert titles == {"mean of car, bus, IoU (%)"}
    nowhere = summary(results.with_columns(iou=pl.lit(None, pl.Float64)))
    assert comparison.is_measured(summary(results), "mean of car, bus")
    assert not comparison.is_measured(summary(results)) and not comparison.is_measured(nowhere, "mean of car, bus")
    assert spec["title"]["text"].endswith("(mean of car, bus, test)")


@pytest.mark.parametrize(
    ("keep", "seeds"),
    [(["none"], 1), (["all"], 2), (["layout"], 1), (["none", "random"], 2)],
    ids=["only none", "only all", "one seed", "no pool"],
)
def test_a_part_of_the_grid_is_drawn_too(keep: list[str], seeds: int) -> None:
    results = made_up(["layout", "random"], ["m"], seeds).filter(pl.col("method").is_in(keep))
    spec = comparison.miou_chart(results, summary(results), "test", 5)
    assert charts.png(spec).startswith(b"\x89PNG")
    if seeds == 1:
        assert "One seed each, so no interval" in spec["title"]["subtitle"][0]


def test_the_frequencies_mark_rare_classes_and_what_a_selection_lacks() -> None:
    def rows(of: str, images: dict[str, int], **about: object) -> list[dict[str, object]]:
        return [
            {"of": of, "class": name, "rare": name == "bus", "of_images": 100, "images": count, **about}
            for name, count in images.items()
        ]

    table = tables.from_rows(
        [
            *rows("pool", {"car": 50, "bus": 2, "tram": 0}),
            *rows("target", {"car": 90, "bus": 5, "road": 100}, strong_px=7, strong_share=0.0123),
            *rows("layout-3pct", {"car": 70, "bus": 0}, method="layout", budget="3%", seed=0),
            *rows("random-3pct-seed0", {"car": 40, "bus": 2}, method="random", budget="3%", seed=0),
            *rows("random-3pct-seed1", {"car": 60, "bus": 4}, method="random", budget="3%", seed=1),
        ],
        tables.FREQUENCIES,
    )
    spec = comparison.frequencies_chart(table)
    seen = {(row["series"], row["class"]): row for row in held(spec)[0]}
    assert {name for _, name in seen} == {"car", "bus"}
    assert seen["random 3%", "car"]["share"] == pytest.approx(0.5)
    assert seen["layout 3%", "bus"]["absent"]
    assert seen["layout 3%", "bus"]["place"] == pytest.approx(0.01)
    assert seen["pool", "bus"]["name"] == "bus, rare · 1.2 % of px"
    assert spec["title"]["text"] == "1 of 2 selections hold every rare class of the pool"
    assert charts.png(spec).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("seeds", "without", "title"),
    [
        (2, 0.4, "2 seeds are not enough to tell which selection is best (test)"),
        (5, 0.4, "layout has the highest mean: 45.0 % at 100 images (test)"),
        (5, 0.46, "No selection has a higher mean than no weak data: 46.0 % (test)"),
    ],
)
def test_the_title_names_the_best_unless_no_weak_data_did_as_well(seeds: int, without: float, title: str) -> None:
    found = (("none", None, 0, without), ("layout", "100", 100, 0.45), ("random", "100", 100, 0.44))
    rows: list[dict[str, object]] = [
        {
            "method": method,
            "mode": "m",
            "budget": budget,
            "images": images,
            "set": "test",
            "seed": seed,
            "weak_images": images,
            "iou": iou,
            "labelled_px": 1,
            "seconds": 1.0,
        }
        for method, budget, images, iou in found
        for seed in range(seeds)
    ]
    results = tables.from_rows(rows, tables.RESULTS)
    assert comparison.miou_chart(results, summary(results), "test", 10)["title"]["text"] == title
