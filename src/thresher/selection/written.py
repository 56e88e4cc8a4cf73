"""Parsers of budgets, quotas and lists, into the form stored in a run's manifest."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from thresher.settings import Given, Reading, items_of


def budget_text(written: Any) -> str:
    """A budget as stored in the manifest: "500", or "10%" of the candidates.

    Whole numbers are images; a number with a point, from 0 to 1, is a share.

    Raises:
        ValueError: neither.

    >>> budget_text(500), budget_text(0.1), budget_text("10%"), budget_text("0.025")
    ('500', '10%', '10%', '2.5%')
    """
    if isinstance(written, bool):
        raise ValueError(written)
    if isinstance(written, str):
        text = written.replace(" ", "")
        if text.endswith("%"):
            return _if(0 < float(text[:-1]) <= 100, text)
        return budget_text(float(text)) if "." in text else _if(int(text) >= 1, written)
    if isinstance(written, numbers.Integral):
        return _if(int(written) >= 1, str(int(written)))
    if isinstance(written, numbers.Real):
        return _if(0 < float(written) <= 1, f"{100 * float(written):.10g}%")
    raise ValueError(written)


def _if(valid: bool, text: str) -> str:
    if not valid:
        raise ValueError(text)
    return text


def quota_texts(written: Any) -> tuple[str, ...]:
    """Quotas as stored in the manifest: "bus=20" per class.

    Raises:
        ValueError: neither texts nor a mapping of classes to whole numbers.

    >>> quota_texts({"bus": 20}), quota_texts("bus=20"), quota_texts(["bus=20", "truck=5"])
    (('bus=20',), ('bus=20',), ('bus=20', 'truck=5'))
    """
    if isinstance(written, Mapping):
        return tuple(f"{name}={_count(number)}" for name, number in written.items())
    return _texts(written)


def wish_texts(written: Any) -> tuple[str, ...]:
    """Wishes as stored in the manifest: "bus=20", "dataset:kitti=30%".

    Raises:
        ValueError: neither texts nor a mapping of subjects to numbers or texts.

    >>> wish_texts({"bus": 20, "objects:car": "50?"}), wish_texts("dataset:*=200")
    (('bus=20', 'objects:car=50?'), ('dataset:*=200',))
    """
    if isinstance(written, Mapping):
        return tuple(
            f"{name}={amount if isinstance(amount, str) else _count(amount)}" for name, amount in written.items()
        )
    return _texts(written)


def _count(written: Any) -> int:
    if not isinstance(written, numbers.Integral) or written is True or written is False or int(written) < 0:
        raise ValueError(written)
    return int(written)


def comma_separated(written: Any) -> tuple[str, ...]:
    """Unique texts; each is split at commas.

    Raises:
        ValueError: not texts.

    >>> comma_separated("layout,random"), comma_separated(["layout", "random,layout"])
    (('layout', 'random'), ('layout', 'random'))
    """
    parts = [part.strip() for text in _texts(written) for part in text.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def budget_texts(written: Any) -> tuple[str, ...]:
    """Several budgets, separated by commas or as a list.

    Raises:
        ValueError: one of them is not a budget.

    >>> budget_texts((100, 0.1)), budget_texts("3%, 10%")
    (('100', '10%'), ('3%', '10%'))
    """
    parts = [part for item in items_of(written) for part in (item.split(",") if isinstance(item, str) else [item])]
    kept = [budget_text(part.strip() if isinstance(part, str) else part) for part in parts if part != ""]
    return tuple(dict.fromkeys(kept))


def _texts(written: Any) -> tuple[str, ...]:
    items = items_of(written)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(written)
    return tuple(items)


_BUDGET = "a number of images (500) or a share of them (10% or 0.1)"
#: Types of a budget and of quotas, for `settings.as_type`.
BUDGET = Annotated[str, Reading(budget_text, _BUDGET)]
QUOTAS = Annotated[tuple[str, ...], Reading(quota_texts, 'CLASS=NUMBER, such as bus=20, or {"bus": 20}')]
Budget = Given[BUDGET, int | float]
Budgets = Given[
    Annotated[tuple[str, ...], Reading(budget_texts, f"{_BUDGET}, or a list of such")],
    str | int | float | Iterable[str | int | float],
]
Quotas = Given[QUOTAS, str | Iterable[str] | Mapping[str, int]]
WISHES = Annotated[
    tuple[str, ...], Reading(wish_texts, 'CLASS=AMOUNT or COLUMN:VALUE=AMOUNT, such as bus=20, or {"bus": 20}')
]
WishTexts = Given[WISHES, str | Iterable[str] | Mapping[str, int | str]]
Names = Given[
    Annotated[tuple[str, ...], Reading(comma_separated, "names separated by commas, or a list of names")],
    str | Iterable[str],
]
