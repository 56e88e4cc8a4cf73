from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from thresher import tables
from thresher.density import findings as insight
from thresher.density.findings import DomainGap
from thresher.density.map import similarity_map
from thresher.drawings import charts
from thresher.errors import DataError

pytestmark = pytest.mark.slow


def similarities() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(80, 5, 100), rng.normal(0, 30, 300)])
    columns = {"image_id": [f"{n:03}" for n in range(400)], "role": ["target"] * 100 + ["pool"] * 300}
    return pl.DataFrame({**columns, "similarity": values, "fitted_nats": values + 9}, schema=tables.SIMILARITIES)


def test_what_fit_tried_comes_back_with_units_in_its_names() -> None:
    tried = [{"components": 4, "held_out": 5.5, "fitted": 7.0}, {"components": 1, "held_out": 3.0, "fitted": 4.0}]
    table = insight.components_tried(tried)
    assert table.rows() == [(1, 3.0, 4.0), (4, 5.5, 7.0)]
    assert insight.components_tried([]).is_empty()


def test_a_slices_row_becomes_its_image_and_cell() -> None:
    # Image a has 2 × 3 cells, image b 1 × 2.
    table = insight.component_slices(
        [np.array([7, 4]), np.array([0])],
        ["a", "b"],
        np.array([0, 6, 8]),
        np.array([[2, 3], [1, 2]]),
        [np.array([1.0, 0.9]), np.array([0.8])],
        [np.array([5.0, 4.0]), np.array([3.0])],
    )
    assert table.rows() == [(0, 1, "b", 0, 1, 1.0, 5.0), (0, 2, "a", 1, 1, 0.9, 4.0), (1, 1, "a", 0, 0, 0.8, 3.0)]


def test_bins_hold_every_image_once_and_have_round_borders() -> None:
    bins = insight.similarity_bins(similarities())
    shares = bins.group_by("role").agg(pl.col("share").sum())
    assert shares["share"].to_list() == pytest.approx([1.0, 1.0])
    widths = (bins["to_nats"] - bins["from_nats"]).unique().to_list()
    assert widths == [5.0]
    own = similarities().filter(role="pool")
    first = bins.filter(role="pool").row(10, named=True)
    inside = own.filter(pl.col("similarity").is_between(first["from_nats"], first["to_nats"], closed="left"))
    assert first["share"] == pytest.approx(inside.height / own.height)


def test_one_value_alone_still_has_a_bin() -> None:
    one = pl.DataFrame([("a", "target", 5.0, 5.0), ("b", "pool", 5.0, 5.0)], schema=tables.SIMILARITIES, orient="row")
    assert insight.similarity_bins(one)["share"].sum() == pytest.approx(2.0)


def test_the_near_share_by_hand() -> None:
    values = [0.0, *[10.0] * 99, 11.0, 9.0, 10.0, -5.0]
    rows = [(str(n), "target" if n < 100 else "pool", v, v) for n, v in enumerate(values)]
    reached, share = insight.near_share(pl.DataFrame(rows, schema=tables.SIMILARITIES, orient="row"))
    assert reached == pytest.approx(10.0)
    assert share == 0.5


def test_area_under_roc_equals_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(2)
    positive, negative = rng.integers(0, 9, 70).astype(float), rng.integers(0, 7, 50).astype(float)
    truth = np.repeat([1, 0], [70, 50])
    expected = roc_auc_score(truth, np.concatenate([positive, negative]))
    assert insight.area_under_roc(positive, negative) == pytest.approx(expected)


def test_one_domain_has_no_gap_and_two_far_ones_have_the_widest() -> None:
    rng = np.random.default_rng(1)
    target, pool = rng.normal(size=(300, 16)), rng.normal(size=(600, 16))
    same = insight.domain_gap(target, pool, np.random.default_rng(0), resamples=200)
    assert same.auc == pytest.approx(0.5, abs=0.07)
    assert same.low <= same.auc <= same.high
    far = insight.domain_gap(target + 3 * np.eye(16)[0], pool, np.random.default_rng(0), resamples=200)
    assert far.auc > 0.97
    assert far.low > same.high


