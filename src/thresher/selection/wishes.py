"""Wishes on what a selection holds, as people write them, and what they come to for the candidates there are.

`CLASS=AMOUNT` counts images that hold the class, `COLUMN:VALUE=AMOUNT` images with this value in a column (`*`: each
value), and `objects:` before either counts objects. AMOUNT is a number or a share of the selection (30%); of a share
also `uniform` or `target`. With a `?` at the end a wish is soft: met as far as it goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from thresher.errors import SettingsError
from thresher.selection.bounds import Bound
from thresher.selection.facts import Facts
from thresher.settings import did_you_mean

Kind = Literal["at_least", "at_most", "share"]
_AMOUNTS = {
    "at_least": "a number (50) or a share (30%)",
    "at_most": "a number (50) or a share (30%)",
    "share": "a share (30%), uniform, or target",
}
#: By how much a share of objects may be off, of all objects of the selection; a share of images is exact to the image.
OBJECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Wish:
    """One wish, parsed."""

    kind: Kind
    column: str
    """"class", or the name of a column."""
    value: str
    """A class or a value of the column; "*" is each."""
    objects: bool
    """Whether objects are counted, not images."""
    amount: float | Literal["uniform", "target"]
    """A number, or a share 0..1."""
    is_share: bool
    soft: bool = False
    if_there: bool = False
    """Whether no more is asked for than the candidates hold, as setting `quotas` has it."""

    def text(self, value: str) -> str:
        """The wish as it would be written for one value."""
        subject = value if self.column == "class" else f"{self.column}:{value}"
        amount = (
            self.amount if isinstance(self.amount, str) else f"{100 * self.amount if self.is_share else self.amount:g}"
        )
        percent = "%" if self.is_share and not isinstance(self.amount, str) else ""
        return f"{self.kind} {'objects:' if self.objects else ''}{subject}={amount}{percent}"


def parsed_wishes(kind: Kind, texts: Iterable[str], facts: Facts) -> list[Wish]:
    """The wishes in some texts.

    Args:
        facts: Has the classes and columns that can be named.

    Raises:
        SettingsError: not of the form, or an unknown class or column.

    >>> [(each.value, each.objects, each.amount, each.soft) for each in
    ...  parsed_wishes("at_least", ["objects:bus=50?"], Facts((), ("bus",)))]
    [('bus', True, 50.0, True)]
    """
    columns = [each for each in facts.columns if each not in facts.classes]
    return [_parsed(kind, text, facts.classes, columns) for text in texts]


def all_wishes(texts: Mapping[Kind, Iterable[str]], quotas: Iterable[str], facts: Facts) -> list[Wish]:
    """The wishes of a selection's settings.

    Args:
        quotas: CLASS=NUMBER, the older spelling: as at_least, but no more than there is.

    Raises:
        SettingsError: not of the form, or an unknown class or column.
    """
    numbers = parsed_quotas(quotas, facts.classes)
    older = [
        Wish("at_least", "class", name, False, float(number), False, if_there=True) for name, number in numbers.items()
    ]
    return [*older, *(wish for kind, each in texts.items() for wish in parsed_wishes(kind, each, facts))]


def parsed_quotas(texts: Iterable[str], known: Collection[str]) -> dict[str, int]:
    """Quotas by class, from CLASS=NUMBER.

    Raises:
        SettingsError: not CLASS=NUMBER, an unknown class, or a class given twice.

    >>> parsed_quotas(["bus=20", "truck=5"], ["bus", "car", "truck"])
    {'bus': 20, 'truck': 5}
    """
    found: dict[str, int] = {}
    for text in texts:
        name, sign, number = text.rpartition("=")
        if not sign or not number.strip().isdecimal():
            raise SettingsError(f"quotas '{text}': expected CLASS=NUMBER, such as bus=20.")
        if "=" in name and "," in name:
            raise SettingsError(f"quotas '{text}': expected one quota. Write --quotas before each.")
        if name not in known:
            raise SettingsError(f"quotas '{text}': no class of interest is called '{name}'. Known: {', '.join(known)}.")
        if name in found:
            raise SettingsError(f"quotas: class '{name}' is named twice.")
        found[name] = int(number)
    return found


def _parsed(kind: Kind, text: str, classes: Sequence[str], columns: Sequence[str]) -> Wish:
    subject, sign, amount = text.rpartition("=")
    soft, subject, amount = amount.rstrip().endswith("?"), subject.strip(), amount.strip().removesuffix("?").strip()
    expected = f"{kind} '{text}': expected CLASS=AMOUNT, COLUMN:VALUE=AMOUNT, either with objects: before it"
    if not sign or not subject:
        raise SettingsError(f"{expected}; AMOUNT is {_AMOUNTS[kind]}.")
    objects = subject.startswith("objects:") and subject not in classes
    subject = subject.removeprefix("objects:") if objects else subject
    column, colon, value = subject.partition(":")
    if subject in classes or not colon or (column == "class" and "class" not in columns):
        column, value = "class", value if colon and column == "class" else subject
        if value not in (*classes, "*") and "=" in value and "," in value:
            flag = f"--{kind.replace('_', '-')}"
            raise SettingsError(
                f"{kind} '{text}': expected one wish. Write {flag} before each, as values may hold commas."
            )
        if not classes:
            raise SettingsError(
                f"{kind} '{text}': '{value}' would be a class, but there are no boxes to count classes in. Give boxes "
                "(in Python boxes = TABLE), or wish for a column, as COLUMN:VALUE."
            )
        if value not in (*classes, "*"):
            known = [*classes, *(f"{each}:" for each in columns)]
            raise SettingsError(f"{kind} '{text}': no class is called '{value}'.{did_you_mean(value, known)}")
    elif column not in columns:
        raise SettingsError(f"{kind} '{text}': no column is called '{column}'.{did_you_mean(column, columns)}")
    found = _amount(kind, amount)
    if found is None:
        raise SettingsError(f"{kind} '{text}': '{amount}' is not {_AMOUNTS[kind]}.")
    return Wish(kind, column, value, objects, found[0], found[1], soft)


def _amount(kind: Kind, text: str) -> tuple[float | Literal["uniform", "target"], bool] | None:
    if text == "uniform" and kind == "share":
        return "uniform", True
    if text == "target" and kind == "share":
        return "target", True
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    if text.endswith("%"):
        return (number / 100, True) if 0 <= number <= 100 else None
    return (number, False) if kind != "share" and number >= 0 and number == int(number) else None


@dataclass(frozen=True)
class Places:
    """What wishes are counted on: the rows that can be chosen, and what is known of them."""

    ids: pl.DataFrame
    """image_id of every row, in the order of the ranking."""
    facts: Facts
    count: int
    """Images to choose."""
    target_share: Callable[[Wish], Mapping[str, float]]
    """For shares as in the target: by value, its share of the target's images or objects."""
    held: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The columns that the wishes name, of every row; `bounds_of` looks them up."""


def bounds_of(wishes: Sequence[Wish], places: Places) -> list[Bound]:
    """What the wishes come to: numbers between which something must lie, over rows of the candidates.

    Raises:
        SettingsError: a value that no candidate has, or a share of objects as `uniform`.
    """
    classes = list(places.facts.classes)
    wanted = [
        name
        for wish in wishes
        for name in (
            *(classes if wish.objects or (wish.column == "class" and wish.value == "*") else ()),
            *([] if (wish.column, wish.value) == ("class", "*") else [_column(wish)]),
        )
    ]
    looked_up = replace(places, held=places.facts.of(places.ids, list(dict.fromkeys(wanted)))) if wanted else places
    return [bound for wish in wishes for bound in _bounds(wish, looked_up)]


def _column(wish: Wish) -> str:
    return wish.value if wish.column == "class" else wish.column


def _bounds(wish: Wish, places: Places) -> list[Bound]:
    amounts = _amounts(wish, places)
    if wish.value != "*" and wish.value not in amounts and wish.kind != "at_most":
        known = sorted(_amounts(replace(wish, value="*"), places))
        if (wish.kind == "share" or wish.amount) and not wish.soft:
            hint = did_you_mean(wish.value, known)
            raise SettingsError(f"{wish.text(wish.value)}: no candidate has {wish.column} {wish.value}.{hint}")
    wanted = {wish.value} if wish.value != "*" else set(amounts)
    picked = {value: found for value, found in amounts.items() if value in wanted}
    if wish.kind == "share":
        return _shares(wish, picked, places)
    least, most = (0.0, math.inf)
    found = []
    for value, (rows, numbers) in picked.items():
        if wish.value == "*" and wish.kind == "at_least" and not numbers.any():
            continue  # "each class" is each that a candidate holds
        if wish.is_share and wish.objects:
            found.append(_object_share(wish, value, rows, numbers, places))
            continue
        number = float(wish.amount) * places.count if wish.is_share else float(wish.amount)
        least, most = (
            (math.ceil(number - 1e-9), math.inf) if wish.kind == "at_least" else (0.0, math.floor(number + 1e-9))
        )
        # A soft wish beyond what there is asks for all of it: a solver loses its footing with huge numbers.
        there = float(min(least, numbers.sum())) if wish.if_there or wish.soft else least
        found.append(Bound(wish.text(value), rows, numbers, there, most, wish.soft, least))
    return found


def _amounts(wish: Wish, places: Places) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By value, the rows that have it, and how much each adds."""
    if wish.column == "class":
        names = list(places.facts.classes) if wish.value == "*" else [wish.value]
        found = {}
        for name in names:
            numbers = places.held[name].to_numpy().astype(np.float64)
            rows = np.flatnonzero(numbers)
            found[name] = (rows, numbers[rows] if wish.objects else np.ones(len(rows)))
        return found
    column = places.held[wish.column].cast(pl.String)
    objects = _objects(places) if wish.objects else None
    grouped = pl.DataFrame({"value": column}).with_row_index("row").drop_nulls("value")
    if wish.value != "*":
        grouped = grouped.filter(value=wish.value)
    found = {}
    for (value,), part in grouped.sort("value", "row").partition_by("value", as_dict=True, include_key=False).items():
        rows = part["row"].to_numpy().astype(np.int64)
        found[str(value)] = (rows, np.ones(len(rows)) if objects is None else objects[rows])
    return found


