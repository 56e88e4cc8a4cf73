"""What the explorer's page asks for, as settings of `select`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from thresher.errors import SettingsError
from thresher.selection.methods import MEAN_RANKS
from thresher.settings import as_type
from thresher.stages.select import SelectSettings

#: The settings that hold wishes, each a list of texts as on the command line.
WISHES = ("where", "keep", "exclude", "at_least", "at_most", "share")


def settings_of(ask: Mapping[str, Any], start: SelectSettings) -> SelectSettings:
    """The settings of select in a request, converted to their types.

    Args:
        start: Where those come from that are not in the request.

    Raises:
        SettingsError: a value has the wrong type or is out of range.
    """
    quotas = ask.get("quotas") or {}
    if not isinstance(quotas, dict):
        raise SettingsError(f"quotas = {quotas!r}: expected an object with a number for each class.")
    method = as_type(ask.get("method", SelectSettings.method), str, "method")
    weight = as_type(ask.get("diversity_weight", 0.5), float, "diversity_weight")
    return dataclasses.replace(
        start,
        method=method,
        budget=ask.get("budget", SelectSettings.budget),
        seed=ask.get("seed", 0),
        name="",
        review="",
        coverage=as_type(ask.get("coverage", start.coverage), str, "coverage"),
        shortlist=as_type(ask.get("shortlist", start.shortlist), str, "shortlist"),
        duplicate_cosine=as_type(ask.get("duplicate_cosine", start.duplicate_cosine), float, "duplicate_cosine"),
        diversity_weight=weight if method in MEAN_RANKS else SelectSettings.diversity_weight,
        quotas={name: as_type(number, int, f"quota of {name}") for name, number in sorted(quotas.items())},
        datasets=sorted(as_type(ask.get("datasets") or (), tuple[str, ...], "datasets")),
        **{name: as_type(ask[name], tuple[str, ...], name) for name in WISHES if ask.get(name) is not None},
    )
