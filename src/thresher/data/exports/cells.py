"""Cells of a CSV that a spreadsheet would take for a formula, disarmed."""

from __future__ import annotations

import polars as pl

#: A text that begins so, after any apostrophes, is a formula to a spreadsheet, or becomes one.
#: Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = r"^('*[=+\-@\t\r])"


def disarmed(table: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before each text that begins with = + - @, a tab or a carriage return.

    A text that begins with apostrophes and then one of these gets one more, so that nothing is lost: `armed` is the
    way back. Numbers stay as they are.

    >>> disarmed(pl.DataFrame({"label": ["=1+1", "car", "'=1"], "score": [-1, 0, 1]}))["label"].to_list()
    ["'=1+1", 'car', "''=1"]
    """
    return table.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'$1"))


def armed(table: pl.DataFrame) -> pl.DataFrame:
    """The texts as they were before `disarmed`.

    >>> armed(pl.DataFrame({"label": ["'=1+1", "car", "'n'"]}))["label"].to_list()
    ['=1+1', 'car', "'n'"]
    """
    return table.with_columns(pl.col(pl.String).str.replace(r"^'('*[=+\-@\t\r])", "$1"))