def _objects(places: Places) -> np.ndarray:
    """The objects of all classes of interest in each row."""
    return (
        places.held.select(pl.sum_horizontal(pl.col(list(places.facts.classes)).cast(pl.Float64)))
        .to_series()
        .to_numpy()
    )


def _object_share(wish: Wish, value: str, rows: np.ndarray, numbers: np.ndarray, places: Places) -> Bound:
    """A share of all objects of the selection: Σ (own − share · all) ≥ 0, or ≤ 0."""
    share = float(wish.amount)
    difference = -share * _objects(places)
    difference[rows] += numbers
    every = np.flatnonzero(difference)
    least, most = (0.0, math.inf) if wish.kind == "at_least" else (-math.inf, 0.0)
    return Bound(wish.text(value), every, difference[every], least, most, wish.soft)


def _shares(wish: Wish, amounts: Mapping[str, tuple[np.ndarray, np.ndarray]], places: Places) -> list[Bound]:
    if wish.objects:
        return _shares_of_objects(wish, amounts, places)
    if wish.amount == "uniform":
        levels = _levels({value: len(rows) for value, (rows, _) in amounts.items()}, places.count)
    elif wish.amount == "target":
        shares = places.target_share(wish)
        levels = {value: shares.get(value, 0.0) * places.count for value in amounts}
    else:
        levels = dict.fromkeys(amounts, float(wish.amount) * places.count)
    return [
        Bound(wish.text(value), *amounts[value], math.floor(level + 1e-9), math.ceil(level - 1e-9), wish.soft)
        for value, level in levels.items()
    ]


