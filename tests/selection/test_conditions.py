"""Tests of columns: what passes, by hand, and the words for what cannot be meant."""

from __future__ import annotations

import polars as pl
import pytest

from thresher.errors import SettingsError
from thresher.selection.conditions import failing, parsed_conditions
from thresher.selection.facts import Facts

TABLE = pl.DataFrame(
    {
        "image_id": ["d/s_001", "d/s_002", "e/x", "e/y"],
        "width_px": [640, 1280, 1920, None],
        "dataset": ["d", "d", "e", None],
        "used": [True, False, None, False],
        "layout": [0.1, float("nan"), 0.5, 0.9],
    }
)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("width_px >= 1280", [2, 3]),
        ("width_px=640", [1]),
        ("width_px != 640", [2, 3]),
        ("width_px in 640, 1920", [1, 3]),
        ("layout > 0", [1, 3, 4]),
        ("dataset = d and width_px < 1000", [1]),
        ("dataset in d,e", [1, 2, 3]),
        ("dataset != d", [3]),
        ('dataset ~ "^[de]$" and layout <= 0.5', [1, 3]),
        ("used = true", [1]),
        ("used != true", [2, 4]),
        ("folder = e", [3, 4]),
        ("sequence = d/s", [1, 2]),
        ("bus >= 1", [2]),
        ("bus = 0", [1, 3, 4]),
    ],
)
def test_what_passes(text: str, passing: list[int]) -> None:
    counts = pl.DataFrame({"image_id": ["d/s_002"], "bus": [3]})
    facts = Facts((TABLE,), ("bus",), lambda: counts)
    left_out = facts.failing(TABLE, parsed_conditions([text]))["image_id"]
    assert [n for n, each in enumerate(TABLE["image_id"], 1) if each not in left_out] == passing


def test_the_first_test_failed_is_the_reason() -> None:
    found = failing(TABLE, parsed_conditions(["width_px >= 1280 and dataset = d"]))
    assert found.rows() == [
        ("d/s_001", "width_px is 640; wished >= 1280"),
        ("e/x", "dataset is e; wished = d"),
        ("e/y", "width_px is not known; wished >= 1280"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("widht_px > 3", "where: no column is called 'widht_px'. Did you mean 'width_px'? Known: image_id, width_px"),
        ("width_px > wide", "where 'width_px > wide': width_px holds numbers; 'wide' is none"),
        ("dataset > d", "dataset holds no numbers. Use =, !=, in or ~"),
        ("width_px ~ 12", "width_px is no text"),
        ("dataset ~ [", "not a regular expression"),
        ("used = perhaps", "used is true or false, not 'perhaps'"),
        ("width_px", "where 'width_px': expected COLUMN = VALUE"),
        ("width_px >=", "expected COLUMN = VALUE"),
        ("= 3", "expected COLUMN = VALUE"),
        ("dataset = d, e", "expected COLUMN = VALUE"),
        ("dataset = d and", "expected COLUMN = VALUE"),
        ("dataset ! d", "'! d' cannot be read"),
    ],
)
def test_words_of_errors(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        Facts((TABLE,)).failing(TABLE, parsed_conditions([text]))
    assert words in str(error.value)