def test_a_gap_needs_two_images_on_each_side() -> None:
    with pytest.raises(DataError, match="domain gap: 1 target and 5 pool images; 2 or more of each are needed"):
        insight.domain_gap(np.ones((1, 2)), np.ones((5, 2)), np.random.default_rng(0))


def test_the_map_keeps_planted_clusters_apart_and_repeats() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(30, 8)) * 0.1 + 3 * np.eye(8)[n] for n in range(2)])
    ids, roles = [f"{n:02}" for n in range(60)], ["target"] * 30 + ["pool"] * 30
    places = similarity_map(ids, roles, vectors, seed=4)
    assert places.equals(similarity_map(ids, roles, vectors, seed=4))
    spots = places.select("x", "y").to_numpy()
    distance = np.linalg.norm(spots[:, None] - spots[None], axis=2) + np.eye(60) * 1e9
    nearest = np.argmin(distance, axis=1)
    assert ((nearest < 30) == (np.arange(60) < 30)).mean() > 0.95
    with pytest.raises(DataError, match="3 images; t-SNE needs 4 or more"):
        similarity_map(ids[:3], roles[:3], vectors[:3], seed=0)


def values_in(spec: dict[str, object]) -> list[dict[str, object]]:
    """All data rows of a spec, wherever its layers keep them."""
    found: list[dict[str, object]] = []
    for key, value in spec.items():
        if key == "data":
            found += value["values"]  # type: ignore[index]
        elif key == "layer":
            found += [row for layer in value for row in values_in(layer)]  # type: ignore[attr-defined]
    return found


def test_charts_show_their_tables_numbers_and_titles_say_them() -> None:
    tried = insight.components_tried([{"components": k, "held_out": 9.0 - (k - 2) ** 2, "fitted": k} for k in (1, 2)])
    sizes = insight.component_sizes(np.array([0.4, 0.6]), np.array([0.41, 0.59]), np.array([0.9, 0.1]))
    spec = charts.components_tried_chart(tried)
    assert {row["nats"] for row in values_in(spec) if "nats" in row} == {8.0, 9.0, 1.0, 2.0}
    assert spec["title"]["text"] == "2 components describe unseen target images best"
    spec = charts.component_sizes_chart(sizes)
    assert {row["share"] for row in values_in(spec) if "share" in row} == {0.41, 0.59, 0.9, 0.1}
    assert spec["title"]["text"] == "Component 0 takes 90% of the pool's slices and 41% of the target's"
    bins = insight.similarity_bins(similarities())
    spec = charts.similarities_chart(bins, 61.04, 0.097)
    assert [row["share"] for row in values_in(spec) if "share" in row] == bins["share"].to_list()
    assert spec["title"]["text"].startswith("10% of the pool is as similar to the target as 95%")
    places = pl.DataFrame([("a", "target", 1.0, 2.0), ("b", "pool", 3.0, 4.0)], schema=tables.MAP, orient="row")
    spec = charts.map_chart(places, DomainGap(0.9984, 0.99, 1.0))
    assert {(row["x"], row["y"]) for row in values_in(spec)} == {(1.0, 2.0), (3.0, 4.0)}
    assert "AUC 0.998 (95% interval 0.990–1.000)" in spec["title"]["text"]


def test_a_chart_becomes_a_picture_on_white_without_a_network() -> None:
    sizes = insight.component_sizes(np.ones(1), np.ones(1), np.ones(1))
    one, two = (charts.component_sizes_chart(sizes) for _ in range(2))
    assert one == two
    picture = charts.png(one)
    assert picture.startswith(b"\x89PNG")
    assert picture == charts.png(two)
