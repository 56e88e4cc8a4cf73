from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.density.layout import (
    BANDS,
    QuerySettings,
    dots,
    layout_query,
    layouts,
    mean_direction,
    middle_and_sides,
    origin_of,
    uncentred,
)
from thresher.density.mixture import Mixture
from thresher.density.scorers import (
    SCORERS,
    FittedScorers,
    ScorerInput,
    SliceBlock,
    layouts_of,
    queries,
)
from thresher.density.sphere import Sphere
from thresher.errors import DataError, SettingsError
from thresher.vectors import unit_length

NO_SHARE = QuerySettings(pooled_share=0.0)
WIDTH = 3  # of slices; one more once they are uncentred


def images_of(*grids: np.ndarray) -> SliceBlock:
    """SliceBlock from their grids of slices, (h, w, WIDTH) each."""
    starts = np.concatenate([[0], np.cumsum([grid.shape[0] * grid.shape[1] for grid in grids])]).astype(np.int64)
    flat = np.concatenate([grid.reshape(-1, WIDTH) for grid in grids])
    pooled = np.stack([grid.reshape(-1, WIDTH).mean(axis=0) for grid in grids])
    return SliceBlock(flat, starts, np.array([grid.shape[:2] for grid in grids], np.int64), pooled)


def layered(top: int, bottom: int, height: int = 7, width: int = 4) -> np.ndarray:
    """A picture whose upper rows point along one axis and whose lower rows along another."""
    grid = np.zeros((height, width, WIDTH))
    grid[: height // 2, :, top] = 1
    grid[height // 2 :, :, bottom] = 1
    return grid


def evidence_for(target: SliceBlock, **changes: object) -> FittedScorers:
    origin = np.zeros(WIDTH + 1)
    pool = layouts_of(target, origin, 0.0)
    rows_query, query = queries(target, pool, origin, NO_SHARE)
    fields = {
        "mixture": Mixture.standard(WIDTH),
        "pool_mixture": Mixture(np.ones(1), np.ones((1, WIDTH)), np.ones((1, WIDTH))),
        "sphere": Sphere(np.ones(1), np.eye(WIDTH + 1)[:1], np.array([5.0])),
        "pooled_sphere": Sphere(np.ones(1), np.eye(WIDTH)[:1], np.array([5.0])),
        "pooled": target.pooled,
        "origin": origin,
        "rows_query": rows_query,
        "query": query.direction,
        "held_out_nats": np.array([-4.0, -3.0, -2.0]),
        "query_settings": NO_SHARE,
    }
    return FittedScorers(**{**fields, **changes})


def test_every_scorer_gives_one_finite_number_per_image_and_the_default_is_one_of_them() -> None:
    rng = np.random.default_rng(0)
    images = images_of(*(rng.normal(size=(h, w, WIDTH)) for h, w in ((7, 9), (7, 4), (12, 7), (2, 3))))
    for name, scorer in SCORERS.items():
        score = scorer(ScorerInput(evidence_for(images), images))
        assert score.shape == (4,), name
        assert np.isfinite(score).all(), name


def test_likelihood_ratio_and_typicality_by_hand() -> None:
    at_zero, at_one = np.zeros((7, 1, WIDTH)), np.ones((7, 1, WIDTH))
    images = images_of(at_zero, at_one)
    constant = -0.5 * WIDTH * np.log(2 * np.pi)
    evidence = evidence_for(images_of(layered(0, 1)), held_out_nats=constant + np.array([-2.0, -1.0, 0.0]))
    np.testing.assert_allclose(
        SCORERS["similarity"](ScorerInput(evidence, images)), [constant, constant - WIDTH / 2], atol=1e-5
    )
    np.testing.assert_allclose(SCORERS["ratio"](ScorerInput(evidence, images)), [WIDTH / 2, -WIDTH / 2], atol=1e-5)
    # Median −1, quartiles −1.5 and −0.5: 0 and −1.5 lie two spreads above and one below.
    np.testing.assert_allclose(SCORERS["typicality"](ScorerInput(evidence, images)), [-2, -1], atol=1e-4)


def test_cosines_by_hand() -> None:
    target = images_of(layered(0, 0), layered(1, 1))
    images = images_of(layered(0, 0), layered(2, 2))
    evidence = evidence_for(target)
    np.testing.assert_allclose(SCORERS["cosine"](ScorerInput(evidence, images)), [np.sqrt(0.5), 0], atol=1e-6)
    np.testing.assert_allclose(SCORERS["nearest"](ScorerInput(evidence, images)), [0.5, 0], atol=1e-6)  # mean over both


def test_spheres_rank_by_angle_alone() -> None:
    evidence = evidence_for(images_of(layered(0, 0)))
    for name in ("sphere", "pooled_sphere"):
        near, half, away, long = SCORERS[name](
            ScorerInput(evidence, images_of(layered(0, 0), layered(0, 1), layered(1, 1), 3 * layered(0, 0)))
        )
        assert near == pytest.approx(long, abs=1e-5)
        assert near > half > away
        assert near - away == pytest.approx(5, abs=1e-4)  # κ times the difference of the cosines


@pytest.mark.parametrize("name", ["rows", "layout"])
def test_layout_tells_apart_what_the_whole_picture_does_not(name: str) -> None:
    sky_over_road, road_over_sky = layered(0, 1, height=8), layered(1, 0, height=8)
    evidence = evidence_for(images_of(sky_over_road, sky_over_road))
    images = images_of(sky_over_road, road_over_sky)
    cosine, layout = SCORERS["cosine"](ScorerInput(evidence, images)), SCORERS[name](ScorerInput(evidence, images))
    assert cosine[0] == pytest.approx(cosine[1])
    assert layout[0] > layout[1] + 0.5


def test_rows_are_the_mean_cosine_of_the_bands() -> None:
    evidence = evidence_for(images_of(layered(0, 1)))
    images = images_of(layered(0, 1), layered(0, 2), layered(2, 1))
    np.testing.assert_allclose(SCORERS["rows"](ScorerInput(evidence, images)), [1, 3 / 7, 4 / 7], atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), height=st.integers(1, 30), width=st.integers(1, 9), share=st.floats(0, 1))
def test_layouts_have_unit_length_and_ignore_mirroring(seed: int, height: int, width: int, share: float) -> None:
    grid = np.random.default_rng(seed).normal(size=(height, width, WIDTH))
    images = images_of(grid, grid[:, ::-1])
    found = layouts(images.slices, images.starts, images.grids, images.pooled, share)
    assert found.shape == (2, 2 * BANDS * WIDTH + WIDTH)
    np.testing.assert_allclose(np.linalg.norm(found.astype(float), axis=1), 1, atol=2e-3)
    np.testing.assert_allclose(found[0].astype(float), found[1].astype(float), atol=2e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_stretched_picture_has_the_same_layout(axis: int) -> None:
    grid = np.random.default_rng(0).normal(size=(7, 5, WIDTH))
    images = images_of(grid, np.repeat(grid, 3, axis=axis))
    one, other = layouts(images.slices, images.starts, images.grids, images.pooled, 0.2).astype(float)
    np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize(
    ("width", "middle"), [(1, [1 / 3]), (2, [1 / 3, 1 / 3]), (3, [0, 1, 0]), (4, [0, 2 / 3, 2 / 3, 0])]
)
def test_the_middle_is_a_third_of_the_width_and_the_sides_are_the_rest(width: int, middle: list[float]) -> None:
    found = middle_and_sides(width)
    np.testing.assert_allclose(found, [middle, 1 - np.array(middle)], atol=1e-12)


def test_layout_tells_an_open_road_from_a_street_across() -> None:
    """Open in the middle and lined at the sides, against the same things exchanged: rows hardly tell, layout does."""
    along, across = np.zeros((7, 6, WIDTH)), np.zeros((7, 6, WIDTH))
    along[:, 2:4, 0] = along[:, [0, 1, 4, 5], 1] = 1
    across[:, 2:4, 1] = across[:, [0, 1, 4, 5], 0] = 1
    evidence, images = evidence_for(images_of(along, along)), images_of(along, across)
    # No share of the whole, and a pool of the target's own images: all parts of `along` agree, none of `across`.
    np.testing.assert_allclose(SCORERS["layout"](ScorerInput(evidence, images)), [1, 0], atol=2e-3)
    # Of a whole row, 4 columns in 6 are the sides' and 2 the middle's: cos = 2 · 4 · 2 / (4² + 2²).
    np.testing.assert_allclose(SCORERS["rows"](ScorerInput(evidence, images)), [1, 0.8], atol=2e-3)


def test_uncentring_undoes_a_projection() -> None:
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(6, 3)))[0].T
    mean = rng.normal(size=6)
    points = mean + rng.normal(size=(20, 3)) @ axes  # all that varies lies in the kept axes
    back = uncentred((points - mean) @ axes.T, origin_of(mean, axes))
    np.testing.assert_allclose(back @ back.T, points @ points.T, atol=1e-4)


