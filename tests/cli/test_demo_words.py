"""What the demo says of what it planted."""

from __future__ import annotations

import polars as pl

from thresher.cli.demo import planted_words


def test_planted_and_found_are_told_as_they_are() -> None:
    truth = pl.DataFrame({"is_street": [True] * 10 + [False] * 5, "weather": ["night"] * 2 + ["day"] * 8 + [None] * 5})
    counts = dict.fromkeys(("images", "streets"), 40)
    found = {
        "random": {**counts, "streets": 16, "nights": 0, "near_duplicates": 0},
        "similarity": {**counts, "nights": 6, "near_duplicates": 1},
        "layout_and_diversity": {**counts, "nights": 12, "near_duplicates": 3},
        "layout_and_diversity+images": {**counts, "nights": 8, "near_duplicates": 0},
    }
    assert planted_words(found, truth) == [
        "Similarity finds the streets: of 40 images chosen by `similarity` 40 are streets; at random 16.",
        "Coverage keeps the nights: 20 % of the planted streets are at night, and 20 % of those that the default "
        "chooses, with no near-duplicates; by its ranking alone it would be 30 % with 3 near-duplicates, by "
        "`similarity` 15 % with 1 near-duplicate.",
    ]
    found["layout_and_diversity+images"] |= {"nights": 2}
    found["similarity"] |= {"streets": 10}
    first, second = planted_words(found, truth)
    assert (first.partition(":")[0], second.partition(":")[0]) == ("Streets", "Nights")
