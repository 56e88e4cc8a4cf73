"""Why each image was chosen: its ranks, the nearest target images, and its rare classes."""

from __future__ import annotations

import polars as pl

from thresher.selection.diversity import ClassFrequencies
from thresher.tables import SELECTION


def with_reasons(
    chosen: pl.DataFrame, scores: pl.DataFrame, counts: pl.DataFrame, frequencies: ClassFrequencies
) -> pl.DataFrame:
    """The SELECTION table: the chosen rows with `why`.

    Args:
        chosen: image_id, rank, score.
        scores: The whole SCORES table, for ranks in the pool (1 = highest).
        counts: From `class_counts`.
    """
    ranked = scores.select(
        "image_id",
        "nearest_ids",
        pl.col("layout").rank("min", descending=True).cast(pl.Int64).alias("layout_rank"),
        pl.col("similarity").rank("min", descending=True).cast(pl.Int64).alias("similarity_rank"),
        pl.col("diversity").rank("min", descending=True).cast(pl.Int64).alias("diversity_rank"),
    )
    held = counts.join(chosen, on="image_id", how="semi")
    names = [
        pl.when(pl.col(name) > 0).then(pl.lit(name)).otherwise(None)
        for name in sorted(frequencies.rare)
        if name in held.columns
    ]
    found = pl.concat_list(names).list.drop_nulls() if names else pl.lit([], pl.List(pl.String))
    rare = held.select("image_id", rare_classes=pl.when(found.list.len() > 0).then(found))
    ranked = ranked.join(chosen, on="image_id", how="semi")
    joined = chosen.join(ranked, on="image_id", how="left").join(rare, on="image_id", how="left").sort("rank")
    fields = ["layout_rank", "similarity_rank", "diversity_rank", "nearest_ids", "rare_classes"]
    return joined.with_columns(why=pl.struct(fields)).select(
        pl.col(name).cast(kind) for name, kind in SELECTION.items()
    )


def sentence(why: dict[str, object], score: float | None, method: str) -> str:
    """The reasons in words, for tables and captions; a pinned image may have no score.

    >>> why = {"layout_rank": 2, "similarity_rank": 3, "diversity_rank": None}
    >>> why |= {"nearest_ids": ["a/1"], "rare_classes": ["bus"]}
    >>> sentence(why, 1.0, "both")
    'both 1.000; layout rank 2; similarity rank 3; most like a/1; brings bus'
    """
    parts = ["pinned by hand" if score is None else f"{method} {score:.3f}"]
    parts += [
        f"{name} rank {why[f'{name}_rank']}" for name in ("layout", "similarity", "diversity") if why[f"{name}_rank"]
    ]
    for field, words in (("nearest_ids", "most like"), ("rare_classes", "brings")):
        values = why[field]
        if isinstance(values, list) and values:
            parts.append(f"{words} {', '.join(map(str, values))}")
    return "; ".join(parts)
