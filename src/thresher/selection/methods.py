"""The ways to rank the pool: by a column of the scores, by a mean of ranks, or at random; higher first."""

from __future__ import annotations

import bisect
import difflib
import functools
import operator
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from thresher.errors import SettingsError
from thresher.settings import did_you_mean

#: What `select` does unless told otherwise: the best ranked, and of these those that together cover the most. Chosen by
#: trainings (docs/experiments/choice-of-the-default.md).
DEFAULT_METHOD = "layout_and_diversity+images"
#: Default weight of the diversity rank in a mean of ranks.
DIVERSITY_WEIGHT = 0.5
#: Methods that average the diversity rank with that of a similarity, and which. The mean of ranks is ours; `both` is
#: the paper's heuristics + GMM, the other uses the default similarity instead of the paper's.
MEAN_RANKS = {"both": "similarity", "layout_and_diversity": "layout"}
#: Methods that are not just a column of the scores, and what each ranks by.
COMBINED_WORDS = {
    "random": "Uniformly random order by seed: the baseline for every other method.",
    "holds_class": "Random order by seed of the images with a box of a class of interest: the baseline to beat.",
    "both": "Mean of the ranks by diversity and by similarity: the paper's heuristics + GMM (mean of ranks: ours).",
    "layout_and_diversity": "As `both`, with score layout instead of similarity. Default, with coverage images.",
    "similar_among_diverse": "Similarity, among the images of at least median diversity.",
}
#: Ways to combine columns of one's own choice, as they are written, and what each ranks by.
WRITTEN_WORDS = {
    "0.7*layout + 0.3*diversity": "Weighted mean of the ranks by any columns; without numbers they weigh the same.",
    "pareto(layout, diversity)": "Those no other image beats by both columns, then those only these beat, and so on; "
    "within, by mean rank.",
}
COMBINED = tuple(COMBINED_WORDS)
#: Methods that draw by seed.
SEEDED = ("random", "holds_class")


def weighted_ranks(columns: Mapping[str, pl.Series], weights: Mapping[str, float]) -> pl.Series:
    """Minus the weighted mean of the ranks by several columns: −1 is first by all of them, null where one is null.

    Equal scores share the mean of their ranks. Ranks, not values, since scores have units that cannot be added.

    Args:
        columns: Scores of the same images in the same order, higher first.
        weights: Weight of each column, 0 or more; divided by their sum.

    >>> near, rich = pl.Series([0.9, 0.5, 0.1]), pl.Series([1.0, 3.0, 2.0])
    >>> weighted_ranks({"near": near, "rich": rich}, {"near": 0.5, "rich": 0.5}).to_list()
    [-2.0, -1.5, -2.5]
    """
    complete = pl.Series(np.logical_and.reduce([each.is_not_null().to_numpy() for each in columns.values()]))
    total = sum(weights[name] for name in columns)
    parts = [
        (weights[name] / total) * values.cast(pl.Float64).set(~complete, None).rank("average", descending=True)
        for name, values in columns.items()
    ]
    return -functools.reduce(operator.add, parts)


@dataclass(frozen=True)
class Combination:
    """Columns that rank together."""

    weights: Mapping[str, float]
    """By column."""
    by_fronts: bool = False
    """Whether by Pareto fronts first."""

    def values(self, columns: pl.DataFrame) -> pl.Series:
        """One number per image, higher first; null where a column is."""
        chosen = {name: columns[name].cast(pl.Float64).fill_nan(None) for name in self.weights}
        ranks = weighted_ranks(chosen, self.weights)
        if not self.by_fronts:
            return ranks
        first, second = chosen.values()
        complete = first.is_not_null() & second.is_not_null()
        fronts = pareto_fronts(first.filter(complete).to_numpy(), second.filter(complete).to_numpy())
        values = np.full(len(ranks), np.nan)
        places = ranks.filter(complete).to_numpy() / (len(fronts) + 1)
        values[complete.to_numpy()] = places - fronts
        return pl.Series(values).fill_nan(None)


def combination_of(method: str, diversity_weight: float = DIVERSITY_WEIGHT) -> Combination | None:
    """The columns that a method combines; None if it is no such method.

    Raises:
        SettingsError: a combination that is not written as one, or names a column twice.

    >>> combination_of("0.7*layout + 0.3*diversity")
    Combination(weights={'layout': 0.7, 'diversity': 0.3}, by_fronts=False)
    >>> combination_of("pareto(layout, diversity)").by_fronts, combination_of("layout")
    (True, None)
    """
    if method in MEAN_RANKS:
        return Combination({"diversity": diversity_weight, MEAN_RANKS[method]: 1 - diversity_weight})
    found = _PARETO.fullmatch(method.strip())
    if found is None and not set(method) & set("*+("):
        return None
    parts = found.group(1).split(",") if found else method.split("+")
    terms = [_TERM.fullmatch(part.strip()) for part in parts]
    weights = {term.group(2): float(term.group(1) or 1) for term in terms if term}
    two = found is None or (len(parts) == 2 and not any(term and term.group(1) for term in terms))
    if not all(terms) or len(weights) < len(parts) or not two or not any(weights.values()):
        raise SettingsError(
            f"method '{method}': expected WEIGHT*COLUMN + WEIGHT*COLUMN, such as 0.7*layout + 0.3*diversity, or "
            "pareto(COLUMN, COLUMN), with each column once."
        )
    return Combination(weights, found is not None)


