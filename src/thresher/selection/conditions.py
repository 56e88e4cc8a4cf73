"""Tests of columns, as `--where` has them: `width_px >= 1280`, `dataset in kitti, camvid and layout > 0.3`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from thresher.errors import SettingsError
from thresher.settings import did_you_mean

Operator = Literal["=", "!=", ">=", "<=", ">", "<", "~", "in"]
FORM = "COLUMN = VALUE, with =, !=, <, <=, >, >=, ~ (a pattern) or in (values between commas), joined by and"
#: A quoted text, an operator, a comma, or a word up to the next of these.
_TOKEN = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(>=|<=|!=|==|[=<>~])|(,)|([^\s,"'=<>~!]+))""")


@dataclass(frozen=True)
class Condition:
    """One test of one column; an image whose value is null never passes."""

    column: str
    operator: Operator
    values: tuple[str, ...]
    """One, but for `in`."""

    def __str__(self) -> str:
        """As it would be written."""
        return f"{self.column} {self.operator} {', '.join(self.values)}"

    def passes(self, kind: Any) -> pl.Expr:
        """Whether an image passes, null if its value is null.

        Args:
            kind: Type of the column.

        Raises:
            SettingsError: the value or the operator does not suit the type.
        """
        column = pl.col(self.column)
        if kind.is_numeric():
            column = column.cast(pl.Float64).fill_nan(None)
        if self.operator == "~":
            if kind != pl.String:
                raise SettingsError(f"where '{self}': {self.column} is no text. Use =, !=, <, <=, >, >= or in.")
            try:
                re.compile(self.values[0])
                pl.Series([""]).str.contains(self.values[0])
            except (re.error, pl.exceptions.PolarsError) as error:
                reason = str(error).partition("\n")[0]
                raise SettingsError(f"where '{self}': not a regular expression ({reason}).") from None
            return column.str.contains(self.values[0])
        values = [self._value(text, kind) for text in self.values]
        if self.operator == "in":
            return column.is_in(values)
        if self.operator not in ("=", "!=") and not kind.is_numeric():
            raise SettingsError(f"where '{self}': {self.column} holds no numbers. Use =, !=, in or ~.")
        compare = {"=": column.eq, "!=": column.ne, ">=": column.ge, "<=": column.le, ">": column.gt, "<": column.lt}
        return compare[self.operator](pl.lit(values[0]))

    def _value(self, text: str, kind: Any) -> float | str | bool:
        if kind == pl.String:
            return text
        if kind == pl.Boolean:
            if text.lower() not in ("true", "false"):
                raise SettingsError(f"where '{self}': {self.column} is true or false, not '{text}'.")
            return text.lower() == "true"
        if not kind.is_numeric():
            raise SettingsError(f"where '{self}': {self.column} is neither text, numbers nor true and false ({kind}).")
        try:
            return float(text)
        except ValueError:
            raise SettingsError(f"where '{self}': {self.column} holds numbers; '{text}' is none.") from None


def is_condition(text: str) -> bool:
    """Whether a text is meant as a test, rather than as a name.

    >>> is_condition("used = true"), is_condition("dataset in a, b"), is_condition("first-selection")
    (True, True, False)
    """
    return re.search(r"[=<>~]|\sin\s", text) is not None


def parsed_conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """The tests in some texts; all must hold.

    Raises:
        SettingsError: not of the form.

    >>> [str(each) for each in parsed_conditions(["width_px>=1280 and dataset in kitti,camvid", "'my column' != x"])]
    ['width_px >= 1280', 'dataset in kitti, camvid', 'my column != x']
    """
    return tuple(condition for text in texts for condition in _parsed(text))


def _parsed(text: str) -> list[Condition]:
    tokens: list[tuple[str, bool]] = []  # and whether it is a plain word, which may be `and` or `in`
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise SettingsError(f"where '{text}': '{text[at:].strip()}' cannot be read. Expected {FORM}.")
        value = next(each for each in found.groups() if each is not None)
        tokens.append((value, found.group(5) is not None))
        at = found.end()
    parts: list[list[tuple[str, bool]]] = [[]]
    for token in tokens:
        if token == ("and", True):
            parts.append([])
        else:
            parts[-1].append(token)
    return [_condition(part, text) for part in parts]


def _condition(tokens: Sequence[tuple[str, bool]], text: str) -> Condition:
    operators = ("=", "==", "!=", ">=", "<=", ">", "<", "~", "in")
    at = next((n for n, (value, _) in enumerate(tokens) if value in operators and n > 0), 0)
    column = " ".join(value for value, _ in tokens[:at])
    operator = "=" if at and tokens[at][0] == "==" else tokens[at][0] if at else ""
    rest = [value for value, _ in tokens[at + 1 :]]
    values = [" ".join(part) for part in _split(rest)] if operator == "in" else [" ".join(rest)]
    if not at or not column or not rest or not all(values) or (operator != "in" and "," in rest):
        raise SettingsError(f"where '{text}': expected {FORM}.")
    return Condition(column, operator, tuple(values))  # type: ignore[arg-type]


def _split(values: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for value in values:
        if value == ",":
            parts.append([])
        else:
            parts[-1].append(value)
    return parts


def failing(table: pl.DataFrame, conditions: Sequence[Condition]) -> pl.DataFrame:
    """image_id and reason of each image that fails a test: the first one that it fails, with its value.

    Args:
        table: image_id and the columns tested.

    Raises:
        SettingsError: a value or operator does not suit its column.

    >>> table = pl.DataFrame({"image_id": ["a", "b", "c"], "width_px": [640, 1280, None]})
    >>> failing(table, parsed_conditions(["width_px >= 1280"])).rows()
    [('a', 'width_px is 640; wished >= 1280'), ('c', 'width_px is not known; wished >= 1280')]
    """
    reasons = []
    for each in conditions:
        passes = each.passes(table.schema[each.column])
        shown = pl.col(each.column).cast(pl.String).fill_null("not known")
        wished = f"{each.column} is {{}}; wished {each.operator} {', '.join(each.values)}"
        head, tail = wished.split("{}", 1)
        reasons.append(pl.when(~passes.fill_null(False)).then(pl.concat_str(pl.lit(head), shown, pl.lit(tail))))
    return table.select("image_id", reason=pl.coalesce(reasons)).drop_nulls("reason")


def refuse_unknown_columns(names: Iterable[str], known: Sequence[str], what: str) -> None:
    """Refuse names that are no columns.

    Raises:
        SettingsError: suggests a similar name and lists all.
    """
    for name in names:
        if name not in known:
            raise SettingsError(f"{what}: no column is called '{name}'.{did_you_mean(name, known)}")
