"""A selection against the pool that it was chosen from and the target that it is for: what differs, and how much."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Float, Float64, Int64

from thresher.tables import Schema

#: One row per thing compared. `aspect`: class, objects, data set, folder, sequence (shares of images, 0..1; of objects:
#: shares of all objects), or measure (medians). `difference`: selection minus pool. `effect`: Cohen's h of shares,
#: rank-biserial correlation of measures; `low` to `high` is its 95 % interval, `target_effect` the same against the
#: target. `as_few`: the probability that a random draw holds as few of the class. Null where it has no meaning.
AUDIT: Schema = {"aspect": pl.String, "name": pl.String} | {
    "selection": pl.Float64,
    "pool": pl.Float64,
    "target": pl.Float64,
    "selection_count": pl.Int64,
    "pool_count": pl.Int64,
    "difference": pl.Float64,
    "effect": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "target_effect": pl.Float64,
    "as_few": pl.Float64,
}
#: Half of the width of a 95 % interval, in standard errors.
_WIDE = 1.959964
#: Fewest frames of a sequence in the pool.
_FRAMES = 5
#: The number of a frame, and all behind it in the name of a file.
_FRAME = r"[-_. ]?\d{3,}(?:[^/\d]+\d{0,2})*$"


@dataclass(frozen=True)
class Side:
    """Some images as an audit sees them."""

    images: pl.DataFrame
    """image_id, dataset, and any numeric columns that describe an image, such as its brightness."""
    counts: pl.DataFrame
    """Objects per class of the images that hold any (`class_counts`)."""
    sizes: Float[np.ndarray, " objects"] | None = None
    """The area of each object's box as a share of its image; None if not known."""
    labelled: int | None = None
    """Of how many of the images it is known what they hold: those of data sets with boxes; None: of all."""

    @property
    def known(self) -> int:
        """Images whose objects are known."""
        return self.images.height if self.labelled is None else self.labelled


@dataclass(frozen=True)
class Target:
    """The target as an audit sees it; what is not known is empty or None."""

    images: pl.DataFrame
    classes: Mapping[str, float] = field(default_factory=dict)
    """Share of its images with each class, 0..1, by boxes or masks."""
    objects: Mapping[str, float] = field(default_factory=dict)
    """Share of its objects that are of each class, 0..1."""
    sizes: Float[np.ndarray, " objects"] | None = None


def audit_rows(selection: Side, pool: Side, target: Target | None = None) -> pl.DataFrame:
    """Table `AUDIT`: the selection against the pool (which contains it) and the target.

    Classes are those on any image of pool or target; their shares are of the images whose objects are known, and there
    are no rows of classes and objects where that is none of the pool. Data sets, folders and sequences are those with a
    chosen image, most chosen first; of folders and sequences there are rows only where a data set of the pool has more
    than one.

    >>> ids = pl.DataFrame({"image_id": ["a/1", "a/2", "a/3", "a/4"], "dataset": "a"})
    >>> cars = pl.DataFrame({"image_id": ["a/1", "a/2"], "car": [3, 1]})
    >>> found = audit_rows(Side(ids.head(2), cars), Side(ids, cars)).filter(aspect="class")
    >>> found.select("name", "selection", "pool", "difference").rows()
    [('car', 1.0, 0.5, 0.5)]
    """
    target = target or Target(pool.images.clear())
    parts = [_classes(selection, pool, target), _objects(selection, pool, target)] if pool.known else []
    parts += [
        _groups("data set", pl.col("dataset"), selection.images, pool.images, target.images),
        _groups("folder", folder_of(), selection.images, pool.images, target.images),
        _groups("sequence", sequence_of(), selection.images, pool.images, target.images),
        _measures(selection, pool, target),
    ]
    return pl.concat(parts)


def folder_of() -> pl.Expr:
    """The folder of an image, from its id; its data set if it lies in none."""
    ids = pl.col("image_id")
    return pl.when(ids.str.contains("/", literal=True)).then(ids.str.replace(r"/[^/]*$", "")).otherwise("dataset")


def sequence_of() -> pl.Expr:
    """The sequence of a frame, from its id: all before the last number of three or more digits, else its folder.

    >>> ids = pl.DataFrame({"image_id": ["v/0001_00690", "c/ulm/ulm_0001_000019_x8bit", "k/000123"], "dataset": "d"})
    >>> ids.select(sequence_of())["image_id"].to_list()
    ['v/0001', 'c/ulm/ulm_0001', 'k']
    """
    ids = pl.col("image_id")
    start = ids.str.replace(_FRAME, "")
    return pl.when(start == ids).then(folder_of()).otherwise(start.str.strip_suffix("/")).alias("image_id")


