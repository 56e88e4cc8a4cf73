from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from thresher.data import findings as module
from thresher.data.faults import reason, shown
from thresher.data.findings import FAILED_SHARE, Findings, Place
from thresher.errors import DataError

ROOT = Path("/pool")
ENTRIES = [("a", ROOT / "a.jpg", None, 100, 100)]


def at(number: int) -> Place:
    return Place(f"line {number}", "d/a", ROOT / "a.jpg")


class Interrupted(BaseException):
    """As polars' panics and an interrupt are: no `Exception`."""


def raising(error: BaseException) -> int:
    raise error


def test_items_that_fail_are_listed_with_place_and_reason_and_the_others_are_read() -> None:
    found = Findings(ROOT, "d")
    assert list(found.read("lines", ["1", "x", "3"], int, at, "a number")) == [1, 3]
    (row,) = found.rows
    assert (row["problem"], row["image_id"], row["path"]) == ("annotation_malformed", "d/a", "/pool/a.jpg")
    assert row["detail"] == "line 1: invalid literal for int() with base 10: 'x'; found 'x', expected a number"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a"),
        MemoryError(),
        RecursionError(),
        UnicodeError("u"),
        OSError(5, "x"),
        pl.exceptions.PanicException("p"),
    ],
)
def test_whatever_an_item_raises_costs_that_item(error: BaseException) -> None:
    found = Findings(ROOT, "d")
    assert list(found.read("lines", [None], lambda _: raising(error), at, "a line")) == []
    assert len(found.rows) == 1


def test_an_interrupt_is_no_fault_of_an_item() -> None:
    with pytest.raises(Interrupted):
        list(Findings(ROOT, "d").read("lines", [None], lambda _: raising(Interrupted()), at, "a line"))


@pytest.mark.parametrize("bad", range(5))
def test_a_source_of_which_more_than_the_share_fails_is_refused_with_the_first_example(bad: int) -> None:
    found = Findings(ROOT, "d")
    list(found.read("lines", ["x"] * bad + ["1"] * (4 - bad), int, at, "a number"))
    if bad <= FAILED_SHARE * 4:
        assert found.data(found.images(ENTRIES)).problems.height == bad
    else:
        with pytest.raises(
            DataError, match=rf"/pool: {bad} of 4 lines cannot be read \(first: line 0: invalid literal"
        ):
            found.data(found.images(ENTRIES))


def test_each_kind_of_item_is_counted_by_itself() -> None:
    found = Findings(ROOT, "d")
    list(found.read("lines", ["1"] * 100, int, at, "a number"))
    list(found.read("files", ["x"], int, at, "a number"))
    with pytest.raises(DataError, match="1 of 1 files"):
        found.judge()


def test_problems_of_one_kind_are_capped_but_not_those_of_whole_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    found = Findings(ROOT, "d")
    for number in range(10):
        found.note("annotation_malformed", f"{number}")
        found.note("image_missing", f"{number}")
    data = found.data(found.images(ENTRIES))
    assert data.problems["problem"].to_list().count("image_missing") == 10
    assert data.problems.filter(problem="annotation_malformed")["detail"].to_list() == [
        *("0", "1", "2"),
        "7 more like these are counted and not listed",
    ]
    assert data.unlisted == {"annotation_malformed": 6}


def test_a_row_that_no_table_holds_is_found_among_the_others() -> None:
    found = Findings(ROOT, "d")
    corners = {"x0": 0.1, "y0": 0.1, "x1": 0.2, "y1": 0.2}
    rows: list[dict[str, object]] = [{"image_id": "d/a", "label": f"{n}", **corners} for n in range(9)]
    rows[4]["label"], rows[7]["x0"] = "\ud800", [1]
    data = found.data(found.images(ENTRIES), rows)
    assert data.boxes["label"].to_list() == ["0", "1", "2", "3", "5", "6", "8"]
    assert data.problems["problem"].to_list() == ["annotation_malformed"] * 2


def test_reasons_and_examples_are_one_short_line_whatever_they_say() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for text in (reason(ValueError("a\nb" * 1000)), shown(deep), shown({"x" * 9999: "y" * 9999}), shown("\ud800\n")):
        assert len(text) <= 300
        assert "\n" not in text
        assert text.encode()
