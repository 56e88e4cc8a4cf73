"""Why images near the edge of a selection were left out, in a few words each."""

from __future__ import annotations

import polars as pl

from thresher.selection.choose import Selection

#: What decides for images in the order of the ranking; all else is for a wish's sake.
_BY_ORDER = ("rank", "coverage")


def places_by_score(candidates: pl.DataFrame) -> pl.DataFrame:
    """The candidates in the order of their scores, whatever coverage made of it.

    Args:
        candidates: image_id, rank, score.

    Returns:
        image_id, score, place (1 is the best); without those that have no score.

    >>> order = pl.DataFrame({"image_id": ["b", "a", "c"], "rank": [1, 2, 3], "score": [0.1, 0.9, 0.5]})
    >>> places_by_score(order)["image_id"].to_list()
    ['a', 'c', 'b']
    """
    order = candidates.drop_nulls("score").sort("score", "image_id", descending=[True, False])
    return order.select("image_id", "score", place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


def edge_words(made: Selection, places: pl.DataFrame, shortlist: int | None, ids: pl.Series) -> dict[str, str]:
    """By image_id, what decided against an image, and where it stood; chosen images are left out.

    Args:
        places: From `places_by_score` of the selection's candidates.
        shortlist: With coverage: how many of the best ranked candidates were chosen from.
        ids: The images asked about.
    """
    steps = made.steps.filter(pl.col("image_id").is_in(ids.implode())).unique("image_id", keep="first")
    found = {row["image_id"]: f"{row['step']}: {row['reason']}" for row in steps.iter_rows(named=True)}
    taken = set(made.chosen["image_id"])
    wished = made.decided.filter(~pl.col("decision").is_in(_BY_ORDER))
    behind = places.join(wished, on="image_id", how="semi")["place"]
    for image_id, place in places.filter(pl.col("image_id").is_in(ids.implode())).select("image_id", "place").rows():
        if image_id in taken or image_id in found:
            continue
        here = f"place {place:,} of {places.height:,}"
        if shortlist is None:
            ahead = int((behind > place).sum())
            found[image_id] = f"rank: {here}" + (f"; {ahead:,} behind it taken for wishes or marks" if ahead else "")
        elif place <= shortlist:
            found[image_id] = f"coverage: {here}, but others of the shortlist of {shortlist:,} add more"
        else:
            found[image_id] = f"rank: {here}, beyond the shortlist of {shortlist:,}"
    return found
