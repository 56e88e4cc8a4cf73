"""The report's first screen: which selection is the newest, and what it and a few others are, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher.comparison.settings import SAVED
from thresher.comparison.verdicts import FEW_SEEDS, gains
from thresher.reasons.answer import Point, answer, nearness_of
from thresher.reasons.audit import Audit, audit_of
from thresher.reasons.budget import HowMany
from thresher.run.opened import OpenedRun
from thresher.run.record import Record
from thresher.selection.coverage import parted
from thresher.selection.methods import SEEDED
from thresher.stages.select import SelectSettings

if TYPE_CHECKING:
    from thresher.report.blocks import Answer, Answers
    from thresher.report.sections.chosen import Look, ReportedSelection
    from thresher.report.sections.compared import Compared

#: Pictures of an answer, and selections beside the one that the report is about.
PICTURES, OTHERS = 5, 3
_TOO_FEW = f"Not enough seeds to tell: it was compared with fewer than {FEW_SEEDS}."


def newest_first(opened: OpenedRun) -> list[str]:
    """The run's selections, the last made first; those that draw by seed and those that a comparison made, last."""
    recorded = opened.recorded

    def place(name: str) -> tuple[bool, bool, float, str]:
        entry = recorded.get(f"select:{name}", {})
        drawn = parted(str(entry.get("settings", {}).get("method", "")))[0] in SEEDED
        return drawn, name in compared, -float(entry.get("finished", 0.0)), name

    compared = _of_comparisons(opened)
    return sorted(opened.selection_names, key=place)


def _of_comparisons(opened: OpenedRun) -> set[str]:
    """The selections that comparisons made of their methods and budgets."""
    found: set[str] = set()
    for folder in sorted((opened.run.folder / "comparisons").glob("*")):
        entry: Mapping[str, Any] = Record(folder).recorded().get("compare", {})
        found |= set(entry.get("inputs", {})) - set(entry.get("settings", {}).get("selections", ()))
    return found


def answers_block(
    opened: OpenedRun,
    shown: ReportedSelection,
    audit: Audit,
    how_many: HowMany | None,
    compared: Sequence[Compared],
    look: Look,
) -> Answers:
    """The answer of the selection that the report shows, and those of the newest others to set beside it.

    Args:
        look: What is needed to show the first images of all of them.
    """
    from thresher.report.blocks import Answers

    found = [_answer(opened, shown.name, shown.taken, shown.left_out, audit, how_many, compared, look)]
    ids = {shown.name: set(shown.taken["image_id"])}
    for name in others_of(opened, shown.name):
        taken = opened.selection(name)
        own = audit_of(opened, name, taken.select("image_id"), audit.alike.cosine if audit.alike else 0.0)
        found.append(_answer(opened, name, taken, None, own, how_many, compared, look))
        ids[name] = set(taken["image_id"])
    shared = {one: {other: len(ids[one] & ids[other]) for other in ids if other != one} for one in ids}
    return Answers(found, shared)


def others_of(opened: OpenedRun, name: str) -> list[str]:
    """The selections to set beside this one: the newest."""
    return [each for each in newest_first(opened) if each != name][:OTHERS]


def first_images(opened: OpenedRun, name: str) -> pl.DataFrame:
    """The first images of a selection, with reasons."""
    return opened.selection(name).sort("rank").head(PICTURES)


