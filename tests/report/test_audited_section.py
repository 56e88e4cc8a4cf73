"""The section on the audit shows the numbers and the warnings of `thresher audit`."""

from __future__ import annotations

from typing import Any

import pytest

import thresher
from thresher.run.folder import Run

pytestmark = pytest.mark.slow


def test_the_section_shows_what_audit_finds(run: Run, page: Any, made: Any) -> None:
    found = thresher.audit(run, "mine")
    classes = found.table.filter(aspect="class")
    head, *rows = page.tables["audit-class"]
    assert head == ["class", "selection", "pool", "target", "points", "effect", "from", "to"]
    assert [row[0] for row in rows] == classes["name"].to_list()
    for row, own in zip(rows, classes.iter_rows(named=True), strict=True):
        points = 100 * own["difference"]
        assert row[1:] == [own["selection"], own["pool"], "–", points, own["effect"], own["low"], own["high"]]
    assert {name for name in page.tables if name.startswith("audit-")} == {
        f"audit-{aspect.replace(' ', '-')}" for aspect in found.table["aspect"].unique()
    }
    assert all(words in page.text for words in found.warnings or ("Nothing to warn of",))