def test_the_query_by_hand() -> None:
    target = np.array([[0.8, 0.6, 0], [0.8, -0.6, 0]])  # each is at 0.28 of the other; their mean is axis 0
    pool = np.concatenate([np.tile([0.8, 0.6, 0], (10, 1)), np.tile([0, 0, 1.0], (10, 1))])
    settings = QuerySettings(towards_top=1.0, from_bottom=0.5, top_of_target=1.0, top_of_pool=0.5)
    found = layout_query(target, pool, settings)
    expected = np.array([1.8, 0.6, -0.5])
    np.testing.assert_allclose(found.direction, expected / np.linalg.norm(expected), atol=1e-6)
    assert found.alike == 10
    wholly = layout_query(target, pool, settings, whole=2).direction  # its last two dimensions are (0, 0)
    np.testing.assert_allclose(wholly, found.direction, atol=1e-6)
    still = layout_query(target, pool, QuerySettings(towards_top=0.0, from_bottom=0.0))
    np.testing.assert_allclose(still.direction, [1, 0, 0], atol=1e-6)
    alone = layout_query(target, pool[:0], QuerySettings())
    np.testing.assert_allclose(alone.direction, [1, 0, 0], atol=1e-6)


def test_the_whole_of_the_target_pulls_the_query_back() -> None:
    target = np.array([[0.8, 0.6], [0.8, 0.6]])
    query = layout_query(target, np.array([[1.0, 0.0]] * 4), QuerySettings(), whole=1).direction
    np.testing.assert_allclose(query, np.array([0.8, 1.6]) / np.hypot(0.8, 1.6), atol=1e-6)


