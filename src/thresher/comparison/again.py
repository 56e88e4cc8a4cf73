"""Why trainings that were done are to be done again, so that hours of work never start over without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from thresher.comparison.proxy.plan import ProxyPlan
from thresher.comparison.settings import Trial
from thresher.comparison.trained import Comparison
from thresher.run.digests import digest_of
from thresher.run.perform import as_json
from thresher.run.record import Record
from thresher.run.state import RunState
from thresher.training.train import is_trained


def trained_before(comparison: Comparison, todo: Sequence[Trial]) -> dict[str, int]:
    """How many of the trainings to do have been done before, by the reason why they no longer count.

    A training that was interrupted is not among them: it goes on where it stopped.
    """
    if comparison.settings.proxy:
        reasons = (_reason_of_proxy(comparison.proxies, trial) for trial in todo)
        return dict(Counter(reason for reason in reasons if reason))
    states = RunState(comparison.run, sources=True)
    found: Counter[str] = Counter()
    for trial in todo:
        entry = Record(comparison.run.training(trial.training)).recorded().get("train")
        if entry is None or "unfinished" in entry or _is_trained(comparison, trial):
            continue
        training = comparison.training_of(trial)
        differing = _differing(entry.get("settings", {}) | training.unused, as_json(training.as_used))
        found[differing or states.of(f"train:{trial.training}").because or "what it was trained on has changed"] += 1
    return dict(found)


def _reason_of_proxy(plan: ProxyPlan, trial: Trial) -> str:
    entry = plan.record(trial).recorded().get("proxy")
    if entry is None or "unfinished" in entry:
        return ""
    asked = plan.asked(trial)
    if differing := _differing(_flat(entry.get("settings", {})) | asked.unused, _flat(as_json(asked.as_used))):
        return differing
    if trial.budget is not None and not plan.run.selection_path(trial.selection).is_file():
        return "its selection is made anew"
    recorded = entry.get("inputs", {})
    changed = [name for name, given in plan.inputs(trial).items() if digest_of(given) != recorded.get(name)]
    if changed:
        return f"changed since: {', '.join(sorted(changed))}"
    return "" if plan.is_done(trial) else "its tables are not as they were written"


def _flat(asked: dict[str, Any]) -> dict[str, Any]:
    """Settings of a training by proxy beside each other; those of its trial have names of their own."""
    trial = {f"trial's {name}": value for name, value in asked.get("trial", {}).items()}
    return {**asked.get("training", {}), **trial, "test": asked.get("test")}


def _is_trained(comparison: Comparison, trial: Trial) -> bool:
    """Whether no more than its evaluation on the test images is left to do; not while its selection is not made."""
    chosen = comparison.run.selection_path(trial.selection)
    made = trial.budget is None or chosen.is_file()
    return made and is_trained(comparison.run, comparison.training_of(trial))


def in_words(again: dict[str, int]) -> str:
    """The same as one sentence; empty if there are none.

    >>> in_words({"files in /data/val have changed": 16})
    '16 of them were done before and are done again: files in /data/val have changed (16)'
    """
    if not again:
        return ""
    reasons = "; ".join(f"{reason} ({count})" for reason, count in again.items())
    return f"{sum(again.values())} of them were done before and are done again: {reasons}"


def _differing(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return f"other settings: {', '.join(names)}" if names else ""