def cohens_h(share: Float64[np.ndarray, " n"], other: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """How far shares of 0..1 are apart: 2 asin √share − 2 asin √other, −π..π; 0.2 is small, 0.5 medium, 0.8 large.

    Source: Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, §6.2.

    >>> cohens_h(np.array([0.5, 0.1]), np.array([0.5, 0.02])).round(2).tolist()
    [0.0, 0.36]
    """
    difference: Float64[np.ndarray, " n"] = 2 * (np.arcsin(np.sqrt(share)) - np.arcsin(np.sqrt(other)))
    return difference


def rank_biserial(values: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> tuple[float, float, float]:
    """How often a value is above one of the others, minus how often below, −1..1; and a 95 % interval.

    It is 2·AUC − 1. The interval takes all values as independent, which objects of one image are not.

    Source: Kerby 2014, Comprehensive Psychology 3; standard error of AUC: Hanley & McNeil 1982, Radiology 143.

    >>> [round(each, 2) for each in rank_biserial(np.array([2.0, 3.0]), np.array([1.0, 2.0]))]
    [0.75, -0.06, 1.0]
    """
    n, m, ordered = len(values), len(others), np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    area = float(below.mean() / (2 * m))
    one, other = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (other - area**2)) / (n * m)
    half = 2 * _WIDE * float(np.sqrt(max(0.0, variance)))
    middle = 2 * area - 1
    return middle, max(-1.0, middle - half), min(1.0, middle + half)


def as_few_by_chance(
    held: Int64[np.ndarray, " n"], drawn: int, holders: Int64[np.ndarray, " n"], pool: int
) -> Float64[np.ndarray, " n"]:
    """The probability that a random draw from the pool holds as few images of a class, or fewer (hypergeometric), 0..1.

    Args:
        held: Of each class, the images of the draw that hold it.
        drawn: Images drawn, without putting any back.
        holders: Of each class, the images of the pool that hold it.
        pool: Images of the pool.

    Source: the hypergeometric distribution; Fisher's exact test, one-sided.

    >>> as_few_by_chance(np.array([0, 2]), 2, np.array([2, 2]), 4).round(3).tolist()  # 2 of 4: C(2,2) / C(4,2)
    [0.167, 1.0]
    """
    found = np.empty(len(held))
    for place, (most, own) in enumerate(zip(held.tolist(), holders.tolist(), strict=True)):
        counts = np.arange(max(0, drawn + own - pool), most + 1, dtype=np.float64)
        logs = _log_choose(own, counts) + _log_choose(pool - own, drawn - counts)
        logs -= _log_choose(pool, np.array([drawn], np.float64))
        found[place] = min(1.0, float(np.exp(logs).sum()))
    return found


def _log_choose(n: int, k: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    from scipy.special import gammaln

    chosen: Float64[np.ndarray, " n"] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return chosen


def _classes(selection: Side, pool: Side, target: Target) -> pl.DataFrame:
    """The share of images with each class, in the order of the pool's."""
    names = [name for name in pool.counts.columns if name != "image_id"]
    held, holders = (_held(side.counts, names) for side in (selection, pool))
    table = _shares("class", names, held, holders, selection.known, pool.known, target.classes)
    few = as_few_by_chance(held, selection.known, holders, pool.known)
    return _known(table.with_columns(as_few=pl.Series(few, dtype=pl.Float64)))


def _known(table: pl.DataFrame) -> pl.DataFrame:
    """The classes that pool or target have, the most frequent of the pool first."""
    there = (pl.col("pool_count") > 0) | (pl.col("target").fill_null(0) > 0)
    return table.filter(there).sort("pool", "name", descending=[True, False])


def _held(counts: pl.DataFrame, names: list[str]) -> Int64[np.ndarray, " n"]:
    found = counts.select((pl.col(name) > 0).sum().cast(pl.Int64) for name in names)
    return found.to_numpy().ravel().astype(np.int64) if names else np.zeros(0, np.int64)


def _objects(selection: Side, pool: Side, target: Target) -> pl.DataFrame:
    """The share of all objects that are of each class. Objects of one image are not independent: no interval."""
    names = [name for name in pool.counts.columns if name != "image_id"]
    mine, everything = (_sums(side.counts, names) for side in (selection, pool))
    table = _shares("objects", names, mine, everything, int(mine.sum()), int(everything.sum()), target.objects)
    none = pl.lit(None, pl.Float64)
    return _known(table.with_columns(low=none, high=none))


def _sums(counts: pl.DataFrame, names: list[str]) -> Int64[np.ndarray, " n"]:
    found = counts.select(pl.col(name).sum().cast(pl.Int64) for name in names)
    return found.to_numpy().ravel().astype(np.int64) if names else np.zeros(0, np.int64)


def _groups(aspect: str, key: pl.Expr, chosen: pl.DataFrame, pool: pl.DataFrame, target: pl.DataFrame) -> pl.DataFrame:
    """The share of images of each data set, folder or sequence; one that is a whole data set is left out."""
    mine, everything, theirs = (
        frame.group_by("dataset", name=key).agg(count=pl.len().cast(pl.Int64)) for frame in (chosen, pool, target)
    )
    if aspect != "data set":
        everything = everything.filter(pl.len().over("dataset") > 1)
    if aspect == "sequence":  # ids that only end like the numbers of frames, as random ones do, make no sequences
        long = pl.col("count").filter(pl.col("count") >= _FRAMES).sum().over("dataset")
        everything = everything.filter(2 * long >= pl.col("count").sum().over("dataset"), pl.col("count") >= _FRAMES)
    ordered = mine.join(everything, on=["dataset", "name"], suffix="_pool").sort(
        "count", "name", descending=[True, False]
    )
    names = ordered["name"].to_list()
    shares = dict(theirs.select("name", pl.col("count") / max(1, target.height)).iter_rows())
    held, holders = (ordered[name].to_numpy().astype(np.int64) for name in ("count", "count_pool"))
    # Where target and pool have nothing in common, that says nothing.
    known = {name: shares.get(name, 0.0) for name in names} if set(shares) & set(names) else {}
    return _shares(aspect, names, held, holders, chosen.height, pool.height, known)


def _shares(
    aspect: str,
    names: list[str],
    held: Int64[np.ndarray, " n"],
    holders: Int64[np.ndarray, " n"],
    drawn: int,
    pool: int,
    target: Mapping[str, float],
) -> pl.DataFrame:
    share, of_pool = held / max(1, drawn), holders / max(1, pool)
    effect = cohens_h(share, of_pool)
    # The standard error of h of a random draw; nothing is left to chance where all of the pool is drawn.
    error = np.sqrt(max(0, pool - drawn) / max(1, pool - 1) / max(1, drawn))
    of_target = [target.get(name) for name in names]
    against = [
        None if other is None else float(cohens_h(share[place : place + 1], np.array([other]))[0])
        for place, other in enumerate(of_target)
    ]
    columns = {
        "aspect": [aspect] * len(names),
        "name": names,
        "selection": share,
        "pool": of_pool,
        "target": of_target,
        "selection_count": held,
        "pool_count": holders,
        "difference": share - of_pool,
        "effect": effect,
        "low": effect - _WIDE * error,
        "high": effect + _WIDE * error,
        "target_effect": against,
        "as_few": [None] * len(names),
    }
    return pl.DataFrame(columns, schema=dict(AUDIT))


def _measures(selection: Side, pool: Side, target: Target) -> pl.DataFrame:
    """Medians of the columns of numbers and of the sizes of objects."""
    named = [name for name, kind in pool.images.schema.items() if kind.is_numeric()]
    found: dict[str, list[Float[np.ndarray, " _n"] | None]] = {
        name: [_numbers(frame, name) for frame in (selection.images, pool.images, target.images)] for name in named
    }
    found["object area (share of the image)"] = [selection.sizes, pool.sizes, target.sizes]
    rows = []
    for name, (mine, all_of_it, theirs) in found.items():
        if mine is None or all_of_it is None or not len(mine) or not len(all_of_it):
            continue
        middle, low, high = rank_biserial(mine, all_of_it)
        known = theirs is not None and len(theirs) > 0
        medians = [float(np.median(each)) for each in (mine, all_of_it)]
        rows.append(
            {
                "aspect": "measure",
                "name": name.replace("_", " "),
                "selection": medians[0],
                "pool": medians[1],
                "target": float(np.median(theirs)) if known and theirs is not None else None,
                "selection_count": len(mine),
                "pool_count": len(all_of_it),
                "difference": medians[0] - medians[1],
                "effect": middle,
                "low": low,
                "high": high,
                "target_effect": rank_biserial(mine, theirs)[0] if known and theirs is not None else None,
            }
        )
    return pl.DataFrame(rows, schema=dict(AUDIT), orient="row") if rows else pl.DataFrame(schema=dict(AUDIT))


def _numbers(frame: pl.DataFrame, name: str) -> Float64[np.ndarray, " _n"] | None:
    if name not in frame.columns:
        return None
    return frame[name].cast(pl.Float64).drop_nulls().drop_nans().to_numpy()


def chosen_side(pool: Side, ids: Collection[str] | pl.Series) -> Side:
    """The side of the chosen images, without the sizes of their objects."""
    wanted = pl.DataFrame({"image_id": pl.Series(list(ids), dtype=pl.String)})
    images, counts = (frame.join(wanted, on="image_id", how="semi") for frame in (pool.images, pool.counts))
    return Side(images, counts)