def test_a_pool_without_anything_alike_leaves_the_query_where_it_is() -> None:
    """The nearest of the pool are nearer than the rest of it, yet far from how near the target is to itself."""
    rng = np.random.default_rng(0)
    target = unit_length(np.array([1.0, 0, 0]) + 0.1 * rng.normal(size=(30, 3)))
    pool = unit_length(np.array([0.3, 1.0, 0]) + 0.1 * rng.normal(size=(200, 3)))
    found = layout_query(target, pool, QuerySettings())
    assert found.alike == 0
    np.testing.assert_allclose(found.direction, mean_direction(target), atol=1e-6)
    with_some = layout_query(target, np.concatenate([pool, target[:5]]), QuerySettings())
    assert 1 <= with_some.alike <= 5


def test_learning_from_the_pool_sees_past_the_target_s_camera() -> None:
    """The target is a scene (axis 0) and its camera (axis 1); streets share the scene alone, decoys the camera."""
    rng = np.random.default_rng(2)

    def drawn(rows: int, *means: float) -> np.ndarray:
        vectors = np.concatenate([means, np.zeros(17)]) + 0.15 * rng.normal(size=(rows, 20))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    target, streets, decoys = drawn(100, 1, 1, 0), drawn(100, 1, 0.3, 0), drawn(400, 0.3, 0.9, 0.6)
    pool = np.concatenate([streets, decoys])

    def streets_found(query: np.ndarray) -> float:
        return float((np.argsort(-dots(pool, query))[:100] < 100).mean())

    # The camera keeps the streets away from the target, so they are not as near as the target is to itself.
    plain, refined = mean_direction(target), layout_query(target, pool, QuerySettings()).direction
    assert streets_found(refined) > streets_found(plain) + 0.3, (streets_found(plain), streets_found(refined))
    assert streets_found(refined) > 0.9


def test_scores_do_not_depend_on_the_block_in_which_an_image_comes() -> None:
    rng = np.random.default_rng(3)
    grids = [rng.normal(size=(7, 4, WIDTH)) for _ in range(6)]
    evidence = evidence_for(images_of(*grids[:3]))
    for name, scorer in SCORERS.items():
        alone = np.concatenate([scorer(ScorerInput(evidence, images_of(grid))) for grid in grids])
        np.testing.assert_allclose(scorer(ScorerInput(evidence, images_of(*grids))), alone, atol=1e-5, err_msg=name)


def test_words_of_errors() -> None:
    images = images_of(layered(0, 1))
    evidence = evidence_for(images)
    with pytest.raises(DataError, match="the target has too few images to hold any out"):
        SCORERS["typicality"](ScorerInput(evidence_for(images, held_out_nats=np.empty(0)), images))
    with pytest.raises(DataError, match="image 1 of the block has no slices"):
        empty = SliceBlock(images.slices, np.array([0, 28, 28]), np.array([[7, 4], [0, 4]]), np.ones((2, WIDTH)))
        SCORERS["similarity"](ScorerInput(evidence, empty))
    with pytest.raises(DataError, match="height × width differs from its number of slices"):
        layouts(images.slices, images.starts, np.array([[7, 3]]), images.pooled)
    with pytest.raises(DataError, match="slices have 3 features; the origin is for 2"):
        uncentred(images.slices, np.zeros(3))
    with pytest.raises(DataError, match=r"vectors have 28 dimensions, the query 5. Run .thresher fit RUN. again"):
        SCORERS["rows"](ScorerInput(evidence_for(images, rows_query=np.ones(5)), images))
    with pytest.raises(DataError, match="the target has no images"):
        layout_query(np.empty((0, 2)), np.ones((1, 2)), QuerySettings())
    with pytest.raises(DataError, match="target vectors have 2 dimensions, pool vectors 3"):
        layout_query(np.ones((1, 2)), np.ones((1, 3)), QuerySettings())
    with pytest.raises(SettingsError, match=r"pooled_share = 1.5: expected a share, 0 to 1"):
        QuerySettings(pooled_share=1.5)
    with pytest.raises(SettingsError, match=r"from_bottom = -1.0: expected 0 or more"):
        QuerySettings(from_bottom=-1.0)


def test_a_block_without_images_has_no_scores() -> None:
    """A shard may hold images of the target alone."""
    images = images_of(np.ones((7, 4, WIDTH)))
    none = SliceBlock(images.slices[:0], np.zeros(1, np.int64), np.empty((0, 2), np.int64), images.pooled[:0])
    assert [len(scorer(ScorerInput(evidence_for(images), none))) for scorer in SCORERS.values()] == [0] * len(SCORERS)