_PARETO = re.compile(r"pareto\((.*)\)")
_TERM = re.compile(r"(?:([0-9]*\.?[0-9]+)\s*\*\s*)?([\w.-]*[A-Za-z_][\w.-]*)")


def pareto_fronts(first: Float64[np.ndarray, " n"], second: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The front of each pair of numbers, from 1: those that none beats, then those that only the former beat, ….

    A pair beats another if it is higher in one number and not lower in the other. O(n log n).

    Source: patience sorting of the pairs by the first number (Jensen 2003, doi 10.1109/TEVC.2003.817234).

    >>> pareto_fronts(np.array([3.0, 1.0, 2.0, 1.0]), np.array([1.0, 3.0, 1.0, 1.0])).tolist()
    [1, 1, 2, 3]
    """
    order = np.lexsort((-second, -first))
    fronts = np.empty(len(first), np.int64)
    highest: list[float] = []  # minus the highest second number of each front, rising
    last, front = (np.nan, np.nan), 0
    for row, pair in zip(order.tolist(), zip(first[order].tolist(), second[order].tolist(), strict=True), strict=True):
        if pair != last:
            front = bisect.bisect_right(highest, -pair[1])
            highest[front : front + 1] = [-pair[1]]
            last = pair
        fronts[row] = front + 1
    return fronts


def similar_among_diverse(scores: pl.DataFrame) -> pl.Series:
    """By similarity, among the images of at least median diversity (the paper's other reading of heuristics + GMM)."""
    richness = scores["diversity"]
    middle = richness.filter(scores["similarity"].is_not_null()).median()
    return scores["similarity"].set((richness < middle).fill_null(True) | richness.is_null(), None)


def rankable(scores: pl.DataFrame) -> list[str]:
    """Methods available for this table: the combined ones, then each of its numeric columns."""
    return [*COMBINED, *(name for name, kind in scores.schema.items() if kind.is_numeric() and name not in COMBINED)]


def check_method(method: str, known: Collection[str]) -> None:
    """Refuse a method that is neither combined nor a numeric column of the scores.

    Args:
        known: Names of methods and columns.

    Raises:
        SettingsError: suggests a similar name and lists all methods.
    """
    if method in known:
        return
    combination = combination_of(method)
    columns = [each for each in known if each not in COMBINED]
    for name in combination.weights if combination else ():
        if name not in columns:
            raise SettingsError(f"method '{method}': no column is called '{name}'.{did_you_mean(name, columns)}")
    if combination is None:
        close = difflib.get_close_matches(method, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise SettingsError(
            f"method '{method}': unknown.{hint} Known: {', '.join(known)}; or any numeric column of scores.parquet."
        )


@dataclass(frozen=True)
class Ranking:
    """The candidates, best first, and the images that have no score to be ranked by."""

    order: pl.DataFrame
    """Columns image_id, rank (1 first), score."""
    unranked: pl.DataFrame
    """Column image_id."""

    @property
    def not_ranked(self) -> int:
        """How many images have no score to be ranked by."""
        return self.unranked.height


def ranking(scores: pl.DataFrame, method: str, seed: int, diversity_weight: float = DIVERSITY_WEIGHT) -> Ranking:
    """All candidates in the order of a method; ties break by image_id, row order of `scores` does not matter.

    Every method gives one order from which a budget takes the head, so a larger budget contains the smaller one.

    Args:
        method: One of `COMBINED`, a numeric column of the scores, higher first, or a combination of columns as in
            `WRITTEN_WORDS`.
        seed: Seed of the methods in `SEEDED`; no effect on the others.
        diversity_weight: Weight of the diversity rank, 0..1, for the methods in `MEAN_RANKS`; no effect on the others.

    Raises:
        SettingsError: neither a method nor a column.
    """
    check_method(method, rankable(scores))
    by_id = scores if scores["image_id"].is_sorted() else scores.sort("image_id")
    if method in SEEDED:
        values = pl.Series(np.random.default_rng(seed).permutation(by_id.height).astype(np.float64))
        if method == "holds_class":
            values = values.set((by_id["objects"] == 0) | by_id["objects"].is_null(), None)
    elif method == "similar_among_diverse":
        values = similar_among_diverse(by_id)
    elif combination := combination_of(method, diversity_weight):
        values = combination.values(by_id)
    else:
        values = by_id[method]
    frame = by_id.select("image_id").with_columns(values.cast(pl.Float64).fill_nan(None).alias("score"))
    order = frame.drop_nulls("score").sort("score", descending=True, maintain_order=True)
    return Ranking(
        order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64)).select("image_id", "rank", "score"),
        frame.filter(pl.col("score").is_null()).select("image_id"),
    )


def why_unranked(method: str) -> str:
    """Why a method cannot rank an image, in words.

    >>> why_unranked("both"), why_unranked("nearest")
    ('no similarity or no diversity', 'no value of nearest')
    """
    if combination := combination_of(method):
        return " or ".join(f"no {name}" for name in sorted(combination.weights, reverse=True))
    words = {
        "holds_class": "no box of a class of interest",
        "similar_among_diverse": "no similarity, or less diverse than the median",
    }
    return words.get(method, f"no value of {method}")


def budget_count(budget: str, candidates: int) -> int:
    """The number of images in a budget such as "500" or "10%"; a share of the candidates is rounded, at least 1.

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
        raise SettingsError(f"budget {budget!r}: expected a number of images (500) or a share of them (10% or 0.1).")
    if count > candidates:
        raise SettingsError(f"budget {budget}: only {candidates} images can be chosen. Ask for fewer, or for 100%.")
    return count
