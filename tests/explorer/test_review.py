"""A review's log, and the marks that it comes to."""

from __future__ import annotations

import datetime

import polars as pl
import pytest

from thresher import tables
from thresher.errors import SettingsError
from thresher.explorer.review import Review
from thresher.run.lists import marks_of


def test_the_last_mark_of_an_image_counts() -> None:
    review = Review("ada")
    for image_id, mark in (("a", "pinned"), ("b", "rejected"), ("a", "accepted"), ("b", "none"), ("c", "pinned")):
        review.mark([(image_id, mark)])
    assert sorted(review.marks().rows()) == [("a", "accepted"), ("c", "pinned")]
    assert sorted(marks_of(review.table()).rows()) == [("a", "accepted"), ("c", "pinned")]
    assert review.marked("b") is None and review.marked("a") == "accepted"


def test_the_log_says_who_changed_what_and_when() -> None:
    before = datetime.datetime.now(datetime.UTC)
    review = Review("ada")
    review.settings({"budget": "10", "datasets": []})
    review.settings({"budget": "20", "datasets": []})
    review.settings({"budget": "30", "datasets": []})  # one drag of a slider: only its end is kept
    review.mark([("a", "pinned")])
    review.settings({"budget": "40", "datasets": ["x"]})
    log = review.table()
    assert dict(log.schema) == dict(tables.REVIEW)
    assert log.select("person", "what", "image_id", "value").rows() == [
        ("ada", "budget", None, "30"),
        ("ada", "mark", "a", "pinned"),
        ("ada", "budget", None, "40"),
        ("ada", "datasets", None, "['x']"),
    ]
    at = log["at"]
    assert before <= at.min() and at.is_sorted()  # type: ignore[operator]


def test_a_saved_review_goes_on() -> None:
    first = Review("ada")
    first.mark([("a", "pinned")])
    second = Review("bob", first.table())
    second.mark([("b", "rejected")])
    second.mark([("a", "none")])
    assert second.marks().rows() == [("b", "rejected")]
    assert second.table()["person"].to_list() == ["ada", "bob", "bob"]


def test_an_unknown_mark_is_refused_and_not_logged() -> None:
    review = Review("ada")
    with pytest.raises(SettingsError, match="mark 'liked': expected accepted, rejected, pinned or none"):
        review.mark([("a", "liked")])
    assert review.table().is_empty() and isinstance(review.table(), pl.DataFrame)