def _answer(
    opened: OpenedRun,
    name: str,
    taken: pl.DataFrame,
    left_out: pl.DataFrame | None,
    audit: Audit,
    how_many: HowMany | None,
    compared: Sequence[Compared],
    look: Look,
) -> Answer:
    from thresher.report.blocks import Answer

    entry = opened.recorded.get(f"select:{name}", {})
    settings = entry.get("settings", {})
    taken = taken.sort("rank")
    covered = settings.get("coverage", "off") != "off"
    # Coverage takes in an order of its own: its edge are those that rank last.
    ranked = taken.sort("score", descending=True, nulls_last=True) if covered else taken
    near = nearness_of(opened.scores, ranked, None if covered else left_out)
    dropped = entry.get("summary", {}).get("near_duplicates_left_out")
    points = answer(audit, opened.frequencies.rare, near, how_many, dropped)
    worth = _worth(opened, name, taken, compared)
    points.insert(1, worth or Point("What it pays", "Not measured."))
    measured = worth is not None and worth.text != _TOO_FEW
    method = str(settings.get("method", ""))
    pictures = [
        (look.picture(row["image_id"], row["dataset"]), _caption(row["why"] or {}, method, opened.scores.height))
        for row in taken.head(PICTURES).iter_rows(named=True)
    ]
    headline = f"{taken.height:,} of {opened.pool.height:,} images chosen"
    return Answer(
        name,
        headline,
        _method(settings, entry.get("summary", {})),
        pictures,
        points,
        _next(opened, name, taken.height, measured),
    )


def _caption(why: Mapping[str, Any], method: str, scored: int) -> str:
    from thresher.report.sections.chosen import places_of

    places = [f"{place.text} by {by}" for by, place in places_of(why, method)]
    words = f"Place {', '.join(places)}, of {scored:,}" if places else ""
    rare = why.get("rare_classes") or ()
    return "; ".join(each for each in (words, f"brings {', '.join(rare)}" if rare else "") if each)


def _method(settings: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """How it was chosen, in a line."""
    if not settings:
        return "How it was made is not recorded."
    coverage = settings.get("coverage", "off")
    best = f" of the best {summary['shortlist']:,}" if "shortlist" in summary else ""
    covered = "" if coverage == "off" else f", with coverage ({coverage}){best}"
    return f"By {settings.get('method')}{covered}; budget {settings.get('budget')}."


def _worth(opened: OpenedRun, name: str, taken: pl.DataFrame, compared: Sequence[Compared]) -> Point | None:
    """What a comparison has measured of these images; None if there is none. Whole trainings before those by proxy."""
    ids = set(taken["image_id"])
    found = []
    for one in compared:
        if one.outdated:  # it measured other images of the same names
            continue
        pairs = one.differences.filter(pl.col("class").eq_missing(one.endpoint))
        measured_on = "test" if "test" in pairs["set"] else "validation"
        pairs = pairs.filter(set=measured_on)
        for method, budget in pairs.select("method", "budget").unique(maintain_order=True).iter_rows():
            if budget is not None and _images_of(opened, method, budget) == ids:
                told = gains(pairs, method, budget)
                enough = any(each.way is not None for each in told)
                found.append((not enough, one.proxy, one, told))
    if not found:
        return None
    _, proxy, one, told = min(found, key=lambda each: each[:2])
    if not told:
        return None
    if all(each.way is None for each in told):
        return Point("What it pays", _TOO_FEW)
    way = "Heads on frozen features (by proxy)" if proxy else "Whole trainings"
    of = one.endpoint or "mIoU"
    ways = [each.way for each in told]
    words = f"{way}, {of}: {'; '.join(each.text for each in told)}."
    return Point("What it pays", words, "warning" if -1 in ways else "good" if 1 in ways else "")


def _images_of(opened: OpenedRun, method: str, budget: str) -> set[str]:
    """The images of a selection of a comparison; empty for one that draws anew in each seed, or is gone."""
    name = method if budget == SAVED else SelectSettings(method, budget).selection_name
    if name not in opened.selection_names or parted(method)[0] in SEEDED:
        return set()
    return set(opened.selection(name)["image_id"])


def _next(opened: OpenedRun, name: str, count: int, measured: bool) -> list[tuple[str, str]]:
    steps = [
        ("Look closer, mark and change it", "thresher explore RUN"),
        ("Hand it over to be labelled", f"thresher export RUN {name} --format csv --out {name}.csv"),
    ]
    if not measured and opened.masks.height:
        flags = f"--selections {name} --methods random --budgets {count} --baselines none --seeds 10"
        steps.insert(0, ("Measure what it is worth", f"thresher compare RUN --proxy --modes labels {flags}"))
    return steps
