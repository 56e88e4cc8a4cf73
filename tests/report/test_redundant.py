"""What the report tells of near-duplicates."""

from __future__ import annotations

import polars as pl

from thresher.report.blocks import Facts, Strips, Words
from thresher.report.sections.redundant import Redundancy, redundancy_blocks

CLUSTERS = pl.DataFrame(
    {"image_id": ["a", "b", "c", "d", "e", "x", "y"], "cluster": [0, 0, 0, 3, 3, -1, -1]},
    schema={"image_id": pl.String, "cluster": pl.Int64},
)
ALIKE = pl.DataFrame(
    {"image_id": ["a", "b", "c", "x"], "other_id": ["b", "a", "b", "t"], "cosine": [0.9912, 0.9912, 0.9531, 0.9876]}
)
NONE_ALIKE = ALIKE.clear()


def test_clusters_and_leaks_are_counted_and_shown() -> None:
    blocks = redundancy_blocks(Redundancy(0.95, CLUSTERS, -1, ALIKE), ["a", "c", "x", "z"])
    assert isinstance(blocks[0], Facts)
    values = [row[1].value for row in blocks[0].rows[1:]]  # type: ignore[union-attr]
    # Two clusters of five images; one is taken from, twice; one image is like the target.
    assert values == [2, 5, 1, 1, 1]
    clusters, leaks = blocks[1:]
    assert isinstance(clusters, Strips) and isinstance(leaks, Strips)
    assert [strip.words for strip in clusters.strips] == ["3 images, 2 taken, cosine 0.953 to 0.991"]
    shown = [(picture.image_id, words) for picture, words in clusters.strips[0].pictures]
    assert shown == [("a", "taken"), ("c", "taken"), ("b", "not taken")]
    assert leaks.strips[0].words == "cosine 0.988"
    shown = [(picture.image_id, words) for picture, words in leaks.strips[0].pictures]
    assert shown == [("x", "taken"), ("t", "target")]


def test_a_selection_without_any_says_so() -> None:
    blocks = redundancy_blocks(Redundancy(0.95, CLUSTERS, -1, NONE_ALIKE), ["z"])
    assert isinstance(blocks[1], Words) and blocks[1].text.startswith("No image of the selection")
    assert len(blocks) == 2


def test_many_clusters_are_counted_and_the_largest_shown() -> None:
    many = pl.DataFrame({"image_id": [f"{n:03}" for n in range(60)], "cluster": [n // 2 for n in range(60)]})
    alike = many.select("image_id", other_id="image_id", cosine=pl.lit(0.96))
    strips = redundancy_blocks(Redundancy(0.95, many, -1, alike), many["image_id"].to_list())[1]
    assert isinstance(strips, Strips)
    assert strips.title == "Clusters that the selection takes from, 12 of 30" and len(strips.strips) == 12
    assert strips.strips[0].words == "2 images, 2 taken, cosine 0.960"


def test_the_most_alike_of_many_leaks_come_first() -> None:
    names = [f"{n:03}" for n in range(20)]
    like = pl.DataFrame({"image_id": names, "cluster": [-1] * 20}, schema={"image_id": pl.String, "cluster": pl.Int64})
    alike = like.select("image_id", other_id=pl.lit("t"), cosine=0.96 + pl.int_range(20) / 1000)
    blocks = redundancy_blocks(Redundancy(0.95, like, -1, alike), names)
    assert isinstance(blocks[1], Strips)
    assert blocks[1].title == "Selected near-duplicates of target images, 12 of 20"
    assert [strip.pictures[0][0].image_id for strip in blocks[1].strips] == names[:7:-1]
