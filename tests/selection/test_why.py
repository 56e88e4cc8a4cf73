"""Why an image was taken, or why not: every decision of a choice whose steps are known."""

from __future__ import annotations

import polars as pl
import pytest

from thresher.selection.choose import Selection
from thresher.selection.why import Choice, Place, Why, why_of

IDS = [f"i{number}" for number in range(10)]
#: Ten images, i0 best; i1 is a near-duplicate of i0; i9 has no score.
SCORES = pl.DataFrame({"image_id": IDS, "layout": [*range(10, 1, -1), None], "diversity": [1.0] * 10})
RANKED = pl.DataFrame({"image_id": IDS[:9], "rank": range(1, 10), "score": [float(each) for each in range(10, 1, -1)]})
LEFT = RANKED.filter(pl.col("image_id") != "i1").with_columns(rank=pl.int_range(1, 9, dtype=pl.Int64))
STEPS = pl.DataFrame(
    {
        "image_id": ["i9", "i1"],
        "step": ["not ranked", "near-duplicate"],
        "reason": ["no layout", "near-duplicate of i0"],
    }
)


def chosen(*decided: str) -> Selection:
    """The images named by ID or ID:DECISION."""
    parts = [each.partition(":") for each in decided]
    ids = [name for name, _, _ in parts]
    made = pl.DataFrame({"image_id": ids, "rank": range(1, len(ids) + 1), "score": [0.0] * len(ids)})
    decisions = pl.DataFrame({"image_id": ids, "decision": [word or "rank" for _, _, word in parts]})
    return Selection(made, {}, LEFT, STEPS, decisions)


def why(image_id: str, made: Selection, shortlist: int | None = None) -> Why:
    return why_of(image_id, Choice(made, "layout", RANKED, SCORES, shortlist), {})


def test_an_image_below_the_bar_missed_it_by_places_and_score() -> None:
    found = why("i5", chosen("i0", "i2", "i3"))
    assert (found.taken, found.decided_by, found.score, found.bar) == (False, "rank", 5.0, 7.0)
    assert found.words == (
        "Not taken: place 5 of 8 candidates by layout (5); the last one taken by its rank is at place 3 (7), so it "
        "missed the bar by 2 places and 2 in score.",
    )
    assert found.places == (Place("layout", 5.0, 6, 9), Place("diversity", 1.0, 1, 10))


def test_images_of_lower_rank_that_were_taken_for_a_wish_are_counted() -> None:
    found = why("i4", chosen("i0", "i2", "i6:quota bus", "i7:quota bus", "i8:pinned"))
    assert found.words[1] == ("Of lower rank, but taken for another reason: quota bus (2), pinned (1).")
    assert found.bar == 8.0, "that of i2, the last by its rank"
    assert why("i4", chosen("i6:pinned")).words == (
        "Not taken: pinned and kept images and quotas took all of the budget.",
    )


def test_a_step_decided_whatever_the_score() -> None:
    found = why("i1", chosen("i0", "i2"))
    assert (found.decided_by, found.rank) == ("near-duplicate", None)
    assert found.words == (
        "Not taken (near-duplicate): near-duplicate of i0.",
        "By its score alone it would have been: layout place 2 of 9.",
    )
    assert why("i9", chosen("i0", "i2")).words == ("Not taken (not ranked): no layout.",)
    assert why("elsewhere", chosen("i0")).words == ("Not taken: layout cannot rank it.",)


@pytest.mark.parametrize(
    ("made", "decided", "words"),
    [
        (("i0", "i2"), "rank", "Taken, rank 2 of 2: by its rank."),
        (("i0", "i2:pinned"), "pinned", "Taken, rank 2 of 2: pinned in the review."),
        (("i0", "i2:quota bus"), "quota bus", "Taken, rank 2 of 2: quota bus."),
    ],
)
def test_a_taken_image_says_what_decided(made: tuple[str, ...], decided: str, words: str) -> None:
    found = why("i2", chosen(*made))
    assert (found.taken, found.decided_by, found.rank) == (True, decided, 2)
    assert found.words == (words, "By layout it is place 3 of 9 (8).")


def test_coverage_decides_within_the_shortlist_and_rank_about_it() -> None:
    made = chosen("i0:coverage", "i4:coverage")
    assert why("i4", made, 4).decided_by == "coverage"
    within, beyond = why("i2", made, 4), why("i7", made, 4)
    assert within.decided_by == "coverage"
    assert "within the shortlist of 4, but others add more to what is covered" in within.words[0]
    assert beyond.decided_by == "shortlist"
    assert beyond.words[0].endswith(
        "the shortlist ends at place 4 (6), so it missed the bar by 3 places and 3 in score."
    )


def test_a_pinned_image_without_a_score_is_taken() -> None:
    found = why("i9", chosen("i0", "i9:pinned"))
    assert found.words == ("Taken, rank 2 of 2: pinned in the review.", "layout cannot rank it.")
