"""The ways to rank the pool. Each is a function from the scores table to one number per image, higher first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.errors import SettingsError

#: Needs the columns, in a table sorted by image_id, and a generator; gives a Float64 series, null = no candidate.
Method = Callable[[pl.DataFrame, np.random.Generator], pl.Series]
#: What the rank by diversity weighs in a mean of ranks, unless something else is asked for.
DIVERSITY_WEIGHT = 0.5


def random(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """A uniformly random order: what any other method must beat."""
    return pl.Series(rng.permutation(scores.height).astype(np.float64))


def diversity(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """The most, and the rarest, objects of interest first. Source: arXiv 1907.07023 §III-A."""
    return scores["diversity"]


def similarity(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """The most likely under the target's mixture first. Source: arXiv 1907.07023 §III-B."""
    return scores["similarity_nats"]


def cosine(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Nearest to the target's mean vector first: the simple baseline that any similarity must beat."""
    return scores["cosine"]


def layout(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Laid out most like the target first: the default similarity, since it finds scenes best (docs/results.md)."""
    return scores["layout"]


def ratio(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Likelier under the target's mixture than under the pool's first."""
    return scores["ratio_nats"]


def typicality(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """As likely as the target's own images first, neither more nor less."""
    return scores["typicality"]


def nearest(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Nearest to single target images first."""
    return scores["nearest_cosine"]


def rows(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Nearest to the target's mean band by band of rows first."""
    return scores["rows"]


def sphere(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Likeliest under the target's von Mises–Fisher mixture of slices first."""
    return scores["sphere_nats"]


def pooled_sphere(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Likeliest under the target's von Mises–Fisher mixture of pooled vectors first."""
    return scores["pooled_sphere_nats"]


def yield_area(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """The most area under boxes that a network already takes for the box's kind first; needs `score --network`."""
    return scores["yield_area"]


def both(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """The best mean of the ranks by diversity and by similarity first (the mean of ranks is ours)."""
    return mean_rank(scores, "similarity_nats", DIVERSITY_WEIGHT)


def layout_and_diversity(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """As `both`, with the default similarity in place of the paper's."""
    return mean_rank(scores, "layout", DIVERSITY_WEIGHT)


def mean_rank(scores: pl.DataFrame, similarity: str, diversity_weight: float) -> pl.Series:
    """Minus the weighted mean of the ranks by diversity and by a similarity: higher is better, −1 is first by both.

    An image without one of the two is no candidate. Equal scores share the mean of their ranks.

    Args:
        similarity: The column to rank by besides diversity.
        diversity_weight: What the rank by diversity weighs, 0..1; the other weighs the rest.
    """
    complete = scores["diversity"].is_not_null() & scores[similarity].is_not_null()
    diverse, similar = (
        scores[name].set(~complete, None).rank("average", descending=True) for name in ("diversity", similarity)
    )
    return -(diversity_weight * diverse + (1 - diversity_weight) * similar)


def similar_among_diverse(scores: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """By similarity, among the images of at least median diversity (the paper's other reading of heuristics + GMM)."""
    richness = scores["diversity"]
    middle = richness.filter(scores["similarity_nats"].is_not_null()).median()
    return scores["similarity_nats"].set((richness < middle).fill_null(True) | richness.is_null(), None)


METHODS: dict[str, Method] = {
    "random": random,
    "diversity": diversity,
    "yield": yield_area,
    "similarity": similarity,
    "layout": layout,
    "ratio": ratio,
    "typicality": typicality,
    "cosine": cosine,
    "nearest": nearest,
    "rows": rows,
    "sphere": sphere,
    "pooled_sphere": pooled_sphere,
    "both": both,
    "layout_and_diversity": layout_and_diversity,
    "similar_among_diverse": similar_among_diverse,
}
#: The methods that are a mean of two ranks, and the column of the similarity in it.
MEAN_RANKS = {"both": "similarity_nats", "layout_and_diversity": "layout"}


@dataclass(frozen=True)
class Ranking:
    """The candidates, best first, and how many images had no score to be ranked by."""

    order: pl.DataFrame
    """Columns image_id, rank (1 first), score."""
    not_ranked: int


def ranking(scores: pl.DataFrame, method: str, seed: int, diversity_weight: float = DIVERSITY_WEIGHT) -> Ranking:
    """All candidates in the order of a method; ties break by image_id, row order of `scores` does not matter.

    Every method gives one order from which a budget takes the head, so a larger budget contains the smaller one.

    Args:
        diversity_weight: For the methods that are a mean of two ranks (`MEAN_RANKS`); the others have no use for it.

    Raises:
        SettingsError: no such method.
    """
    if method not in METHODS:
        raise SettingsError(f"method '{method}': unknown. Known: {', '.join(METHODS)}.")
    by_id = scores.sort("image_id")
    if method in MEAN_RANKS:
        values = mean_rank(by_id, MEAN_RANKS[method], diversity_weight)
    else:
        values = METHODS[method](by_id, np.random.default_rng(seed))
    frame = by_id.select("image_id").with_columns(values.cast(pl.Float64).alias("score"))
    order = frame.drop_nulls("score").sort("score", "image_id", descending=[True, False])
    return Ranking(
        order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64)).select("image_id", "rank", "score"),
        frame.height - order.height,
    )


def budget_count(budget: str, candidates: int) -> int:
    """The number of images that "500" or "10%" asks for; a share is of the candidates, rounded, one at least.

    Raises:
        SettingsError: not a number, or outside 1..candidates or 0..100 %.

    >>> budget_count("10%", 3410), budget_count("48", 3410)
    (341, 48)
    """
    text = budget.strip()
    try:
        share = text.endswith("%")
        count = max(1, round(candidates * float(text[:-1]) / 100)) if share else int(text)
        valid = 0 < float(text[:-1]) <= 100 if share else count >= 1
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(f"budget {budget!r}: expected a number of images (500) or a share (10%), more than 0.")
    if count > candidates:
        raise SettingsError(f"budget {budget}: only {candidates} images can be chosen. Ask for fewer, or for 100%.")
    return count