def _shares_of_objects(wish: Wish, amounts: Mapping[str, tuple[np.ndarray, np.ndarray]], places: Places) -> list[Bound]:
    if wish.amount == "target":
        shares = {value: places.target_share(wish).get(value, 0.0) for value in amounts}
    else:
        share = 1 / max(1, len(amounts)) if wish.amount == "uniform" else float(wish.amount)
        shares = dict.fromkeys(amounts, share)
    total, found = _objects(places), []
    for value, share in shares.items():
        rows, numbers = amounts[value]
        for end, sign in ((max(0.0, share - OBJECT_TOLERANCE), 1), (min(1.0, share + OBJECT_TOLERANCE), -1)):
            difference = -end * total
            difference[rows] += numbers
            every = np.flatnonzero(difference)
            ends = (0.0, math.inf) if sign > 0 else (-math.inf, 0.0)
            found.append(Bound(wish.text(value), every, difference[every], *ends, wish.soft))
    return found


def _levels(sizes: Mapping[str, int], count: int) -> dict[str, float]:
    """As many of each value as of every other, as far as there are as many; together `count`.

    >>> _levels({"a": 2, "b": 10, "c": 10}, 12)
    {'a': 2.0, 'b': 5.0, 'c': 5.0}
    """
    levels: dict[str, float] = {}
    left = float(count)
    for place, (value, size) in enumerate(sorted(sizes.items(), key=lambda each: (each[1], each[0]))):
        levels[value] = min(float(size), left / (len(sizes) - place))
        left -= levels[value]
    return {value: levels[value] for value in sizes}
