"""What is said of a selection on the first screen, with answers worked out by hand."""

from __future__ import annotations

import polars as pl

from thresher.frames import Table
from thresher.reasons.answer import Nearness, Point, answer, edge_point, nearness_of
from thresher.reasons.audit import Audit
from thresher.selection.audit import Side, audit_rows, chosen_side
from thresher.selection.audit_words import Alike, largest_source


def audit_of(chosen: list[int], alike: Alike | None = None) -> Audit:
    """Of 40 images 20 are of each of two data sets; cars are on all of the first, buses on two of the second."""
    ids = [f"{'a' if n < 20 else 'b'}/{n}" for n in range(40)]
    images = pl.DataFrame({"image_id": ids, "dataset": [name[0] for name in ids]})
    counts = pl.DataFrame({"image_id": [*ids[:20], *ids[30:32]], "car": [2] * 20 + [0] * 2, "bus": [0] * 20 + [1] * 2})
    pool = Side(images, counts)
    rows = audit_rows(chosen_side(pool, [ids[n] for n in chosen]), pool)
    return Audit("mine", len(chosen), 40, "", Table.of(rows), (), alike)


def told(points: list[Point]) -> dict[str, Point]:
    return {each.about: each for each in points}


def test_what_it_brings_is_counted_and_rare_classes_stand_beside_a_random_draw() -> None:
    points = told(answer(audit_of([0, 1, 2, 30, 31]), ["bus"], None, None, None))
    words = "8 objects of 2 of the pool's 2 classes of interest; rare ones: bus on 2 images (as many at random: 0)."
    assert points["What it brings"].text == words
    assert set(points) == {"What it brings", "Sources", "Like the target"}
    assert points["Like the target"].text.startswith("Not known until `embed`")


def test_a_selection_of_one_source_and_with_near_duplicates_is_warned_of() -> None:
    points = told(answer(audit_of(list(range(10)), Alike(0.95, 10, 4, 1)), ["bus"], None, None, None))
    assert points["Sources"].tone == "warning"
    assert points["Sources"].text.startswith("100 % from one data set, a (50 % of the pool).")
    assert points["What it lacks"].tone == "warning" and "bus (on 2 of the pool)" in points["What it lacks"].text
    words = points["Near-duplicates"].text
    assert words.startswith("4 of 10 chosen images have one among them. `select --duplicate-cosine 0.95`")
    assert "1 nearly duplicate a target image" in words
    even = largest_source(audit_of([0, 1, 2, 20, 21]).table)
    assert even is not None and (even.name, even.share, even.too_much) == ("a", 0.6, False)


def test_near_duplicates_that_were_left_out_are_counted() -> None:
    found = told(answer(audit_of([0, 30], Alike(0.95, 2, 0, 0)), [], None, None, 12))["Near-duplicates"]
    assert found == Point("Near-duplicates", "12 left out. None among the chosen images.", "good")


def test_nearness_tells_the_middle_and_the_edge_between_pool_and_first() -> None:
    scores = pl.DataFrame({"image_id": [str(n) for n in range(100)], "nearest": [1 - n / 100 for n in range(100)]})
    order = scores.select("image_id")
    found = nearness_of(scores, order.head(24), order[24:40])
    assert found is not None
    # The middle of the first 24 lies between places 11 and 12; the means of 12 are at 5.5, 17.5 and 29.5.
    assert (found.nearer, round(found.first, 3), round(found.last, 3)) == (0.88, 0.945, 0.825)
    assert round(found.way(found.last), 3) == round((0.825 - 0.505) / (0.945 - 0.505), 3)
    assert edge_point(found).text.startswith("Good: from the pool's middle (0 %) to the first 12 taken (100 %), the ")
    assert edge_point(found).text.endswith("reach 73 %, the first left out 45 % in nearness.")
    assert nearness_of(scores, order.clear(), None) is None


def test_an_edge_that_falls_back_to_the_pool_is_poor() -> None:
    poor, fair = (edge_point(Nearness(0.9, 1.0, last, None, 0.0)) for last in (0.1, 0.3))
    assert (poor.text[:5], poor.tone, fair.text[:5], fair.tone) == ("Poor:", "warning", "Fair:", "")
    assert "`--shortlist`" in poor.text
    assert edge_point(Nearness(0.5, 0.6, 0.9, None, 0.5)).tone == "warning"  # a random draw, by chance
    assert edge_point(Nearness(0.7, 0.4, 0.4, 0.4, 0.5)).text.startswith("Poor: the chosen images are hardly nearer")
